/** The TypeScript in the READMEs runs as it stands there, and does what the text beside it says. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = new URL("../../../", import.meta.url);

function programsOf(readme: string): readonly string[] {
  const text = readFileSync(new URL(readme, root), "utf8");
  return Array.from(text.matchAll(/^```ts\n(.*?)^```$/gms), ([, program]) => program);
}

/** Runs a program as a script of the examples' package; one that has not ended after 20 s is killed and has no code. */
function run(program: string): Promise<{ code: number | null; out: string; errors: string }> {
  const child = spawn(process.execPath, ["--input-type=module-typescript", "-"], {
    cwd: fileURLToPath(new URL("packages/examples", root)),
    timeout: 20_000,
    killSignal: "SIGKILL",
  });
  let out = "";
  let errors = "";
  child.stdout.on("data", (data) => (out += data));
  child.stderr.on("data", (data) => (errors += data));
  child.stdin.end(program);
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, out, errors })));
}

const [first, onGpu, differences, ...others] = programsOf("README.md");

test("the README has a first program, one for a GPU, and the differences from PyTorch", () => {
  expect(others).toEqual([]);
  expect(first).toContain("dataParallel");
  expect(onGpu).toContain("device-gpu");
  expect(differences).toContain("x.at(");
});

test("the first program trains, prints the loss that it says and ends by itself", { timeout: 25_000 }, async () => {
  const { code, out, errors } = await run(first);
  expect({ code, errors }).toEqual({ code: 0, errors: "" });
  expect(Number(out)).toBeCloseTo(0.24, 1);
});

test.concurrent.each([
  ["README.md", 1, "262144\n"],
  ["README.md", 2, "tensor([[ 0.,  2.,  3.,  4.],\n        [ 0.,  6.,  7.,  8.],\n        [ 0., 10., 11., 12.]])\n"],
  ["packages/core/README.md", 0, "tensor([[1.5000, 1.5000],\n        [1.5000, 1.5000]])\n"],
  ["packages/core/README.md", 2, "true 1\n"],
  ["packages/device-cpu/README.md", 0, "tensor([1., 1.], device='cpu:1')\n"],
  ["packages/device-gpu/README.md", 0, "262144\n"],
  ["packages/parallel/README.md", 0, "[ 6, 2 ]\n[ 'P(sum)' ]\n[ 4 ]\n"],
] as const)("%s: program %i runs as written", { timeout: 25_000 }, async (readme, number, expected) => {
  expect(await run(programsOf(readme)[number])).toEqual({ code: 0, out: expected, errors: "" });
});

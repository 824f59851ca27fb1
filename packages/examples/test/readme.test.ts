/** The TypeScript in the README runs as it stands there, and does what the text beside it says. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const readme = readFileSync(new URL("../../../README.md", import.meta.url), "utf8");
const programs = Array.from(readme.matchAll(/^```ts\n(.*?)^```$/gms), ([, program]) => program);

/** Runs a program as a script of the examples' package; one that has not ended after 15 s is killed and has no code. */
function run(program: string): Promise<{ code: number | null; out: string; errors: string }> {
  const child = spawn(process.execPath, ["--input-type=module-typescript", "-"], {
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    timeout: 15_000,
    killSignal: "SIGKILL",
  });
  let out = "";
  let errors = "";
  child.stdout.on("data", (data) => (out += data));
  child.stderr.on("data", (data) => (errors += data));
  child.stdin.end(program);
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, out, errors })));
}

test("the README has a first program and a list of differences", () => {
  expect(programs).toHaveLength(2);
});

test("the first program trains, prints the loss that it says and ends by itself", { timeout: 20_000 }, async () => {
  const { code, out, errors } = await run(programs[0]);
  expect({ code, errors }).toEqual({ code: 0, errors: "" });
  expect(Number(out)).toBeCloseTo(0.24, 1);
});

test("the differences from PyTorch run as written", { timeout: 20_000 }, async () => {
  const { code, out, errors } = await run(programs[1]);
  expect({ code, errors }).toEqual({ code: 0, errors: "" });
  expect(out).toBe("tensor([[ 0.,  2.,  3.,  4.],\n        [ 0.,  6.,  7.,  8.],\n        [ 0., 10., 11., 12.]])\n");
});

/** The main job, run as a user runs it. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const run = promisify(execFile);
const script = new URL("../src/mnist.ts", import.meta.url).pathname;

/** The cells of the table's rows, without frames. */
function rows(output: string): string[][] {
  return output
    .split("\n")
    .filter((line) => /^│ \S/.test(line))
    .map((line) => line.split("│").slice(1, -1).map((cell) => cell.trim()));
}

test("two devices learn the digits as one does: the same parameters after five steps, the same accuracy", async () => {
  const { stdout } = await run(process.execPath, [script, "--epochs", "4"]);
  const [single, parallel] = rows(stdout);
  expect([single[0], parallel[0]]).toEqual(["1 device", "2 devices, data-parallel"]);
  for (const [, , , accuracy] of [single, parallel]) expect(parseFloat(accuracy)).toBeGreaterThan(90);
  expect(Number(parallel[5])).toBeLessThan(1e-5);
}, 60_000);

test("--help lists the options, and a wrong one is refused with a reason", async () => {
  const { stdout } = await run(process.execPath, [script, "--help"]);
  for (const option of ["--epochs", "--batch", "--lr", "--seed"]) expect(stdout).toContain(option);
  await expect(run(process.execPath, [script, "--epochs", "none"])).rejects.toThrow(/whole number/);
});

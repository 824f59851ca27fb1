/** How a process that trains on the CPU ends, and how much memory it takes: each case is a script as users run them. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const script = fileURLToPath(new URL("scripts/training.ts", import.meta.url));

interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly errors: string;
}

/** Runs the script; one that has not ended after 20 s is killed and has no code. */
async function run(...args: readonly string[]): Promise<Outcome> {
  const child = spawn(process.execPath, [script, ...args], { timeout: 20_000, killSignal: "SIGKILL" });
  let out = "";
  let errors = "";
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, out, errors };
}

describe("a script that trains on the CPU", { timeout: 30_000 }, () => {
  test.each([
    ["ends by itself after its last line, no thread left", "ends", 0, "trained\n"],
    ["ends by itself when nothing was read", "unread", 0, ""],
    ["trains on after its threads were killed, and ends", "killed", 0, "trained\n"],
    ["ends at process.exit with its code", "exits", 3, ""],
  ])("%s", async (_promise, ending, code, out) => {
    expect(await run(ending)).toEqual({ code, out, errors: "" });
  });

  test("ends with code 1 at an uncaught error, its own or a read's", async () => {
    const own = await run("throws");
    expect(own.code).toBe(1);
    expect(own.errors).toContain("the script's own error");
    const read = await run("bad label, thrown");
    expect(read.code).toBe(1);
    expect(read.errors).toContain("index 10 is out of range [op crossEntropy, device cpu:0");
  });

  test("F3 ends with code 1 and says so once when nobody read that a step failed", async () => {
    const { code, errors } = await run("bad label");
    expect(code).toBe(1);
    expect(errors.match(/index 10 is out of range/g)).toHaveLength(1);
  });

  test("M4 takes no more memory after 100 steps than it needs for garbage that is worth collecting", async () => {
    // 300 steps leave some 300 MiB behind.
    const { code, out } = await run("memory", "300", "128");
    expect(code).toBe(0);
    const lines = out.trim().split("\n");
    const [after100, , after300] = lines.map((line) => JSON.parse(line) as Record<"rss" | "peak", number>);
    expect(after300.rss - after100.rss).toBeLessThan(40);
    expect(after300.peak).toBeLessThan(64);
  });
});

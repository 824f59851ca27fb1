/** How a process that uses the CPU device ends: each case is a script of its own, run as a user would run it. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const script = fileURLToPath(new URL("scripts/ending.ts", import.meta.url));

/** Runs the script to its end. */
async function run(ending: string): Promise<{ code: number | null; out: string }> {
  const child = spawn(process.execPath, [script, ending], { stdio: ["ignore", "pipe", "pipe"] });
  const guard = setTimeout(() => child.kill("SIGKILL"), 15_000);
  let out = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (out += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  clearTimeout(guard);
  return { code, out };
}

describe("a process that uses the CPU device", { timeout: 20_000 }, () => {
  test.each([
    ["ends by itself after its last line", "read", 0, "7\n"],
    ["ends by itself when it never waited for anything", "nothing", 0, ""],
    ["stays alive for a pending read, no longer", "pending", 0, "7\n"],
    ["ends after close()", "close", 0, "closed\n"],
    ["ends at process.exit with its code", "exit", 3, ""],
    ["goes on and ends after its worker threads were killed", "killed", 0, "7\n"],
  ])("%s", async (_promise, ending, code, out) => {
    expect(await run(ending)).toEqual({ code, out });
  });

  test("ends at an uncaught error and shows it", async () => {
    const { code, out } = await run("error");
    expect(code).toBe(1);
    expect(out).toContain("the script's own");
  });
});

/** How a process that uses the GPU device ends: each case is a script of its own, run as a user would run it. */
import { adapterName } from "./adapter.ts";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const script = (name: string): string => fileURLToPath(new URL(`scripts/${name}.ts`, import.meta.url));

interface Outcome {
  /** The exit code, or the signal that ended it. */
  readonly end: number | string | null;
  readonly out: string;
  readonly errors: string;
}

/** Runs a script to its end; `signal` is sent once it says that it is ready. */
async function run(ending: string, signal?: NodeJS.Signals, name = "ending"): Promise<Outcome> {
  const child = spawn(process.execPath, [script(name), ending], { timeout: 20_000, killSignal: "SIGKILL" });
  let out = "";
  let errors = "";
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk.toString();
    if (signal !== undefined) child.kill(signal);
  });
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const end = await new Promise<Outcome["end"]>((resolve) => {
    child.once("close", (code, by) => {
      resolve(code ?? by);
    });
  });
  return { end, out, errors };
}

describe(`a process that uses the GPU device on ${adapterName}`, { timeout: 30_000 }, () => {
  test.each([
    ["ends by itself when the device was never used", "unused", 0, ""],
    ["ends by itself after its last read", "read", 0, "300\n"],
    ["ends by itself after a read that blocked", "sync", 0, "300\n"],
    ["ends after close()", "close", 0, "closed\n"],
    ["ends at process.exit with its code", "exit", 3, ""],
    ["ends at process.exit while the device starts", "booting", 3, ""],
    ["ends at process.exit while the device is busy", "busy", 3, ""],
    ["ends after an op that failed", "failing", 0, "ValueError\n"],
    ["goes on and ends after its device's thread was killed", "killed", 0, "2\n"],
  ])("%s", async (_promise, ending, end, out) => {
    expect(await run(ending)).toEqual({ end, out, errors: "" });
  });

  test("ends at an uncaught error and shows it, while the device is busy", async () => {
    const { end, errors } = await run("error");
    expect(end).toBe(1);
    expect(errors).toContain("the script's own");
    expect(errors).not.toContain("FATAL");
  });

  test.each(["SIGINT", "SIGTERM"] as const)("ends at %s", async (signal) => {
    expect(await run("signal", signal)).toEqual({ end: signal, out: "ready\n", errors: "" });
  });

  test("hears at the next read that the GPU is lost", async () => {
    const { end, out } = await run("", undefined, "loss");
    expect(out).toMatch(/^7\nlost: /);
    expect(end).toBe(0);
  });
});

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly errors: string;
  readonly ms: number;
}

const script = fileURLToPath(new URL("./scripts/mock-script.ts", import.meta.url));

/** Runs the script; one that has not ended after 10 s is killed and has no code. */
function run(how: string): Promise<Outcome> {
  const start = performance.now();
  const child = spawn(process.execPath, [script, how], { timeout: 10_000, killSignal: "SIGKILL" });
  let out = "";
  let errors = "";
  child.stdout.on("data", (data) => (out += data));
  child.stderr.on("data", (data) => (errors += data));
  return new Promise((resolve) => {
    child.on("close", (code) => {
      resolve({ code, out, errors, ms: performance.now() - start });
    });
  });
}

describe("a script on a device", () => {
  test("may block at once, and ends by itself when its last line has run", async () => {
    expect(await run("ends")).toMatchObject({ code: 0, out: "2,4,6\n", errors: "" });
  });

  test("ends even when its device was never waited for", async () => {
    expect(await run("idle")).toMatchObject({ code: 0, errors: "" });
  });

  test("ends with process.exit's code in the middle of work", async () => {
    expect(await run("exit")).toMatchObject({ code: 7 });
  });

  test("ends with an uncaught error's code and text in the middle of work", async () => {
    const { code, errors } = await run("throw");
    expect(code).toBe(1);
    expect(errors).toContain("the script's own error");
  });

  test("does not wait for work that nobody reads", async () => {
    const { code, ms } = await run("unread");
    expect(code).toBe(0);
    expect(ms).toBeLessThan(5000);
  });

  test("waits for pending reads and closes", async () => {
    expect(await run("pending")).toMatchObject({ code: 0, out: "2,4,6\n" });
    expect(await run("closes")).toMatchObject({ code: 0, out: "closed\n" });
  });

  test("F3 a failure that nothing read is reported once at exit, with exit code 1", async () => {
    const { code, errors } = await run("untold");
    expect(code).toBe(1);
    expect(errors.match(/checkedSqrt/g)).toHaveLength(1);
    expect(await run("told")).toMatchObject({ code: 0, out: "caught\n", errors: "" });
  });
});

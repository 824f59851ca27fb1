/** How a process that uses the CPU device ends: each case is a script of its own, run as a user would run it. */
import { spawn } from "node:child_process";
import { describe, expect, test } from "vitest";

const start = `
  import { cpu } from "@troupe/device-cpu";
  const device = cpu({ threads: 2 });
  const storage = device.newStorage(256);
  device.upload(storage, 0, new Uint8Array(256).fill(7));
`;

/** Runs a script to its end. */
async function run(script: string): Promise<{ code: number | null; out: string; seconds: number }> {
  const began = performance.now();
  const child = spawn(process.execPath, ["--input-type=module", "-e", start + script], {
    cwd: new URL("..", import.meta.url),
    stdio: ["ignore", "pipe", "pipe"],
  });
  const guard = setTimeout(() => child.kill("SIGKILL"), 15_000);
  let out = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (out += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  clearTimeout(guard);
  return { code, out, seconds: (performance.now() - began) / 1000 };
}

describe.concurrent("a process that uses the CPU device", () => {
  test("ends by itself after its last line", async () => {
    const { code, out } = await run(`console.log(device.read(storage, 0, 256).bytesSync()[255]);`);
    expect({ code, out }).toEqual({ code: 0, out: "7\n" });
  });

  test("ends by itself when it never waited for anything", async () => {
    expect((await run("")).code).toBe(0);
  });

  test("stays alive for a pending read", async () => {
    const { code, out } = await run(`device.read(storage, 0, 256).bytes().then((bytes) => console.log(bytes[255]));`);
    expect({ code, out }).toEqual({ code: 0, out: "7\n" });
  });

  test("ends after close()", async () => {
    const { code, out } = await run(`await device.close(); console.log("closed");`);
    expect({ code, out }).toEqual({ code: 0, out: "closed\n" });
  });

  test("ends at process.exit with its code", async () => {
    const { code } = await run(`device.fenceSync(); process.exit(3);`);
    expect(code).toBe(3);
  });

  test("ends at an uncaught error and shows it", async () => {
    const { code, out } = await run(`device.fenceSync(); throw new Error("the script's own");`);
    expect(code).toBe(1);
    expect(out).toContain("the script's own");
  });

  test("goes on and ends after its worker threads were killed", async () => {
    const { code, out } = await run(`
      device.fenceSync();
      await device.kill();
      console.log(device.read(storage, 0, 256).bytesSync()[255]);
    `);
    expect({ code, out }).toEqual({ code: 0, out: "7\n" });
  });
});

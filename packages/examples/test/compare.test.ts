/** The main job, run as a user runs it. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";

const run = promisify(execFile);
const script = new URL("../src/compare/main.ts", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "troupe-compare-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function compare(...options: string[]): Promise<string> {
  const report = join(folder, "report.html");
  const { stdout, stderr } = await run(process.execPath, [script, "--report", report, ...options]);
  expect(stderr).toBe("");
  return stdout;
}

/** The table's rows, each a list of cells with their lines. */
function rowsOf(output: string): string[][][] {
  const [, ...blocks] = output.slice(output.indexOf("┌"), output.indexOf("└")).split(/├.*\n/);
  return blocks.map((block) => {
    const cellsOf = (line: string): string[] => line.split("│").slice(1, -1).map((cell) => cell.trim());
    const lines = block.trim().split("\n").map(cellsOf);
    return lines[0].map((_, column) => lines.map((cells) => cells[column]).filter((text) => text !== ""));
  });
}

const titles = [
  "one device, 1 thread",
  `one device, ${Math.min(16, availableParallelism())} threads`,
  "data-parallel, 2 devices",
  "layer-wise, 2 devices",
  "network, GPipe, 2 devices",
  "network, 1F1B, 2 devices",
];

test("without options: six ways learn the digits, to 95 %, with the same numbers and the formulas' bytes", async () => {
  const rows = rowsOf(await compare());
  expect(rows.map(([title]) => title.join(" "))).toEqual(titles);
  for (const [, speed, over, overAll, share, accuracy, memory, bytes, bubble, difference] of rows) {
    const [[counted, predicted], [gradients, parameters]] = [bytes, difference];
    expect(Number(speed[0].replaceAll(",", ""))).toBeGreaterThan(0);
    for (const [text] of [over, overAll]) expect(text).toMatch(/^\d+\.\d\dx$/);
    for (const text of [...share, ...bubble]) expect(text).toMatch(/^[\d.]+ %$/);
    expect(parseFloat(accuracy[0])).toBeGreaterThanOrEqual(95);
    for (const text of memory) expect(text).toMatch(/^cpu:\d+ \d+\.\d MiB$/);
    expect(counted).toBe(predicted);
    expect(Number(gradients)).toBeLessThan(1e-5);
    expect(Number(parameters)).toBeLessThan(4e-5);
  }
}, 120_000);

test("a CNN with dropout on three devices, some of the strategies; the trace has a track for each device", async () => {
  const trace = join(folder, "trace.json");
  const what = "--model cnn --dropout 0.2 --devices cpu,cpu,cpu --strategies data,1f1b";
  const howLong = "--batch 60 --microbatches 3 --epochs 1 --steps 2";
  const output = await compare(...`${what} ${howLong}`.split(" "), "--trace", trace);
  expect(output).toContain("cnn: ");
  const rows = rowsOf(output);
  expect(rows.map(([title]) => title.join(" "))).toEqual([
    "one device, 1 thread",
    "data-parallel, 3 devices",
    "network, 1F1B, 3 devices",
  ]);
  for (const [, , , [overAll], , , , [counted, predicted], , [gradients, parameters]] of rows) {
    expect(overAll).toBe("-");
    expect(counted).toBe(predicted);
    expect(Number(gradients)).toBeLessThan(1e-5);
    expect(Number(parameters)).toBeLessThan(4e-5);
  }
  const { traceEvents } = JSON.parse(readFileSync(trace, "utf8")) as {
    traceEvents: { name: string; ph: string; pid: number; tid: number; args: { name?: string } }[];
  };
  const named = (name: string): unknown[] =>
    traceEvents.filter((event) => event.name === name).map(({ pid, args }) => [pid, args.name]);
  expect(named("process_name")).toEqual(rows.map(([title], i) => [i + 1, title.join(" ")]));
  expect(named("thread_name")).toEqual([
    [1, "cpu:1"],
    ...[2, 3].flatMap((pid) => ["cpu:2", "cpu:3", "cpu:4"].map((device) => [pid, device])),
  ]);
  expect(traceEvents.filter(({ ph, name }) => ph === "X" && name.startsWith("matmul")).length).toBeGreaterThan(0);
}, 60_000);

test.each([
  ["two GPU devices", ["gpu", "gpu"], ["data", "gpipe"]],
  ["a CPU device and a GPU device", ["cpu", "gpu"], ["data", "layerwise", "1f1b"]],
])("%s: the same numbers, and the formulas' bytes", async (_devices, kinds, strategies) => {
  const howLong = "--batch 64 --epochs 1 --steps 1";
  const what = `--devices ${kinds.join(",")} --strategies ${strategies.join(",")}`;
  const rows = rowsOf(await compare(...`${what} ${howLong}`.split(" ")));
  expect(rows).toHaveLength(1 + strategies.length);
  for (const [, , , , , , memory, [counted, predicted], , [gradients, parameters]] of rows.slice(1)) {
    expect(memory.map((text) => text.replace(/:.*/, ""))).toEqual(kinds);
    expect(counted).toBe(predicted);
    expect(Number(gradients)).toBeLessThan(1e-5);
    expect(Number(parameters)).toBeLessThan(1e-4);
  }
}, 120_000);

test("--help lists the options", async () => {
  const { stdout } = await run(process.execPath, [script, "--help"]);
  const names = ["model", "dropout", "strategies", "devices", "batch", "microbatches", "steps", "epochs", "lr", "seed"];
  for (const option of [...names, "report", "trace"]) expect(stdout).toContain(`--${option} <`);
});

describe("a mistake is told in one line, with exit code 1", () => {
  test.concurrent.each([
    [["--strategies", "data,zero"], /no strategy "zero".*single, threads, data, layerwise, gpipe, 1f1b/],
    [["--batch", "0"], /whole number from 1/],
    [["--batch", "9000"], /a batch of 9000 is more than the 8330 samples/],
    [["--epochs", "none"], /whole number from 1/],
    [["--dropout", "1"], /from 0 to less than 1/],
    [["--model", "rnn"], /Allowed choices are mlp, cnn/],
    [["--devices", "cpu,abacus"], /unknown device.*abacus/],
    [["--devices", "cpu,"], /list of names/],
    [["--devices", "cpu,cpu,cpu,cpu,cpu,cpu"], /5 children cannot make 6 stages/],
    [["--microbatches", "300"], /a batch of 256 does not make 300 micro-batches/],
    [["--report", "/nowhere/report.html"], /\/nowhere/],
    [["--colour"], /unknown option/],
    [["now"], /too many arguments/],
  ])("%j", async (options, message) => {
    const { code, stderr } = await run(process.execPath, [script, ...options]).then(
      () => ({ code: 0, stderr: "" }),
      (error: { code: number; stderr: string }) => error,
    );
    expect(code).toBe(1);
    expect(stderr.trim()).toMatch(message);
    expect(stderr.trim().split("\n")).toHaveLength(1);
  });
});

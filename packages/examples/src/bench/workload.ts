/**
 * The work that every contender does: the same digits, the same initial weights, Adam at 1e-3, float32. The parent process writes
 * them to a folder as safetensors; contenders read them, so that all train from the same numbers.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import "@troupe/device-cpu";
import { io, manualSeed, rand } from "@troupe/core";
import { loadDigits } from "../digits.ts";

export const learningRate = 1e-3;
/** Weights are [in, out]. */
export const layers = [[784, 256], [256, 128], [128, 10]] as const;
export const addChain = 10_000;
/** Losses after these steps must agree with PyTorch's before a time counts. */
export const checkedSteps = [1, 10, 20] as const;

/** What a contender prints, as one line of JSON. */
export interface Figure {
  readonly contender: string;
  readonly job: string;
  /** Microseconds an op, or samples a second. */
  readonly value: number;
  readonly cpuSeconds: number;
  /** Of these, the main thread's own, where the contender says so. */
  readonly mainSeconds?: number;
  /** How many times the value of one actor, window by window in the same process; for jobs of several actors. */
  readonly ofOne?: number;
  readonly wallSeconds: number;
  readonly losses?: readonly number[];
  /** Why there is no figure. */
  readonly absent?: string;
}

export async function writeWorkload(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  manualSeed(1);
  const { train } = loadDigits();
  const [images, labels] = train.tensors;
  const tensors: Record<string, Float32Array | Int32Array> = {
    images: Float32Array.from(await images.data(), Number),
    labels: Int32Array.from(await labels.data(), Number),
  };
  for (const [i, [inputs, outputs]] of layers.entries()) {
    const bound = 1 / Math.sqrt(inputs);
    tensors[`w${i}`] = Float32Array.from(await rand(inputs, outputs).mul(2 * bound).sub(bound).data(), Number);
    tensors[`b${i}`] = Float32Array.from(await rand(outputs).mul(2 * bound).sub(bound).data(), Number);
  }
  const shapes: Record<string, readonly number[]> = { images: images.shape, labels: labels.shape };
  layers.forEach(([inputs, outputs], i) => {
    shapes[`w${i}`] = [inputs, outputs];
    shapes[`b${i}`] = [outputs];
  });
  const entries = Object.entries(tensors).map(([name, data]) => {
    const dtype = data instanceof Float32Array ? ("float32" as const) : ("int32" as const);
    return [name, { dtype, shape: shapes[name], bytes: new Uint8Array(data.buffer as ArrayBuffer) }] as const;
  });
  writeFileSync(join(folder, "workload.safetensors"), io.encodeSafetensors(entries));
}

export interface Workload {
  readonly images: Float32Array<ArrayBuffer>;
  readonly labels: Int32Array<ArrayBuffer>;
  readonly weights: readonly { readonly w: Float32Array<ArrayBuffer>; readonly b: Float32Array<ArrayBuffer> }[];
}

export function readWorkload(folder: string): Workload {
  const { tensors } = io.decodeSafetensors(readFileSync(join(folder, "workload.safetensors")));
  const bufferOf = (name: string): ArrayBuffer => new Uint8Array(tensors.get(name)?.bytes ?? []).buffer;
  const floats = (name: string): Float32Array<ArrayBuffer> => new Float32Array(bufferOf(name));
  return {
    images: floats("images"),
    labels: new Int32Array(bufferOf("labels")),
    weights: layers.map((_, i) => ({ w: floats(`w${i}`), b: floats(`b${i}`) })),
  };
}

/** Seconds of calls before anything is timed: just-in-time compilers need them. */
const warmUp = 2;

interface Timing {
  /** Of one call, the median over the windows. */
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly mainSeconds: number;
  readonly wallSeconds: number;
}

/** Times `body` over windows of about a second after a warm-up. */
export async function timed(body: () => Promise<void> | void, windows = 5): Promise<Timing> {
  const [timing] = await timedInTurns([body], windows, 0.8);
  return timing;
}

/** The same for several, which take turns, so that all see the same moments of a noisy machine. */
export async function timedInTurns(
  bodies: readonly (() => Promise<void> | void)[], windows: number, windowSeconds: number,
): Promise<(Timing & { readonly each: readonly number[] })[]> {
  const runs = [];
  for (const body of bodies) {
    const begun = performance.now();
    let last = 0;
    let calls = 0;
    while (calls < 2 || performance.now() - begun < warmUp * 1000) {
      const started = performance.now();
      await body();
      last = performance.now() - started;
      calls += 1;
    }
    runs.push({ body, calls: Math.max(1, Math.round((windowSeconds * 1000) / last)), each: [] as number[], cpu: 0, main: 0, wall: 0 });
  }
  for (let window = 0; window < windows; window++) {
    for (const run of runs) {
      const [cpu, main, started] = [process.cpuUsage(), process.threadCpuUsage(), performance.now()];
      for (let call = 0; call < run.calls; call++) await run.body();
      const wall = (performance.now() - started) / 1000;
      const [all, own] = [process.cpuUsage(cpu), process.threadCpuUsage(main)];
      run.each.push(wall / run.calls);
      run.cpu += (all.user + all.system) / 1e6;
      run.main += (own.user + own.system) / 1e6;
      run.wall += wall;
    }
  }
  return runs.map(({ each, cpu, main, wall }) => ({
    seconds: median(each), each, cpuSeconds: cpu, mainSeconds: main, wallSeconds: wall,
  }));
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function print(figure: Figure): void {
  console.log(JSON.stringify(figure));
}

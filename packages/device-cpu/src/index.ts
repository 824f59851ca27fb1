/**
 * Troupe's CPU device: an actor with its own threads and WebAssembly memory. Importing this module makes "cpu",
 * "cpu:0", "cpu:1", ... exist; "cpu" is the default device.
 */
import { availableParallelism } from "node:os";
import {
  createDevice, type Device, device, DeviceError, dtypes, hasDevice, registerDeviceKind, ValueError,
} from "@troupe/core/device";
import { createActivity } from "./activity.ts";
import { setCompilerFlags } from "./flags.ts";
import { createMemory, heapStart, maxPages, pageBytes } from "./heap.ts";
import type { CpuSpec } from "./tasks.ts";
import { convolutionNames } from "./routines/convolution-geometry.ts";
import { maxPoolNames } from "./routines/max-pool.ts";
import { maxThreads } from "./team.ts";

export interface CpuOptions {
  /** Which CPU device: 0, 1, ... Each has its own actor, threads and memory. Default 0. */
  readonly index?: number;
  /**
   * Threads, 1 to 64. Default: one for each core, 16 at most. A large launch is split over as many of them as are this
   * device's share of the cores, that is all while no other CPU device is busy with large launches; small launches
   * take one thread.
   */
  readonly threads?: number;
  /** Greatest size of the device's memory in bytes, up to 4 GiB (the default). */
  readonly memoryLimit?: number;
  /**
   * How much may be in flight: 32-bit words of messages, and bytes of uploads; powers of two. Defaults 2^16 and 2^24.
   */
  readonly ringWords?: number;
  readonly stagingBytes?: number;
}

type Made = Required<Omit<CpuOptions, "index">>;

const maxBytes = maxPages * pageBytes;
const activity = createActivity();
/** What the devices that this module made were made with. */
const optionsOf = new WeakMap<Device, Made>();

/**
 * The CPU device of this index; the same one at every call with the same options. Its threads start when it is first
 * used.
 *
 * @throws ValueError for an unknown option, or one out of range.
 * @throws DeviceError when the device exists with other options.
 */
export function cpu(options: CpuOptions = {}): Device {
  assertNames(options);
  const { index = 0 } = options;
  assertWhole("index", index, 0, 1023);
  const name = `cpu:${index}`;
  if (hasDevice(name)) {
    const existing = device(name);
    assertSame(name, options, optionsOf.get(existing));
    return existing;
  }
  const { threads = Math.min(16, availableParallelism()), memoryLimit = maxBytes } = options;
  assertWhole("threads", threads, 1, maxThreads);
  assertWhole("memoryLimit", memoryLimit, heapStart(threads) + pageBytes, maxBytes);
  const { ringWords = 2 ** 16, stagingBytes = 2 ** 24 } = options;
  assertPower("ringWords", ringWords, 2 ** 6, 2 ** 24);
  assertPower("stagingBytes", stagingBytes, 2 ** 10, 2 ** 30);
  setCompilerFlags();
  const spec: CpuSpec = { memory: createMemory(threads, memoryLimit), threads, memoryLimit, activity, index };
  const made = createDevice({
    type: "cpu",
    index,
    dtypes,
    routines: ["sort", "matmul", ...convolutionNames, ...maxPoolNames, "rows"],
    epilogues: ["matmul"],
    hostModule: import.meta.resolve("@troupe/device-cpu/host"),
    hostOptions: spec,
    limits: { ringWords, stagingBytes },
  });
  optionsOf.set(made, { threads, memoryLimit, ringWords, stagingBytes });
  return made;
}

function assertSame(name: string, options: CpuOptions, made: Made | undefined): void {
  for (const key of ["threads", "memoryLimit", "ringWords", "stagingBytes"] as const) {
    if (options[key] === undefined || options[key] === made?.[key]) continue;
    throw new DeviceError(`${name} exists with ${key} ${made?.[key]}, not ${options[key]}`, {
      device: name,
      remedy: "Give options at the first use of a device, or take another index.",
    });
  }
}

const names: readonly string[] = ["index", "threads", "memoryLimit", "ringWords", "stagingBytes"];

function assertNames(options: object): void {
  const remedy = `It takes: ${names.join(", ")}.`;
  if (typeof options !== "object" || options === null)
    throw new ValueError(`cpu() takes its options in an object, got ${String(options)}`, { op: "cpu", remedy });
  for (const name of Object.keys(options)) {
    if (!names.includes(name)) throw new ValueError(`cpu() got an unexpected option '${name}'`, { op: "cpu", remedy });
  }
}

function assertWhole(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new ValueError(`cpu(): ${name} must be a whole number from ${least} to ${most}, got ${value}`, { op: "cpu" });
}

function assertPower(name: string, value: number, least: number, most: number): void {
  assertWhole(name, value, least, most);
  if (Number.isInteger(Math.log2(value))) return;
  throw new ValueError(`cpu(): ${name} must be a power of two, got ${value}`, { op: "cpu" });
}

registerDeviceKind({ type: "cpu", create: (index) => cpu({ index }) });

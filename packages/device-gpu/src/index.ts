/**
 * Troupe's GPU device: an actor with a thread and a WebGPU device of its own (Dawn: Vulkan, Metal or D3D12). Importing
 * this module makes "gpu", "gpu:0", "gpu:1", ... exist.
 */
import {
  createDevice, type Device, device, DeviceError, type DType, hasDevice, registerDeviceKind, ValueError,
} from "@troupe/core/device";
import type { Schedule } from "./adapter.ts";
import { assertLoader } from "./loader.ts";
import { awaitRest, type GpuSpec, Safety } from "./spec.ts";

export type { Schedule } from "./adapter.ts";

export interface GpuOptions {
  /** Which GPU device: 0, 1, ... Each has its own actor, thread and memory; several may be on one adapter. Default 0. */
  readonly index?: number;
  /** Part of the adapter's name. Default: the one that WebGPU prefers. */
  readonly adapter?: string;
  /**
   * How kernels are laid out: for a GPU, whose invocations share memory, or for an adapter in software, which has a few
   * processors. By default as suits the adapter.
   */
  readonly schedule?: Schedule;
  /** Bytes that the device's tensors may take; 4 GiB by default. */
  readonly memoryLimit?: number;
  /**
   * How much may be in flight: 32-bit words of messages, and bytes of uploads; powers of two. Defaults 2^16 and 2^24.
   */
  readonly ringWords?: number;
  readonly stagingBytes?: number;
}

type Made = Omit<GpuOptions, "index">;

/** What a GPU holds and computes. float64 it does not; WebGPU has no such type. */
const dtypes: readonly DType[] = ["float32", "int32", "int64", "uint8", "bool"];

/** What the devices that this module made were made with. */
const optionsOf = new WeakMap<Device, Made>();
/** Of every device that was made. */
const safeties: Int32Array[] = [];

/**
 * The GPU device of this index; the same one at every call with the same options. Its thread starts when it is first
 * used; where there is no adapter, that use rejects with a DeviceLostError that says what is missing.
 *
 * @throws ValueError for an unknown option, or one out of range.
 * @throws DeviceError when the device exists with other options, or no Vulkan loader is installed.
 */
export function gpu(options: GpuOptions = {}): Device {
  assertNames(options);
  const { index = 0, adapter, schedule } = options;
  assertWhole("index", index, 0, 1023);
  const name = `gpu:${index}`;
  if (hasDevice(name)) {
    const existing = device(name);
    assertSame(name, options, optionsOf.get(existing));
    return existing;
  }
  const { memoryLimit = 2 ** 32, ringWords = 2 ** 16, stagingBytes = 2 ** 24 } = options;
  if (adapter !== undefined && (typeof adapter !== "string" || adapter === "")) {
    throw new ValueError(`gpu(): adapter must be part of a name, got ${String(adapter)}`, { op: "gpu" });
  }
  if (schedule !== undefined && schedule !== "gpu" && schedule !== "software") {
    throw new ValueError(`gpu(): schedule is "gpu" or "software", got ${String(schedule)}`, { op: "gpu" });
  }
  assertWhole("memoryLimit", memoryLimit, 2 ** 16, 2 ** 40);
  assertPower("ringWords", ringWords, 2 ** 6, 2 ** 24);
  assertPower("stagingBytes", stagingBytes, 2 ** 10, 2 ** 30);
  assertLoader(name);
  const safety = new Int32Array(new SharedArrayBuffer(Safety.words * 4));
  const spec: GpuSpec = { adapter, schedule, memoryLimit, safety };
  const made = createDevice({
    type: "gpu",
    index,
    dtypes,
    routines: ["sort", "matmul", "softmax", "logSoftmax"],
    hostModule: import.meta.resolve("@troupe/device-gpu/host"),
    hostOptions: spec,
    limits: { ringWords, stagingBytes },
  });
  optionsOf.set(made, { adapter, schedule, memoryLimit, ringWords, stagingBytes });
  watchExit(safety);
  return made;
}

/** A thread that ends while Dawn owes it an answer takes the process with it: the exit waits until it does not. */
function watchExit(safety: Int32Array): void {
  if (safeties.push(safety) > 1) return;
  process.on("exit", () => {
    for (const words of safeties) awaitRest(words);
  });
}

function assertSame(name: string, options: GpuOptions, made: Made | undefined): void {
  for (const key of ["adapter", "schedule", "memoryLimit", "ringWords", "stagingBytes"] as const) {
    if (options[key] === undefined || options[key] === made?.[key]) continue;
    throw new DeviceError(`${name} exists with ${key} ${made?.[key]}, not ${options[key]}`, {
      device: name,
      remedy: "Give options at the first use of a device, or take another index.",
    });
  }
}

const names: readonly string[] = ["index", "adapter", "schedule", "memoryLimit", "ringWords", "stagingBytes"];

function assertNames(options: object): void {
  const remedy = `It takes: ${names.join(", ")}.`;
  if (typeof options !== "object" || options === null)
    throw new ValueError(`gpu() takes its options in an object, got ${String(options)}`, { op: "gpu", remedy });
  for (const name of Object.keys(options)) {
    if (!names.includes(name)) throw new ValueError(`gpu() got an unexpected option '${name}'`, { op: "gpu", remedy });
  }
}

function assertWhole(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new ValueError(`gpu(): ${name} must be a whole number from ${least} to ${most}, got ${value}`, { op: "gpu" });
}

function assertPower(name: string, value: number, least: number, most: number): void {
  assertWhole(name, value, least, most);
  if (Number.isInteger(Math.log2(value))) return;
  throw new ValueError(`gpu(): ${name} must be a power of two, got ${value}`, { op: "gpu" });
}

registerDeviceKind({ type: "gpu", create: (index) => gpu({ index }) });

/** Finding a GPU: Dawn's instance, an adapter, a device with all that the adapter can do. */
import { DeviceError, InternalError } from "@troupe/core/device";
import { create, globals } from "webgpu";
import type { Pump } from "./pump.ts";

/**
 * How kernels are laid out: on a software adapter barriers are ruinous and an invocation is a processor's lane; on a GPU
 * invocations of a workgroup share memory.
 */
export type Schedule = "software" | "gpu";

export interface OpenGpu {
  /** Kept: Dawn crashes when it is collected before what came from it. */
  readonly instance: GPU;
  readonly adapter: GPUAdapter;
  readonly device: GPUDevice;
  readonly schedule: Schedule;
  /** What the adapter calls itself. */
  readonly name: string;
  /** To be called when the device is found lost; does not return. */
  readonly lost: (reason: string) => never;
  /** What Dawn complained about and nobody was told yet. */
  readonly errors: GPUError[];
}

/** Of every limit the adapter's own; WebGPU's defaults are those of the weakest phones. */
const limits = [
  "maxBufferSize", "maxStorageBufferBindingSize", "maxStorageBuffersPerShaderStage", "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup", "maxComputeWorkgroupSizeX", "maxUniformBufferBindingSize",
] as const;

export const noAdapterRemedy =
  "Install a Vulkan driver and loader (libvulkan1); in a container pass the GPU in (--gpus all, NVIDIA_DRIVER_CAPABILITIES=all).";

export interface GpuRequest {
  /** Part of an adapter's name, or undefined for the one that WebGPU prefers. */
  readonly name: string | undefined;
  /** How kernels are laid out; undefined as suits the adapter. */
  readonly schedule: Schedule | undefined;
  /** What to do when the device is lost: a driver's fault, or the GPU's end. */
  readonly lost: (reason: string) => never;
}

/**
 * Opens a WebGPU device in this thread.
 * @throws DeviceError when there is no adapter (of that name).
 */
export async function openGpu(pump: Pump, { name, schedule, lost }: GpuRequest): Promise<OpenGpu> {
  Object.assign(globalThis, globals);
  const instance = create(name === undefined ? [] : [`adapter=${name}`]);
  const adapter = await pump.settle(instance.requestAdapter({ powerPreference: "high-performance" })).catch(() => null);
  if (adapter === null) {
    const which = name === undefined ? "no GPU adapter was found" : `no GPU adapter is called "${name}"`;
    throw new DeviceError(`${which}. ${noAdapterRemedy}`);
  }
  const requiredLimits = Object.fromEntries(limits.map((limit) => [limit, adapter.limits[limit]]));
  const device = await pump.settle(adapter.requestDevice({ requiredLimits }));
  const { description, device: model, vendor, isFallbackAdapter } = adapter.info;
  const open: OpenGpu = {
    instance,
    adapter,
    device,
    schedule: schedule ?? (isFallbackAdapter ? "software" : "gpu"),
    name: [model || vendor, description].filter((part) => part !== "").join(", "),
    lost,
    errors: [],
  };
  device.onuncapturederror = ({ error }) => {
    open.errors.push(error);
  };
  void device.lost.then(({ reason, message }) => {
    if (reason !== "destroyed") lost(message);
  });
  return open;
}

/** Throws what Dawn complained about, once. @throws InternalError */
export function raise({ errors }: Pick<OpenGpu, "errors">): void {
  if (errors.length === 0) return;
  const [first] = errors.splice(0);
  throw new InternalError(`WebGPU: ${first.message}`);
}

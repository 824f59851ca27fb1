/** The GPU's side of the actor contract: memory and kernels of one WebGPU device, used by its thread only. */
import {
  type Backend, DeviceError, type DType, type Fault, type Kernel, type Prepared, type ReductionName, type SharedBytes,
} from "@troupe/core/device";
import { accumulationArguments, accumulationKernel } from "./accumulate.ts";
import type { OpenGpu } from "./adapter.ts";
import { Buffers, granularity } from "./buffers.ts";
import { Launcher, type LoopLaunch } from "./launcher.ts";
import type { Pump } from "./pump.ts";
import { softmax, softmaxRoutines } from "./routines/softmax.ts";
import { sort } from "./routines/sort.ts";
import type { Statistics } from "./spec.ts";
import { Staging } from "./staging.ts";
import { Stream } from "./stream.ts";

interface Launch {
  run(words: Int32Array, at: number, block: (storage: number) => number): Fault | undefined;
}

class PreparedKernel implements Prepared {
  readonly kernel: Kernel;
  readonly launch: Launch;

  constructor(kernel: Kernel, launch: Launch) {
    this.kernel = kernel;
    this.launch = launch;
  }
}

export class GpuBackend implements Backend {
  readonly granularity = granularity;
  readonly volatile = true;
  readonly #gpu: OpenGpu;
  readonly #buffers: Buffers;
  readonly #stream: Stream;
  readonly #launcher: Launcher;
  readonly #staging = new Staging();
  readonly #accumulations = new Map<string, LoopLaunch>();

  /** @param memoryLimit bytes that all buffers may take together. */
  constructor(gpu: OpenGpu, pump: Pump, memoryLimit: number) {
    this.#gpu = gpu;
    this.#stream = new Stream(gpu, pump);
    const turn = (): void => { pump.turn(); };
    this.#buffers = new Buffers(gpu, memoryLimit, turn, () => {
      this.#stream.flush();
      this.#launcher.forgetGroups();
    });
    this.#launcher = new Launcher(gpu, this.#buffers, this.#stream, turn);
  }

  allocate(bytes: number): number {
    return this.#buffers.allocate(bytes);
  }

  free(block: number): void {
    this.#buffers.free(block);
  }

  restore(blocks: Iterable<{ readonly block: number; readonly bytes: number }>): void {
    this.#buffers.restore(blocks);
  }

  pooledBytes(): number {
    return this.#buffers.pooledBytes;
  }

  prepare(kernel: Kernel): Prepared {
    if (kernel.kind === "loop") return new PreparedKernel(kernel, this.#launcher.loop(kernel));
    if (kernel.kind === "rows") throw new DeviceError("the GPU device takes a row kernel's sweeps one by one");
    if (kernel.name === "sort") return new PreparedKernel(kernel, sort(kernel, this));
    if (softmaxRoutines.includes(kernel.name)) return new PreparedKernel(kernel, softmax(kernel, this.#launcher));
    throw new DeviceError(`the GPU device has no routine "${kernel.name}"`);
  }

  run(prepared: Prepared, words: Int32Array, at: number, block: (storage: number) => number): Fault | undefined {
    return (prepared as PreparedKernel).launch.run(words, at, block);
  }

  write(block: number, byteOffset: number, source: Uint8Array): void {
    const target = this.#buffers.at(block);
    const before = byteOffset & 3;
    const end = byteOffset + source.length;
    if (before === 0 && (end & 3) === 0) {
      this.#stream.write(target, byteOffset, source);
      return;
    }
    // WebGPU writes whole words: what stands beside the bytes in theirs is read and written back.
    const start = byteOffset - before;
    const whole = new Uint8Array((end - start + 3) & ~3);
    const read = (at: number): void => {
      this.#stream.read(target, start + at, 4, (bytes) => { whole.set(bytes, at); });
    };
    if (before !== 0) read(0);
    if (end < target.bytes && (end & 3) !== 0 && (before === 0 || whole.length > 4)) read(whole.length - 4);
    whole.set(source, before);
    this.#stream.write(target, start, whole);
  }

  readInto(block: number, byteOffset: number, target: Uint8Array): void {
    if (target.length === 0) return;
    const before = byteOffset & 3;
    const length = (before + target.length + 3) & ~3;
    this.#stream.read(this.#buffers.at(block), byteOffset - before, length, (bytes) => {
      target.set(bytes.subarray(before, before + target.length));
    });
  }

  share(block: number, byteOffset: number, bytes: number): SharedBytes {
    return this.#staging.take(bytes, (target) => { this.readInto(block, byteOffset, target); });
  }

  accumulate(block: number, byteOffset: number, source: Uint8Array, dtype: DType, reduction: ReductionName): void {
    const key = `${reduction} ${dtype}`;
    let launch = this.#accumulations.get(key);
    if (launch === undefined) {
      launch = this.#launcher.loop(accumulationKernel(dtype, reduction));
      this.#accumulations.set(key, launch);
    }
    const piece = this.allocate(source.length);
    try {
      this.write(piece, 0, source);
      launch.run(accumulationArguments(dtype, byteOffset, source.length), 0, (storage) => (storage === 0 ? block : piece));
    } finally {
      this.free(piece);
    }
  }

  synchronize(): void {
    this.#stream.synchronize();
  }

  idle(): void {
    this.#stream.flush();
  }

  close(): void {
    this.#gpu.device.destroy();
  }

  statistics(): Statistics {
    const { name: adapter, schedule } = this.#gpu;
    const { launches, compiled } = this.#launcher;
    return { adapter, schedule, launches, compiled };
  }
}

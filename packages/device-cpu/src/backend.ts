/** The CPU's side of the actor contract: memory and kernels of one device, used by its rank 0 thread only. */
import {
  type Backend, BackendOutOfMemory, DeviceError, type DType, type Fault, type Kernel, type Prepared, type ReductionName,
  type SharedBytes,
} from "@troupe/core/device";
import type { Activity } from "./activity.ts";
import { accumulateKernel, pieceBytes, runAccumulation } from "./accumulate.ts";
import { Allocator, blockBytes, granularity } from "./allocator.ts";
import type { ShareCode } from "./code.ts";
import { Heap, heapStart } from "./heap.ts";
import { Launcher } from "./launcher.ts";
import { convolution } from "./routines/convolution.ts";
import { convolutionNames } from "./routines/convolution-geometry.ts";
import { matmul, matmulWithEpilogue } from "./routines/matmul.ts";
import { maxPool, maxPoolNames } from "./routines/max-pool.ts";
import type { Launch, Routine } from "./routines/routine.ts";
import { sort } from "./routines/sort.ts";
import { Team } from "./team.ts";
import { printKernel } from "./wasm/print.ts";
import type { Program } from "./wasm/program.ts";

/** Routines in JavaScript, by kernel name. */
const routines: Readonly<Record<string, Routine>> = { sort };

/** Compiled routines, by the name of the kernel that they override; undefined: not for this kernel. */
const programs: Readonly<Record<string, (kernel: Kernel) => Program | undefined>> = {
  matmul,
  ...Object.fromEntries(convolutionNames.map((name) => [name, (kernel: Kernel) => convolution(kernel)])),
  ...Object.fromEntries(maxPoolNames.map((name) => [name, maxPool])),
};

/** Structures whose compiled code is kept. */
const cacheLimit = 2048;

export interface BackendOptions {
  readonly memory: WebAssembly.Memory;
  readonly threads: number;
  /** The memory's greatest size in bytes. */
  readonly memoryLimit: number;
  readonly activity: Activity;
  /** Sends code to the helpers, if there are any. */
  readonly shareCode?: ShareCode;
}

class PreparedKernel implements Prepared {
  readonly kernel: Kernel;
  readonly launch: Launch;

  constructor(kernel: Kernel, launch: Launch) {
    this.kernel = kernel;
    this.launch = launch;
  }
}

export class CpuBackend implements Backend {
  readonly granularity = granularity;
  readonly #heap: Heap;
  readonly #allocator: Allocator;
  readonly #team: Team;
  readonly #launcher: Launcher;
  readonly #compiled = new Map<string, Launch>();
  readonly #accumulations = new Map<string, Launch>();
  /** Where `accumulate` copies pieces to; 0 until it is needed. */
  #piece = 0;
  /** Bytes of blocks that the backend took for itself. */
  #ownBytes = 0;

  constructor({ memory, threads, memoryLimit, activity, shareCode = () => undefined }: BackendOptions) {
    this.#heap = new Heap(memory);
    this.#allocator = new Allocator(heapStart(threads), (end) => this.#heap.grow(end, memoryLimit));
    this.#team = new Team(this.#heap, threads);
    this.#launcher = new Launcher({
      heap: this.#heap,
      team: this.#team,
      activity,
      allocate: (bytes) => this.#allocateOwn(bytes),
      free: (block, bytes) => this.#freeOwn(block, bytes),
      shareCode,
    });
  }

  allocate(bytes: number): number {
    const block = this.#allocator.allocate(bytes);
    if (block !== undefined) return block;
    this.#launcher.trim();
    const retried = this.#allocator.allocate(bytes);
    if (retried === undefined) {
      throw new BackendOutOfMemory(`no room for ${bytes} bytes beside ${this.#allocator.liveBytes} bytes in use`);
    }
    return retried;
  }

  free(block: number, bytes: number): void {
    this.#allocator.free(block >>> 0, bytes);
  }

  restore(blocks: Iterable<{ readonly block: number; readonly bytes: number }>): void {
    this.#launcher.trim();
    this.#piece = 0;
    this.#ownBytes = 0;
    this.#allocator.restore(Array.from(blocks, ({ block, bytes }) => ({ block: block >>> 0, bytes })));
  }

  pooledBytes(): number {
    return this.#allocator.pooledBytes + this.#ownBytes;
  }

  prepare(kernel: Kernel): Prepared {
    const key = JSON.stringify(kernel);
    let launch = this.#compiled.get(key);
    if (launch === undefined) {
      launch = this.#compile(kernel);
      this.#compiled.set(key, launch);
      const [oldest] = this.#compiled.keys();
      if (this.#compiled.size > cacheLimit && oldest !== undefined) this.#compiled.delete(oldest);
    }
    return new PreparedKernel(kernel, launch);
  }

  run(prepared: Prepared, words: Int32Array, at: number, block: (storage: number) => number): Fault | undefined {
    return (prepared as PreparedKernel).launch(words, at, block);
  }

  write(block: number, byteOffset: number, source: Uint8Array): void {
    this.#heap.bytes.set(source, (block >>> 0) + byteOffset);
  }

  readInto(block: number, byteOffset: number, target: Uint8Array): void {
    const start = (block >>> 0) + byteOffset;
    target.set(this.#heap.bytes.subarray(start, start + target.length));
  }

  share(block: number, byteOffset: number): SharedBytes {
    return { buffer: this.#heap.buffer, address: (block >>> 0) + byteOffset };
  }

  accumulate(block: number, byteOffset: number, source: Uint8Array, dtype: DType, reduction: ReductionName): void {
    const key = `${reduction} ${dtype}`;
    let launch = this.#accumulations.get(key);
    if (launch === undefined) {
      launch = this.#launcher.launch(printKernel(accumulateKernel(dtype, reduction)));
      this.#accumulations.set(key, launch);
    }
    const target = (block >>> 0) + byteOffset;
    if (this.#piece === 0) this.#piece = this.#allocateOwn(pieceBytes);
    for (let start = 0; start < source.length; start += pieceBytes) {
      const piece = source.subarray(start, start + pieceBytes);
      this.#heap.bytes.set(piece, this.#piece);
      runAccumulation(launch, dtype, target + start, this.#piece, piece.length);
    }
  }

  synchronize(): void {
    // A launch has run when `run` returns.
  }

  close(): void {
    this.#team.close();
  }

  /** Counts for the control port. */
  statistics(): { launches: number; splitLaunches: number; compiled: number; memoryBytes: number } {
    const { launches, splitLaunches } = this.#launcher;
    return { launches, splitLaunches, compiled: this.#compiled.size, memoryBytes: this.#heap.buffer.byteLength };
  }

  #compile(kernel: Kernel): Launch {
    const program = Object.hasOwn(programs, kernel.name) ? programs[kernel.name]?.(kernel) : undefined;
    if (program !== undefined) return this.#launcher.launch(program);
    const fused = matmulWithEpilogue(kernel);
    if (fused !== undefined) return this.#launcher.choose(fused);
    if (kernel.kind !== "routine") return this.#launcher.launch(printKernel(kernel));
    const routine = Object.hasOwn(routines, kernel.name) ? routines[kernel.name] : undefined;
    if (routine === undefined) throw new DeviceError(`the CPU device has no routine "${kernel.name}"`);
    return routine(kernel, this.#heap);
  }

  #allocateOwn(bytes: number): number {
    const block = this.#allocator.allocate(bytes);
    if (block === undefined) throw new BackendOutOfMemory(`no room for ${bytes} bytes of workspace`);
    this.#ownBytes += blockBytes(bytes);
    return block;
  }

  #freeOwn(block: number, bytes: number): void {
    this.#allocator.free(block, bytes);
    this.#ownBytes -= blockBytes(bytes);
  }
}

/** The device's memory: one GPU buffer a block, from and to lists by size, within a budget of bytes. */
import { BackendOutOfMemory } from "@troupe/core/device";
import type { OpenGpu } from "./adapter.ts";

/** Blocks are given out in multiples of this. */
export const granularity = 256;

/** A GPU buffer of the pool. */
export interface Block {
  readonly buffer: GPUBuffer;
  /** The buffer's size. */
  readonly size: number;
  /** Never used for another buffer: what bind groups are known by. */
  readonly serial: number;
  /** Bytes asked for; what lies behind them is nobody's. */
  bytes: number;
  /** The batch of commands that used it last. */
  batch: number;
}

/** The size class of `bytes`: four to a power of two, so that at most a fifth is wasted. */
export function sizeClass(bytes: number): number {
  const least = Math.max(granularity, bytes);
  const step = Math.max(granularity, 2 ** (Math.floor(Math.log2(least)) - 2));
  return Math.ceil(least / step) * step;
}

export class Buffers {
  readonly #gpu: OpenGpu;
  readonly #limit: number;
  readonly #turn: () => void;
  readonly #letGo: () => void;
  readonly #blocks: (Block | undefined)[] = [];
  readonly #freeNumbers: number[] = [];
  readonly #pool = new Map<number, Block[]>();
  #serials = 0;
  #total = 0;
  #pooled = 0;

  /**
   * @param limit bytes that all buffers may take together.
   * @param turn lets Dawn report what went wrong.
   * @param letGo called before buffers are destroyed: nothing may name them any more.
   */
  constructor(gpu: OpenGpu, limit: number, turn: () => void, letGo: () => void) {
    this.#gpu = gpu;
    this.#limit = limit;
    this.#turn = turn;
    this.#letGo = letGo;
  }

  /** Bytes of buffers that wait for reuse. */
  get pooledBytes(): number {
    return this.#pooled;
  }

  /** @throws BackendOutOfMemory */
  allocate(bytes: number): number {
    const block = this.#take(bytes);
    const number = this.#freeNumbers.pop() ?? this.#blocks.length;
    this.#blocks[number] = block;
    return number;
  }

  free(number: number): void {
    const block = this.at(number);
    this.#blocks[number] = undefined;
    this.#freeNumbers.push(number);
    const list = this.#pool.get(block.size);
    if (list === undefined) this.#pool.set(block.size, [block]);
    else list.push(block);
    this.#pooled += block.size;
  }

  /** Gives these numbers blocks again, with undefined contents. */
  restore(blocks: Iterable<{ readonly block: number; readonly bytes: number }>): void {
    for (const { block, bytes } of blocks) this.#blocks[block] = this.#take(bytes);
    for (let number = 0; number < this.#blocks.length; number++) {
      if (this.#blocks[number] === undefined) this.#freeNumbers.push(number);
    }
  }

  at(number: number): Block {
    const block = this.#blocks[number];
    if (block === undefined) throw new RangeError(`block ${number} is not allocated`);
    return block;
  }

  #take(bytes: number): Block {
    const size = sizeClass(bytes);
    const pooled = this.#pool.get(size)?.pop();
    if (pooled !== undefined) {
      this.#pooled -= size;
      pooled.bytes = bytes;
      return pooled;
    }
    const { maxBufferSize, maxStorageBufferBindingSize } = this.#gpu.device.limits;
    if (size > Math.min(maxBufferSize, maxStorageBufferBindingSize)) {
      throw new BackendOutOfMemory(`${bytes} bytes are more than one buffer of this GPU holds`);
    }
    if (this.#total + size > this.#limit) this.#trim(this.#total + size - this.#limit);
    if (this.#total + size > this.#limit) throw new BackendOutOfMemory(`no room for ${bytes} bytes`);
    return this.#create(size, bytes);
  }

  #create(size: number, bytes: number): Block {
    const { device, errors } = this.#gpu;
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const before = errors.length;
    const buffer = device.createBuffer({ size, usage });
    this.#turn();
    const failed = errors.findIndex((error, i) => i >= before && error instanceof GPUOutOfMemoryError);
    if (failed >= 0) {
      errors.splice(failed, 1);
      throw new BackendOutOfMemory(`the GPU has no room for ${bytes} bytes`);
    }
    this.#total += size;
    return { buffer, size, serial: ++this.#serials, bytes, batch: -1 };
  }

  /** Gives at least `bytes` of the pool back to the GPU, as far as there are. */
  #trim(bytes: number): void {
    if (this.#pooled === 0) return;
    this.#letGo();
    let left = bytes;
    for (const [size, list] of this.#pool) {
      while (left > 0 && list.length > 0) {
        const block = list.pop();
        if (block === undefined) break;
        block.buffer.destroy();
        this.#total -= size;
        this.#pooled -= size;
        left -= size;
      }
    }
  }
}

/** The mock's memory: first fit over a sorted list of holes, neighbours joined at every free. */
import { BackendOutOfMemory } from "../../actor/backend.ts";

interface Hole {
  start: number;
  bytes: number;
}

export const granularity = 16;

export class MockHeap {
  #holes: Hole[];
  /** Bytes asked for, by block. */
  readonly #blocks = new Map<number, number>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
    this.#holes = [{ start: 0, bytes: limit }];
  }

  /** @throws BackendOutOfMemory */
  allocate(bytes: number): number {
    const size = rounded(bytes);
    const hole = this.#holes.find((candidate) => candidate.bytes >= size);
    if (hole === undefined) throw new BackendOutOfMemory(`no ${bytes} bytes`);
    const block = hole.start;
    hole.start += size;
    hole.bytes -= size;
    if (hole.bytes === 0) this.#holes.splice(this.#holes.indexOf(hole), 1);
    this.#blocks.set(block, bytes);
    return block;
  }

  free(block: number): void {
    const bytes = this.#blocks.get(block);
    if (bytes === undefined) throw new RangeError(`block ${block} is not allocated`);
    this.#blocks.delete(block);
    let low = 0;
    for (let high = this.#holes.length; low < high; ) {
      const middle = (low + high) >>> 1;
      if ((this.#holes[middle]).start < block) low = middle + 1;
      else high = middle;
    }
    this.#holes.splice(low, 0, { start: block, bytes: rounded(bytes) });
    this.#join(low);
    this.#join(low - 1);
  }

  /** The bytes asked for at `block`. */
  bytes(block: number): number {
    return this.#blocks.get(block) ?? 0;
  }

  restore(blocks: Iterable<{ readonly block: number; readonly bytes: number }>): void {
    this.#blocks.clear();
    this.#holes = [];
    let end = 0;
    for (const { block, bytes } of [...blocks].sort((a, b) => a.block - b.block)) {
      if (block > end) this.#holes.push({ start: end, bytes: block - end });
      this.#blocks.set(block, bytes);
      end = block + rounded(bytes);
    }
    if (end < this.#limit) this.#holes.push({ start: end, bytes: this.#limit - end });
  }

  /** Joins hole `i` with the one behind it where they touch. */
  #join(i: number): void {
    const hole = this.#holes[i];
    const next = this.#holes[i + 1];
    if (hole === undefined || next === undefined || hole.start + hole.bytes !== next.start) return;
    hole.bytes += next.bytes;
    this.#holes.splice(i + 1, 1);
  }
}

function rounded(bytes: number): number {
  return Math.max(granularity, Math.ceil(bytes / granularity) * granularity);
}

/** A device's shared WebAssembly.Memory as typed arrays, and how its first bytes are laid out. */

export const pageBytes = 65_536;
/** Pages of a 32-bit memory: 4 GiB. */
export const maxPages = 65_536;

/** Bytes of the argument block of the launch in progress; every thread reads the same one. */
export const argumentBytes = 16_384;
/** Scratch bytes that each thread has at all times; programs that need more get workspace from the allocator. */
export const scratchBytes = 65_536;

/**
 * The bytes before the allocator's: an unused line (so that no block has address 0), the words by which the device's
 * threads meet (team.ts), the argument block, then each thread's scratch.
 */
export const teamStart = 64;
export const teamBytes = 16_384 - teamStart;
export const argumentsStart = teamStart + teamBytes;

export function scratchOf(rank: number): number {
  return argumentsStart + argumentBytes + rank * scratchBytes;
}

/** The first byte that the allocator gives out on a device of `threads` threads. */
export function heapStart(threads: number): number {
  return Math.ceil(scratchOf(threads) / pageBytes) * pageBytes;
}

/** Makes the memory of a device that may grow up to `limit` bytes. */
export function createMemory(threads: number, limit: number): WebAssembly.Memory {
  const initial = heapStart(threads) / pageBytes + 1;
  const maximum = Math.min(maxPages, Math.max(initial, Math.floor(limit / pageBytes)));
  return new WebAssembly.Memory({ initial, maximum, shared: true });
}

/** Views of the memory. Another thread may grow it: who takes an address from elsewhere calls `cover` first. */
export class Heap {
  readonly memory: WebAssembly.Memory;
  buffer!: SharedArrayBuffer;
  bytes!: Uint8Array;
  words!: Int32Array;
  floats!: Float32Array;

  constructor(memory: WebAssembly.Memory) {
    this.memory = memory;
    this.refresh();
  }

  /** Takes new views after the memory has grown. */
  refresh(): void {
    // The DOM's types know no shared memory.
    this.buffer = this.memory.buffer as unknown as SharedArrayBuffer;
    this.bytes = new Uint8Array(this.buffer);
    this.words = new Int32Array(this.buffer);
    this.floats = new Float32Array(this.buffer);
  }

  /** Makes sure that the views reach up to byte `end`. */
  cover(end: number): void {
    if (end > this.bytes.length) this.refresh();
  }

  /**
   * Grows the memory so that it holds at least `end` bytes; doubles where it can, so that growing stays rare.
   * @returns false when `limit` or the system forbids it.
   */
  grow(end: number, limit: number): boolean {
    const current = this.buffer.byteLength;
    if (end <= current) return true;
    if (end > limit) return false;
    for (const wish of [Math.min(limit, Math.max(end, current * 2)), end]) {
      try {
        this.memory.grow(Math.ceil((wish - current) / pageBytes));
        this.refresh();
        return true;
      } catch {
        // The system refused: ask for just enough, then give up.
      }
    }
    return false;
  }
}

/**
 * The allocator of a device's memory. Blocks of up to 1 KiB come from slabs of one size class each; larger ones are
 * cut, best fit, from holes that coalesce when they are freed. All bookkeeping is outside of the memory that it
 * manages, so that a kernel that goes astray cannot break it, and it can be rebuilt from a list of the blocks that
 * live.
 *
 * Addresses and sizes are byte numbers below 2^32.
 */

/** Block sizes and addresses are multiples of this. */
export const granularity = 16;

/** Blocks above this many bytes are cut from holes. */
const smallLimit = 1024;
const slabBytes = 16_384;
/** Large blocks and slabs are multiples of this (a cache line) and start at one. */
const unit = 64;
const unitsPerSlab = slabBytes / unit;
/** Holes are ordered by `size * unitSpan + address`, both in units: exact in a double, since each is below 2^26. */
const unitSpan = 2 ** 26;

/** A run of equal blocks. */
interface Slab {
  readonly address: number;
  readonly blockBytes: number;
  /** Blocks that were freed (a stack), and the first that was never given out. */
  readonly freed: Uint16Array;
  freedCount: number;
  fresh: number;
  live: number;
  /** Its place in its class' list of slabs with room, or -1. */
  place: number;
}

function roundUp(bytes: number, multiple: number): number {
  return Math.ceil(bytes / multiple) * multiple;
}

/** Bytes that a block of `bytes` counts for. */
export function blockBytes(bytes: number): number {
  return bytes <= granularity ? granularity : roundUp(bytes, granularity);
}

export class Allocator {
  readonly #start: number;
  readonly #ensure: (end: number) => boolean;
  /** Bytes of live blocks. */
  liveBytes = 0;
  /** Where the part of the memory ends that was ever given out; it is never handed back to the system. */
  touched: number;

  /** Where the blocks end now, in units: above it there is nothing but room to grow. */
  #top: number;
  /** Holes below `#top`: sorted by size and address; and by their first and last unit. */
  #holes: number[] = [];
  #holeAt = new Map<number, number>();
  #holeBefore = new Map<number, number>();

  /** Slabs with room, by class (block bytes / 16), and the slab at an address (bytes / slabBytes). */
  #roomy: Slab[][] = Array.from({ length: smallLimit / granularity + 1 }, () => []);
  #slabAt: (Slab | undefined)[] = [];

  /**
   * @param start - the first byte to give out, a multiple of 64.
   * @param ensure - makes the memory reach up to a byte; false when it cannot.
   */
  constructor(start: number, ensure: (end: number) => boolean) {
    this.#start = start;
    this.#ensure = ensure;
    this.#top = start / unit;
    this.touched = start;
  }

  /** Bytes that were given out once and are held for reuse. */
  get pooledBytes(): number {
    return this.touched - this.#start - this.liveBytes;
  }

  /** The free ranges below the end of the blocks, empty slabs given back, as [address, bytes] in order of address. */
  holes(): [number, number][] {
    this.trim();
    const holes = [...this.#holeAt].map(([at, size]): [number, number] => [at * unit, size * unit]);
    return holes.sort((a, b) => a[0] - b[0]);
  }

  /** Where the blocks end, empty slabs given back. */
  end(): number {
    this.trim();
    return this.#top * unit;
  }

  /** Gives out at least `bytes`; undefined when there is no room. */
  allocate(bytes: number): number | undefined {
    const size = blockBytes(bytes);
    const address = size <= smallLimit ? this.#allocateSmall(size) : this.#allocateUnits(Math.ceil(size / unit));
    if (address !== undefined) this.liveBytes += size;
    return address;
  }

  /** Takes back a block that `allocate(bytes)` gave out. */
  free(address: number, bytes: number): void {
    const size = blockBytes(bytes);
    this.liveBytes -= size;
    if (size <= smallLimit) this.#freeSmall(address);
    else this.#addHole(address / unit, Math.ceil(size / unit));
  }

  /** Forgets everything but these live blocks (address and the bytes asked for). */
  restore(blocks: Iterable<{ readonly block: number; readonly bytes: number }>): void {
    this.#holes = [];
    this.#holeAt.clear();
    this.#holeBefore.clear();
    this.#roomy = this.#roomy.map(() => []);
    this.#slabAt = [];
    this.liveBytes = 0;
    const runs: [number, number][] = [];
    const used = new Map<Slab, Set<number>>();
    for (const { block, bytes } of blocks) {
      const size = blockBytes(bytes);
      this.liveBytes += size;
      if (size > smallLimit) {
        runs.push([block / unit, Math.ceil(size / unit)]);
        continue;
      }
      const number = Math.floor(block / slabBytes);
      let slab = this.#slabAt[number];
      if (slab === undefined) {
        slab = this.#newSlab(number * slabBytes, size);
        used.set(slab, new Set());
        runs.push([slab.address / unit, unitsPerSlab]);
      }
      used.get(slab)?.add((block - slab.address) / size);
    }
    for (const [slab, blocksOfSlab] of used) this.#fillSlab(slab, blocksOfSlab);
    runs.sort((a, b) => a[0] - b[0]);
    this.#top = this.#start / unit;
    for (const [at, size] of runs) {
      if (at > this.#top) this.#insertHole(this.#top, at - this.#top);
      this.#top = at + size;
    }
    this.touched = Math.max(this.touched, this.#top * unit);
  }

  /** Gives empty slabs back to the holes. */
  trim(): void {
    for (const slabs of this.#roomy) {
      for (const slab of slabs.filter((candidate) => candidate.live === 0)) this.#releaseSlab(slab);
    }
  }

  #allocateSmall(size: number): number | undefined {
    const roomy = this.#roomy[size / granularity];
    let slab = roomy[roomy.length - 1];
    if (slab === undefined) {
      const address = this.#allocateUnits(unitsPerSlab, unitsPerSlab);
      if (address === undefined) return undefined;
      slab = this.#newSlab(address, size);
    }
    slab.live += 1;
    const index = slab.freedCount > 0 ? slab.freed[--slab.freedCount] : slab.fresh++;
    if (slab.live === slab.freed.length) {
      roomy.pop();
      slab.place = -1;
    }
    return slab.address + index * size;
  }

  #freeSmall(address: number): void {
    const slab = this.#slabAt[Math.floor(address / slabBytes)];
    if (slab === undefined) throw new RangeError(`free of ${address}, which is in no slab`);
    slab.freed[slab.freedCount++] = (address - slab.address) / slab.blockBytes;
    slab.live -= 1;
    const roomy = this.#roomy[slab.blockBytes / granularity];
    if (slab.place < 0) {
      slab.place = roomy.length;
      roomy.push(slab);
    }
    // One empty slab a class stays, so that a block that comes and goes does not make and break slabs.
    if (slab.live === 0 && roomy.length > 1) this.#releaseSlab(slab);
  }

  #newSlab(address: number, size: number): Slab {
    const roomy = this.#roomy[size / granularity];
    const freed = new Uint16Array(Math.floor(slabBytes / size));
    const slab: Slab = { address, blockBytes: size, freed, freedCount: 0, fresh: 0, live: 0, place: roomy.length };
    roomy.push(slab);
    this.#slabAt[address / slabBytes] = slab;
    return slab;
  }

  #fillSlab(slab: Slab, used: ReadonlySet<number>): void {
    slab.fresh = Math.max(...used) + 1;
    slab.live = used.size;
    for (let index = 0; index < slab.fresh; index++) if (!used.has(index)) slab.freed[slab.freedCount++] = index;
    if (slab.live === slab.freed.length) this.#leaveRoomy(slab);
  }

  #leaveRoomy(slab: Slab): void {
    const roomy = this.#roomy[slab.blockBytes / granularity];
    const last = roomy.pop();
    if (last !== undefined && last !== slab) {
      roomy[slab.place] = last;
      last.place = slab.place;
    }
    slab.place = -1;
  }

  #releaseSlab(slab: Slab): void {
    this.#leaveRoomy(slab);
    this.#slabAt[slab.address / slabBytes] = undefined;
    this.#addHole(slab.address / unit, unitsPerSlab);
  }

  /** Cuts `size` units that start at a multiple of `alignment` units; gives empty slabs back before it gives up. */
  #allocateUnits(size: number, alignment = 1): number | undefined {
    const found = this.#cut(size, alignment) ?? this.#extend(size, alignment);
    if (found !== undefined) return found * unit;
    this.trim();
    const retried = this.#cut(size, alignment) ?? this.#extend(size, alignment);
    return retried === undefined ? undefined : retried * unit;
  }

  /** Cuts from the smallest hole that fits, the lowest of equals. */
  #cut(size: number, alignment: number): number | undefined {
    for (let i = this.#search(size * unitSpan); i < this.#holes.length; i++) {
      const key = this.#holes[i];
      const at = key % unitSpan;
      const holeSize = (key - at) / unitSpan;
      const start = roundUp(at, alignment);
      if (start + size > at + holeSize) continue;
      this.#removeHole(at, holeSize, i);
      if (start > at) this.#insertHole(at, start - at);
      const rest = at + holeSize - (start + size);
      if (rest > 0) this.#insertHole(start + size, rest);
      return start;
    }
    return undefined;
  }

  /** Takes new room at the top. */
  #extend(size: number, alignment: number): number | undefined {
    const start = roundUp(this.#top, alignment);
    const end = (start + size) * unit;
    if (!this.#ensure(end)) return undefined;
    if (start > this.#top) this.#insertHole(this.#top, start - this.#top);
    this.#top = start + size;
    this.touched = Math.max(this.touched, end);
    return start;
  }

  /** Makes units free: joins them with the holes beside them, or lowers the top. */
  #addHole(at: number, size: number): void {
    const before = this.#holeBefore.get(at);
    if (before !== undefined) {
      this.#removeHole(at - before, before);
      at -= before;
      size += before;
    }
    const after = this.#holeAt.get(at + size);
    if (after !== undefined) {
      this.#removeHole(at + size, after);
      size += after;
    }
    if (at + size === this.#top) this.#top = at;
    else this.#insertHole(at, size);
  }

  #insertHole(at: number, size: number): void {
    const key = size * unitSpan + at;
    this.#holes.splice(this.#search(key), 0, key);
    this.#holeAt.set(at, size);
    this.#holeBefore.set(at + size, size);
  }

  #removeHole(at: number, size: number, place = this.#search(size * unitSpan + at)): void {
    this.#holes.splice(place, 1);
    this.#holeAt.delete(at);
    this.#holeBefore.delete(at + size);
  }

  /** The place of the first hole whose key is not below `key`. */
  #search(key: number): number {
    let low = 0;
    let high = this.#holes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#holes[middle] < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** The actor's view of the storage table: blocks, poison, pins, deferred frees, accounts. */
import { BackendOutOfMemory, type Backend } from "./backend.ts";
import { Control, noBlock, StorageRow } from "./protocol.ts";
import type { DeviceMemory } from "./shared.ts";

/** Something outside of this thread that still reads a storage. */
export interface Pin {
  /** Whether the reader is done (or gone). */
  released(): boolean;
  /** Blocks until the reader is done or gone. */
  wait(): void;
  /** What to do once it is released. */
  release?(): void;
}

interface DeferredFree {
  readonly block: number;
  readonly bytes: number;
  readonly pins: Pin[];
}

const accountUnit = 16;

export class Storages {
  readonly #table: Int32Array;
  readonly #control: Int32Array;
  readonly #backend: Backend;
  readonly #pins = new Map<number, Pin[]>();
  readonly #deferred: DeferredFree[] = [];
  #poisoned = 0;
  #liveBytes = 0;
  /** A storage's block, as backends ask for it. */
  readonly block: (storage: number) => number;

  constructor(memory: DeviceMemory, backend: Backend) {
    this.#table = memory.storages;
    this.#control = memory.control;
    this.#backend = backend;
    const table = memory.storages;
    this.block = (storage) => table[storage * StorageRow.words];
  }

  /** True while no storage is poisoned or pinned: launches need no look at their operands. */
  get untroubled(): boolean {
    return this.#poisoned === 0 && this.#pins.size === 0;
  }

  /** Takes over the table that an earlier thread of this device left, or an empty one. */
  restore(): void {
    const table = this.#table;
    const blocks: { block: number; bytes: number }[] = [];
    let live = 0;
    let left = this.#control[Control.storages];
    for (let row = 0; left > 0 && row < table.length; row += StorageRow.words) {
      if (table[row + StorageRow.live] !== 1) continue;
      left -= 1;
      live += 1;
      const bytes = (table[row + StorageRow.bytes]) >>> 0;
      if (this.#backend.volatile === true && table[row + StorageRow.root] === 0) {
        table[row + StorageRow.root] = this.#control[Control.reason];
      }
      if (table[row + StorageRow.root] !== 0) this.#poisoned += 1;
      if (table[row] === noBlock) continue;
      blocks.push({ block: table[row], bytes });
      this.#liveBytes += this.#rounded(bytes);
    }
    this.#control[Control.storages] = live;
    this.#account();
    this.#backend.restore(blocks);
  }

  root(storage: number): number {
    return this.#table[storage * StorageRow.words + StorageRow.root];
  }

  bytes(storage: number): number {
    return (this.#table[storage * StorageRow.words + StorageRow.bytes]) >>> 0;
  }

  hasBlock(storage: number): boolean {
    return this.#table[storage * StorageRow.words] !== noBlock;
  }

  setRoot(storage: number, root: number): void {
    const at = storage * StorageRow.words + StorageRow.root;
    const before = this.#table[at];
    if (before === 0 && root !== 0) this.#poisoned += 1;
    if (before !== 0 && root === 0) this.#poisoned -= 1;
    this.#table[at] = root;
  }

  /**
   * Gives a storage its block. A storage that is live already (a message begun before a restart) is left alone.
   * @throws BackendOutOfMemory; the storage is then live without a block.
   */
  allocate(storage: number, bytes: number): void {
    const table = this.#table;
    const row = storage * StorageRow.words;
    if (table[row + StorageRow.live] === 1) return;
    table[row + StorageRow.bytes] = bytes;
    table[row + StorageRow.root] = 0;
    table[row] = noBlock;
    // Counted before it is live: after a crash in between, `restore` looks too far rather than not far enough.
    (this.#control[Control.storages])++;
    table[row + StorageRow.live] = 1;
    this.allocateBlock(storage);
  }

  /** @throws BackendOutOfMemory */
  allocateBlock(storage: number): void {
    const bytes = this.bytes(storage);
    let block: number;
    try {
      block = this.#backend.allocate(bytes);
    } catch (error) {
      if (!(error instanceof BackendOutOfMemory) || this.#deferred.length === 0) throw error;
      // What peers still read will be free soon.
      for (const deferred of this.#deferred) for (const pin of deferred.pins) pin.wait();
      this.sweep();
      block = this.#backend.allocate(bytes);
    }
    this.#table[storage * StorageRow.words] = block;
    this.#liveBytes += this.#rounded(bytes);
    this.#account();
  }

  free(storage: number): void {
    const table = this.#table;
    const row = storage * StorageRow.words;
    if (table[row + StorageRow.live] !== 1) return;
    if (table[row + StorageRow.root] !== 0) this.setRoot(storage, 0);
    const block = table[row];
    const bytes = (table[row + StorageRow.bytes]) >>> 0;
    table[row + StorageRow.live] = 0;
    table[row + StorageRow.bytes] = 0;
    (this.#control[Control.storages])--;
    if (block === noBlock) return;
    this.#liveBytes -= this.#rounded(bytes);
    const pins = this.#pins.size === 0 ? undefined : this.#pins.get(storage);
    if (pins === undefined) {
      this.#backend.free(block, bytes);
      this.#control[Control.bytesLive] = this.#liveBytes / accountUnit;
    } else {
      this.#pins.delete(storage);
      this.#deferred.push({ block, bytes, pins });
      this.sweep();
    }
  }

  pin(storage: number, pin: Pin): void {
    const pins = this.#pins.get(storage);
    if (pins === undefined) this.#pins.set(storage, [pin]);
    else pins.push(pin);
  }

  /** Blocks until nobody outside reads the storage. */
  awaitPins(storage: number): void {
    const pins = this.#pins.get(storage);
    if (pins === undefined) return;
    for (const pin of pins) {
      pin.wait();
      pin.release?.();
    }
    this.#pins.delete(storage);
  }

  /** Drops pins whose readers are done, and frees what waited for them. */
  sweep(): void {
    for (const [storage, pins] of this.#pins) {
      if (dropReleased(pins) === 0) this.#pins.delete(storage);
    }
    for (let i = this.#deferred.length - 1; i >= 0; i--) {
      const deferred = this.#deferred[i];
      if (dropReleased(deferred.pins) > 0) continue;
      this.#deferred.splice(i, 1);
      this.#backend.free(deferred.block, deferred.bytes);
    }
    this.#account();
  }

  #rounded(bytes: number): number {
    const unit = this.#backend.granularity;
    return Math.max(unit, Math.ceil(bytes / unit) * unit);
  }

  #account(): void {
    const control = this.#control;
    const live = this.#liveBytes / accountUnit;
    control[Control.bytesLive] = live;
    if (live > (control[Control.bytesPeak])) control[Control.bytesPeak] = live;
  }

  /** Brings the pool's figure up to date; cheap enough for when the mailbox is empty, not for every message. */
  accountPool(): void {
    this.#control[Control.bytesPooled] = this.#backend.pooledBytes() / accountUnit;
  }
}

/** Removes released pins from the list; returns how many are left. */
function dropReleased(pins: Pin[]): number {
  for (let i = pins.length - 1; i >= 0; i--) {
    const pin = pins[i];
    if (!pin.released()) continue;
    pin.release?.();
    pins.splice(i, 1);
  }
  return pins.length;
}

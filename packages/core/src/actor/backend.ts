/**
 * What a kind of device must bring: memory and kernels. The actor loop (loop.ts) does everything else, alike for every
 * device: decoding, poison, guards, pins, transfers, collectives, accounting, answers.
 */
import type { DType } from "../tensor/dtype.ts";
import type { FaultCode, Kernel } from "../kernel/ir.ts";
import type { ReductionName } from "./protocol.ts";

/** A fault that a launch reported from inside a kernel. */
export interface Fault {
  readonly code: FaultCode;
  /** The offending value (an index, a label). */
  readonly detail: number;
}

/** A kernel made ready by a backend; what is inside is the backend's own. */
export interface Prepared {
  readonly kernel: Kernel;
}

/** Thrown by `allocate` when the limit is reached; the actor poisons the op and goes on. */
export class BackendOutOfMemory extends Error {
  override readonly name = "BackendOutOfMemory";
}

export interface Backend {
  /** Bytes in a multiple of which blocks are given out (16 or more); accounting rounds up to it. */
  readonly granularity: number;
  /** Set where the memory dies with the actor: after a restart all storages are lost, until they are written again. */
  readonly volatile?: boolean;
  /**
   * Gives out a block of at least `bytes` (contents undefined).
   * @throws BackendOutOfMemory
   */
  allocate(bytes: number): number;
  free(block: number, bytes: number): void;
  /** Makes the allocator's state agree with these live blocks after a restart (contents undefined where `volatile`). */
  restore(blocks: Iterable<{ readonly block: number; readonly bytes: number }>): void;
  /** Bytes held for reuse. */
  pooledBytes(): number;

  prepare(kernel: Kernel): Prepared;
  /**
   * Runs a launch. `words[at...]` are its arguments (kernel/ir.ts); `block(storage)` gives a storage's block.
   * @returns the fault that a `check` reported, or undefined.
   */
  run(prepared: Prepared, words: Int32Array, at: number, block: (storage: number) => number): Fault | undefined;

  /** Copies bytes in. */
  write(block: number, byteOffset: number, source: Uint8Array): void;
  /** Copies bytes out (waits for the work that makes them). */
  readInto(block: number, byteOffset: number, target: Uint8Array): void;
  /**
   * Bytes of a block as other threads of the process can read them now: in place where the device's memory is shared,
   * else a staging copy. The actor keeps the block as it is until it calls `release`.
   */
  share(block: number, byteOffset: number, bytes: number): SharedBytes;
  /** Combines `source` into the block elementwise, in place: block = reduce(block, source). */
  accumulate(block: number, byteOffset: number, source: Uint8Array, dtype: DType, reduction: ReductionName): void;
  /** Issued work must have run when this returns. */
  synchronize(): void;
  /** The mailbox is empty: work held back for batching should be submitted. */
  idle?(): void;
  close(): void;
}

export interface SharedBytes {
  readonly buffer: SharedArrayBuffer;
  /** Byte address in `buffer`. */
  readonly address: number;
  /** Nobody reads it any more. */
  release?(): void;
}

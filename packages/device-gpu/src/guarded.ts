/** A backend whose thread says when it is inside of Dawn (pump.ts). */
import type {
  Backend, DType, Fault, Kernel, Prepared, ReductionName, SharedBytes,
} from "@troupe/core/device";
import type { Pump } from "./pump.ts";

export class GuardedBackend implements Backend {
  readonly granularity: number;
  readonly volatile: boolean | undefined;
  readonly #backend: Backend;
  readonly #pump: Pump;

  constructor(backend: Backend, pump: Pump) {
    this.granularity = backend.granularity;
    this.volatile = backend.volatile;
    this.#backend = backend;
    this.#pump = pump;
  }

  allocate(bytes: number): number {
    return this.#inside(() => this.#backend.allocate(bytes));
  }

  free(block: number, bytes: number): void {
    // Buffers go back to the pool: nothing of Dawn's is called.
    this.#backend.free(block, bytes);
  }

  restore(blocks: Iterable<{ readonly block: number; readonly bytes: number }>): void {
    this.#inside(() => { this.#backend.restore(blocks); });
  }

  pooledBytes(): number {
    return this.#backend.pooledBytes();
  }

  prepare(kernel: Kernel): Prepared {
    return this.#inside(() => this.#backend.prepare(kernel));
  }

  run(prepared: Prepared, words: Int32Array, at: number, block: (storage: number) => number): Fault | undefined {
    this.#pump.enter();
    try {
      return this.#backend.run(prepared, words, at, block);
    } finally {
      this.#pump.leave();
    }
  }

  write(block: number, byteOffset: number, source: Uint8Array): void {
    this.#inside(() => { this.#backend.write(block, byteOffset, source); });
  }

  readInto(block: number, byteOffset: number, target: Uint8Array): void {
    this.#inside(() => { this.#backend.readInto(block, byteOffset, target); });
  }

  share(block: number, byteOffset: number, bytes: number): SharedBytes {
    return this.#inside(() => this.#backend.share(block, byteOffset, bytes));
  }

  accumulate(block: number, byteOffset: number, source: Uint8Array, dtype: DType, reduction: ReductionName): void {
    this.#inside(() => { this.#backend.accumulate(block, byteOffset, source, dtype, reduction); });
  }

  synchronize(): void {
    this.#inside(() => { this.#backend.synchronize(); });
  }

  idle(): void {
    this.#inside(() => this.#backend.idle?.());
  }

  close(): void {
    this.#inside(() => { this.#backend.close(); });
  }

  #inside<T>(call: () => T): T {
    this.#pump.enter();
    try {
      return call();
    } finally {
      this.#pump.leave();
    }
  }
}

/** The ids of a device's storages as the coordinator gives them out, and what it knows of their sizes. */
import { maxStorages } from "./protocol.ts";

export class StorageIds {
  readonly #free: number[] = [];
  /** Bytes by id. */
  readonly #sizes: number[] = [];
  #next = 0;
  #bytes = 0;

  /** Bytes of the storages given out and not taken back. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @returns an id for a storage of `bytes` bytes, or undefined when all are in use. */
  mint(bytes: number): number | undefined {
    if (this.#free.length === 0 && this.#next === maxStorages) return undefined;
    const id = this.#free.pop() ?? this.#next++;
    this.#sizes[id] = bytes;
    this.#bytes += bytes;
    return id;
  }

  /** Takes an id back: it may be given out again. */
  free(id: number): void {
    this.#free.push(id);
    this.#bytes -= this.size(id);
  }

  size(id: number): number {
    return this.#sizes[id] ?? 0;
  }
}

/** The ids of a device's storages as the coordinator gives them out, and what it knows of their sizes. */
import { maxStorages } from "./protocol.ts";

export class StorageIds {
  readonly #free: number[] = [];
  /** Bytes by id. */
  readonly #sizes: number[] = [];
  /** Ids that stay with who holds them, and whether their storage was freed. */
  readonly #held = new Map<number, boolean>();
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
    this.#bytes -= this.size(id);
    if (this.#held.size > 0 && this.#held.has(id)) this.#held.set(id, true);
    else this.#free.push(id);
  }

  /** Keeps an id from being given out again. */
  hold(id: number): void {
    this.#held.set(id, false);
  }

  /** Ends `hold`. */
  release(id: number): void {
    if (this.#held.get(id) === true) this.#free.push(id);
    this.#held.delete(id);
  }

  size(id: number): number {
    return this.#sizes[id] ?? 0;
  }
}

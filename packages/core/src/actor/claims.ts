/**
 * What recorded work (tape.ts) claims of devices: the ids of storages that it takes, which nobody else may get, and
 * storages that it cannot do without.
 */
import { maxStorages } from "./protocol.ts";

/** What claims need of a device. */
export interface StorageIdOwner {
  readonly number: number;
  /** Keeps a storage's id from being given out again, also when the storage is freed. */
  holdStorageId(id: number): void;
  releaseStorageId(id: number): void;
}

/** By storage: who cannot do without it. */
const needed = new Map<number, Set<Claims>>();

/** One number for a storage of a device. */
export function storageKey(device: number, id: number): number {
  return device * maxStorages + id;
}

/** Whether anything recorded needs a storage. */
export function isAnyClaimed(): boolean {
  return needed.size > 0;
}

/** Notes that a storage was freed, or stands for something else from here on: what was recorded with it is void. */
export function breakClaims(device: number, id: number): void {
  if (needed.size === 0) return;
  const all = needed.get(storageKey(device, id));
  if (all !== undefined) for (const claims of all) claims.break();
}

/** They hold no memory and nothing else that is large: they may outlive the tape. */
export class Claims {
  #broken = false;
  #abandoned = false;
  readonly #ids = new Map<number, { readonly device: StorageIdOwner; readonly id: number }>();
  #needs: readonly number[] = [];

  /** Whether something needed is gone. */
  get isBroken(): boolean {
    return this.#broken;
  }

  break(): void {
    this.#broken = true;
  }

  /** Claims the id of a storage that was taken just now. */
  claim(device: StorageIdOwner, id: number): void {
    this.#ids.set(storageKey(device.number, id), { device, id });
    device.holdStorageId(id);
  }

  /** Whether the id is claimed here. */
  has(key: number): boolean {
    return this.#ids.has(key);
  }

  /** Breaks when one of these storages is freed. */
  need(keys: readonly number[]): void {
    this.#needs = keys;
    for (const key of keys) {
      const all = needed.get(key);
      if (all === undefined) needed.set(key, new Set([this]));
      else all.add(this);
    }
  }

  /** Keeps the ids for good: what lies in them now is not known. */
  abandon(): void {
    this.#broken = true;
    this.#abandoned = true;
  }

  /** Gives the ids back. What still lies in them keeps its own until it is freed. */
  release(): void {
    this.#broken = true;
    if (!this.#abandoned) for (const { device, id } of this.#ids.values()) device.releaseStorageId(id);
    this.#ids.clear();
    for (const key of this.#needs) {
      const all = needed.get(key);
      all?.delete(this);
      if (all?.size === 0) needed.delete(key);
    }
    this.#needs = [];
  }
}

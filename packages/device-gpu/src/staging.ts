/** Shared memory through which a GPU's bytes reach other threads. Buffers are kept for reuse: peers hold on to them. */
import type { SharedBytes } from "@troupe/core/device";

const least = 1 << 16;

export class Staging {
  readonly #free = new Map<number, SharedArrayBuffer[]>();

  /** A buffer of at least `bytes`, filled by `fill`. */
  take(bytes: number, fill: (target: Uint8Array) => void): SharedBytes {
    const size = Math.max(least, 2 ** Math.ceil(Math.log2(Math.max(1, bytes))));
    const list = this.#free.get(size) ?? [];
    this.#free.set(size, list);
    const buffer = list.pop() ?? new SharedArrayBuffer(size);
    fill(new Uint8Array(buffer, 0, bytes));
    let held = true;
    return {
      buffer,
      address: 0,
      release: () => {
        if (held) list.push(buffer);
        held = false;
      },
    };
  }
}

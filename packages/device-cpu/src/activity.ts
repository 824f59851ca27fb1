/**
 * Who shares the processors: every CPU device of the process notes when it works on a launch that is worth splitting,
 * so that each splits its launches over its share of the cores only. The results do not depend on it: the order of a
 * reduction never does.
 */

/** Devices that can take part; others with the same number modulo this share a word. */
const devices = 64;
/** A device counts as busy until this long after its last large launch, in ms. */
const lingering = 5;
/** In a device's word: it never worked. Times are `Date.now()` modulo 2^31, plus 1. */
const never = 0;
const working = -1;

/** Makes the words that all CPU devices of a process share. */
export function createActivity(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(devices * 4));
}

/** Says that a device does nothing: its threads have ended, perhaps in the middle of a launch. */
export function endActivity(words: Int32Array, device: number): void {
  Atomics.store(words, device % devices, never);
}

function now(): number {
  return (Date.now() & 0x7fffffff) + 1;
}

export class Activity {
  readonly #words: Int32Array;
  readonly #own: number;

  constructor(words: Int32Array, device: number) {
    this.#words = words;
    this.#own = device % devices;
    endActivity(words, device);
  }

  begin(): void {
    Atomics.store(this.#words, this.#own, working);
  }

  end(): void {
    Atomics.store(this.#words, this.#own, now());
  }

  /** Devices that are busy with large launches, this one included. */
  busy(): number {
    const since = now() - lingering;
    let count = 1;
    for (let device = 0; device < devices; device++) {
      const word = this.#words[device];
      if (device !== this.#own && word !== never && (word === working || word >= since)) count += 1;
    }
    return count;
  }
}

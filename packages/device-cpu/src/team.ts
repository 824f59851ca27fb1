/**
 * The threads of one device: rank 0 gives out parts of a launch, the helpers run them, all meet in words of the
 * device's memory. A waiting helper spins for a while (a region costs 0.15-0.4 us then, 55-70 us from a parked thread)
 * if the process has a core to spare, and then parks.
 */
import { type Heap, teamBytes, teamStart } from "./heap.ts";
import type { RunKernel } from "./wasm/program.ts";

/** Threads that a device can have. */
export const maxThreads = 64;

/** Words of a rank's part: two cache lines, the second written by the helper only. */
const Rank = {
  job: 0, code: 1, args: 2, begin: 3, end: 4, scratch: 5, joining: 6,
  done: 16, parked: 17, failed: 18, ready: 19,
  words: 32,
} as const;
/** The value of `job` that ends a helper. */
const quit = -1;

/** Rank 0 waits for work that runs, so it spins long before it parks. */
const joinSpins = 200_000;

function teamWords(heap: Heap): Int32Array {
  return new Int32Array(heap.buffer, teamStart, teamBytes / 4);
}

/** Clears the words by which a team meets; no thread of it may run. */
export function resetTeam(heap: Heap): void {
  teamWords(heap).fill(0);
}

/** Rank 0's end. */
export class Team {
  /** Threads, rank 0 included, when all have come up. */
  readonly size: number;
  readonly #words: Int32Array;
  #present = 1;
  #job = 0;

  constructor(heap: Heap, size: number) {
    this.size = size;
    this.#words = teamWords(heap);
  }

  /** Threads that are up, rank 0 included: ranks below this number can be started. */
  present(): number {
    const isReady = (rank: number) => Atomics.load(this.#words, rank * Rank.words + Rank.ready) === 1;
    while (this.#present < this.size && isReady(this.#present)) this.#present += 1;
    return this.#present;
  }

  /** Starts [begin, end) of a code's range on a helper. */
  start(rank: number, code: number, args: number, begin: number, end: number, scratch: number): void {
    const words = this.#words;
    const base = rank * Rank.words;
    words[base + Rank.code] = code;
    words[base + Rank.args] = args;
    words[base + Rank.begin] = begin;
    words[base + Rank.end] = end;
    words[base + Rank.scratch] = scratch;
    this.#job = (this.#job + 1) & 0x7fffffff;
    Atomics.store(words, base + Rank.job, this.#job);
    if (Atomics.load(words, base + Rank.parked) === 1) Atomics.notify(words, base + Rank.job);
  }

  /**
   * Waits until a helper that was started has ended. A helper's death takes the whole device down (host.ts), this wait
   * included.
   * @returns whether the code ran to its end; false when it trapped.
   */
  join(rank: number): boolean {
    const words = this.#words;
    const base = rank * Rank.words;
    const job = Atomics.load(words, base + Rank.job);
    for (let i = 0; i < joinSpins && Atomics.load(words, base + Rank.done) !== job; i++) {
      if ((i & 15) === 15) Atomics.pause();
    }
    if (Atomics.load(words, base + Rank.done) !== job) {
      Atomics.store(words, base + Rank.joining, 1);
      for (let done; (done = Atomics.load(words, base + Rank.done)) !== job; ) {
        Atomics.wait(words, base + Rank.done, done);
      }
      Atomics.store(words, base + Rank.joining, 0);
    }
    return Atomics.exchange(words, base + Rank.failed, 0) === 0;
  }

  /** Ends the helpers' loops. */
  close(): void {
    for (let rank = 1; rank < this.size; rank++) {
      Atomics.store(this.#words, rank * Rank.words + Rank.job, quit);
      Atomics.notify(this.#words, rank * Rank.words + Rank.job);
    }
  }
}

/**
 * A helper's whole life.
 *
 * @param code - gives the compiled function of a number.
 * @param spinUntil - spins until the condition holds; false when it gave up or may not spin (core's `Spinner`).
 */
export function help(
  heap: Heap,
  rank: number,
  code: (serial: number) => RunKernel,
  spinUntil: (ready: () => boolean) => boolean,
): void {
  const words = teamWords(heap);
  const base = rank * Rank.words;
  let job = 0;
  const called = () => Atomics.load(words, base + Rank.job) !== job;
  Atomics.store(words, base + Rank.ready, 1);
  for (;;) {
    if (!called() && !spinUntil(called)) {
      Atomics.store(words, base + Rank.parked, 1);
      while (!called()) Atomics.wait(words, base + Rank.job, job);
      Atomics.store(words, base + Rank.parked, 0);
    }
    job = Atomics.load(words, base + Rank.job);
    if (job === quit) return;
    try {
      const run = code(words[base + Rank.code]);
      run(
        words[base + Rank.args],
        words[base + Rank.begin],
        words[base + Rank.end],
        words[base + Rank.scratch],
      );
    } catch {
      words[base + Rank.failed] = 1;
    }
    Atomics.store(words, base + Rank.done, job);
    if (Atomics.load(words, base + Rank.joining) === 1) Atomics.notify(words, base + Rank.done);
  }
}

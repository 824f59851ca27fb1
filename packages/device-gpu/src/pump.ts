/**
 * Dawn's turn: whoever waits for the GPU drives Dawn by hand, without promises and without a spinning event loop.
 *
 * Dawn's Node binding polls with `globalThis.setImmediate` for as long as it owes an answer, which would take a whole
 * processor and cannot be waited for synchronously. The pump keeps these callbacks in a list of its own and runs them
 * while somebody waits. A thread that is terminated while Dawn owes it an answer takes the process with it; so the
 * thread says when it does (`Safety.state`), and comes to rest when it is asked to.
 */
import { Dawn, Safety } from "./spec.ts";

/** Sleeps between two looks, ms: from the first to the longest. */
const shortest = 0.02;
const longest = 2;
/** Looks before the first sleep. */
const spins = 50;

/** Thrown out of a wait when the device is to be closed: nobody wants what was waited for. */
export class Abandoned extends Error {
  override readonly name = "Abandoned";
}

export class Pump {
  readonly #safety: Int32Array;
  readonly #leaving: () => boolean;
  readonly #sleeper = new Int32Array(new SharedArrayBuffer(4));
  #callbacks: (() => void)[] = [];

  /** @param leaving whether whoever waits should give up, since the device closes. */
  constructor(safety: Int32Array, leaving: () => boolean) {
    this.#safety = safety;
    this.#leaving = leaving;
  }

  /** Replaces the thread's `setImmediate`, before Dawn is first used. Node's own modules keep theirs. */
  install(): void {
    const immediate = (callback: (...args: unknown[]) => void, ...args: unknown[]): object => {
      this.#callbacks.push(() => {
        callback(...args);
      });
      return {};
    };
    globalThis.setImmediate = immediate as unknown as typeof setImmediate;
  }

  /** Lets Dawn look once for what has happened. */
  turn(): void {
    const callbacks = this.#callbacks;
    if (callbacks.length === 0) return;
    this.#callbacks = [];
    for (const callback of callbacks) callback();
  }

  /** Awaits one of Dawn's promises; for the start, when nothing else runs. */
  async settle<T>(promise: Promise<T>): Promise<T> {
    this.#enter();
    let settled = false;
    const done = (): void => {
      settled = true;
    };
    promise.then(done, done);
    for (let looks = 0; ; looks++) {
      this.turn();
      // Two turns of microtasks: the promise's own reactions, then ours.
      await null;
      await null;
      if (settled) break;
      this.#pause(looks);
    }
    this.#say(Dawn.quiet);
    return promise;
  }

  /**
   * Blocks until `ready()` holds, which Dawn brings about.
   * @param abort takes back what was asked of Dawn, so that nothing is pending.
   * @throws Abandoned when the device closes meanwhile.
   */
  wait(ready: () => boolean, abort: () => void): void {
    this.#enter();
    for (let looks = 0; ; looks++) {
      this.turn();
      if (ready()) break;
      const stopped = Atomics.load(this.#safety, Safety.stop) === 1;
      if (stopped || this.#leaving()) {
        abort();
        this.#drain();
        if (stopped) this.#rest();
        this.#say(Dawn.quiet);
        throw new Abandoned("the device closes");
      }
      this.#pause(looks);
    }
    this.#say(Dawn.quiet);
  }

  /** Runs callbacks until Dawn wants no more of them. */
  #drain(): void {
    for (let turns = 0; this.#callbacks.length > 0 && turns < 1000; turns++) this.turn();
  }

  #enter(): void {
    this.#say(Dawn.pending);
    if (Atomics.load(this.#safety, Safety.stop) === 1) this.#rest();
  }

  #say(state: number): void {
    Atomics.store(this.#safety, Safety.state, state);
    Atomics.notify(this.#safety, Safety.state);
  }

  /** Stays where it is until the thread is terminated. */
  #rest(): never {
    this.#say(Dawn.resting);
    for (;;) Atomics.wait(this.#sleeper, 0, 0);
  }

  #pause(looks: number): void {
    if (looks < spins) return;
    Atomics.wait(this.#sleeper, 0, 0, Math.min(longest, shortest * 1.2 ** (looks - spins)));
  }
}

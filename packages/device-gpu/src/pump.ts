/**
 * Dawn's turn: whoever waits for the GPU drives Dawn by hand, without promises and without a spinning event loop.
 *
 * Dawn's Node binding polls with `globalThis.setImmediate` for as long as it owes an answer, which would take a whole
 * processor and cannot be waited for synchronously. The pump keeps these callbacks in a list of its own and runs them
 * while somebody waits. A thread that is terminated inside of Dawn, or while Dawn owes it an answer, takes the process
 * with it; so the thread says where it is (`Safety`), and comes to rest when it is asked to.
 */
import { Place, Safety } from "./spec.ts";

/** Sleeps between two looks, ms: from the first to the longest. */
const shortest = 0.02;
const longest = 2;
/** Looks before the first sleep. */
const spins = 50;
/** Turns that Dawn gets for its last answers. */
const lastTurns = 1000;

/** Thrown out of a wait when the device is to be closed: nobody wants what was waited for. */
export class Abandoned extends Error {
  override readonly name = "Abandoned";
}

export class Pump {
  readonly #safety: Int32Array;
  readonly #leaving: () => boolean;
  readonly #sleeper = new Int32Array(new SharedArrayBuffer(4));
  #callbacks: (() => void)[] = [];
  #depth = 0;

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

  /** To be called before anything of Dawn's is; calls may nest. Does not return once the thread must rest. */
  enter(): void {
    if (this.#depth++ > 0) return;
    Atomics.store(this.#safety, Safety.place, Place.inside);
    if (this.#stopped) this.rest();
  }

  /** The other end of `enter`. */
  leave(): void {
    if (--this.#depth > 0) return;
    Atomics.store(this.#safety, Safety.place, Place.outside);
    if (this.#stopped) Atomics.notify(this.#safety, Safety.place);
  }

  /** Awaits one of Dawn's promises; for the start, when nothing else runs. */
  async settle<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const done = promise.catch(() => undefined).then(() => {
      settled = true;
    });
    for (let looks = 0; !settled; looks++) {
      this.turn();
      // Lets the promise's reactions run, if it is settled.
      await Promise.race([done, Promise.resolve()]);
      await Promise.resolve();
      if (!settled) this.#pause(looks);
    }
    return promise;
  }

  /**
   * Blocks until `ready()` holds, which Dawn brings about.
   * @param abort takes back what was asked of Dawn, so that it owes nothing.
   * @throws Abandoned when the device closes meanwhile.
   */
  wait(ready: () => boolean, abort: () => void): void {
    for (let looks = 0; ; looks++) {
      this.turn();
      if (ready()) return;
      if (this.#stopped || this.#leaving()) {
        abort();
        for (let turns = 0; this.#callbacks.length > 0 && turns < lastTurns; turns++) this.turn();
        if (this.#stopped) this.rest();
        throw new Abandoned("the device closes");
      }
      this.#pause(looks);
    }
  }

  get #stopped(): boolean {
    return Atomics.load(this.#safety, Safety.stop) === 1;
  }

  /** Stays where it is until the thread is terminated. */
  rest(): never {
    Atomics.store(this.#safety, Safety.place, Place.resting);
    Atomics.notify(this.#safety, Safety.place);
    for (;;) Atomics.wait(this.#sleeper, 0, 0);
  }

  #pause(looks: number): void {
    if (looks < spins) return;
    Atomics.wait(this.#sleeper, 0, 0, Math.min(longest, shortest * 1.2 ** (looks - spins)));
  }
}

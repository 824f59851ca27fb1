/**
 * How threads wait for each other: a short spin while few enough threads spin, then a bounded sleep in shared memory.
 */
import { Company, Control, Life } from "./protocol.ts";
import type { Recorder } from "./recorder.ts";
import type { CompanyMemory, DeviceMemory } from "./shared.ts";

/**
 * Looks at a word before a thread gives up its processor: at most about 0.2 ms, at least 10 us. A thread on a processor
 * of its own saves the 60 us of a sleep and a wake-up; one that shares a processor keeps whom it waits for from working.
 * Which it is shows in how the spinning ends, so the patience doubles with every success and halves with every failure.
 */
const mostSpins = 20_000;
const leastSpins = 1000;

/** The longest sleep before a waiter looks again whether what it waits for can still come. */
export const slice = 50;

/** The process-wide permission to spin. A device's own count lets the supervisor give back what a dead thread held. */
export class Spinner {
  readonly #company: Int32Array;
  readonly #control: Int32Array | undefined;
  #spins = mostSpins;

  constructor(company: CompanyMemory, device?: DeviceMemory) {
    this.#company = company.words;
    this.#control = device?.control;
  }

  /**
   * Spins until `ready()` holds.
   * @returns false when it does not hold after a short while, or when enough threads spin already.
   */
  spinUntil(ready: () => boolean): boolean {
    if (!this.#enter()) return false;
    for (let i = 0; i < this.#spins; i++) {
      if (ready()) {
        this.#leave();
        this.#spins = Math.min(mostSpins, this.#spins * 2);
        return true;
      }
      if ((i & 15) === 15) Atomics.pause();
    }
    this.#leave();
    this.#spins = Math.max(leastSpins, this.#spins >>> 1);
    return false;
  }

  #enter(): boolean {
    const company = this.#company;
    if (Atomics.add(company, Company.spinning, 1) >= Atomics.load(company, Company.spinLimit)) {
      Atomics.sub(company, Company.spinning, 1);
      return false;
    }
    if (this.#control !== undefined) Atomics.add(this.#control, Control.spinning, 1);
    return true;
  }

  #leave(): void {
    if (this.#control !== undefined) Atomics.sub(this.#control, Control.spinning, 1);
    Atomics.sub(this.#company, Company.spinning, 1);
  }
}

/** How an actor waits for its peers and for readers of its memory. */
export class Waiter {
  readonly #control: Int32Array;
  readonly #spinner: Spinner;
  readonly #recorder: Recorder;
  readonly #beforeWait: () => void;

  /** @param beforeWait called before every wait: what the coordinator may wait for must be visible. */
  constructor(device: DeviceMemory, spinner: Spinner, recorder: Recorder, beforeWait: () => void) {
    this.#control = device.control;
    this.#spinner = spinner;
    this.#recorder = recorder;
    this.#beforeWait = beforeWait;
  }

  /**
   * Waits until `ready()` holds, which a change of `words[index]` brings about.
   * @returns false when `hopeless()` holds, or the own device closes, before that.
   */
  until(words: Int32Array, index: number, ready: () => boolean, hopeless = (): boolean => false): boolean {
    if (ready()) return true;
    this.#beforeWait();
    const recorder = this.#recorder;
    if (!recorder.active) return this.#wait(words, index, ready, hopeless);
    const start = recorder.now();
    const came = this.#wait(words, index, ready, hopeless);
    recorder.recordWait(start);
    return came;
  }

  #wait(words: Int32Array, index: number, ready: () => boolean, hopeless: () => boolean): boolean {
    if (this.#spinner.spinUntil(ready)) return true;
    for (;;) {
      const seen = Atomics.load(words, index);
      if (ready()) return true;
      if (hopeless() || Atomics.load(this.#control, Control.closing) === 1) return ready();
      Atomics.wait(words, index, seen, slice);
    }
  }
}

/** Whether the count at `words[index]` has come to `number`. */
export function reached(words: Int32Array, index: number, number: number): boolean {
  return ((Atomics.load(words, index) - number) | 0) >= 0;
}

/** Brings the count at `words[index]` to `number`, and wakes who waits for it. */
export function announce(words: Int32Array, index: number, number: number): void {
  Atomics.store(words, index, number);
  Atomics.notify(words, index);
}

/** Gives back the spinning permits of a device whose threads died. */
export function releaseSpinners(company: CompanyMemory, device: DeviceMemory): void {
  const held = Atomics.exchange(device.control, Control.spinning, 0);
  if (held !== 0) Atomics.sub(company.words, Company.spinning, held);
}

/** Whether a device will never do anything again. */
export function isGone(device: Pick<DeviceMemory, "control">): boolean {
  return Atomics.load(device.control, Control.life) >= Life.dead;
}

/**
 * How threads wait for each other: a short spin while few enough threads spin, then a bounded sleep in shared memory.
 */
import { Company, Control, Life } from "./protocol.ts";
import type { CompanyMemory, DeviceMemory } from "./shared.ts";

/** Looks at a word before a thread gives up its processor: about 0.2 ms. */
const spins = 20_000;

/** The longest sleep before a waiter looks again whether what it waits for can still come. */
export const slice = 50;

/** The process-wide permission to spin. A device's own count lets the supervisor give back what a dead thread held. */
export class Spinner {
  readonly #company: Int32Array;
  readonly #control: Int32Array | undefined;

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
    for (let i = 0; i < spins; i++) {
      if (ready()) {
        this.#leave();
        return true;
      }
      if ((i & 15) === 15) Atomics.pause();
    }
    this.#leave();
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

/** Gives back the spinning permits of a device whose threads died. */
export function releaseSpinners(company: CompanyMemory, device: DeviceMemory): void {
  const held = Atomics.exchange(device.control, Control.spinning, 0);
  if (held !== 0) Atomics.sub(company.words, Company.spinning, held);
}

/** Whether a device will never do anything again. */
export function isGone(device: DeviceMemory): boolean {
  return Atomics.load(device.control, Control.life) >= Life.dead;
}

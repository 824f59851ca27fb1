/**
 * The failures of every device ever made, by its number, as the coordinator tells them: a poison root may name a device
 * that is closed by now. Of a closed device only its failures are kept.
 */
import { DeviceError, type TroupeError } from "../errors.ts";
import { failureError, markTold, readFailure, untoldRoots, type Failure } from "./failures.ts";
import { kernelName } from "./library.ts";
import { Control, failureSlots, rootDevice, rootOf, rootRecord } from "./protocol.ts";
import type { DeviceMemory } from "./shared.ts";

interface Told {
  readonly failure: Failure;
  readonly op: string | undefined;
}

const logs: FailureLog[] = [];

/** The number of the next device, which `enterFailureLog` gives away. */
export function nextDeviceNumber(): number {
  return logs.length;
}

export function enterFailureLog(log: FailureLog): void {
  logs.push(log);
}

/** The typed error for a poison root of any device; the failure counts as told from here on. */
export function tell(root: number): TroupeError {
  return logs[rootDevice(root)]?.tell(root) ?? new DeviceError("a failure of an unknown device");
}

/** The failures of one device. */
export class FailureLog {
  readonly #device: string;
  #memory: DeviceMemory | undefined;
  /** The failures of a closed device by record. */
  readonly #kept: Told[] = [];

  constructor(memory: DeviceMemory) {
    this.#device = memory.name;
    this.#memory = memory;
  }

  read(root: number): Failure {
    return this.#told(root).failure;
  }

  /** The typed error for a root of this device; it counts as told from here on. */
  tell(root: number): TroupeError {
    if (this.#memory !== undefined) markTold(this.#memory, root);
    const { failure, op } = this.#told(root);
    return failureError(this.#device, failure, op);
  }

  /** The failures that nobody was told of, as errors; they count as told from here on. */
  takeUntold(): TroupeError[] {
    return this.#memory === undefined ? [] : untoldRoots(this.#memory).map((root) => this.tell(root));
  }

  /** Copies the failures out of the device's memory and lets go of it. */
  close(): void {
    const memory = this.#memory;
    if (memory === undefined) return;
    const count = Math.min(Atomics.load(memory.control, Control.failures), failureSlots);
    for (let record = 0; record < count; record++) this.#kept.push(this.#told(rootOf(memory.number, record)));
    this.#memory = undefined;
  }

  #told(root: number): Told {
    const memory = this.#memory;
    if (memory === undefined) return this.#kept[rootRecord(root)] ?? { failure: unknown, op: undefined };
    const failure = readFailure(memory, root);
    return { failure, op: kernelName(memory, failure.kernel) };
  }
}

const unknown: Failure = { code: "none", kernel: -1, site: 0, sequence: 0, detail: 0, text: "" };

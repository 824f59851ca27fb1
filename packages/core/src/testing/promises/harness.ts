/** What the promises' tests share. */
import { expect } from "vitest";
import { nextTransfer, publishAll } from "../../actor/coordinator.ts";
import type { Device } from "../../actor/device.ts";
import { Control, Message } from "../../actor/protocol.ts";
import { TroupeError } from "../../errors.ts";
import { Vector } from "../vectors.ts";

/** What a test may ask of a device. */
export interface PromiseDeviceOptions {
  readonly ringWords?: number;
  readonly stagingBytes?: number;
  readonly memoryLimit?: number;
}

export type MakeDevices = (count: number, options?: PromiseDeviceOptions) => readonly Device[];

/** Makes devices that are closed after the test. Tests take as many as they asked for. */
export type Make = (count: number, options?: PromiseDeviceOptions) => [Device, Device, Device, Device];

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Points of a `slowSum` that a kind of device computes in a millisecond. */
const speeds = new Map<string, number>();

/** The points of a `slowSum` that takes this device about `ms`; it is up then and has compiled the kernel. */
export function pointsFor(device: Device, ms: number): number {
  const one = Vector.of(device, [1]);
  one.slowSum(1).readSync();
  let speed = speeds.get(device.type);
  if (speed === undefined) speeds.set(device.type, (speed = speedOf(one)));
  return Math.min(2 ** 31 - 1, Math.ceil(speed * ms));
}

function speedOf(one: Vector): number {
  // Short runs, and the least of some: others may have the processor meanwhile.
  const time = (points: number, runs: number): number =>
    Math.min(...Array.from({ length: runs }, () => {
      const start = performance.now();
      one.slowSum(points).readSync();
      return performance.now() - start;
    }));
  let points = 1 << 12;
  while (time(points, 3) < 4) points *= 2;
  return points / time(points, 10);
}

/** Waits until the device has begun its first `messages` messages, by default all that were issued. */
export async function begun(device: Device, messages = device.mailbox.messages): Promise<void> {
  publishAll();
  while (((Atomics.load(device.memory.control, Control.started) - messages) | 0) < 0) await sleep(1);
}

const closedGates = new Set<Gate>();

/**
 * Keeps a device waiting, without taking a processor, from where it stands in the stream until it is opened: a transfer
 * whose second half another device, which must not wait for the first, is only told of then.
 */
export class Gate {
  readonly #opener: Vector;
  readonly #transfer = nextTransfer();
  readonly #device: Device;

  constructor(device: Device, opener: Device) {
    const inside = Vector.of(device, [0]);
    this.#opener = Vector.of(opener, [0]);
    this.#device = device;
    device.mailbox.postMany(Message.receive, [this.#transfer, inside.storage, 0, 4, opener.number]);
    inside.free();
    closedGates.add(this);
  }

  open(): void {
    closedGates.delete(this);
    const { device, storage } = this.#opener;
    device.mailbox.postMany(Message.send, [this.#transfer, storage, 0, 4, this.#device.number]);
    this.#opener.free();
  }
}

/** Opens what a failed test left closed, so that its devices can be closed. */
export function openGates(): void {
  for (const gate of closedGates) gate.open();
}

/** The error with which `work` rejects, which is one of Troupe's. */
export async function rejection(work: Promise<unknown>): Promise<TroupeError> {
  return work.then(
    () => {
      throw new Error("it did not reject");
    },
    (error: unknown) => {
      expect(error).toBeInstanceOf(TroupeError);
      return error as TroupeError;
    },
  );
}

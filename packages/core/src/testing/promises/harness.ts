/** What the promises' tests share. */
import { expect } from "vitest";
import type { Device } from "../../actor/device.ts";
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

/** The points of a `slowSum` that takes this device about `ms`. */
export function pointsFor(device: Device, ms: number): number {
  const one = Vector.of(device, [1]);
  for (let points = 1 << 18; ; points *= 2) {
    device.fenceSync();
    const time = (): number => {
      const start = performance.now();
      one.slowSum(points).readSync();
      return performance.now() - start;
    };
    // The least of several: the first run may compile, and others may have the processor meanwhile.
    const took = time() > 20 ? Math.min(time(), time(), time()) : 0;
    if (took > 20) return Math.min(2 ** 31 - 1, Math.ceil((points * ms) / took));
  }
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

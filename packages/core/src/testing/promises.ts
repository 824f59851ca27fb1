/**
 * The promises of the actor contract, as one suite for every device: order, visibility, failure, memory. A device
 * package calls `promiseSuite` with a way to make fresh devices.
 */
import { afterEach, describe, vi } from "vitest";
import type { Device } from "../actor/device.ts";
import { deathPromises } from "./promises/death.ts";
import { failurePromises } from "./promises/failure.ts";
import { openGates, type Make, type MakeDevices } from "./promises/harness.ts";
import { memoryPromises } from "./promises/memory.ts";
import { orderPromises, visibilityPromises } from "./promises/order.ts";

export { begun, pointsFor, rejection, type MakeDevices, type PromiseDeviceOptions } from "./promises/harness.ts";

/** What a busy machine may make of tests that take two seconds, ms. */
const patience = 30_000;

export interface PromiseSuiteOptions {
  /** What the death of a device's thread means for its memory. By default it survives. */
  readonly memory?: "survives" | "dies";
}

/** Defines the tests for devices of one kind. */
export function promiseSuite(
  kind: string, makeDevices: MakeDevices, { memory = "survives" }: PromiseSuiteOptions = {},
): void {
  vi.setConfig({ testTimeout: patience, hookTimeout: patience });
  let open: Device[] = [];
  const make: Make = (count, options) => {
    const made = makeDevices(count, options);
    open.push(...made);
    return made as unknown as ReturnType<Make>;
  };
  afterEach(async () => {
    const closing = open;
    open = [];
    openGates();
    await Promise.allSettled(closing.map((device) => device.close()));
  });

  describe(`order (${kind})`, () => {
    orderPromises(make);
  });
  describe(`visibility (${kind})`, () => {
    visibilityPromises(make);
  });
  describe(`failure (${kind})`, () => {
    failurePromises(make);
    deathPromises(make, memory);
  });
  describe(`memory (${kind})`, () => {
    memoryPromises(make);
  });
}

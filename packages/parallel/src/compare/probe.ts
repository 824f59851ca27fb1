/** The first steps, one at a time: are the numbers those of one device, what is sent, how much memory is in use. */
import type { Device } from "@troupe/core";
import type { Samples } from "./order.ts";
import type { Run, StepNumbers } from "./run.ts";

export interface Probed {
  readonly numbers: readonly StepNumbers[];
  /** Bytes that all devices sent in the last step. */
  readonly bytes: number;
  /** By device: the most bytes in use during a step, beyond what was in use before the network was there. */
  readonly peakBytes: readonly number[];
}

/** Bytes in use on each device now that it is quiet. */
export async function bytesInUse(devices: readonly Device[]): Promise<number[]> {
  await Promise.all(devices.map((device) => device.fence()));
  return devices.map((device) => device.stats().bytesLive);
}

/**
 * Trains one step on each of the batches.
 * @param own bytes that the network as it was laid out takes on each device
 */
export async function probe(run: Run, batches: readonly Samples[], own: readonly number[]): Promise<Probed> {
  const { devices } = run.strategy;
  const base = (await bytesInUse(devices)).map((bytes, i) => bytes - own[i]);
  const numbers: StepNumbers[] = [];
  let bytes = 0;
  let peakBytes = devices.map(() => 0);
  for (const batch of batches) {
    await run.fence();
    for (const device of devices) device.resetPeak();
    const step = run.countedStep(batch);
    await run.fence();
    bytes = step.bytes;
    peakBytes = devices.map((device, i) => Math.max(peakBytes[i], device.stats().bytesPeak - base[i]));
    step.loss.dispose();
    numbers.push(await run.numbers());
  }
  return { numbers, bytes, peakBytes };
}

export interface Difference {
  /** The greatest absolute difference of an element of any gradient in any of the steps. */
  readonly gradients: number;
  /** The same for parameters after the last step. */
  readonly parameters: number;
}

export function difference(actual: readonly StepNumbers[], expected: readonly StepNumbers[]): Difference {
  const gradients = actual.map((step, i) => greatest(step.gradients, expected[i].gradients));
  const last = actual.length - 1;
  return {
    gradients: Math.max(0, ...gradients),
    parameters: last < 0 ? 0 : greatest(actual[last].parameters, expected[last].parameters),
  };
}

/** NaN where an element or a list is missing, or an element is none. */
function greatest(actual: readonly Float64Array[], expected: readonly Float64Array[]): number {
  if (actual.length !== expected.length) return NaN;
  let most = 0;
  for (const [i, values] of expected.entries()) {
    if (actual[i].length !== values.length) return NaN;
    for (const [k, value] of values.entries()) most = Math.max(most, Math.abs(actual[i][k] - value));
  }
  return most;
}

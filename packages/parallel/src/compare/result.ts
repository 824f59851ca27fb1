/** What a comparison comes to: plain data. */
import type { Simulation } from "../network/simulate.ts";
import type { Difference } from "./probe.ts";
import type { Timeline } from "./timeline.ts";

/** How one strategy did. */
export interface StrategyResult {
  readonly name: string;
  readonly title: string;
  /** Names of its devices. */
  readonly devices: readonly string[];
  /** Speed of each epoch. Strategies took turns, epoch by epoch. */
  readonly samplesPerSecond: readonly number[];
  /** The part of the time in which the main thread computed, by epoch: 1 is one core. */
  readonly coordinatorShare: readonly number[];
  /**
   * By device: the most bytes in use at once for parameters, gradients, optimizer state, activations, and what the
   * device was sent of the batch.
   */
  readonly peakBytes: readonly number[];
  /** Bytes that all devices together sent in one step: as counted, and as the formula says. */
  readonly bytes: { readonly counted: number; readonly predicted: number };
  /**
   * The idle part of the devices' time in a step: as the timeline shows it, as the schedule's simulation says, with the
   * costs of the stages as they were measured, and by the formula for stages of equal cost.
   */
  readonly bubble: { readonly measured: number; readonly simulated: number; readonly predicted: number };
  /** The greatest difference from the first strategy's numbers over the first steps. */
  readonly difference: Difference;
  /** Of every step, from the first. */
  readonly losses: readonly number[];
  /** The share of held-back samples that are put into the right class, where there are any. */
  readonly accuracy: number | undefined;
  readonly schedule: Simulation;
  /** One step as it ran. */
  readonly timeline: Timeline;
}

export interface Comparison {
  /** Samples a step. */
  readonly batch: number;
  readonly epochs: number;
  /** How many steps were compared number by number. */
  readonly comparedSteps: number;
  /** In the order given; the first one is what the others' numbers are compared with. */
  readonly results: readonly StrategyResult[];
}

/** The middle of a list, or the mean of the two middle ones. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
}

/** How many times as fast as another strategy: the median over epochs, each of which both went through in turn. */
export function speedup(result: StrategyResult, baseline: StrategyResult): number {
  return median(result.samplesPerSecond.map((speed, epoch) => speed / baseline.samplesPerSecond[epoch]));
}

/** The ways to train one network, told in one form: what they do to a network, and what that costs by formula. */
import type { Device, nn, Tensor } from "@troupe/core";
import type { LossFunction } from "../network/step.ts";
import type { Simulation, StageCost } from "../network/simulate.ts";
import type { LayerSize } from "./layers.ts";
import type { BatchSize } from "./predict.ts";

/** What a strategy gets to train. */
export interface Task {
  /** On the strategy's first device. */
  readonly model: nn.Sequential;
  readonly loss: LossFunction;
  /** Samples in a batch. */
  readonly rows: number;
  /**
   * What each child of the network costs for so many samples, in milliseconds: measured when first asked for, and the
   * same for every strategy, so that those that balance stages agree.
   */
  readonly costs: (rows: number) => readonly StageCost[];
}

/** A network laid out over a strategy's devices. */
export interface Trainer {
  /**
   * Forward and backward of a batch on the first device: adds to the parameters' gradients.
   * @returns the loss
   */
  differentiate(input: Tensor, target: Tensor): Tensor;
  /** The network's output for a batch on the first device. */
  forward(input: Tensor): Tensor;
  /** Who does what when. Units of time are milliseconds where costs were measured. */
  readonly schedule: Simulation;
  /** Bytes that all devices send in one step, by formula. */
  bytesAStep(layers: readonly LayerSize[], batch: BatchSize): number;
  /** The idle part of the devices' time by formula, for stages of equal cost. */
  readonly bubble: number;
}

/** One way to train a network. */
export interface Strategy {
  /** A short name, unique in a comparison. */
  readonly name: string;
  /** What it is, in words. */
  readonly title: string;
  readonly devices: readonly Device[];
  /**
   * Lays the network out.
   * @throws ValueError where the network, or a batch of this size, cannot be trained so
   */
  lay(task: Task): Trainer;
}

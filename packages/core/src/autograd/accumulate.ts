/** The sink of the graph: adds what arrives to a leaf's `.grad`. */
import type { Tensor } from "../tensor/tensor.ts";
import { Node } from "./node.ts";
import type { Gradients } from "./node.ts";

export class AccumulateGrad extends Node {
  readonly name = "AccumulateGrad";
  readonly edges: readonly [] = [];
  /** Nothing follows, so it runs as soon as it can: its gradient is done with. */
  override readonly order: number = Number.MAX_SAFE_INTEGER;
  readonly variable: Tensor;

  constructor(variable: Tensor) {
    super();
    this.variable = variable;
  }

  /** The engine accumulates (engine.ts: it knows whether the gradient's memory may be kept); nothing goes on from here. */
  override apply(_gradients: Gradients): [] {
    return [];
  }
}

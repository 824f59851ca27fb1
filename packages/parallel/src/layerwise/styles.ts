/**
 * Ways to split one layer over devices (Shoeybi et al. 2019, "Megatron-LM"; `torch.distributed.tensor.parallel`): by
 * what it gives, or by what it takes.
 */
import { nn } from "@troupe/core";
import type { Tensor } from "@troupe/core";
import { replicate, shard } from "../placement.ts";
import type { Placement } from "../placement.ts";

/** A layer that can be split. */
export interface Layer extends nn.Module {
  forward(x: Tensor): Tensor;
  readonly weight: nn.Parameter;
  readonly bias?: nn.Parameter | null;
}

/** How a layer is split. */
export interface Split {
  readonly weight: Placement;
  readonly bias: Placement;
  /** How what the layer takes has to lie; undefined for tensors that are not split and have no gradient. */
  readonly input: Placement | undefined;
  /** How what it gives is handed on; undefined: as it comes. */
  readonly output: Placement | undefined;
}

/** What a plan says of a layer; made by `column()` and `row()`. */
export interface Style {
  readonly name: "column" | "row";
  /** The classes it can split, as text. */
  readonly layers: string;
  /** How it splits a module, or undefined where it cannot. */
  readonly split: (module: nn.Module) => Split | undefined;
}

/** The dimension of a layer's input and output along which features or channels lie. */
function featureDim(module: nn.Module): number | undefined {
  if (module instanceof nn.Linear) return -1;
  const isConvolution = module instanceof nn.Conv1d || module instanceof nn.Conv2d || module instanceof nn.Conv3d;
  // Groups tie channels together, so that parts of them do not convolve by themselves.
  return isConvolution && module.groups === 1 ? 1 : undefined;
}

const columnStyle: Style = {
  name: "column",
  layers: "Linear, Conv1d, Conv2d, Conv3d (without groups) and Embedding",
  split(module) {
    if (module instanceof nn.Embedding)
      return { weight: shard(1), bias: replicate(), input: undefined, output: undefined };
    if (featureDim(module) === undefined) return undefined;
    return { weight: shard(0), bias: shard(0), input: replicate(), output: undefined };
  },
};

const rowStyle: Style = {
  name: "row",
  layers: "Linear, Conv1d, Conv2d and Conv3d (without groups)",
  split(module) {
    const dim = featureDim(module);
    if (dim === undefined) return undefined;
    return { weight: shard(1), bias: replicate(), input: { kind: "shard", dim }, output: replicate() };
  },
};

/**
 * Each device has some of the layer's outputs: output features of a Linear, output channels of a convolution, columns
 * of an Embedding's table. The weight and bias are split along their first dimension (a table along its second).
 * Nothing is sent forward; backward the input's gradient is summed over the devices.
 */
export function column(): Style {
  return columnStyle;
}

/**
 * Each device has what belongs to some of the layer's inputs: input features of a Linear, input channels of a
 * convolution. The weight is split along its second dimension; the devices' results are summed, with the whole bias
 * added once. Takes what a `column()` layer gives without a message.
 */
export function row(): Style {
  return rowStyle;
}

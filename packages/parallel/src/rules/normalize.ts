/** Gradients of normalisation: rows are independent of one another, and a weight's gradient is a sum over them. */
import { repeatedDims } from "@troupe/core/executor";
import type { Meta, NormalizeAttrs, WeightAttrs } from "@troupe/core/executor";
import { partial, replicate, shard } from "../placement.ts";
import type { Placement } from "../placement.ts";
import { isTensorMeta, metaOf } from "./rule.ts";
import type { Call, Rule } from "./rule.ts";

/** How an operand lies that is broadcast to `rank` dimensions of which `dim` is sharded. */
function broadcast(input: Meta | number, dim: number, rank: number): Placement {
  if (!isTensorMeta(input)) return replicate();
  const own = dim - (rank - input.shape.length);
  return own >= 0 && input.shape[own] > 1 ? shard(own) : replicate();
}

function inputsAlong(call: Call, dim: number): Placement[] {
  const rank = metaOf(call, 1).shape.length;
  return call.inputs.map((input) => broadcast(input, dim, rank));
}

/** Operands: the result's gradient, x, mean, variance, weight. */
export const normalizeInputRule: Rule = {
  key: (attrs) => (attrs as NormalizeAttrs).dims.join(),
  ways: (call) => {
    const { dims } = call.attrs as NormalizeAttrs;
    return metaOf(call, 1).shape.flatMap((size, dim) =>
      dims.includes(dim) || size <= 1 ? [] : [{ inputs: inputsAlong(call, dim), outputs: [shard(dim)] }],
    );
  },
};

/** Operands: the result's gradient, x, mean, 1 / deviation. Addends of the first give addends of the sum. */
export const normalizeWeightRule: Rule = {
  key: (attrs) => (attrs as WeightAttrs).shape.join(),
  ways: (call) => {
    const { shape: weight } = call.attrs as WeightAttrs;
    const { shape } = metaOf(call, 1);
    const summed = repeatedDims(weight, shape);
    const ways = shape.flatMap((size, dim) => {
      if (size <= 1) return [];
      const kept = dim - (shape.length - weight.length);
      return [{ inputs: inputsAlong(call, dim), outputs: [summed.includes(dim) ? partial() : shard(kept)] }];
    });
    return [...ways, { inputs: [partial(), replicate(), replicate(), replicate()], outputs: [partial()] }];
  },
};

/**
 * Generated tensors: each device makes its part, with the elements' numbers in the whole, so that the bits are those of
 * one device.
 */
import { sameShape } from "@troupe/core/executor";
import type { GenerateAttrs } from "@troupe/core/executor";
import { replicate, shard } from "../placement.ts";
import { isTensorMeta } from "./rule.ts";
import type { Rule, Way } from "./rule.ts";

/** An operand only says how the result should be: it is not read. */
export const generateRule: Rule<GenerateAttrs> = {
  key: ({ shape }) => shape.join(),
  ways: ({ inputs, outputs: [{ shape }] }): readonly Way[] => {
    const like = inputs.find(isTensorMeta);
    const everywhere: Way = { inputs: inputs.map(() => undefined), outputs: [replicate()] };
    if (like === undefined || !sameShape(like.shape, shape)) return [everywhere];
    return [
      ...shape.map((_, dim): Way => ({ inputs: inputs.map(() => shard(dim)), outputs: [shard(dim)] })),
      everywhere,
    ];
  },
  localRun: ({ op }, { outputs: [out] }, rank) => {
    const { shape, offset } = out.parts[rank];
    if (sameShape(shape, out.shape)) return undefined;
    const strides = new Array<number>(shape.length);
    let step = 1;
    for (let dim = shape.length - 1; dim >= 0; dim--) {
      strides[dim] = step;
      step *= out.shape[dim];
    }
    const part = { base: offset.reduce((sum, start, dim) => sum + start * strides[dim], 0), strides };
    return (inputs, attrs, outputs, target) => op.run(inputs, { ...attrs, shape, part }, outputs, target);
  },
};

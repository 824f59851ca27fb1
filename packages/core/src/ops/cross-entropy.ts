/**
 * Cross entropy of scores and labels: the logarithm of each row's softmax, the label's part of it, its class weight, in one launch;
 * and the gradient in another. A label that is no class fails on the device; `ignoreIndex` counts for nothing.
 */
import { isGradEnabled } from "../autograd/mode.ts";
import type { Expr } from "../kernel/build.ts";
import type { DType } from "../tensor/dtype.ts";
import { numelOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { allocate, LocalValue } from "../tensor/value.ts";
import type { Meta } from "../tensor/value.ts";
import { apply, applyAll } from "./dispatch.ts";
import { launchRows } from "./kinds/rows.ts";
import type { ReducingSweep, RowProgram, RowScope } from "./kinds/rows.ts";
import { labelled, metaOf, nllSpread, withAt } from "./nll.ts";
import type { NllAttrs } from "./nll.ts";
import { from } from "./op.ts";
import type { Op } from "./op.ts";
import { softmax } from "./softmax.ts";

/** What the backward pass needs of each row, and the loss's divisor: they lie one behind the other in one tensor. */
const Row = { weight: 0, peak: 1, logTotal: 2, count: 3 } as const;

/** Operands after the scores: labels, then class weights where `weighted`. Params: ignoreIndex, then strides. */
function weightAt({ load, graph }: RowScope, label: Expr, operand: number | undefined, stride: number, type: DType): Expr {
  return operand === undefined ? graph.constant(type, 1) : load(operand, { indirect: [{ value: label, stride }] });
}

function lossProgram(target: DType, weighted: boolean): RowProgram {
  const peak: ReducingSweep = {
    accumulators: (type) => [{ type, init: "-Infinity" }],
    step: ([acc], { value }) => [acc.max(value(0))],
  };
  const total: ReducingSweep = {
    accumulators: (type) => [{ type, init: "0" }],
    step: ([acc], { value, result }) => [acc.add(value(0).sub(result(0)).exp())],
    finish: ([sum]) => [sum.log()],
    stores: ([logTotal], at) => {
      const { label, counts } = labelled(at.graph, at.load(1), at.param(0), at.count());
      const score = at.load(0, { indirect: [{ value: label, stride: 1 }] });
      const weight = weightAt(at, label, weighted ? 2 : undefined, 2, score.type);
      const highest = at.result(0);
      const loss = logTotal.sub(score.sub(highest)).mul(weight);
      return [counts.where(loss, 0), counts.where(weight, 0), highest, logTotal];
    },
  };
  return {
    name: "crossEntropy",
    operands: weighted ? ["row", "point", "table"] : ["row", "point"],
    outputs: ["point", "point", "point", "point"],
    sweeps: [peak, total],
    params: [target, "int32", "int32"],
  };
}

/** Operands: the losses' gradient, scores, labels, and what was kept of each row. */
function slopeProgram(target: DType): RowProgram {
  return {
    name: "crossEntropyBackward",
    operands: ["point", "row", "point", "point", "point", "point"],
    outputs: ["row"],
    sweeps: [
      {
        map: ({ value, load, index, param, graph }) => {
          const [g, x, weight, peak, logTotal] = [0, 1, 3, 4, 5].map(value);
          const here = load(2).ne(param(0)).and(load(2).cast("int32").eq(index()));
          const probability = x.sub(peak).sub(logTotal).exp();
          const slope = probability.sub(here.where(graph.constant(x.type, 1), 0));
          // What is ignored has no gradient, also where a score is infinite.
          return [weight.eq(0).where(0, g.mul(weight).mul(slope))];
        },
      },
    ],
    params: [target],
  };
}

function byLabels<T>(make: (target: DType) => T): (target: DType) => T {
  const made = new Map<DType, T>();
  return (target) => {
    let program = made.get(target);
    if (program === undefined) made.set(target, (program = make(target)));
    return program;
  };
}

const lossPrograms = [false, true].map((weighted) => byLabels((target) => lossProgram(target, weighted)));
const slopePrograms = byLabels(slopeProgram);

/** Part `row` of what was kept: a view of the places' shape. */
function partOf(kept: LocalValue, row: number): LocalValue {
  const [step, ...strides] = kept.strides;
  return new LocalValue(kept.storage, kept.dtype, kept.shape.slice(1), strides, kept.offset + row * step);
}

/** Inputs: scores, labels, and class weights where `weighted`. Outputs: losses, and what is kept of each row (`Row`). */
function defineLoss(weighted: boolean): Op<NllAttrs> {
  const gradient = from<NllAttrs>("abz", (g, { a: x, b: target, z: kept }, attrs) => {
    if (!isGradEnabled()) return apply(slopeOp, [g, x, target, kept], attrs);
    const { dim } = attrs;
    const scaled = g.mul(kept.select(0, Row.weight));
    return softmax(x, dim).mul(scaled.unsqueeze(dim)).add(nllSpread(scaled, target, attrs));
  });
  return {
    name: "crossEntropy",
    kind: "index",
    gradName: "NllLoss",
    isView: false,
    outputs: 2,
    gradientOf: (index) => (index === 0 ? gradient : undefined),
    infer([x, target]): Meta[] {
      const { shape } = metaOf(target);
      const { dtype } = metaOf(x);
      return [{ shape, dtype }, { shape: [Row.count, ...shape], dtype }];
    },
    run(inputs, { ignoreIndex, dim }, [meta, keptMeta]): LocalValue[] {
      const values = inputs as LocalValue[];
      const [x, target] = values;
      const losses = allocate(x.device, meta.shape, meta.dtype);
      const kept = allocate(x.device, keptMeta.shape, keptMeta.dtype);
      if (numelOf(meta.shape) === 0) return [losses, kept];
      const outputs = [losses, ...[Row.weight, Row.peak, Row.logTotal].map((row) => partOf(kept, row))];
      const strides = [x.strides[dim], weighted ? values[2].strides[0] : 0];
      launchRows(lossPrograms[Number(weighted)](target.dtype), x.dtype, values, x.shape, [dim], outputs, [ignoreIndex, ...strides]);
      return [losses, kept];
    },
  };
}

/** Inputs: the losses' gradient, scores, labels, what was kept of each row. Gradients of it are taken another way. */
const slopeOp: Op<NllAttrs> = {
  name: "crossEntropyBackward",
  kind: "index",
  gradName: "NllLossBackward",
  isView: false,
  outputs: 1,
  gradientOf: () => undefined,
  infer([g, , target], { dim, classes }): Meta[] {
    return [{ shape: withAt(metaOf(target).shape, dim, classes), dtype: metaOf(g).dtype }];
  },
  run(inputs, { ignoreIndex, dim }, [meta]): LocalValue[] {
    const [g, x, target, kept] = inputs as LocalValue[];
    const out = allocate(x.device, meta.shape, meta.dtype);
    const parts = [Row.weight, Row.peak, Row.logTotal].map((row) => partOf(kept, row));
    launchRows(slopePrograms(target.dtype), x.dtype, [g, x, target, ...parts], x.shape, [dim], [out], [ignoreIndex]);
    return [out];
  },
};

const lossOps = [false, true].map(defineLoss);

/**
 * Minus the log-probability of each label times its class weight, and those weights; both 0 at `ignoreIndex`.
 * @param x scores, classes along dimension 1 (0 where there is only one dimension)
 * @param target labels, the shape of `x` without its classes
 */
export function labelEntropy(
  x: Tensor,
  target: Tensor,
  weight: Tensor | undefined,
  ignoreIndex: number,
): [losses: Tensor, weights: Tensor] {
  const labels = target.dtype === "uint8" ? target.to("int32") : target;
  const dim = x.dim() === 1 ? 0 : 1;
  const inputs = weight === undefined ? [x, labels] : [x, labels, weight.to(x.dtype)];
  const attrs: NllAttrs = { ignoreIndex, dim, classes: x.shape[dim] };
  const [losses, kept] = applyAll(lossOps[Number(weight !== undefined)], inputs, attrs);
  return [losses, kept.select(0, Row.weight)];
}

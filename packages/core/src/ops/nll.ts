/**
 * Picking each place's label out of log-probabilities, with the label's weight, and its adjoint. What negative
 * log-likelihood and cross entropy are made of. A label that is no class fails on the device; `ignoreIndex` counts for
 * nothing.
 */
import { DTypeError } from "../errors.ts";
import { Graph } from "../kernel/build.ts";
import type { Expr } from "../kernel/build.ts";
import { innerStride } from "../kernel/ir.ts";
import type { Kernel } from "../kernel/ir.ts";
import type { DType } from "../tensor/dtype.ts";
import { numelOf } from "../tensor/shape.ts";
import type { Shape } from "../tensor/shape.ts";
import { isTensor } from "../tensor/tensor.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { allocate } from "../tensor/value.ts";
import type { LocalValue, Meta } from "../tensor/value.ts";
import { apply, applyAll } from "./dispatch.ts";
import { KernelCache, launch } from "./launch.ts";
import type { Bound } from "./launch.ts";
import { from } from "./op.ts";
import type { GradientRule, Op } from "./op.ts";

export interface NllAttrs {
  readonly ignoreIndex: number;
  /** The dimension of the classes. */
  readonly dim: number;
  /** How many there are. */
  readonly classes: number;
}

function without<T>(list: readonly T[], dim: number): T[] {
  return list.filter((_, i) => i !== dim);
}

export function withAt<T>(list: readonly T[], dim: number, item: T): T[] {
  return [...list.slice(0, dim), item, ...list.slice(dim)];
}

function lastOf(strides: readonly number[]): 0 | 1 | "any" {
  return strides.length === 0 ? 1 : innerStride(strides[strides.length - 1]);
}

/** A scalar's loop still has one axis. */
function axesOf(strides: readonly number[]): readonly number[] {
  return strides.length === 0 ? [1] : strides;
}

/**
 * A label as a class number that is safe to use, and whether it counts. The launch fails where it is neither a class nor ignored.
 * @param ignored the label that counts for nothing, of the labels' dtype
 * @param classes their number, int32
 */
export function labelled(
  graph: Graph,
  label: Expr,
  ignored: Expr,
  classes: Expr,
): { readonly label: Expr; readonly counts: Expr } {
  const counts = label.ne(ignored);
  const known = label.ge(0).and(label.lt(classes.cast(label.type)));
  graph.check(counts.not().or(known), label.cast("int32"), "index-out-of-range");
  const safe = counts.and(known);
  return { label: safe.where(label, 0).cast("int32"), counts: safe };
}

/** The label of an operand. Scalars: ignoreIndex, then the number of classes. */
function labelOf(body: Graph, operand: number, type: DType): { readonly label: Expr; readonly counts: Expr } {
  return labelled(body, body.load(operand, type), body.scalar(0, type), body.scalar(1, "int32"));
}

function pickKernel(
  x: DType,
  target: DType,
  weighted: boolean,
  axes: number,
  inner: readonly (0 | 1 | "any")[],
): Kernel {
  const body = new Graph();
  const { label, counts } = labelOf(body, 1, target);
  const picked = body.load(0, x, { indirect: [{ value: label, stride: 2 }] });
  const weight = weighted ? body.load(2, x, { indirect: [{ value: label, stride: 3 }] }) : body.constant(x, 1);
  const loss = counts.where(picked.mul(weight).neg(), 0);
  const counted = counts.where(weight, 0);
  return {
    kind: "loop",
    name: "nllPick",
    axes,
    reduced: 0,
    inputs: [
      { dtype: x, inner: inner[0] },
      { dtype: target, inner: inner[1] },
      ...(weighted ? [{ dtype: x, inner: 0 } as const] : []),
    ],
    outputs: [
      { dtype: x, inner: 1, overwrites: true },
      { dtype: x, inner: 1, overwrites: true },
    ],
    scalars: [target, "int32", "int32", ...(weighted ? ["int32" as const] : [])],
    body: body.nodes,
    accumulators: [],
    step: [],
    epilogue: [],
    stores: [
      { output: 0, value: loss.id, at: "body" },
      { output: 1, value: counted.id, at: "body" },
    ],
  };
}

function spreadKernel(
  x: DType,
  target: DType,
  weighted: boolean,
  axes: number,
  dim: number,
  inner: readonly (0 | 1 | "any")[],
): Kernel {
  const body = new Graph();
  const g = body.load(0, x);
  const { label, counts } = labelOf(body, 1, target);
  const weight = weighted ? body.load(2, x, { indirect: [{ value: label, stride: 2 }] }) : body.constant(x, 1);
  const here = counts.and(label.eq(body.axis(dim)));
  return {
    kind: "loop",
    name: "nllSpread",
    axes,
    reduced: 0,
    inputs: [
      { dtype: x, inner: inner[0] },
      { dtype: target, inner: inner[1] },
      ...(weighted ? [{ dtype: x, inner: 0 } as const] : []),
    ],
    outputs: [{ dtype: x, inner: 1, overwrites: true }],
    scalars: [target, "int32", ...(weighted ? ["int32" as const] : [])],
    body: body.nodes,
    accumulators: [],
    step: [],
    epilogue: [],
    stores: [{ output: 0, value: here.where(g.mul(weight).neg(), 0).id, at: "body" }],
  };
}

const kernels = new KernelCache<string>();

export function metaOf(input: Meta | number): Meta {
  if (typeof input === "number") throw new DTypeError("nllLoss() takes tensors", { op: "nllLoss" });
  return input;
}

/** Inputs: log-probabilities, labels, and class weights where `weighted`. Outputs: losses, and each label's weight. */
function definePick(weighted: boolean): Op<NllAttrs> {
  const gradient: GradientRule<NllAttrs> = from(weighted ? "bc" : "b", (g, saved, attrs) =>
    apply(weighted ? weightedSpreadOp : spreadOp, weighted ? [g, saved.b, saved.c] : [g, saved.b], attrs),
  );
  return {
    name: "nllPick",
    kind: "index",
    gradName: "NllLoss",
    isView: false,
    outputs: 2,
    gradientOf: (index) => (index === 0 ? gradient : undefined),
    infer([x, target]): Meta[] {
      const result = { shape: metaOf(target).shape, dtype: metaOf(x).dtype };
      return [result, result];
    },
    run(inputs, { ignoreIndex, dim, classes }, [meta]): LocalValue[] {
      const [x, target, weight] = inputs as LocalValue[];
      const losses = allocate(x.device, meta.shape, meta.dtype);
      const weights = allocate(x.device, meta.shape, meta.dtype);
      if (numelOf(meta.shape) === 0) return [losses, weights];
      const places = axesOf(without(x.strides, dim));
      const inner = [lastOf(places), lastOf(target.strides)];
      const axes = places.length;
      const kernel = kernels.get(`pick ${x.dtype} ${target.dtype} ${String(weighted)} ${axes} ${inner.join(" ")}`, () =>
        pickKernel(x.dtype, target.dtype, weighted, axes, inner),
      );
      const operands: Bound[] = [
        { value: x, strides: places },
        { value: target, strides: axesOf(target.strides) },
        ...(weighted ? [{ value: weight, strides: places.map(() => 0) }] : []),
        { value: losses, strides: axesOf(losses.strides) },
        { value: weights, strides: axesOf(weights.strides) },
      ];
      const sizes = meta.shape.length === 0 ? [1] : meta.shape;
      launch(kernel, operands, sizes, [ignoreIndex, classes, x.strides[dim], ...(weighted ? [weight.strides[0]] : [])]);
      return [losses, weights];
    },
  };
}

/** The adjoint: minus the gradient times the weight at each place's label, zeros at the other classes. */
function defineSpread(weighted: boolean): Op<NllAttrs> {
  const gradient: GradientRule<NllAttrs> = from(
    weighted ? "bc" : "b",
    (g, saved, attrs) =>
      applyAll(weighted ? weightedPickOp : pickOp, weighted ? [g, saved.b, saved.c] : [g, saved.b], attrs)[0],
  );
  return {
    name: "nllSpread",
    kind: "index",
    gradName: "NllLossBackward",
    isView: false,
    outputs: 1,
    gradientOf: (index) => (index === 0 ? gradient : undefined),
    infer([g, target], { dim, classes }): Meta[] {
      return [{ shape: withAt(metaOf(target).shape, dim, classes), dtype: metaOf(g).dtype }];
    },
    run(inputs, { ignoreIndex, dim, classes }, [meta]): LocalValue[] {
      const [g, target, weight] = inputs as LocalValue[];
      const out = allocate(g.device, meta.shape, meta.dtype);
      if (numelOf(meta.shape) === 0) return [out];
      const gStrides = withAt(g.strides, dim, 0);
      const targetStrides = withAt(target.strides, dim, 0);
      const inner = [lastOf(gStrides), lastOf(targetStrides)];
      const axes = meta.shape.length;
      const kernel = kernels.get(
        `spread ${g.dtype} ${target.dtype} ${String(weighted)} ${axes} ${dim} ${inner.join(" ")}`,
        () => spreadKernel(g.dtype, target.dtype, weighted, axes, dim, inner),
      );
      const operands: Bound[] = [
        { value: g, strides: gStrides },
        { value: target, strides: targetStrides },
        ...(weighted ? [{ value: weight, strides: gStrides.map(() => 0) }] : []),
        { value: out, strides: out.strides },
      ];
      launch(kernel, operands, meta.shape, [ignoreIndex, classes, ...(weighted ? [weight.strides[0]] : [])]);
      return [out];
    },
  };
}

const pickOp = definePick(false);
const weightedPickOp = definePick(true);
const spreadOp = defineSpread(false);
const weightedSpreadOp = defineSpread(true);

/**
 * Minus the log-probability of each label times its class weight, and those weights; both 0 at `ignoreIndex`.
 * @param x log-probabilities, classes along dimension 1 (0 where there is only one dimension)
 * @param target labels, the shape of `x` without its classes
 */
export function nllPick(
  x: Tensor,
  target: Tensor,
  weight: Tensor | undefined,
  ignoreIndex: number,
): [losses: Tensor, weights: Tensor] {
  const labels = target.dtype === "uint8" ? target.to("int32") : target;
  const dim = x.dim() === 1 ? 0 : 1;
  const attrs: NllAttrs = { ignoreIndex, dim, classes: x.shape[dim] };
  const inputs = isTensor(weight) ? [x, labels, weight.to(x.dtype)] : [x, labels];
  const [losses, weights] = applyAll(isTensor(weight) ? weightedPickOp : pickOp, inputs, attrs);
  return [losses, weights];
}

/** Minus `g` at each place's label, zeros at the other classes: what picking adds to a gradient. */
export function nllSpread(g: Tensor, target: Tensor, attrs: NllAttrs): Tensor {
  return apply(spreadOp, [g, target], attrs);
}

/** Shape of the labels that belong to `x`. */
export function labelShape(x: Shape): Shape {
  return without(x, x.length === 1 ? 0 : 1);
}

/** Extremes and where they stand: amax, max, argmax and their kin. Binary forms are `maximum` and `minimum`. */
import { DTypeError, ShapeError } from "../errors.ts";
import type { Expr } from "../kernel/build.ts";
import { isFloat } from "../tensor/dtype.ts";
import type { DType } from "../tensor/dtype.ts";
import { isTensor } from "../tensor/tensor.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { parameters } from "../arguments.ts";
import { apply, applyAll } from "./dispatch.ts";
import { tensorOperand } from "./elementwise.ts";
import { defineReduce, dimsOf, highest, lowest, restored, same, scalarType } from "./kinds/reduce.ts";
import type { Dims, ReduceAttrs, ReduceEntry, ReduceOp } from "./kinds/reduce.ts";
import type { Reduction } from "./kinds/reduction.ts";
import { from } from "./op.ts";
import type { Op } from "./op.ts";
import { namedTuple } from "./results.ts";
import type { NamedTuple } from "./results.ts";
import type { Optional } from "./signatures.ts";

type Extreme = "max" | "min";

const starts: Readonly<Record<Extreme, (type: DType) => string>> = { max: lowest, min: highest };

// --- values ----------------------------------------------------------------------------------------------------------

/** The gradient is shared evenly by the elements that equal the extreme. */
function valuesEntry(name: string, extreme: Extreme): ReduceEntry {
  return {
    type: same,
    nonEmpty: true,
    reduction: {
      name,
      accumulators: (type) => [{ type, init: starts[extreme](type) }],
      step: ([acc], [x]) => [acc.binary(extreme, x)],
    },
    grad: {
      a: from("ay", (g, { a, y }, attrs) => {
        const mask = a.eq(restored(y, a.shape, attrs)).to(g.dtype);
        return mask.mul(restored(g, a.shape, attrs).div(mask.sum(attrs.dims, true)));
      }),
    },
  };
}

function valuesFunction(
  op: ReduceOp,
): ((x: Tensor, ...args: Optional<
  [dim: Dims, keepdim: boolean],
  { dim: Dims; keepdim: boolean }
>) => Tensor) & { readonly op: Op<ReduceAttrs> } {
  const call = (x: Tensor, ...args: Optional<
    [dim: Dims, keepdim: boolean],
    { dim: Dims; keepdim: boolean }
  >): Tensor => {
    const { dim, keepdim = false } = parameters<{ dim?: Dims; keepdim?: boolean }>(op.name, ["dim", "keepdim"], args);
    return apply(op, [x], { dims: dimsOf(x, dim, op.name), keepdim });
  };
  return Object.assign(call, { op });
}

/** Greatest elements over dimensions, all by default (`torch.amax`). NaN counts as greatest. */
export const amax = valuesFunction(defineReduce("amax", valuesEntry("amax", "max")));

/** Least elements over dimensions, all by default (`torch.amin`). NaN counts as least. */
export const amin = valuesFunction(defineReduce("amin", valuesEntry("amin", "min")));

/** Least and greatest elements (`torch.aminmax`). */
export function aminmax(
  x: Tensor,
  ...args: Optional<[dim: number, keepdim: boolean], { dim: number; keepdim: boolean }>
): NamedTuple<"min" | "max", Tensor> {
  const { dim, keepdim = false } = parameters<{ dim?: number; keepdim?: boolean }>("aminmax", ["dim", "keepdim"], args);
  if (dim === undefined && x.numel() === 0) {
    throw new ShapeError(
      "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity.",
      { op: "aminmax" },
    );
  }
  const attrs = { dims: dimsOf(x, dim, "aminmax"), keepdim };
  // A 0-dim operand keeps the dimension that it was asked to keep.
  const shaped = (y: Tensor): Tensor => (x.dim() === 0 && keepdim && dim !== undefined ? y.reshape([1]) : y);
  const [least, greatest] = [aminmaxLeast, aminmaxGreatest].map((op) => shaped(apply(op, [x], attrs)));
  return namedTuple(["min", "max"], [least, greatest]);
}

const aminmaxLeast = defineReduce("aminmax", valuesEntry("aminmax", "min"));
const aminmaxGreatest = defineReduce("aminmax", valuesEntry("aminmax", "max"));

// --- values and places -----------------------------------------------------------------------------------------------

/** Whether `a` goes before `b`: it is more extreme, or the NaN of the two. */
function beats(a: Expr, b: Expr, extreme: Extreme): Expr {
  const more = extreme === "max" ? a.gt(b) : a.lt(b);
  return isFloat(a.type) ? more.or(a.isNaN().and(b.isNaN().not())) : more;
}

/** The accumulators are the extreme so far and its row-major place among the reduced elements: the first of equals. */
function placed(name: string, extreme: Extreme): Reduction {
  return {
    name,
    ordered: true,
    accumulators: (type) => [
      { type, init: starts[extreme](type) },
      { type: "int32", init: "0" },
    ],
    step: ([best, place], [x], { index }) => {
      const better = beats(x, best, extreme);
      return [better.where(x, best), better.where(index(), place)];
    },
    combine: ([best, place], [other, otherPlace]) => {
      const level = beats(best, other, extreme)
        .or(beats(other, best, extreme))
        .not();
      const takes = beats(other, best, extreme).or(level.and(otherPlace.lt(place)));
      return [takes.where(other, best), takes.where(otherPlace, place)];
    },
  };
}

function argEntry(name: string, extreme: Extreme): ReduceEntry {
  return {
    type: (operand) => {
      if (operand !== "bool") return { compute: operand, results: ["int64"] };
      throw new DTypeError(`"${name}" not implemented for '${scalarType(operand)}'`, {
        op: name,
        remedy: 'Convert with .to("uint8") first.',
      });
    },
    nonEmpty: true,
    reduction: { ...placed(name, extreme), finish: ([, place]) => [place] },
  };
}

function argFunction(op: ReduceOp): (x: Tensor, ...args: Optional<
  [dim: number | null, keepdim: boolean],
  { dim: number | null; keepdim: boolean }
>) => Tensor {
  return (x, ...args) => {
    const { dim, keepdim = false } = parameters<{ dim?: number | null; keepdim?: boolean }>(
      op.name,
      ["dim", "keepdim"],
      args,
    );
    return apply(op, [x], { dims: dimsOf(x, dim, op.name), keepdim });
  };
}

/** The place of the greatest element along `dim`, or in the flattened tensor (`torch.argmax`): of equals the first. */
export const argmax = argFunction(defineReduce("argmax", argEntry("argmax", "max")));

/** The place of the least element along `dim`, or in the flattened tensor (`torch.argmin`): of equals the first. */
export const argmin = argFunction(defineReduce("argmin", argEntry("argmin", "min")));

/** Extreme values along one dimension, with their places; the gradient goes to those. */
function pairOp(name: Extreme): ReduceOp {
  return defineReduce(name, {
    type: (operand) => ({ compute: same(operand).compute, results: [operand, "int64"] }),
    nonEmpty: true,
    reduction: placed(name, name),
    grad: {
      a: from("z", (g, { z, inputs: [x] }, attrs) => (x === undefined ? undefined : scattered(g, z, x.shape, attrs))),
    },
  });
}

/** Zeros of `shape` with `g` at the `places` along the one reduced dimension. */
function scattered(g: Tensor, places: Tensor, shape: readonly number[], attrs: ReduceAttrs): Tensor {
  const [dim] = attrs.dims;
  if (dim === undefined) return g;
  return g.newZeros(shape).scatter(dim, restored(places, shape, attrs), restored(g, shape, attrs));
}

export type ValuesIndices = NamedTuple<"values" | "indices", Tensor>;

/** `max()`, `max(other)` and `max(dim, keepdim?)`, as PyTorch overloads it. */
export interface ExtremeFunction {
  (x: Tensor): Tensor;
  (x: Tensor, other: Tensor): Tensor;
  (x: Tensor, dim: number, ...rest: Optional<[keepdim: boolean], { keepdim: boolean }>): ValuesIndices;
  (x: Tensor, options: { readonly dim: number; readonly keepdim?: boolean }): ValuesIndices;
}

function extremeFunction(name: Extreme): ExtremeFunction {
  const values = defineReduce(name, { ...valuesEntry(name, name), overload: () => 1 });
  const pairs = pairOp(name);
  const call = (x: Tensor, ...args: unknown[]): Tensor | ValuesIndices => {
    tensorOperand(name, x);
    const [other] = args;
    if (args.length === 1 && isTensor(other)) return name === "max" ? x.maximum(other) : x.minimum(other);
    const { dim, keepdim = false } = parameters<{ dim?: number; keepdim?: boolean }>(name, ["dim", "keepdim"], args);
    if (dim === undefined) return apply(values, [x], { dims: dimsOf(x, undefined, name), keepdim: false });
    return namedTuple(["values", "indices"] as const, applyAll(pairs, [x], { dims: dimsOf(x, dim, name), keepdim }));
  };
  return call as ExtremeFunction;
}

/**
 * The greatest element; with `dim` values and indices along it; with a tensor the greater of each two (`torch.max`).
 */
export const max = extremeFunction("max");

/** The least element; with `dim` values and indices along it; with a tensor the lesser of each two (`torch.min`). */
export const min = extremeFunction("min");

/** Methods whose signatures overload, which the types of `methods` cannot say. */
export interface OverloadedMethods {
  max(): Tensor;
  max(other: Tensor): Tensor;
  max(dim: number, ...rest: Optional<[keepdim: boolean], { keepdim: boolean }>): ValuesIndices;
  max(options: { readonly dim: number; readonly keepdim?: boolean }): ValuesIndices;
  min(): Tensor;
  min(other: Tensor): Tensor;
  min(dim: number, ...rest: Optional<[keepdim: boolean], { keepdim: boolean }>): ValuesIndices;
  min(options: { readonly dim: number; readonly keepdim?: boolean }): ValuesIndices;
}

export const overloaded = { max, min };

export const methods = { amax, amin, aminmax, argmax, argmin };

/** The reduce table: sums, means, products, logic, logsumexp, moments. Extremes are in extrema.ts, norms in norm.ts. */
import { setGradientOps } from "../autograd/op-node.ts";
import { DTypeError, ShapeError } from "../errors.ts";
import { floatingType, isFloat } from "../tensor/dtype.ts";
import type { DType } from "../tensor/dtype.ts";
import { zerosLike } from "../tensor/creation.ts";
import { sizesOf } from "../tensor/shape.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { allocate } from "../tensor/value.ts";
import type { LocalValue } from "../tensor/value.ts";
import { parameters } from "../arguments.ts";
import { apply } from "./dispatch.ts";
import {
  countOf,
  defineReduce,
  dimsOf,
  floatsOnly,
  isNamed,
  overNamed,
  reducedShape,
  restored,
  scalarType,
  widening,
} from "./kinds/reduce.ts";
import type { Dims, ReduceAttrs, ReduceOp, ReduceTypes } from "./kinds/reduce.ts";
import { launchReduction } from "./kinds/reduction.ts";
import type { Reduction } from "./kinds/reduction.ts";
import { from } from "./op.ts";
import type { Op } from "./op.ts";
import { namedTuple } from "./results.ts";
import type { NamedTuple } from "./results.ts";
import { cumulativeProduct } from "./scan.ts";
import type { Optional } from "./signatures.ts";

type ReduceArguments = Optional<[dim: Dims, keepdim: boolean], { dim: Dims; keepdim: boolean }>;
type TypedReduceArguments = Optional<
  [dim: Dims, keepdim: boolean, dtype: DType],
  { dim: Dims; keepdim: boolean; dtype: DType }
>;

interface Given {
  readonly dim?: Dims;
  readonly keepdim?: boolean;
  readonly dtype?: DType;
}

/** An entry as a function `(x, dim?, keepdim?, dtype?)`. */
function typedReduction(
  op: ReduceOp,
): ((x: Tensor, ...args: TypedReduceArguments) => Tensor) & { readonly op: Op<ReduceAttrs> } {
  const call = (x: Tensor, ...args: TypedReduceArguments): Tensor => {
    const { dim, keepdim = false, dtype } = parameters<Given>(op.name, ["dim", "keepdim", "dtype"], args);
    return apply(op, [x], { dims: dimsOf(x, dim, op.name), keepdim, named: isNamed(dim), dtype });
  };
  return Object.assign(call, { op });
}

/** An entry as a function `(x, dim?, keepdim?)`. */
function reduction(op: ReduceOp): ((x: Tensor, ...args: ReduceArguments) => Tensor) & { readonly op: Op<ReduceAttrs> } {
  const call = (x: Tensor, ...args: ReduceArguments): Tensor => {
    const { dim, keepdim = false } = parameters<Given>(op.name, ["dim", "keepdim"], args);
    return apply(op, [x], { dims: dimsOf(x, dim, op.name), keepdim });
  };
  return Object.assign(call, { op });
}

const zero = (compute: DType) => [{ type: compute, init: "0" }];

// --- sums, means, products -------------------------------------------------------------------------------------------

const plainSum: Reduction = { name: "sum", accumulators: zero, step: ([acc], [x]) => [acc.add(x)] };

/** Sum over dimensions, all by default (`torch.sum`); whole numbers and bools give int64. */
export const sum = typedReduction(
  defineReduce("sum", {
    type: widening,
    reduction: plainSum,
    overload: overNamed,
    grad: {
      a: (g, { inputs: [x] }, attrs) => (x === undefined ? undefined : restored(g, x.shape, attrs).expand(x.shape)),
    },
  }),
);

/** Sum in which NaN counts as 0 (`torch.nansum`). */
export const nansum = typedReduction(
  defineReduce("nansum", {
    type: widening,
    reduction: {
      name: "nansum",
      accumulators: zero,
      step: ([acc], [x]) => [acc.add(isFloat(x.type) ? x.isNaN().where(0, x) : x)],
    },
    grad: { a: from("a", (g, { a }, attrs) => restored(g, a.shape, attrs).mul(a.isnan().logicalNot())) },
  }),
);

const plainMean: Reduction = {
  name: "mean",
  accumulators: zero,
  step: ([acc], [x]) => [acc.add(x)],
  finish: ([acc], place) => [acc.div(place.count().cast(acc.type))],
};

/**
 * Mean over dimensions, all by default (`torch.mean`).
 * @throws DTypeError where neither the operand nor `dtype` is floating
 */
export const mean = typedReduction(
  defineReduce("mean", {
    type: (operand, asked) => {
      if (isFloat(asked ?? operand)) return widening(operand, asked);
      const which = asked === undefined ? "Input" : "Optional";
      throw new DTypeError(
        `mean(): could not infer output dtype. ${which} dtype must be either a floating point or complex dtype. ` +
          `Got: ${scalarType(asked ?? operand)}`,
        { op: "mean", remedy: 'Convert with .to("float32") first.' },
      );
    },
    reduction: plainMean,
    overload: overNamed,
    grad: {
      a: (g, { inputs: [x] }, attrs) =>
        x === undefined ? undefined : restored(g, x.shape, attrs).div(countOf(x.shape, attrs.dims)).expand(x.shape),
    },
  }),
);

/**
 * Mean of what is not NaN (`torch.nanmean`).
 * @throws DTypeError on whole numbers
 */
export function nanmean(x: Tensor, ...args: TypedReduceArguments): Tensor {
  const { dim, keepdim = false, dtype } = parameters<Given>("nanmean", ["dim", "keepdim", "dtype"], args);
  if (!isFloat(x.dtype)) {
    throw new DTypeError(`nanmean(): expected input to have floating point dtype but got ${scalarType(x.dtype)}`, {
      op: "nanmean",
    });
  }
  return nansum(x, { dim, keepdim, dtype }).div(sum(x.isnan().logicalNot(), { dim, keepdim }));
}

const productOp = defineReduce("prod", {
  type: widening,
  reduction: {
    name: "prod",
    accumulators: (compute) => [{ type: compute, init: "1" }],
    step: ([acc], [x]) => [acc.mul(x)],
  },
  overload: overNamed,
  grad: {
    // For each element the product of all others: no division, so zeros need no care.
    a: from("a", (g, { a }, attrs) => {
      if (attrs.dims.length === 0) return g;
      const [line, dim] = attrs.dims.length === 1 ? [a, attrs.dims[0]] : [a.reshape([-1]), 0];
      const before = cumulativeProduct(line, { dim, reverse: false, exclusive: true });
      const after = cumulativeProduct(line, { dim, reverse: true, exclusive: true });
      return restored(g, a.shape, attrs).mul(before.mul(after).reshape(a.shape));
    }),
  },
});

/** Product over one dimension, or of all elements (`torch.prod`); whole numbers and bools give int64. */
export const prod = typedReduction(productOp);

/** Sum of a matrix's diagonal (`torch.trace`). @throws ShapeError where `x` is no matrix */
export function trace(x: Tensor): Tensor {
  if (x.dim() !== 2) throw new ShapeError("trace: expected a matrix", { op: "trace" });
  return sum(x.diagonal());
}

/**
 * Sums to a shape that broadcasts to the tensor's (`Tensor.sum_to_size`): the adjoint of `expand`.
 * @throws ShapeError
 */
export function sumToSize(x: Tensor, ...size: (number | readonly number[])[]): Tensor {
  const shape = sizesOf(size);
  return shape.length === 0 ? sum(x) : summedTo(x, shape);
}

function summedTo(x: Tensor, shape: Shape): Tensor {
  const lead = x.dim() - shape.length;
  if (lead < 0 || shape.some((size, i) => size !== 1 && size !== x.shape[lead + i])) {
    throw new ShapeError(`size {[${shape.join(", ")}]} is not expandable to size {[${x.shape.join(", ")}]}.`, {
      op: "sumToSize",
    });
  }
  const dims = x.shape
    .map((_, dim) => dim)
    .filter((dim) => dim < lead || (shape[dim - lead] === 1 && x.shape[dim] !== 1));
  if (dims.length === 0) return x;
  const summed = apply(sum.op, [x], { dims, keepdim: true, named: true });
  return lead === 0 ? summed : summed.reshape(shape);
}

setGradientOps({ sumToSize: summedTo, to: (g, dtype) => g.to(dtype), zerosLike: (g) => zerosLike(g) });

// --- logic -----------------------------------------------------------------------------------------------------------

/** Bool, except that bytes answer as bytes. */
const logic = (operand: DType): ReduceTypes => ({ compute: "bool", results: [operand === "uint8" ? "uint8" : "bool"] });

/** Whether all elements are true (`torch.all`). */
export const all = reduction(
  defineReduce("all", {
    type: logic,
    reduction: { name: "all", accumulators: (type) => [{ type, init: "1" }], step: ([acc], [x]) => [acc.and(x)] },
  }),
);

/** Whether any element is true (`torch.any`). */
export const any = reduction(
  defineReduce("any", {
    type: logic,
    reduction: { name: "any", accumulators: zero, step: ([acc], [x]) => [acc.or(x)] },
  }),
);

const countNonzeroOp = defineReduce("countNonzero", {
  type: (operand) => ({ compute: operand, results: ["int64"] }),
  reduction: {
    name: "countNonzero",
    accumulators: () => [{ type: "int32", init: "0" }],
    step: ([acc], [x]) => [acc.add((x.type === "bool" ? x : x.ne(0)).cast("int32"))],
  },
});

/** How many elements are not 0 (`torch.count_nonzero`), as int64. */
export function countNonzero(x: Tensor, ...args: Optional<[dim: Dims], { dim: Dims }>): Tensor {
  const { dim } = parameters<Given>("countNonzero", ["dim"], args);
  return apply(countNonzeroOp, [x], { dims: dimsOf(x, dim, "countNonzero"), keepdim: false });
}

// --- logsumexp -------------------------------------------------------------------------------------------------------

/** The greatest element; -Infinity where there is none. */
export const greatest: Reduction = {
  name: "amax",
  accumulators: (type) => [{ type, init: "-Infinity" }],
  step: ([acc], [x]) => [acc.max(x)],
};

/** Operands: x, and its greatest element (0 where that is infinite). */
const sumOfExponentials: Reduction = {
  name: "logsumexp",
  accumulators: (type) => [
    { type, init: "0" },
    { type, init: "-Infinity" },
  ],
  step: ([acc, peak], [x, most]) => {
    const held = most.abs().eq(Infinity).where(0, most);
    return [acc.add(x.sub(held).exp()), peak.max(held)];
  },
  // Without elements the sum is 0 and its logarithm -Infinity, whatever the peak.
  finish: ([acc, peak]) => [peak.eq(-Infinity).where(acc.log(), acc.log().add(peak))],
};

const logsumexpOp = defineReduce("logsumexp", {
  type: (operand) => ({ compute: floatingType(operand), results: [floatingType(operand)] }),
  reduction: sumOfExponentials,
  issue: (x, { dims }, compute, outputs) => {
    const peaks = allocate(x.device, reducedShape(x.shape, dims, true), compute);
    launchReduction(greatest, compute, [x], x.shape, dims, [peaks]);
    launchReduction(sumOfExponentials, compute, [x, peaks], x.shape, dims, outputs);
    peaks.storage.dispose();
  },
  grad: {
    a: from("ay", (g, { a, y }, attrs) => restored(g, a.shape, attrs).mul(a.sub(restored(y, a.shape, attrs)).exp())),
  },
});

/** log(sum(exp(x))) over `dim`, without overflow (`torch.logsumexp`). */
export const logsumexp = reduction(logsumexpOp);

// --- moments ---------------------------------------------------------------------------------------------------------

/** Operands: x and its mean. */
const deviations = (name: string, root: boolean): Reduction => ({
  name,
  params: 1,
  accumulators: zero,
  step: ([acc], [x, center]) => [acc.add(x.sub(center).square())],
  finish: ([acc], place) => {
    const variance = acc.div(place.count().cast(acc.type).sub(place.param(0)).max(0));
    return [root ? variance.sqrt() : variance];
  },
});

/** Two passes: rounding errors stay small however far the mean is from 0. */
function twoPasses(
  reduction: Reduction,
): (x: LocalValue, attrs: ReduceAttrs, compute: DType, outputs: readonly LocalValue[]) => void {
  return (x, { dims, params }, compute, outputs) => {
    const means = allocate(x.device, reducedShape(x.shape, dims, true), compute);
    launchReduction(plainMean, compute, [x], x.shape, dims, [means]);
    launchReduction(reduction, compute, [x, means], x.shape, dims, outputs, params);
    means.storage.dispose();
  };
}

function varianceGradient(g: Tensor, x: Tensor, attrs: ReduceAttrs): Tensor {
  const [correction] = attrs.params ?? [1];
  const scale = 2 / (countOf(x.shape, attrs.dims) - correction);
  return restored(g, x.shape, attrs)
    .mul(scale)
    .mul(x.sub(mean(x, attrs.dims, true)));
}

const momentTypes = floatsOnly("var", () => "std and var only support floating point and complex dtypes");
const variance = deviations("var", false);
const deviation = deviations("std", true);

const varianceOp = defineReduce("var", {
  type: momentTypes,
  reduction: variance,
  issue: twoPasses(variance),
  grad: { a: from("a", (g, { a }, attrs) => varianceGradient(g, a, attrs)) },
});

const deviationOp = defineReduce("std", {
  type: momentTypes,
  reduction: deviation,
  issue: twoPasses(deviation),
  grad: {
    a: from("ay", (g, { a, y }, attrs) => varianceGradient(g.div(y.mul(2)).maskedFill(y.eq(0), 0), a, attrs)),
  },
});

/**
 * `(unbiased)` or `(dim, unbiased, keepdim)`: divide by N - 1 (the default) or N; by name also `correction`: by N -
 * correction.
 */
type MomentArguments = [unbiased: boolean] | Optional<
  [dim: Dims, unbiased: boolean, keepdim: boolean],
  { dim: Dims; unbiased: boolean; keepdim: boolean; correction: number | null }
>;

interface MomentsGiven extends Given {
  readonly unbiased?: boolean;
  readonly correction?: number | null;
}

function momentAttrs(op: string, x: Tensor, args: MomentArguments): ReduceAttrs {
  const given = typeof args[0] === "boolean" ? [undefined, ...args] : args;
  const names = ["dim", "unbiased", "keepdim", "correction"] as const;
  const { dim, unbiased = true, keepdim = false, correction } = parameters<MomentsGiven>(op, names, given);
  return { dims: dimsOf(x, dim, op), keepdim, params: [correction ?? (unbiased ? 1 : 0)] };
}

function variance_(x: Tensor, ...args: MomentArguments): Tensor {
  return apply(varianceOp, [x], momentAttrs("var", x, args));
}

/** Variance over dimensions, all by default (`torch.var`). Exported as `var`. */
export { variance_ as var };

/** Standard deviation over dimensions, all by default (`torch.std`). */
export function std(x: Tensor, ...args: MomentArguments): Tensor {
  return apply(deviationOp, [x], momentAttrs("std", x, args));
}

/** Variance and mean (`torch.var_mean`). */
export function varMean(x: Tensor, ...args: MomentArguments): NamedTuple<"var" | "mean", Tensor> {
  const attrs = momentAttrs("varMean", x, args);
  return namedTuple(["var", "mean"], [apply(varianceOp, [x], attrs), mean(x, attrs.dims, attrs.keepdim)]);
}

/** Standard deviation and mean (`torch.std_mean`). */
export function stdMean(x: Tensor, ...args: MomentArguments): NamedTuple<"std" | "mean", Tensor> {
  const attrs = momentAttrs("stdMean", x, args);
  return namedTuple(["std", "mean"], [apply(deviationOp, [x], attrs), mean(x, attrs.dims, attrs.keepdim)]);
}

export const methods = {
  sum,
  nansum,
  mean,
  nanmean,
  prod,
  trace,
  sumToSize,
  all,
  any,
  countNonzero,
  logsumexp,
  var: variance_,
  std,
};

/**
 * The reduce kind: dimensions of one operand go. An entry gives the accumulators, the step and the epilogue
 * (reduction.ts), its dtype rule and the gradient; strided kernels, keepdim, empty operands and errors follow.
 */
import { DTypeError, ShapeError } from "../../errors.ts";
import { isFloat, isInteger } from "../../tensor/dtype.ts";
import type { DType } from "../../tensor/dtype.ts";
import { normalizeDims } from "../../tensor/shape.ts";
import type { Shape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { allocate } from "../../tensor/value.ts";
import type { LocalValue, Meta } from "../../tensor/value.ts";
import { copyInto } from "../moves.ts";
import { gradientLookup, pascal } from "../op.ts";
import type { GradientTable, Op } from "../op.ts";
import { launchReduction } from "./reduction.ts";
import type { Reduction } from "./reduction.ts";

export interface ReduceAttrs {
  /** Dimensions that go: ascending, counted from the front. */
  readonly dims: readonly number[];
  /** Whether they stay with size 1. */
  readonly keepdim: boolean;
  /** Whether the call named them: a whole tensor's sum is another overload in PyTorch. */
  readonly named?: boolean;
  /** The dtype asked for: what is computed in, and the result's. */
  readonly dtype?: DType;
  /** Run-time numbers of the entry (a norm's order, a variance's correction). */
  readonly params?: readonly number[];
}

export interface ReduceTypes {
  readonly compute: DType;
  /** One for each output. */
  readonly results: readonly DType[];
}

export interface ReduceEntry {
  /** Dtypes for an operand's, and for the dtype asked for. @throws DTypeError */
  readonly type: (operand: DType, asked: DType | undefined) => ReduceTypes;
  /**
   * The one launch that it takes, which may depend on the attributes; or, where it takes several, how to issue them.
   */
  readonly reduction: Reduction | ((attrs: ReduceAttrs) => Reduction);
  readonly issue?: (x: LocalValue, attrs: ReduceAttrs, compute: DType, outputs: readonly LocalValue[]) => void;
  /** There is no result without elements: a reduced dimension of size 0 is refused. */
  readonly nonEmpty?: boolean;
  readonly grad?: GradientTable<ReduceAttrs>;
  readonly gradName?: string;
  readonly overload?: Op<ReduceAttrs>["overload"];
}

export interface ReduceOp extends Op<ReduceAttrs> {
  readonly kind: "reduce";
  readonly entry: ReduceEntry;
}

export function defineReduce(name: string, entry: ReduceEntry): ReduceOp {
  const { nonEmpty = false, reduction } = entry;
  const issue =
    entry.issue ??
    ((x, attrs, compute, outputs) =>
      launchReduction(
        typeof reduction === "function" ? reduction(attrs) : reduction,
        compute,
        [x],
        x.shape,
        attrs.dims,
        outputs,
        attrs.params,
      ));

  return {
    name,
    kind: "reduce",
    gradName: entry.gradName ?? pascal(name),
    overload: entry.overload,
    isView: false,
    outputs: 1,
    entry,
    gradientOf: gradientLookup(entry.grad),

    infer([x], attrs): Meta[] {
      const { shape, dtype } = x as Meta;
      if (nonEmpty) assertElements(shape, attrs.dims, name);
      const { results } = entry.type(dtype, attrs.dtype);
      const remaining = reducedShape(shape, attrs.dims, attrs.keepdim);
      return results.map((result) => ({ shape: remaining, dtype: result }));
    },

    run([input], attrs, metas, target): LocalValue[] {
      const x = input as LocalValue;
      const { compute } = entry.type(x.dtype, attrs.dtype);
      const outputs = metas.map((meta) => allocate(x.device, meta.shape, meta.dtype));
      issue(x, attrs, compute, outputs);
      if (target === undefined) return outputs;
      copyInto(outputs[0], target);
      outputs[0].storage.dispose();
      return [target, ...outputs.slice(1)];
    },
  };
}

/** What remains of a shape; `dims` are ascending. */
export function reducedShape(shape: Shape, dims: readonly number[], keepdim: boolean): Shape {
  if (dims.length === 0) return shape;
  if (keepdim) return shape.map((size, dim) => (dims.includes(dim) ? 1 : size));
  return shape.filter((_, dim) => !dims.includes(dim));
}

function assertElements(shape: Shape, dims: readonly number[], op: string): void {
  const empty = dims.find((dim) => shape[dim] === 0);
  if (empty === undefined) return;
  throw new ShapeError(
    dims.length === shape.length && shape.length > 1
      ? `${op}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument.`
      : `${op}(): Expected reduction dim ${empty} to have non-zero size.`,
    { op },
  );
}

/** One dimension or several; undefined, null and an empty list mean all. */
export type Dims = number | readonly number[] | null;

const mostDims = 64;

/** One dimension or several were given. */
export function isNamed(dim: Dims | undefined): boolean {
  return typeof dim === "number" || (Array.isArray(dim) && dim.length > 0);
}

/** The overload of a reduction that PyTorch has twice: of all elements, and over dimensions. */
export const overNamed: Op<ReduceAttrs>["overload"] = ({ named }) => (named === true ? 1 : 0);

/**
 * The dimensions that a caller named, checked and ascending.
 * @throws ShapeError
 */
export function dimsOf(x: Tensor, dim: Dims | undefined, op: string): readonly number[] {
  if (x.dim() > mostDims) throw new ShapeError(`only tensors with up to ${mostDims} dims are supported`, { op });
  return normalizeDims(dim ?? undefined, x.dim(), op);
}

/**
 * A reduction's result (or its gradient) with the reduced dimensions as 1, so that it broadcasts against the operand.
 */
export function restored(
  result: Tensor,
  shape: Shape,
  { dims, keepdim }: Pick<ReduceAttrs, "dims" | "keepdim">,
): Tensor {
  return keepdim || dims.length === 0 ? result : result.reshape(reducedShape(shape, dims, true));
}

/** How many elements are reduced to one. */
export function countOf(shape: Shape, dims: readonly number[]): number {
  return dims.reduce((count, dim) => count * shape[dim], 1);
}

// --- dtype rules -----------------------------------------------------------------------------------------------------

/** Sums and products: whole numbers and bools become int64. */
export function widening(operand: DType, asked: DType | undefined): ReduceTypes {
  const compute = asked ?? (isFloat(operand) ? operand : "int64");
  // A bool result says whether the whole-number result differs from 0.
  return { compute: compute === "bool" ? "int64" : compute, results: [compute] };
}

/** Computed in the operand's dtype (bools as bytes). */
export function same(operand: DType): ReduceTypes {
  return { compute: operand === "bool" ? "uint8" : operand, results: [operand] };
}

const scalarTypes: Readonly<Record<DType, string>> = {
  float32: "Float",
  float64: "Double",
  int32: "Int",
  int64: "Long",
  uint8: "Byte",
  bool: "Bool",
};

/** PyTorch's name of a dtype in error messages. */
export function scalarType(dtype: DType): string {
  return scalarTypes[dtype];
}

/** Floats only; `message` tells the dtype that was given. */
export function floatsOnly(
  op: string,
  message: (given: string) => string,
): (operand: DType, asked: DType | undefined) => ReduceTypes {
  return (operand, asked) => {
    const compute = asked ?? operand;
    if (!isFloat(compute))
      throw new DTypeError(message(scalarType(compute)), { op, remedy: 'Convert with .to("float32") first.' });
    return { compute, results: [compute] };
  };
}

/** The least value of a dtype, as an accumulator's start. */
export function lowest(type: DType): string {
  if (isFloat(type)) return "-Infinity";
  return isInteger(type) ? String(integerRange[type as keyof typeof integerRange][0]) : "0";
}

/** The greatest value of a dtype. */
export function highest(type: DType): string {
  if (isFloat(type)) return "Infinity";
  return isInteger(type) ? String(integerRange[type as keyof typeof integerRange][1]) : "1";
}

const integerRange = {
  uint8: ["0", "255"],
  int32: ["-2147483648", "2147483647"],
  int64: ["-9223372036854775808", "9223372036854775807"],
} as const;

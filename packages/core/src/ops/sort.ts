/** The sort table: sorting, the first few, order statistics, medians. */
import { noGrad } from "../autograd/mode.ts";
import { DTypeError, ShapeError, ValueError } from "../errors.ts";
import { isFloat } from "../tensor/dtype.ts";
import { normalizeDim } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { parameters } from "../arguments.ts";
import { applyAll } from "./dispatch.ts";
import type { ValuesIndices } from "./extrema.ts";
import { scalarType } from "./kinds/reduce.ts";
import { defineSort } from "./kinds/sort.ts";
import type { SortAttrs, SortOp } from "./kinds/sort.ts";
import { namedTuple } from "./results.ts";
import type { Optional } from "./signatures.ts";

function pair(op: SortOp, x: Tensor, attrs: SortAttrs): ValuesIndices {
  return namedTuple(["values", "indices"] as const, applyAll(op, [x], attrs));
}

/** A 0-dim tensor has one element along its one thinkable dimension. */
function lengthOf(x: Tensor, dim: number): number {
  return x.dim() === 0 ? 1 : x.shape[dim];
}

function refuseBool(x: Tensor, op: string): void {
  if (x.dtype !== "bool") return;
  throw new DTypeError(`"${op}" not implemented for '${scalarType(x.dtype)}'`, {
    op,
    remedy: 'Convert with .to("uint8") first.',
  });
}

/** `stable` and `sorted` are taken and change nothing: results are always both. */
interface SortGiven {
  readonly dim?: number;
  readonly descending?: boolean;
  readonly stable?: boolean;
}

interface TopkGiven {
  readonly dim?: number;
  readonly largest?: boolean;
  readonly sorted?: boolean;
}

const sortOp = defineSort("sort");

/**
 * Values in order along `dim` (the last), and where they stood (`torch.sort`). Always stable; NaN counts as the
 * greatest value.
 * @throws ShapeError on a dimension that does not exist
 */
export const sort = Object.assign(
  (x: Tensor, ...args: Optional<
    [dim: number, descending: boolean, stable: boolean],
    { dim: number; descending: boolean; stable: boolean }
  >): ValuesIndices => {
    const { dim = -1, descending = false } = parameters<SortGiven>("sort", ["dim", "descending", "stable"], args);
    const along = normalizeDim(dim, x.dim(), "sort");
    return pair(sortOp, x, { dim: along, descending, start: 0, count: lengthOf(x, along), keepdim: true });
  },
  { op: sortOp },
);

/** The places that `sort` gives (`torch.argsort`). */
export function argsort(
  x: Tensor,
  ...args: Optional<
    [dim: number, descending: boolean, stable: boolean],
    { dim: number; descending: boolean; stable: boolean }
  >
): Tensor {
  return noGrad(() => {
    const { values, indices } = sort(x, ...args);
    values.dispose();
    return indices;
  });
}

/** Sorts along the first dimension (`torch.msort`). */
export function msort(x: Tensor): Tensor {
  return sort(x, 0).values;
}

const topkOp = defineSort("topk");

/**
 * The `k` greatest (or least) elements along `dim`, in order, and where they stand (`torch.topk`). Of equals the first.
 * @throws ValueError where there are not `k` elements
 */
export const topk = Object.assign(
  (x: Tensor, k: number, ...args: Optional<
    [dim: number, largest: boolean, sorted: boolean],
    { dim: number; largest: boolean; sorted: boolean }
  >): ValuesIndices => {
    const { dim = -1, largest = true } = parameters<TopkGiven>("topk", ["dim", "largest", "sorted"], args);
    refuseBool(x, "topk");
    const along = normalizeDim(dim, x.dim(), "topk");
    if (!Number.isInteger(k) || k < 0 || k > lengthOf(x, along))
      throw new ValueError("selected index k out of range", { op: "topk" });
    return pair(topkOp, x, { dim: along, descending: largest, start: 0, count: k, keepdim: true });
  },
  { op: topkOp },
);

const kthvalueOp = defineSort("kthvalue");

/**
 * The `k`-th least element along `dim` (k counts from 1), and where it stands (`torch.kthvalue`).
 * @throws ValueError where there are not `k` elements
 */
export const kthvalue = Object.assign(
  (x: Tensor, k: number, ...args: Optional<
    [dim: number, keepdim: boolean],
    { dim: number; keepdim: boolean }
  >): ValuesIndices => {
    const { dim = -1, keepdim = false } = parameters<{ dim?: number; keepdim?: boolean }>(
      "kthvalue",
      ["dim", "keepdim"],
      args,
    );
    refuseBool(x, "kthvalue");
    const along = normalizeDim(dim, x.dim(), "kthvalue");
    assertElements(x, along, "kthvalue");
    if (!Number.isInteger(k) || k < 1 || k > lengthOf(x, along)) {
      throw new ValueError(`kthvalue(): selected number k out of range for dimension ${along}`, { op: "kthvalue" });
    }
    return pair(kthvalueOp, x, { dim: along, descending: false, start: k - 1, count: 1, keepdim });
  },
  { op: kthvalueOp },
);

function assertElements(x: Tensor, dim: number, op: string): void {
  if (lengthOf(x, dim) === 0)
    throw new ShapeError(`${op}(): Expected reduction dim ${dim} to have non-zero size.`, { op });
}

// --- medians ---------------------------------------------------------------------------------------------------------

/** `median()` and `median(dim, keepdim?)`, as PyTorch overloads it. */
export interface MedianFunction {
  (x: Tensor): Tensor;
  (x: Tensor, dim: number, ...rest: Optional<[keepdim: boolean], { keepdim: boolean }>): ValuesIndices;
  (x: Tensor, options: { readonly dim: number; readonly keepdim?: boolean }): ValuesIndices;
}

function medianFunction(name: "median" | "nanmedian"): MedianFunction {
  const call = (x: Tensor, ...args: unknown[]): Tensor | ValuesIndices => {
    const { dim, keepdim = false } = parameters<{ dim?: number; keepdim?: boolean }>(name, ["dim", "keepdim"], args);
    refuseBool(x, name);
    if (dim === undefined) {
      if (x.numel() === 0) return x.newFull([], NaN);
      return medianAlong(x.reshape([-1]), 0, false, name).values;
    }
    const along = normalizeDim(dim, x.dim(), name);
    assertElements(x, along, name);
    if (x.dim() > 0) return medianAlong(x, along, keepdim, name);
    const { values, indices } = medianAlong(x.reshape([1]), 0, false, name);
    return namedTuple(["values", "indices"] as const, [values, indices]);
  };
  return call as MedianFunction;
}

function medianAlong(x: Tensor, dim: number, keepdim: boolean, name: "median" | "nanmedian"): ValuesIndices {
  const places = noGrad(() => {
    const { values, indices } = sort(x, dim);
    return indices.gather(dim, middle(values, dim, name));
  });
  const values = x.gather(dim, places);
  const results = keepdim ? [values, places] : [values.squeeze(dim), places.squeeze(dim)];
  return namedTuple(["values", "indices"] as const, results);
}

/**
 * Where the median stands among sorted values, whose NaN are last: the lower of two; for `median` the first NaN, if
 * any.
 */
function middle(sorted: Tensor, dim: number, name: "median" | "nanmedian"): Tensor {
  const length = sorted.shape[dim];
  const half = Math.floor((length - 1) / 2);
  const remaining = sorted.shape.map((size, axis) => (axis === dim ? 1 : size));
  if (!isFloat(sorted.dtype)) return sorted.newFull(remaining, half, { dtype: "int64" });
  const numbers = sorted.isnan().logicalNot().sum(dim, true);
  if (name === "median") return numbers.maskedFill(numbers.eq(length), half);
  return numbers.sub(1).clamp({ min: 0 }).div(2, { roundingMode: "floor" });
}

/**
 * The middle value (of two the lower), in all or along `dim` with its place (`torch.median`). NaN where there is one.
 */
export const median = medianFunction("median");

/** As `median`, over what is not NaN (`torch.nanmedian`). */
export const nanmedian = medianFunction("nanmedian");

/** Methods whose signatures overload, which the types of `methods` cannot say. */
export interface OverloadedMethods {
  median(): Tensor;
  median(dim: number, ...rest: Optional<[keepdim: boolean], { keepdim: boolean }>): ValuesIndices;
  median(options: { readonly dim: number; readonly keepdim?: boolean }): ValuesIndices;
  nanmedian(): Tensor;
  nanmedian(dim: number, ...rest: Optional<[keepdim: boolean], { keepdim: boolean }>): ValuesIndices;
  nanmedian(options: { readonly dim: number; readonly keepdim?: boolean }): ValuesIndices;
}

export const overloaded = { median, nanmedian };

export const methods = { sort, argsort, msort, topk, kthvalue };

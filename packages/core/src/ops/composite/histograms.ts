/** How many elements fall into each of adjoining intervals. Counts have no gradient. */
import { noGrad } from "../../autograd/mode.ts";
import { DTypeError, ShapeError, ValueError } from "../../errors.ts";
import { linspace } from "../../tensor/creation.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { sameShape } from "../../tensor/shape.ts";
import { isTensor } from "../../tensor/tensor.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { parameters } from "../../arguments.ts";
import { scalarType } from "../kinds/reduce.ts";
import { namedTuple } from "../results.ts";
import type { NamedTuple } from "../results.ts";
import { searchsorted } from "../search.ts";
import type { Optional } from "../signatures.ts";

type Range = readonly [from: number, to: number];

function assertFloat(op: string, x: Tensor): void {
  if (isFloat(x.dtype)) return;
  throw new DTypeError(`"${op}" not implemented for '${scalarType(x.dtype)}'`, {
    op,
    remedy: 'Convert with .to("float32") first.',
  });
}

function assertBins(op: string, bins: number): void {
  if (!Number.isInteger(bins) || bins <= 0)
    throw new ValueError(`${op}(): bins must be > 0, but got ${bins} for dimension 0`, { op });
}

/** The ends of the intervals: those given, or the least and the greatest element; `margin` widens an empty range. */
function rangeOf(op: string, x: Tensor, given: Range | undefined, margin: number): Range {
  let [from, to] = given ?? (x.numel() === 0 ? [0, 1] : [x.amin().itemSync(), x.amax().itemSync()].map(Number));
  if (!Number.isFinite(from) || !Number.isFinite(to))
    throw new ValueError(`${op}(): range of [${from}, ${to}] is not finite`, { op });
  if (from > to) throw new ValueError(`${op}(): min should not exceed max, but got min ${from} max ${to}`, { op });
  if (from === to) [from, to] = [from - margin, to + margin];
  return [from, to];
}

/** The sum, for each of `bins`, of the weights of the elements that are in it; `inside` says which count. */
function tally(bin: Tensor, inside: Tensor, bins: number, weight: Tensor): Tensor {
  return weight.newZeros([bins]).scatterAdd(0, bin.where(inside, 0).to("int64"), weight.where(inside, 0));
}

interface HistcGiven {
  readonly bins?: number;
  readonly min?: number;
  readonly max?: number;
}

/**
 * How many elements are in each of `bins` (100) equal intervals from `min` to `max`, both included; others and NaN are
 * ignored (`torch.histc`): [bins], of the dtype of `x`. Where `min` equals `max` (0), the range is that of the
 * elements, and the call waits for the device.
 * @throws DTypeError on whole numbers, ValueError on a range that is not finite or runs backwards
 */
export function histc(x: Tensor, ...args: Optional<[bins: number, min: number, max: number]>): Tensor {
  const op = "histc";
  const { bins = 100, min = 0, max = 0 } = parameters<HistcGiven>(op, ["bins", "min", "max"], args);
  assertFloat(op, x);
  assertBins(op, bins);
  return noGrad(() => {
    const [from, to] = rangeOf(op, x, min === max && x.numel() > 0 ? undefined : [min, max], 1);
    const flat = x.reshape([-1]);
    const bin = flat.sub(from).mul(bins).div(to - from);
    const inside = flat.ge(from).logicalAnd(flat.le(to));
    return tally(bin.clamp({ max: bins - 1 }), inside, bins, flat.newOnes(flat.shape));
  });
}

interface HistogramGiven {
  readonly range?: Range | null;
  readonly weight?: Tensor | null;
  readonly density?: boolean;
}

/** `binEdges` [bins + 1] are the ends of the intervals of which `hist` [bins] counts the elements. */
export type Histogram = NamedTuple<"hist" | "binEdges", Tensor>;

/**
 * How many elements, or how much of their `weight`, is in each interval between neighbouring edges, of which the last
 * includes its end (`torch.histogram`). `bins` gives the edges [bins + 1], ascending, or how many equal intervals there
 * are over `range` (by default the elements' own, for which the call waits for the device). With `density` the integral
 * over all intervals is 1.
 * @throws DTypeError on whole numbers and where dtypes differ, ShapeError, ValueError
 */
export function histogram(
  x: Tensor,
  bins: number | Tensor,
  ...args: Optional<[range: Range | null, weight: Tensor | null, density: boolean]>
): Histogram {
  const op = "histogram";
  const names = ["range", "weight", "density"] as const;
  const { range, weight, density = false } = parameters<HistogramGiven>(op, names, args);
  assertFloat(op, x);
  if (isTensor(bins)) assertEdges(x, bins, range);
  else assertBins(op, bins);
  if (isTensor(weight)) assertWeight(x, weight);
  return noGrad(() => {
    const flat = x.reshape([-1]);
    const edges = isTensor(bins)
      ? bins.detach().clone()
      : linspace(...rangeOf(op, x, range ?? undefined, 0.5), bins + 1, { dtype: x.dtype, device: x.device });
    const count = edges.numel() - 1;
    const bin = searchsorted(edges, flat, { right: true }).sub(1).clamp({ min: 0, max: count - 1 });
    const inside = flat.ge(edges.select(0, 0)).logicalAnd(flat.le(edges.select(0, count)));
    const counts = tally(bin, inside, count, weight?.reshape([-1]) ?? flat.newOnes(flat.shape));
    const hist = density ? counts.div(counts.sum()).div(edges.diff()) : counts;
    return namedTuple(["hist", "binEdges"] as const, [hist, edges]);
  });
}

function assertEdges(x: Tensor, edges: Tensor, range: Range | null | undefined): void {
  const op = "histogram";
  if (edges.dim() !== 1 || edges.numel() < 2)
    throw new ShapeError("histogram(): bins tensor should have one dimension and at least 2 elements", { op });
  if (edges.dtype !== x.dtype)
    throw new DTypeError("histogram(): input tensor and bins tensors should have the same dtype", { op });
  if (range !== undefined && range !== null)
    throw new ValueError("histogram(): a range goes with a number of bins, not with their edges", { op });
}

function assertWeight(x: Tensor, weight: Tensor): void {
  const op = "histogram";
  if (weight.dtype !== x.dtype)
    throw new DTypeError(
      "histogram(): if weight tensor is provided, input tensor and weight tensor should have the same dtype",
      { op },
    );
  if (!sameShape(weight.shape, x.shape))
    throw new ShapeError(
      "histogram(): if weight tensor is provided it should have the same shape as the input tensor",
      { op },
    );
}

interface BincountGiven {
  readonly weights?: Tensor | null;
  readonly minlength?: number;
}

/**
 * How often, or with what sum of `weights`, each whole number from 0 to the greatest occurs in `x` [n], for at least
 * `minlength` numbers (`torch.bincount`): int64 without weights, otherwise their dtype (of whole numbers float64).
 * Waits for the device.
 * @throws DTypeError, ShapeError, ValueError on negative numbers
 */
export function bincount(x: Tensor, ...args: Optional<[weights: Tensor | null, minlength: number]>): Tensor {
  const op = "bincount";
  const { weights, minlength = 0 } = parameters<BincountGiven>(op, ["weights", "minlength"], args);
  if (isFloat(x.dtype) || x.dtype === "bool")
    throw new DTypeError(`"bincount_cpu" not implemented for '${scalarType(x.dtype)}'`, { op });
  if (!Number.isInteger(minlength) || minlength < 0) throw new ValueError("minlength should be >= 0", { op });
  if (x.dim() !== 1) throw new ShapeError("bincount only supports 1-d non-negative integral inputs.", { op });
  if (isTensor(weights) && !sameShape(weights.shape, x.shape))
    throw new ShapeError("weights should be 1-d and have the same length as input", { op });
  return noGrad(() => {
    const empty = x.numel() === 0;
    if (!empty && x.amin().itemSync() < 0)
      throw new ValueError("bincount only supports 1-d non-negative integral inputs.", { op });
    const length = Math.max(minlength, empty ? 0 : Number(x.amax().itemSync()) + 1);
    const counted = weights ?? x.newOnes(x.shape, { dtype: "int64" });
    const added = isTensor(weights) && !isFloat(weights.dtype) ? counted.to("float64") : counted;
    return added.newZeros([length]).scatterAdd(0, x.to("int64"), added);
  });
}

export const methods = { histc, histogram, bincount };

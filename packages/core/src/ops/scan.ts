/** The scan table: running sums, products, extremes. */
import { DTypeError } from "../errors.ts";
import type { Expr } from "../kernel/build.ts";
import { isFloat } from "../tensor/dtype.ts";
import type { DType } from "../tensor/dtype.ts";
import { normalizeDim } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { parameters } from "../arguments.ts";
import { apply, applyAll } from "./dispatch.ts";
import { highest, lowest, scalarType, widening } from "./kinds/reduce.ts";
import { defineScan } from "./kinds/scan.ts";
import type { ScanAttrs, ScanEntry, ScanOp } from "./kinds/scan.ts";
import { from } from "./op.ts";
import type { Op } from "./op.ts";
import { namedTuple } from "./results.ts";
import type { NamedTuple } from "./results.ts";
import type { Optional } from "./signatures.ts";

type ScanArguments = Optional<[dim: number, dtype: DType], { dim: number; dtype: DType }>;

/** @throws ShapeError on a dimension that does not exist or is missing */
function scanAttrs(op: string, x: Tensor, args: ScanArguments): ScanAttrs {
  const { dim, dtype } = parameters<{ dim: number; dtype?: DType }>(op, ["dim", "dtype"], args);
  return { dim: normalizeDim(dim, x.dim(), op), reverse: false, exclusive: false, dtype };
}

function scan(op: ScanOp): ((x: Tensor, ...args: ScanArguments) => Tensor) & { readonly op: Op<ScanAttrs> } {
  return Object.assign((x: Tensor, ...args: ScanArguments) => apply(op, [x], scanAttrs(op.name, x, args)), { op });
}

/** Runs against the scan whose gradient it is part of. */
function backwards({ dim, reverse }: ScanAttrs, exclusive: boolean): ScanAttrs {
  return { dim, reverse: !reverse, exclusive };
}

const sumOp = defineScan("cumsum", {
  type: widening,
  accumulators: (type) => [{ type, init: "0" }],
  step: ([acc], [x]) => [acc.add(x)],
  grad: { a: (g, _saved, attrs) => apply(sumOp, [g], backwards(attrs, attrs.exclusive)) },
});

/** Running sum along `dim` (`torch.cumsum`); whole numbers and bools give int64. */
export const cumsum = scan(sumOp);

/**
 * The first-order recurrence h[k] = a[k] * h[k-1] + b[k] from h[-1] = 0. Gradients of running products and of itself
 * are recurrences again, which need no division.
 */
const recurrenceOp = defineScan("recurrence", {
  type: (operand) => ({ compute: operand, results: [operand] }),
  accumulators: (type) => [{ type, init: "0" }],
  step: ([acc], [a, b]) => [acc.mul(a).add(b)],
  grad: {
    a: from("ab", (g, { a, b }, attrs) =>
      carried(g, a, attrs).mul(apply(recurrenceOp, [a, b], { ...attrs, exclusive: true })),
    ),
    b: from("a", (g, { a }, attrs) => carried(g, a, attrs)),
  },
});

/**
 * What arrives at state k of a recurrence with factors `a`: g[k] + a[k+1] * (what arrives at k+1); exclusive: from k+1
 * on.
 */
function carried(g: Tensor, a: Tensor, attrs: ScanAttrs): Tensor {
  const back = backwards(attrs, true);
  return attrs.exclusive ? apply(recurrenceOp, [a, g], back) : g.add(apply(recurrenceOp, [a, a.mul(g)], back));
}

const productOp = defineScan("cumprod", {
  type: widening,
  accumulators: (type) => [{ type, init: "1" }],
  step: ([acc], [x]) => [acc.mul(x)],
  grad: {
    // The product of all before, times what the products from here on pass back.
    a: from("a", (g, { a }, attrs) => apply(productOp, [a], { ...attrs, exclusive: true }).mul(carried(g, a, attrs))),
  },
});

/** Running product along `dim` (`torch.cumprod`); whole numbers and bools give int64. */
export const cumprod = scan(productOp);

/** `cumprod` in either direction, with or without the current element (gradients of products are made of these). */
export function cumulativeProduct(x: Tensor, attrs: ScanAttrs): Tensor {
  return apply(productOp, [x], attrs);
}

const logsumexpOp = defineScan("logcumsumexp", {
  type: (operand) => {
    if (isFloat(operand)) return { compute: operand, results: [operand] };
    throw new DTypeError(`"logcumsumexp" not implemented for '${scalarType(operand)}'`, { op: "logcumsumexp" });
  },
  accumulators: (type) => [{ type, init: "-Infinity" }],
  step: ([acc], [x]) => [logAddExp(acc, x)],
  grad: {
    // dx[i] = sum over j from i on of g[j] exp(x[i] - y[j]), as a recurrence over exp(y[j-1] - y[j]), which is at most
    // 1.
    a: from("a", (g, { a }, attrs) => {
      const before = apply(logsumexpOp, [a], { ...attrs, exclusive: true });
      const after = apply(logsumexpOp, [a], { ...attrs, exclusive: false });
      const ratio = before.sub(after).exp().maskedFill(after.eq(-Infinity), 0);
      return carried(g, ratio, attrs).mul(a.sub(after).exp());
    }),
  },
});

function logAddExp(a: Expr, b: Expr): Expr {
  const most = a.max(b);
  const least = a.min(b);
  return most.eq(least).and(most.abs().eq(Infinity)).where(most, least.sub(most).exp().log1p().add(most));
}

/** log of the running sum of exponentials along `dim` (`torch.logcumsumexp`). @throws DTypeError on whole numbers */
export const logcumsumexp = scan(logsumexpOp);

/** The extreme so far and its place; the latest of equals, and any NaN, takes over. */
function runningExtreme(name: string, start: (type: DType) => string, compare: "ge" | "le"): ScanEntry {
  return {
    type: (operand) => ({ compute: operand === "bool" ? "uint8" : operand, results: [operand, "int64"] }),
    accumulators: (type) => [
      { type, init: start(type) },
      { type: "int32", init: "0" },
    ],
    step: ([best, place], [x], position) => {
      // Against a NaN that is held every comparison is false: only another NaN takes over.
      const takes = isFloat(x.type) ? x.isNaN().or(x.compare(compare, best)) : x.compare(compare, best);
      return [takes.where(x, best), takes.where(position, place)];
    },
    grad: {
      a: from("z", (g, { z, inputs: [x] }, { dim }) =>
        x === undefined ? undefined : g.newZeros(x.shape).scatterAdd(dim, z, g),
      ),
    },
    gradName: name,
  };
}

type RunningExtreme = NamedTuple<"values" | "indices", Tensor>;

function extremeFunction(
  op: ScanOp,
): ((x: Tensor, ...args: Optional<[dim: number], { dim: number }>) => RunningExtreme) & { readonly op: Op<ScanAttrs> } {
  const call = (x: Tensor, ...args: Optional<[dim: number], { dim: number }>): RunningExtreme =>
    namedTuple(["values", "indices"] as const, applyAll(op, [x], scanAttrs(op.name, x, args)));
  return Object.assign(call, { op });
}

/** Running maximum along `dim` and where it stands (`torch.cummax`). */
export const cummax = extremeFunction(defineScan("cummax", runningExtreme("Cummax", lowest, "ge")));

/** Running minimum along `dim` and where it stands (`torch.cummin`). */
export const cummin = extremeFunction(defineScan("cummin", runningExtreme("Cummin", highest, "le")));

export const methods = { cumsum, cumprod, logcumsumexp, cummax, cummin };

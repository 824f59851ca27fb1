/** Vector norms: one kernel for each order that has a cheaper form than |x|^p, one for all others. */
import { ShapeError, ValueError } from "../errors.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { parameters } from "../arguments.ts";
import { apply } from "./dispatch.ts";
import { defineReduce, dimsOf, floatsOnly, restored } from "./kinds/reduce.ts";
import type { Dims, ReduceAttrs, ReduceEntry } from "./kinds/reduce.ts";
import type { Reduction } from "./kinds/reduction.ts";
import { from } from "./op.ts";
import type { Optional } from "./signatures.ts";

const start =
  (init: string): Reduction["accumulators"] =>
  (type) => [{ type, init }];

const special = new Map<number, Reduction>([
  [
    0,
    {
      name: "norm",
      params: 1,
      accumulators: start("0"),
      step: ([acc], [x]) => [acc.add(x.ne(0).where(1, x.constant(0)))],
    },
  ],
  [1, { name: "norm", params: 1, accumulators: start("0"), step: ([acc], [x]) => [acc.add(x.abs())] }],
  [
    2,
    {
      name: "norm",
      params: 1,
      accumulators: start("0"),
      step: ([acc], [x]) => [acc.add(x.square())],
      finish: ([acc]) => [acc.sqrt()],
    },
  ],
  [Infinity, { name: "norm", params: 1, accumulators: start("0"), step: ([acc], [x]) => [acc.max(x.abs())] }],
  [-Infinity, { name: "norm", params: 1, accumulators: start("Infinity"), step: ([acc], [x]) => [acc.min(x.abs())] }],
]);

const general: Reduction = {
  name: "norm",
  params: 1,
  accumulators: start("0"),
  step: ([acc], [x], { param }) => [acc.add(x.abs().pow(param(0)))],
  finish: ([acc], { param }) => [acc.pow(param(0).reciprocal())],
};

/** The reduction that is the norm of order `p`; its param is `p`. */
export function normReduction(p: number): Reduction {
  return special.get(p) ?? general;
}

/** Subgradients at 0 are 0 (PyTorch's `norm_backward`). `norm` has the reduced dimensions as 1. */
export function normGradient(g: Tensor, x: Tensor, norm: Tensor, p: number): Tensor {
  if (p === 0) return g.mul(0).expand(x.shape);
  if (p === 1) return g.mul(x.sign());
  if (p === 2) return g.mul(x.div(norm).maskedFill(norm.eq(0), 0));
  if (Math.abs(p) === Infinity) {
    const reached = x.abs().eq(norm).to(g.dtype);
    return g.div(reached.sum(notBroadcast(norm, x), true)).mul(x.sign().mul(reached));
  }
  if (p < 1)
    return x
      .sign()
      .mul(x.abs().pow(p - 1))
      .maskedFill(x.eq(0), 0)
      .mul(g.mul(norm.pow(1 - p)));
  const scale = g.div(norm.pow(p - 1)).maskedFill(norm.eq(0), 0);
  return (p < 2 ? x.sign().mul(x.abs().pow(p - 1)) : x.mul(x.abs().pow(p - 2))).mul(scale);
}

/** The dimensions in which `y` repeats to the shape of `x`. */
function notBroadcast(y: Tensor, x: Tensor): number[] {
  return x.shape.map((_, dim) => dim).filter((dim) => y.shape[dim] === 1);
}

function normEntry(
  dtypeText: (given: string) => string,
  name: string,
  overload: ReduceEntry["overload"],
): ReduceEntry {
  return {
    type: floatsOnly(name, dtypeText),
    reduction: ({ params: [p] = [2] }) => normReduction(p),
    overload,
    grad: {
      a: from("ay", (g, { a, y }, attrs) => {
        const [p] = attrs.params ?? [2];
        const x = a.dtype === y.dtype ? a : a.to(y.dtype);
        return normGradient(restored(g, a.shape, attrs), x, restored(y, a.shape, attrs), p);
      }),
    },
  };
}

const normOp = defineReduce(
  "norm",
  normEntry(
    (given) => `norm(): input dtype should be either floating point or complex. Got ${given} instead.`,
    "norm",
    () => 1,
  ),
);

const vectorNormOp = defineReduce(
  "linalgVectorNorm",
  normEntry(
    (given) => `linalg.vector_norm: Expected a floating point or complex tensor as input. Got ${given}`,
    "linalgVectorNorm",
    undefined,
  ),
);

/** The reduction without its root. */
function unfinished({ finish: _root, ...sums }: Reduction): Reduction {
  return { ...sums, name: "powerSum" };
}

const squareSum = unfinished(normReduction(2));
const generalSum = unfinished(general);

/** Sums of |x|^p, p-norms before the root: parts of a whole simply add up. Without a gradient. */
export const powerSumOp = defineReduce("powerSum", {
  type: floatsOnly("powerSum", (given) => `powerSum(): expected a floating point tensor, got ${given}`),
  reduction: ({ params: [p] = [2] }) => (p === 2 ? squareSum : p === 1 ? normReduction(1) : generalSum),
});

/** The sum of |x|^p over all elements, for p above 0 and finite. */
export function powerSum(x: Tensor, p: number): Tensor {
  return apply(powerSumOp, [x], { dims: dimsOf(x, undefined, "powerSum"), keepdim: false, params: [p] });
}

/** A norm's order as PyTorch names it. */
export type NormOrder = number | "fro" | "nuc";

interface NormGiven {
  readonly p?: NormOrder | null;
  readonly dim?: Dims;
  readonly keepdim?: boolean;
  readonly dtype?: DType;
}

/**
 * The p-norm of the elements over dimensions, all by default (`torch.norm`); "fro" is p = 2.
 * @throws ValueError for "nuc", which needs singular values, and other names
 */
export function norm(
  x: Tensor,
  ...args: Optional<
    [p: NormOrder, dim: Dims, keepdim: boolean, dtype: DType],
    { p: NormOrder; dim: Dims; keepdim: boolean; dtype: DType }
  >
): Tensor {
  const { p, dim, keepdim = false, dtype } = parameters<NormGiven>("norm", ["p", "dim", "keepdim", "dtype"], args);
  if (typeof p === "string" && p !== "fro") {
    throw new ValueError(
      p === "nuc"
        ? "norm(): the nuclear norm is not available"
        : `only valid string values are 'fro' and 'nuc', found ${String(p)}`,
      { op: "norm" },
    );
  }
  return apply(normOp, [x], { dims: dimsOf(x, dim, "norm"), keepdim, dtype, params: [typeof p === "number" ? p : 2] });
}

interface VectorNormGiven {
  readonly ord?: number;
  readonly dim?: Dims;
  readonly keepdim?: boolean;
  readonly dtype?: DType;
}

/**
 * The norm of order `ord` (default 2) of vectors (`torch.linalg.vector_norm`).
 * @throws ShapeError over no elements where the order has no identity
 */
export function linalgVectorNorm(
  x: Tensor,
  ...args: Optional<
    [ord: number, dim: Dims, keepdim: boolean, dtype: DType],
    { ord: number; dim: Dims; keepdim: boolean; dtype: DType }
  >
): Tensor {
  const names = ["ord", "dim", "keepdim", "dtype"] as const;
  const { ord = 2, dim, keepdim = false, dtype } = parameters<VectorNormGiven>("linalgVectorNorm", names, args);
  const attrs: ReduceAttrs = { dims: dimsOf(x, dim, "linalgVectorNorm"), keepdim, dtype, params: [ord] };
  if ((ord < 0 || ord === Infinity) && attrs.dims.some((reduced) => x.shape[reduced] === 0)) {
    const which = String(ord).replace("Infinity", "inf");
    throw new ShapeError(
      `linalg.vector_norm cannot compute the ${which} norm on an empty tensor because the operation does not have an identity`,
      { op: "linalgVectorNorm" },
    );
  }
  return apply(vectorNormOp, [x], attrs);
}

/** The p-norm of the difference (`torch.dist`). */
export function dist(x: Tensor, y: Tensor, ...args: Optional<[p: number], { p: number }>): Tensor {
  const { p = 2 } = parameters<{ p?: number }>("dist", ["p"], args);
  return norm(x.sub(y), p);
}

export const methods = { norm, dist };

/** Distances between all pairs of rows: one reduction over two broadcast operands, so that no difference is stored. */
import { DTypeError, ShapeError, ValueError } from "../errors.ts";
import { isFloat, promoteTypes } from "../tensor/dtype.ts";
import { broadcastShapes } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { allocate } from "../tensor/value.ts";
import type { LocalValue, Meta } from "../tensor/value.ts";
import { parameters } from "../arguments.ts";
import { apply } from "./dispatch.ts";
import { scalarType } from "./kinds/reduce.ts";
import { launchReduction } from "./kinds/reduction.ts";
import type { Reduction } from "./kinds/reduction.ts";
import { copyInto } from "./moves.ts";
import { normGradient, normReduction } from "./norm.ts";
import { from } from "./op.ts";
import type { GradientRule, Op, Saved } from "./op.ts";
import type { Optional } from "./signatures.ts";

interface DistanceAttrs {
  /** The order of the norm: 0 to Infinity. */
  readonly p: number;
}

const reductions = new Map<Reduction, Reduction>();

/** The norm of a difference, from the norm. */
function ofDifference(norm: Reduction): Reduction {
  let reduction = reductions.get(norm);
  if (reduction === undefined) {
    const step: Reduction["step"] = (state, [a, b], place) => norm.step(state, [a.sub(b)], place);
    reductions.set(norm, (reduction = { ...norm, name: "cdist", step }));
  }
  return reduction;
}

/** Beyond as many rows of either operand the gradient of Euclidean distances is a matrix product, as PyTorch has it. */
const fewRows = 25;

/**
 * The gradient for `a` [..., p, 1, m]; that for `b` is its counterpart with the other sign. Where the distance is 0,
 * the subgradient is 0; in the maximum norm each of several greatest differences gets the whole gradient.
 */
function gradientOf(g: Tensor, { a, b, y }: Saved, p: number, ofFirst: boolean): Tensor {
  if (p === 2 && Math.max(...y.shape.slice(-2)) > fewRows) {
    const ratio = g.div(y).maskedFill(y.eq(0), 0);
    const [rows, others] = [a.squeeze(-2), b.squeeze(-3)];
    return ofFirst
      ? rows.mul(ratio.sum(-1, true)).sub(ratio.matmul(others)).unsqueeze(-2)
      : others.mul(ratio.mT.sum(-1, true)).sub(ratio.mT.matmul(rows)).unsqueeze(-3);
  }
  const difference = a.sub(b);
  const distance = y.unsqueeze(-1);
  const gradient =
    p === Infinity
      ? g.unsqueeze(-1).mul(difference.sign().mul(difference.abs().eq(distance).to(g.dtype)))
      : normGradient(g.unsqueeze(-1), difference, distance, p);
  return ofFirst ? gradient : gradient.neg();
}

const gradients: readonly GradientRule<DistanceAttrs>[] = [true, false].map((ofFirst) =>
  from("aby", (g, saved, { p }) => gradientOf(g, saved, p, ofFirst)),
);

/** Inputs: [..., p, 1, m] and [..., 1, r, m]; the last dimension goes. */
const cdistOp: Op<DistanceAttrs> = {
  name: "cdist",
  kind: "composite",
  gradName: "Cdist",
  isView: false,
  outputs: 1,
  gradientOf: (input) => gradients[input],

  infer(inputs): Meta[] {
    const [a, b] = inputs as readonly Meta[];
    const shape = broadcastShapes([a.shape, b.shape], "cdist").slice(0, -1);
    return [{ shape, dtype: promoteTypes(a.dtype, b.dtype) }];
  },

  run(inputs, { p }, [meta], target): LocalValue[] {
    const [a, b] = inputs as readonly LocalValue[];
    const out = allocate(a.device, meta.shape, meta.dtype);
    const shape = [...meta.shape, a.shape[a.shape.length - 1]];
    launchReduction(ofDifference(normReduction(p)), meta.dtype, [a, b], shape, [shape.length - 1], [out], [p]);
    if (target === undefined) return [out];
    copyInto(out, target);
    out.storage.dispose();
    return [target];
  },
};

const computeModes = [
  "use_mm_for_euclid_dist_if_necessary",
  "use_mm_for_euclid_dist",
  "donot_use_mm_for_euclid_dist",
] as const;

/** PyTorch's names of ways to compute Euclidean distances. */
export type ComputeMode = (typeof computeModes)[number];

interface Given {
  readonly p?: number;
  readonly computeMode?: ComputeMode | null;
}

/**
 * The p-norm distance of each row of `x1` [..., p, m] to each row of `x2` [..., r, m]: [..., p, r] (`torch.cdist`).
 * `computeMode` is taken and changes nothing: distances are always those of the differences, without the cancellation
 * of the form by matrix products.
 * @throws ShapeError, DTypeError, ValueError for a negative `p`
 */
export function cdist(x1: Tensor, x2: Tensor, ...args: Optional<[p: number, computeMode: ComputeMode]>): Tensor {
  const op = "cdist";
  const { p = 2, computeMode } = parameters<Given>(op, ["p", "computeMode"], args);
  [x1, x2].forEach((x, i) => {
    const given = `X${i + 1} got: `;
    if (!isFloat(x.dtype))
      throw new DTypeError(`cdist only supports floating-point dtypes, ${given}${scalarType(x.dtype)}`, { op });
    if (x.dim() < 2) throw new ShapeError(`cdist only supports at least 2D tensors, ${given}${x.dim()}D`, { op });
  });
  const [columns, others] = [x1.size(-1), x2.size(-1)];
  if (columns !== others)
    throw new ShapeError(`X1 and X2 must have the same number of columns. X1: ${columns} X2: ${others}`, { op });
  if (!(p >= 0)) throw new ValueError("cdist only supports non-negative p values", { op });
  if (computeMode !== undefined && computeMode !== null && !computeModes.includes(computeMode))
    throw new ValueError(`${String(computeMode)} is not a valid value for compute_mode`, { op });
  return apply(cdistOp, [x1.unsqueeze(-2), x2.unsqueeze(-3)], { p });
}

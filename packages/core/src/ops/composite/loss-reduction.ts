/** What losses share: reductions of single places' losses, and their checks. */
import { ValueError } from "../../errors.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { parameters } from "../../arguments.ts";
import { apply } from "../dispatch.ts";
import { tensorOperand } from "../elementwise.ts";
import type { ElementwiseOp } from "../kinds/elementwise.ts";
import { dimsOf } from "../kinds/reduce.ts";
import type { ReduceAttrs } from "../kinds/reduce.ts";
import { pascal } from "../op.ts";
import type { Op } from "../op.ts";
import { mean, sum } from "../reduce.ts";

/** What becomes of the losses of single places. */
export type Reduction = "none" | "mean" | "sum";

export type Maybe = Tensor | null | undefined;

/** The option that all losses have. */
export interface Reduced {
  readonly reduction?: Reduction;
}

/** @throws ValueError on an unknown reduction */
export function checkReduction(op: string, reduction: string): void {
  if (!["none", "mean", "sum"].includes(reduction))
    throw new ValueError(`${reduction} is not a valid value for reduction`, { op });
}

type Total = Readonly<Record<"mean" | "sum", Op<ReduceAttrs>>>;

/** The mean and the sum of a loss that is one op in PyTorch: autograd knows them by the loss's name. */
export function totalOf(gradName: string): Total {
  return { mean: { ...mean.op, gradName }, sum: { ...sum.op, gradName } };
}

const totals = new Map<string, Total>(
  [
    "mseLoss",
    "smoothL1Loss",
    "huberLoss",
    "softMarginLoss",
    "binaryCrossEntropy",
    "binaryCrossEntropyWithLogits",
  ].map((op) => [op, totalOf(pascal(op))]),
);

const plain: Total = { mean: mean.op, sum: sum.op };

/** @throws ValueError on an unknown reduction */
export function reduce(op: string, losses: Tensor, reduction: Reduction, total = totals.get(op) ?? plain): Tensor {
  checkReduction(op, reduction);
  if (reduction === "none") return losses;
  return apply(total[reduction], [losses], { dims: dimsOf(losses, undefined, op), keepdim: false });
}

/** @throws DTypeError for what are no tensors */
export function checkPair(op: string, input: Tensor, target: Tensor): void {
  tensorOperand(op, input);
  tensorOperand(op, target, "target");
}

/** A shape, for messages. */
export function textOf(x: Tensor): string {
  return `[${x.shape.join(", ")}]`;
}

/** A loss of input and target places: `f(input, target, { reduction })`. */
export function pointwise(op: ElementwiseOp): (input: Tensor, target: Tensor, options?: Reduced) => Tensor {
  return (input, target, ...args) => {
    const { reduction = "mean" } = parameters<Reduced>(op.name, ["reduction"], args);
    checkReduction(op.name, reduction);
    checkPair(op.name, input, target);
    return reduce(op.name, apply(op, [input, target], []), reduction);
  };
}

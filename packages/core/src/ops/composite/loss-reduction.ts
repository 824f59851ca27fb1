/** What losses share: reductions of single places' losses, and their checks. */
import { ValueError } from "../../errors.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { parameters } from "../arguments.ts";
import { apply } from "../dispatch.ts";
import type { ElementwiseOp } from "../kinds/elementwise.ts";

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

/** @throws ValueError on an unknown reduction */
export function reduce(op: string, losses: Tensor, reduction: Reduction): Tensor {
  checkReduction(op, reduction);
  if (reduction === "none") return losses;
  return reduction === "mean" ? losses.mean() : losses.sum();
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
    return reduce(op.name, apply(op, [input, target], []), reduction);
  };
}

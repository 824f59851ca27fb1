/** Yes-or-no questions about whole tensors. The answer is a JavaScript boolean, so each blocks until the data is there. */
import { sameShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { isclose } from "./comparison.ts";
import { tensorOperand } from "./elementwise.ts";

/** Whether two tensors have the same shape and elements (`torch.equal`). Blocks. */
export function equal(x: Tensor, y: Tensor): boolean {
  tensorOperand("equal", x);
  tensorOperand("equal", y, "other");
  return sameShape(x.shape, y.shape) && x.eq(y).all().itemSync() === 1;
}

/** Whether all elements are close (`torch.allclose`; arguments as of `isclose`). Blocks. */
export function allclose(x: Tensor, y: Tensor, ...args: unknown[]): boolean {
  return isclose(x, y, ...args).all().itemSync() === 1;
}

export const methods = { equal, allclose };

/** Tensors that a module trains, and tensors that it keeps. */
import { AutogradError, DTypeError } from "../errors.ts";
import { shown } from "../arguments.ts";
import { isFloat } from "../tensor/dtype.ts";
import { text } from "../tensor/reading.ts";
import { isTensor, Tensor } from "../tensor/tensor.ts";

/**
 * A leaf tensor that modules list among their parameters (`torch.nn.Parameter`). It shares the memory of the tensor it
 * is made of.
 */
export class Parameter extends Tensor {
  /** @throws AutogradError where whole numbers or booleans should get gradients */
  constructor(data: Tensor, requiresGrad = true) {
    if (!isTensor(data)) throw new DTypeError(`a Parameter is made of a tensor, not of ${shown(data)}`, { op: "Parameter" });
    if (requiresGrad && !isFloat(data.dtype)) {
      throw new AutogradError("only Tensors of floating point dtype can require gradients", {
        op: "Parameter",
        remedy: `This one holds ${data.dtype}: make it with { dtype: "float32" }.`,
      });
    }
    super(data.value, requiresGrad);
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return `Parameter containing:\n${text(this)}`;
  }
}

/** Tensors that a module trains, and tensors that it keeps. */
import { text } from "../tensor/reading.ts";
import { Tensor } from "../tensor/tensor.ts";

/**
 * A leaf tensor that modules list among their parameters (`torch.nn.Parameter`). It shares the memory of the tensor it
 * is made of.
 */
export class Parameter extends Tensor {
  constructor(data: Tensor, requiresGrad = true) {
    super(data.value, requiresGrad);
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return `Parameter containing:\n${text(this)}`;
  }
}

/** Classes as vectors. */
import { DTypeError, ValueError } from "../../errors.ts";
import { assertWhole, parameters } from "../../arguments.ts";
import { zerosLike } from "../../tensor/creation.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { tensorOperand } from "../elementwise.ts";
import { scatter } from "../scatter.ts";
import type { Optional } from "../signatures.ts";

/**
 * For each class number a vector of zeros with a one at its place (`torch.nn.functional.one_hot`): `[...]` to
 * `[..., numClasses]`. A class that is negative, or not below `numClasses`, fails on the device.
 * @param input int64
 * @param numClasses by default one more than the greatest class, which is read: that waits
 * @throws DTypeError for another dtype, ValueError for a number of classes that is none
 */
export function oneHot(input: Tensor, ...args: Optional<[numClasses: number]>): Tensor {
  const op = "oneHot";
  const { numClasses = -1 } = parameters<{ numClasses?: number }>(op, ["numClasses"], args);
  tensorOperand(op, input);
  if (input.dtype !== "int64") {
    const remedy = 'Convert the classes with .to("int64").';
    const message = `one_hot is only applicable to index tensor of type int64, but got ${input.dtype}`;
    throw new DTypeError(message, { op, remedy });
  }
  assertWhole(op, "numClasses", numClasses);
  if (input.numel() === 0 && numClasses <= 0)
    throw new ValueError("Can not infer total number of classes from empty tensor.", { op });
  const classes = numClasses === -1 ? Number(input.max().itemSync()) + 1 : numClasses;
  if (classes < 1) throw new ValueError(`num_classes should be positive, got ${classes}`, { op });
  const place = input.unsqueeze(-1);
  return scatter(zerosLike(place.expand([...input.shape, classes])), -1, place, 1);
}

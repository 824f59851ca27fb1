/** Dropout. Masks follow from the random stream and an element's index alone, so they are the same on any device. */
import { ValueError } from "../../errors.ts";
import { randLike, rand } from "../../tensor/creation.ts";
import { noGrad } from "../../autograd/mode.ts";
import type { DType } from "../../tensor/dtype.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { parameters } from "../../arguments.ts";
import { apply, applyTo } from "../dispatch.ts";
import { defineElementwise } from "../kinds/elementwise.ts";
import type { ElementwiseOp } from "../kinds/elementwise.ts";
import { from } from "../op.ts";
import type { Optional } from "../signatures.ts";

const floatsOnly: readonly DType[] = ["bool", "uint8", "int32", "int64"];

/** Keeps x * scale where the random number is at least p. */
const dropoutOp: ElementwiseOp = defineElementwise("dropout", {
  kernel: (x, random, p, scale) => random.ge(p).where(x.mul(scale), 0),
  operands: 2,
  refuses: floatsOnly,
  grad: { a: from("b", (g, { b }, params) => apply(dropoutOp, [g, b], params)) },
});

interface DropoutOptions {
  readonly p?: number;
  readonly training?: boolean;
  readonly inplace?: boolean;
}

type DropoutArguments = Optional<
  [p: number, training: boolean, inplace: boolean],
  { p: number; training: boolean; inplace: boolean }
>;

function optionsOf(op: string, args: DropoutArguments): Required<DropoutOptions> {
  const {
    p = 0.5,
    training = true,
    inplace = false,
  } = parameters<DropoutOptions>(op, ["p", "training", "inplace"], args);
  if (!(p >= 0 && p <= 1)) throw new ValueError(`dropout probability has to be between 0 and 1, but got ${p}`, { op });
  return { p, training, inplace };
}

function dropWith(x: Tensor, random: Tensor, p: number, inplace: boolean): Tensor {
  const params = [p, p === 1 ? 0 : 1 / (1 - p)];
  return inplace ? applyTo(dropoutOp, x, [x, random], params) : apply(dropoutOp, [x, random], params);
}

/**
 * Zeroes each element with probability `p` and scales the others by 1 / (1 - p) while training
 * (`torch.nn.functional.dropout`).
 * @throws ValueError unless 0 <= p <= 1
 */
export function dropout(x: Tensor, ...args: DropoutArguments): Tensor {
  const { p, training, inplace } = optionsOf("dropout", args);
  if (!training || p === 0) return x;
  return dropWith(
    x,
    noGrad(() => randLike(x)),
    p,
    inplace,
  );
}

/**
 * Zeroes whole channels (`torch.nn.functional.dropout2d` and its kin): one draw for each of the first two dimensions.
 */
export function featureDropout(x: Tensor, ...args: DropoutArguments): Tensor {
  const { p, training, inplace } = optionsOf("featureDropout", args);
  if (!training || p === 0) return x;
  const shape = x.shape.map((size, dim) => (dim < 2 ? size : 1));
  return dropWith(x, rand(shape, { dtype: x.dtype, device: x.device }), p, inplace);
}

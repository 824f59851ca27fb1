/** What entries of activation functions share: dtypes that they refuse, and the forms that write over their input. */
import { parameters } from "../arguments.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { apply, applyTo } from "./dispatch.ts";
import type { ElementwiseOp, Params } from "./kinds/elementwise.ts";
import type { Optional } from "./signatures.ts";

export const floatsOnly: readonly DType[] = ["bool", "uint8", "int32", "int64"];
export const noBools: readonly DType[] = ["bool"];
export const none: Params = [];

/** The result in fresh memory, or written over the input. */
export function activate(op: ElementwiseOp, x: Tensor, params: Params, inplace = false): Tensor {
  return inplace ? applyTo(op, x, [x], params) : apply(op, [x], params);
}

export interface InPlace {
  readonly inplace?: boolean;
}

export function onlyInPlace(name: string, args: readonly unknown[]): boolean {
  return parameters<InPlace>(name, ["inplace"], args).inplace ?? false;
}

/** An activation without numbers: `f(x)`, `f(x, { inplace: true })`. */
export function plain(op: ElementwiseOp): (x: Tensor, ...args: Optional<[inplace: boolean]>) => Tensor {
  return (x, ...args) => activate(op, x, none, onlyInPlace(op.name, args));
}

/** Choosing between values by a condition. */
import { DTypeError, ShapeError } from "../errors.ts";
import { isFloat } from "../tensor/dtype.ts";
import type { DType } from "../tensor/dtype.ts";
import { isTensor } from "../tensor/tensor.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { parameters } from "../arguments.ts";
import { apply, applyTo } from "./dispatch.ts";
import { toDType } from "./conversion.ts";
import { none, operands, tensorOperand } from "./elementwise.ts";
import type { Operand } from "./elementwise.ts";
import { defineElementwise } from "./kinds/elementwise.ts";
import { from, gradientLookup } from "./op.ts";
import type { Op } from "./op.ts";

const whereOp = defineElementwise("where", {
  conditions: 1,
  kernel: (condition, a, b) => condition.where(a, b),
  grad: { b: from("a", (g, { a }) => chosen(a, g, 0)), c: from("a", (g, { a }) => chosen(a, 0, g)) },
});

function chosen(condition: Tensor, x: Operand, y: Operand): Tensor {
  return apply(whereOp, [condition, ...operands("where", x, y)], none);
}

/**
 * `x` where `condition` holds, else `y`, all broadcast (`torch.where`). With the condition alone: `nonzero` as one tensor a dimension.
 */
export function where(condition: Tensor, x: Operand, y: Operand): Tensor {
  tensorOperand("where", condition, "condition");
  if (condition.dtype !== "bool" && condition.dtype !== "uint8") {
    throw new DTypeError(`where expected condition to be a boolean tensor, but got a tensor with dtype ${condition.dtype}`, { op: "where" });
  }
  return chosen(condition, x, y);
}

const maskedFillOp = defineElementwise("maskedFill", {
  conditions: 1,
  kernel: (mask, a, value) => mask.where(value, a),
  type: (promoted) => ({ compute: promoted, result: promoted }),
  grad: { b: from("a", (g, { a }) => chosen(a, 0, g)), c: from("a", (g, { a }) => chosen(a, g, 0)) },
});

/** As `maskedFill` with the tensor first: the written-to tensor leads in an in-place op. */
const maskedFillInPlaceOp: Op<readonly number[]> = {
  ...maskedFillOp,
  gradientOf: gradientLookup<readonly number[]>({ a: from("b", (g, { b }) => chosen(b, 0, g)), c: from("b", (g, { b }) => chosen(b, g, 0)) }),
  infer: ([x, mask, value], params) => maskedFillOp.infer([mask, x, value], params),
  run: ([x, mask, value], params, outputs, target) => maskedFillOp.run([mask, x, value], params, outputs, target),
};

/** The mask must be bool; the value, a number or a 0-dim tensor, must fit the dtype. */
function assertMask(x: Tensor, mask: Tensor, value: Operand): void {
  tensorOperand("maskedFill", mask, "mask");
  if (mask.dtype !== "bool") throw new DTypeError(`maskedFill only supports boolean masks, but got mask with dtype ${mask.dtype}`, { op: "maskedFill" });
  if (!isTensor(value)) {
    if (!isFloat(x.dtype) && !Number.isInteger(Number(value))) throw new DTypeError(`value cannot be converted to type ${x.dtype} without overflow`, { op: "maskedFill" });
  } else if (value.dim() !== 0) {
    throw new ShapeError(`maskedFill only supports a 0-dimensional value tensor, but got tensor with ${value.dim()} dimension(s).`, { op: "maskedFill" });
  }
}

/** The value in the tensor's dtype; a number beside bools would promote them. */
function filler(x: Tensor, value: Operand): Tensor | number {
  if (isTensor(value)) return toDType(value, x.dtype);
  return x.dtype === "bool" ? x.newFull([], Number(value) !== 0) : Number(value);
}

/** `x` with `value` where `mask` holds (`torch.masked_fill`). */
export function maskedFill(x: Tensor, mask: Tensor, value: Operand): Tensor {
  assertMask(x, mask, value);
  return apply(maskedFillOp, [mask, x, filler(x, value)], none);
}

const nanToNumOp = defineElementwise("nanToNum", {
  operands: 1,
  kernel: (a, nan, high, low) =>
    isFloat(a.type) ? a.isNaN().where(nan, a.eq(Infinity).where(high, a.eq(-Infinity).where(low, a))) : a,
  grad: { a: from("a", (g, { a }) => g.mul(a.isfinite().to(g.dtype))) },
});
const greatest: Partial<Record<DType, number>> = { float32: 3.4028234663852886e38, float64: Number.MAX_VALUE };

/** NaN and infinities replaced by numbers (`torch.nan_to_num`). */
export function nanToNum(x: Tensor, ...args: unknown[]): Tensor {
  const { nan = 0, posinf, neginf } = parameters<{ nan?: number | null; posinf?: number | null; neginf?: number | null }>("nanToNum", ["nan", "posinf", "neginf"], args);
  const limit = greatest[x.dtype] ?? 0;
  return apply(nanToNumOp, [x], [nan ?? 0, posinf ?? limit, neginf ?? -limit]);
}


// --- methods --------------------------------------------------------------------------------------------------------------------

export const methods = {
  nanToNum,
  maskedFill,
  where: (x: Tensor, condition: Tensor, y: Operand): Tensor => where(condition, x, y),
};

/** Methods that write to their tensor. */
export const inPlaceMethods = {
  maskedFill_(x: Tensor, mask: Tensor, value: Operand): Tensor {
    assertMask(x, mask, value);
    return applyTo(maskedFillInPlaceOp, x, [x, mask, filler(x, value)], none);
  },
};

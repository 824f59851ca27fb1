/** Comparison, logic, bits and tests of kind; all but copysign and the bitwise ones give bools. */
import { DTypeError, ValueError } from "../errors.ts";
import type { Expr } from "../kernel/build.ts";
import { isFloat } from "../tensor/dtype.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { parameters } from "../arguments.ts";
import { toDType } from "./conversion.ts";
import { apply } from "./dispatch.ts";
import { binary, inPlace, tensorOperand, unary } from "./elementwise.ts";
import { defineElementwise } from "./kinds/elementwise.ts";
import { from } from "./op.ts";

export const eq = binary("eq", { kernel: (a, b) => a.eq(b), type: "bool" });
export const ne = binary("ne", { kernel: (a, b) => a.ne(b), type: "bool" });
export const lt = binary("lt", { kernel: (a, b) => a.lt(b), type: "bool" });
export const le = binary("le", { kernel: (a, b) => a.le(b), type: "bool" });
export const gt = binary("gt", { kernel: (a, b) => a.gt(b), type: "bool" });
export const ge = binary("ge", { kernel: (a, b) => a.ge(b), type: "bool" });
const truth = (a: Expr): Expr => (a.type === "bool" ? a : a.ne(0));
export const logicalAnd = binary("logicalAnd", { kernel: (a, b) => truth(a).and(truth(b)), type: "bool" });
export const logicalOr = binary("logicalOr", { kernel: (a, b) => truth(a).or(truth(b)), type: "bool" });
export const logicalXor = binary("logicalXor", { kernel: (a, b) => truth(a).xor(truth(b)), type: "bool" });
export const logicalNot = unary("logicalNot", { kernel: (a) => truth(a).not(), type: "bool" });
const wholeOnly: readonly DType[] = ["float32", "float64"];
export const bitwiseAnd = binary("bitwiseAnd", { kernel: (a, b) => a.and(b), refuses: wholeOnly });
export const bitwiseOr = binary("bitwiseOr", { kernel: (a, b) => a.or(b), refuses: wholeOnly });
export const bitwiseXor = binary("bitwiseXor", { kernel: (a, b) => a.xor(b), refuses: wholeOnly });
export const bitwiseNot = unary("bitwiseNot", { kernel: (a) => a.not(), refuses: wholeOnly });
export const isnan = unary("isnan", { kernel: (a) => (isFloat(a.type) ? a.isNaN() : a.ne(a)), type: "bool" });
export const isinf = unary("isinf", { kernel: (a) => (isFloat(a.type) ? a.abs().eq(Infinity) : a.ne(a)), type: "bool" });
export const isfinite = unary("isfinite", { kernel: (a) => (isFloat(a.type) ? a.abs().lt(Infinity) : a.eq(a)), type: "bool" });
export const isposinf = unary("isposinf", { kernel: (a) => (isFloat(a.type) ? a.eq(Infinity) : a.ne(a)), type: "bool" });
export const isneginf = unary("isneginf", { kernel: (a) => (isFloat(a.type) ? a.eq(-Infinity) : a.ne(a)), type: "bool" });
export const isreal = unary("isreal", { kernel: (a) => a.eq(a).or(a.ne(a)), type: "bool" });
export const signbit = unary("signbit", {
  kernel: (a) => (isFloat(a.type) ? a.constant(1).copysign(a).lt(0) : a.type === "bool" ? a.ne(a) : a.lt(0)),
  type: "bool",
});
export const copysign = binary("copysign", {
  kernel: (a, b) => a.copysign(b),
  type: "float",
  grad: {
    a: from("ay", (g, { a, y }) => g.mul(y.div(a)).maskedFill(a.eq(0), 0)),
    b: (g) => g.mul(0),
  },
});
/** 0 below zero, 1 above, `values` at zero. */
export const heaviside = binary("heaviside", {
  kernel: (a, b) => (a.type === "bool" ? a.or(b) : a.eq(0).where(b, a.gt(0).where(a.constant(1), a.constant(0)))),
});

const closeOp = defineElementwise("isclose", {
  operands: 2,
  type: "bool",
  kernel: (a, b, rtol, atol, equalNan) => {
    const close = a.eq(b);
    if (!isFloat(a.type)) return close.or(a.sub(b).abs().le(atol.add(rtol.mul(b).abs())));
    const near = a.sub(b).abs().le(atol.add(rtol.mul(b).abs())).and(b.abs().lt(Infinity)).and(a.abs().lt(Infinity));
    return close.or(near).or(a.isNaN().and(b.isNaN()).and(equalNan.ne(0)));
  },
});

/** Whether |x - y| <= atol + rtol * |y|, elementwise (`torch.isclose`). */
export function isclose(x: Tensor, y: Tensor, ...args: unknown[]): Tensor {
  const { rtol = 1e-5, atol = 1e-8, equalNan = false } = parameters<{ rtol?: number; atol?: number; equalNan?: boolean }>("isclose", ["rtol", "atol", "equalNan"], args);
  if (tensorOperand("isclose", x).dtype !== tensorOperand("isclose", y).dtype) throw new DTypeError(`${x.dtype} did not match ${y.dtype}`, { op: "isclose" });
  if (rtol < 0 || atol < 0) throw new ValueError("rtol and atol must be greater than or equal to zero", { op: "isclose" });
  const [a, b] = isFloat(x.dtype) ? [x, y] : [toDType(x, "float64"), toDType(y, "float64")];
  return apply(closeOp, [a, b], [rtol, atol, equalNan ? 1 : 0]);
}


// --- methods --------------------------------------------------------------------------------------------------------------------

const inPlaceable = {
  eq, ne, lt, le, gt, ge, logicalAnd, logicalOr, logicalXor, logicalNot, bitwiseAnd, bitwiseOr, bitwiseXor, bitwiseNot, copysign, heaviside,
};

export const methods = {
  ...inPlaceable,
  isnan, isinf, isfinite, isposinf, isneginf, isreal, signbit, isclose,
  greater: gt, greaterEqual: ge, less: lt, lessEqual: le, notEqual: ne,
};

/** Methods that write to their tensor. */
export const inPlaceMethods = inPlace(inPlaceable);

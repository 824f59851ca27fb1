/** The elementwise table: arithmetic, comparison, logic, powers, exponentials, trigonometry, rounding, selection, conversion. */
import { DTypeError, ShapeError, ValueError } from "../errors.ts";
import { isFloat } from "../tensor/dtype.ts";
import type { DType } from "../tensor/dtype.ts";
import { isTensor } from "../tensor/tensor.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Expr } from "../kernel/build.ts";
import { parameters } from "./arguments.ts";
import { apply, applyTo } from "./dispatch.ts";
import { fillOp } from "./generate.ts";
import { defineElementwise } from "./kinds/elementwise.ts";
import type { ElementwiseEntry, ElementwiseOp } from "./kinds/elementwise.ts";
import { from, gradientLookup } from "./op.ts";
import type { InputName, Op, OpFunction, Saved } from "./op.ts";

/** What stands where an operand may: a tensor, a number or a boolean. */
export type Operand = Tensor | number | boolean;

type Unary = OpFunction<(x: Tensor) => Tensor, readonly number[]>;
type Binary = OpFunction<(x: Operand, y: Operand) => Tensor, readonly number[]>;

const none: readonly number[] = [];

/** An entry of one operand, as a function. */
export function unary(name: string, entry: ElementwiseEntry): Unary {
  const op = defineElementwise(name, entry);
  return Object.assign((x: Tensor) => apply(op, [tensorOperand(name, x)], none), { op });
}

/** An entry of two operands, as a function. */
export function binary(name: string, entry: ElementwiseEntry): Binary {
  const op = defineElementwise(name, entry);
  return Object.assign((x: Operand, y: Operand) => apply(op, operands(name, x, y), none), { op });
}

function tensorOperand(op: string, x: unknown): Tensor {
  if (isTensor(x)) return x;
  throw new DTypeError(`${op}(): argument 'input' must be Tensor, not ${x === null ? "null" : typeof x}`, { op });
}

/**
 * Operands as the dispatcher takes them. A boolean is the number 0 or 1, except beside a bool tensor, where the number would
 * promote: there it becomes a bool tensor too.
 * @throws DTypeError for anything that is no operand
 */
function operands(op: string, ...given: Operand[]): (Tensor | number)[] {
  const like = given.find((x) => isTensor(x));
  for (let i = 0; i < given.length; i++) {
    const x = given[i];
    if (typeof x === "number" || isTensor(x)) continue;
    if (typeof x !== "boolean" || like === undefined) {
      throw new DTypeError(`${op}(): an operand must be Tensor or number, not ${x === null ? "null" : typeof x}`, { op });
    }
    given[i] = like.dtype === "bool" ? like.newFull([], x) : Number(x);
  }
  return given as (Tensor | number)[];
}

const LN2 = Math.LN2;
const LN10 = Math.LN10;

// --- arithmetic -----------------------------------------------------------------------------------------------------------------

/** Bool operands add as logical or, as in PyTorch. */
const addOp = defineElementwise("add", {
  kernel: (a, b) => (a.type === "bool" ? a.or(b) : a.add(b)),
  grad: { a: (g) => g, b: (g) => g },
});

const addScaledOp = defineElementwise("addScaled", {
  gradName: "Add",
  operands: 2,
  kernel: (a, b, alpha) => a.add(b.mul(alpha)),
  grad: { a: (g) => g, b: (g, _saved, [alpha]) => g.mul(alpha) },
});

/** `x + alpha * y` (`torch.add`). */
export const add = Object.assign(
  (x: Operand, y: Operand, options: { readonly alpha?: number } = {}): Tensor => {
    const { alpha = 1 } = options;
    return alpha === 1 ? apply(addOp, operands("add", x, y), none) : apply(addScaledOp, operands("add", x, y), [Number(alpha)]);
  },
  { op: addOp },
);

const subOp = defineElementwise("sub", {
  kernel: (a, b) => a.sub(b),
  refuses: ["bool"],
  grad: { a: (g) => g, b: (g) => g.neg() },
});

/** `x - alpha * y` (`torch.sub`). Bool tensors are refused: use `logicalXor`. */
export const sub = Object.assign(
  (x: Operand, y: Operand, options: { readonly alpha?: number } = {}): Tensor => {
    const { alpha = 1 } = options;
    return alpha === 1 ? apply(subOp, operands("sub", x, y), none) : apply(addScaledOp, operands("sub", x, y), [-alpha]);
  },
  { op: subOp },
);

/** `y - alpha * x` (`torch.rsub`). */
export function rsub(x: Tensor, y: Operand, options: { readonly alpha?: number } = {}): Tensor {
  return sub(y, x, options);
}

export const mul = binary("mul", {
  kernel: (a, b) => (a.type === "bool" ? a.and(b) : a.mul(b)),
  grad: { a: from("b", (g, s) => times(g, s, "b")), b: from("a", (g, s) => times(g, s, "a")) },
});

const trueDiv = binary("div", {
  kernel: (a, b) => a.div(b),
  type: "float",
  grad: { a: from("b", (g, s) => g.div(s.operand("b"))), b: from("by", (g, { b, y }) => g.mul(y).div(b).neg()) },
});

/** Whole-number division by zero fails, as in PyTorch; a kernel can only say so on the device. */
function guardedDivisor(b: Expr): Expr {
  if (isFloat(b.type)) return b;
  b.graph.check(b.ne(0), b.graph.constant("int32", 0), "division-by-zero");
  return b;
}

export const floorDivide = binary("floorDivide", {
  kernel: (a, b) => {
    if (isFloat(a.type)) return floorQuotient(a, b);
    const divisor = guardedDivisor(b);
    const quotient = a.div(divisor);
    const inexact = a.sub(quotient.mul(divisor)).ne(0).and(a.lt(0).ne(divisor.lt(0)));
    return inexact.where(quotient.sub(1), quotient);
  },
  refuses: ["bool"],
  grad: { a: (g) => g.mul(0), b: (g) => g.mul(0) },
});

/** Floor of a float quotient that stays exact where a/b rounds up to a whole number (Python's floor division). */
function floorQuotient(a: Expr, b: Expr): Expr {
  const rest = a.fmod(b);
  const adjusted = rest.ne(0).and(rest.lt(0).ne(b.lt(0)));
  const quotient = adjusted.where(a.sub(rest).div(b).sub(1), a.sub(rest).div(b));
  const floored = quotient.floor();
  const near = quotient.sub(floored).gt(0.5).where(floored.add(1), floored);
  const plain = a.div(b);
  return b.eq(0).where(plain, quotient.eq(0).where(plain.mul(0).copysign(plain), near));
}

const truncDivide = binary("truncDivide", {
  gradName: "Div",
  kernel: (a, b) => (isFloat(a.type) ? a.div(b).trunc() : a.div(guardedDivisor(b))),
  refuses: ["bool"],
  grad: { a: (g) => g.mul(0), b: (g) => g.mul(0) },
});

/**
 * Division (`torch.div`): true division, or rounded with `roundingMode` "trunc" or "floor".
 * @throws ValueError on another rounding mode
 */
export const div = Object.assign(
  (x: Operand, y: Operand, options: { readonly roundingMode?: "trunc" | "floor" | null } = {}): Tensor => {
    const { roundingMode = null } = options;
    if (roundingMode === null) return trueDiv(x, y);
    if (roundingMode === "trunc") return truncDivide(x, y);
    if (roundingMode === "floor") return floorDivide(x, y);
    throw new ValueError(`div expected rounding_mode to be one of null, 'trunc', or 'floor' but found '${String(roundingMode)}'`, { op: "div" });
  },
  { op: trueDiv.op },
);

/** Remainder with the divisor's sign (`torch.remainder`, Python's %). */
export const remainder = binary("remainder", {
  kernel: (a, b) => a.mod(guardedDivisor(b)),
  refuses: ["bool"],
  grad: { a: (g) => g, b: from("ab", (g, { a, b }) => g.mul(a.div(b, { roundingMode: "floor" })).neg()) },
});

/** Remainder with the dividend's sign (`torch.fmod`, C's %). */
export const fmod = binary("fmod", {
  kernel: (a, b) => a.fmod(guardedDivisor(b)),
  refuses: ["bool"],
  grad: { a: (g) => g, b: from("ab", (g, { a, b }) => g.mul(a.div(b, { roundingMode: "trunc" })).neg()) },
});

export const neg = unary("neg", { kernel: (a) => a.neg(), refuses: ["bool"], grad: { a: (g) => g.neg() } });
export const positive = unary("positive", { kernel: (a) => a, refuses: ["bool"], grad: { a: (g) => g } });
export const abs = unary("abs", { kernel: (a) => a.abs(), refuses: ["bool"], grad: { a: from("a", (g, { a }) => g.mul(a.sign())) } });
export const sign = unary("sign", { kernel: (a) => (a.type === "bool" ? a : a.sign()), grad: { a: (g) => g.mul(0) } });
export const reciprocal = unary("reciprocal", { kernel: (a) => a.reciprocal(), type: "float", grad: { a: from("y", (g, { y }) => g.mul(y).mul(y).neg()) } });
export const square = unary("square", { kernel: (a) => (a.type === "bool" ? a : a.square()), gradName: "Pow", grad: { a: from("a", (g, { a }) => g.mul(a).mul(2)) } });

const addcmulOp = defineElementwise("addcmul", {
  operands: 3,
  kernel: (a, b, c, value) => a.add(b.mul(c).mul(value)),
  grad: {
    a: (g) => g,
    b: from("c", (g, { c }, [value]) => g.mul(c).mul(value)),
    c: from("b", (g, { b }, [value]) => g.mul(b).mul(value)),
  },
});

/** `x + value * y * z` (`torch.addcmul`). */
export function addcmul(x: Tensor, y: Tensor, z: Tensor, options: { readonly value?: number } = {}): Tensor {
  return apply(addcmulOp, [x, y, z], [options.value ?? 1]);
}

const addcdivOp = defineElementwise("addcdiv", {
  operands: 3,
  kernel: (a, b, c, value) => a.add(b.div(c).mul(value)),
  refuses: ["bool", "uint8", "int32", "int64"],
  grad: {
    a: (g) => g,
    b: from("c", (g, { c }, [value]) => g.div(c).mul(value)),
    c: from("bc", (g, { b, c }, [value]) => g.mul(b).div(c.mul(c)).mul(-value)),
  },
});

/** `x + value * y / z` (`torch.addcdiv`). */
export function addcdiv(x: Tensor, y: Tensor, z: Tensor, options: { readonly value?: number } = {}): Tensor {
  return apply(addcdivOp, [x, y, z], [options.value ?? 1]);
}

const lerpOp = defineElementwise("lerp", {
  kernel: (a, b, w) => w.abs().lt(0.5).where(a.add(w.mul(b.sub(a))), b.sub(b.sub(a).mul(w.neg().add(1)))),
  refuses: ["bool", "uint8", "int32", "int64"],
  grad: {
    a: from("c", (g, s) => g.mul(oneMinus(s, "c"))),
    b: from("c", (g, s) => times(g, s, "c")),
    c: from("ab", (g, { a, b }) => g.mul(b.sub(a))),
  },
});

/** Linear interpolation `x + weight * (end - x)` (`torch.lerp`). */
export function lerp(x: Tensor, end: Operand, weight: Operand): Tensor {
  return apply(lerpOp, operands("lerp", x, end, weight), none);
}

// --- extremes -------------------------------------------------------------------------------------------------------------------

/** The gradient goes to the greater side; equal sides share it. */
export const maximum = binary("maximum", {
  kernel: (a, b) => (a.type === "bool" ? a.or(b) : a.max(b)),
  grad: { a: from("ab", (g, { a, b }) => g.mul(share(a, b, "gt"))), b: from("ab", (g, { a, b }) => g.mul(share(b, a, "gt"))) },
});
export const minimum = binary("minimum", {
  kernel: (a, b) => (a.type === "bool" ? a.and(b) : a.min(b)),
  grad: { a: from("ab", (g, { a, b }) => g.mul(share(a, b, "lt"))), b: from("ab", (g, { a, b }) => g.mul(share(b, a, "lt"))) },
});
/** As `maximum`, but a NaN yields to the other side. */
export const fmax = binary("fmax", {
  kernel: (a, b) => (isFloat(a.type) ? b.isNaN().where(a, a.isNaN().where(b, a.max(b))) : a.type === "bool" ? a.or(b) : a.max(b)),
  grad: {
    a: from("ab", (g, { a, b }) => g.mul(a.ge(b).logicalOr(b.isnan()).to(g.dtype))),
    b: from("ab", (g, { a, b }) => g.mul(a.ge(b).logicalOr(b.isnan()).logicalNot().to(g.dtype))),
  },
});
export const fmin = binary("fmin", {
  kernel: (a, b) => (isFloat(a.type) ? b.isNaN().where(a, a.isNaN().where(b, a.min(b))) : a.type === "bool" ? a.and(b) : a.min(b)),
  grad: {
    a: from("ab", (g, { a, b }) => g.mul(a.le(b).logicalOr(b.isnan()).to(g.dtype))),
    b: from("ab", (g, { a, b }) => g.mul(a.le(b).logicalOr(b.isnan()).logicalNot().to(g.dtype))),
  },
});

const clampMinOp = defineElementwise("clampMin", {
  kernel: (a, low) => (a.type === "bool" ? a.or(low) : a.max(low)),
  gradName: "ClampMin",
  grad: { a: from("ab", (g, s) => g.mul(s.a.ge(s.operand("b")).to(g.dtype))), b: from("ab", (g, { a, b }) => g.mul(a.lt(b).to(g.dtype))) },
});
const clampMaxOp = defineElementwise("clampMax", {
  kernel: (a, high) => (a.type === "bool" ? a.and(high) : a.min(high)),
  gradName: "ClampMax",
  grad: { a: from("ab", (g, s) => g.mul(s.a.le(s.operand("b")).to(g.dtype))), b: from("ab", (g, { a, b }) => g.mul(a.gt(b).to(g.dtype))) },
});
const clampOp = defineElementwise("clamp", {
  kernel: (a, low, high) => a.max(low).min(high),
  refuses: ["bool"],
  grad: {
    a: from("abc", (g, s) => g.mul(s.a.ge(s.operand("b")).logicalAnd(s.a.le(s.operand("c"))).to(g.dtype))),
    b: from("abc", (g, s) => g.mul(s.a.lt(s.b).logicalAnd(s.b.lt(s.operand("c"))).to(g.dtype))),
    c: from("abc", (g, s) => g.mul(s.a.gt(s.c).logicalOr(s.c.lt(s.operand("b"))).to(g.dtype))),
  },
});

/** Values held between `min` and `max`, each a number or a tensor; one may be left out (`torch.clamp`). */
export function clamp(x: Tensor, ...args: unknown[]): Tensor {
  const { min, max } = parameters<{ min?: Operand | null; max?: Operand | null }>("clamp", ["min", "max"], args);
  const low = min ?? undefined;
  const high = max ?? undefined;
  if (low !== undefined && high !== undefined) return apply(clampOp, operands("clamp", x, low, high), none);
  if (low !== undefined) return apply(clampMinOp, operands("clamp", x, low), none);
  if (high !== undefined) return apply(clampMaxOp, operands("clamp", x, high), none);
  throw new ValueError("clamp: At least one of 'min' or 'max' must not be undefined", { op: "clamp" });
}

export function clampMin(x: Tensor, min: Operand): Tensor {
  return apply(clampMinOp, operands("clampMin", x, min), none);
}

export function clampMax(x: Tensor, max: Operand): Tensor {
  return apply(clampMaxOp, operands("clampMax", x, max), none);
}

// --- powers, exponentials, logarithms -------------------------------------------------------------------------------------------

/** Whole powers by repeated squaring; a negative power of a whole number is 0 unless the base is 1 or -1. */
function wholePower(a: Expr, b: Expr): Expr {
  let result = a.constant(1);
  let base = a;
  let rest = b;
  for (let bit = 0; bit < (a.type === "int64" ? 6 : 5); bit++) {
    result = rest.and(1).ne(0).where(result.mul(base), result);
    base = base.mul(base);
    rest = rest.sar(1);
  }
  const odd = b.and(1).ne(0);
  const negative = a.eq(1).where(a.constant(1), a.eq(-1).where(odd.where(a.constant(-1), a.constant(1)), a.constant(0)));
  return b.lt(0).where(negative, result);
}

const powOp = defineElementwise("pow", {
  kernel: (a, b) => (isFloat(a.type) ? a.pow(b) : wholePower(a, b)),
  refuses: ["bool"],
  grad: {
    a: from("ab", (g, s) => {
      const b = s.operand("b");
      if (typeof b === "number") return b === 0 ? g.mul(0) : g.mul(s.a.pow(b - 1)).mul(b);
      return g.mul(b.mul(s.a.pow(b.sub(1)))).maskedFill(b.eq(0), 0);
    }),
    b: from("aby", (g, s) => {
      const a = s.operand("a");
      if (typeof a === "number") return a === 0 ? g.mul(s.y.mul(0)) : g.mul(s.y).mul(Math.log(a));
      const flat = a.eq(0).logicalAnd(s.b.ge(0));
      return g.mul(s.y.mul(a.log())).maskedFill(flat, 0);
    }),
  },
});
const squareOf = defineElementwise("pow2", { gradName: "Pow", kernel: (a) => a.square(), grad: { a: from("a", (g, { a }) => g.mul(a).mul(2)) } });
const cubeOf = defineElementwise("pow3", { gradName: "Pow", kernel: (a) => a.square().mul(a), grad: { a: from("a", (g, { a }) => g.mul(a.pow(2)).mul(3)) } });

/**
 * `x ** y` (`torch.pow`).
 * @throws ValueError for a whole-number tensor to a negative number
 */
export const pow = Object.assign(
  (x: Operand, y: Operand): Tensor => {
    if (isTensor(x) && typeof y === "number") {
      if (x.dtype !== "bool" && y === 2) return apply(squareOf, [x], none);
      if (x.dtype !== "bool" && y === 3) return apply(cubeOf, [x], none);
      if (!isFloat(x.dtype) && Number.isInteger(y) && y < 0) {
        throw new ValueError("Integers to negative integer powers are not allowed.", { op: "pow" });
      }
    }
    return apply(powOp, operands("pow", x, y), none);
  },
  { op: powOp },
);

/** `pow` in float64 (`torch.float_power`). */
export function floatPower(x: Operand, y: Operand): Tensor {
  return pow(isTensor(x) ? x.to("float64") : x, isTensor(y) ? y.to("float64") : y);
}

export const sqrt = unary("sqrt", { kernel: (a) => a.sqrt(), type: "float", grad: { a: from("y", (g, { y }) => g.div(y.mul(2))) } });
export const rsqrt = unary("rsqrt", { kernel: (a) => a.rsqrt(), type: "float", grad: { a: from("y", (g, { y }) => g.mul(y.pow(3)).mul(-0.5)) } });
export const exp = unary("exp", { kernel: (a) => a.exp(), type: "float", grad: { a: from("y", (g, { y }) => g.mul(y)) } });
export const exp2 = unary("exp2", { kernel: (a) => a.exp2(), type: "float", grad: { a: from("y", (g, { y }) => g.mul(y).mul(LN2)) } });
export const expm1 = unary("expm1", { kernel: (a) => a.expm1(), type: "float", grad: { a: from("y", (g, { y }) => g.mul(y.add(1))) } });
export const log = unary("log", { kernel: (a) => a.log(), type: "float", grad: { a: from("a", (g, { a }) => g.div(a)) } });
export const log2 = unary("log2", { kernel: (a) => a.log2(), type: "float", grad: { a: from("a", (g, { a }) => g.div(a.mul(LN2))) } });
export const log10 = unary("log10", { kernel: (a) => a.log10(), type: "float", grad: { a: from("a", (g, { a }) => g.div(a.mul(LN10))) } });
export const log1p = unary("log1p", { kernel: (a) => a.log1p(), type: "float", grad: { a: from("a", (g, { a }) => g.div(a.add(1))) } });

/** log(exp(a) + exp(b)) without overflow. */
export const logaddexp = binary("logaddexp", {
  kernel: (a, b) => equalInfinite(a, b).where(a, a.max(b).add(a.sub(b).abs().neg().exp().log1p())),
  refuses: ["bool", "uint8", "int32", "int64"],
  grad: { a: from("ay", (g, { a, y }) => g.mul(a.sub(y).exp())), b: from("by", (g, { b, y }) => g.mul(b.sub(y).exp())) },
});
export const logaddexp2 = binary("logaddexp2", {
  kernel: (a, b) => equalInfinite(a, b).where(a, a.max(b).add(a.sub(b).abs().neg().exp2().log1p().mul(1 / LN2))),
  refuses: ["bool", "uint8", "int32", "int64"],
  grad: { a: from("ay", (g, { a, y }) => g.mul(a.sub(y).exp2())), b: from("by", (g, { b, y }) => g.mul(b.sub(y).exp2())) },
});

function equalInfinite(a: Expr, b: Expr): Expr {
  return a.eq(b).and(a.abs().eq(Infinity));
}

/** `x * log(y)`, 0 where x is 0. */
export const xlogy = binary("xlogy", {
  kernel: (a, b) => b.isNaN().where(b, a.eq(0).where(a.constant(0), a.mul(b.log()))),
  type: "float",
  grad: {
    a: from("ab", (g, s) => g.mul(logOf(s.operand("b"))).maskedFill(s.a.eq(0).logicalAnd(notPositive(s.operand("b"))), 0)),
    b: from("ab", (g, s) => g.mul(s.operand("a")).div(s.b)),
  },
});
/** `x * log1p(y)`, 0 where x is 0. */
export const xlog1py = binary("xlog1py", {
  kernel: (a, b) => b.isNaN().where(b, a.eq(0).where(a.constant(0), a.mul(b.log1p()))),
  type: "float",
  grad: {
    a: from("ab", (g, s) => g.mul(log1pOf(s.operand("b"))).maskedFill(s.a.eq(0).logicalAnd(notAboveMinusOne(s.operand("b"))), 0)),
    b: from("ab", (g, s) => g.mul(s.operand("a")).div(s.b.add(1))),
  },
});

const logitOp = defineElementwise("logit", {
  operands: 1,
  type: "float",
  kernel: (a, eps) => {
    const held = eps.lt(0).where(a, a.max(eps).min(eps.neg().add(1)));
    return held.div(held.neg().add(1)).log();
  },
  grad: {
    a: from("a", (g, { a }, [eps]) => {
      const slope = g.div(a.mul(a.neg().add(1)));
      if (eps >= 0) return slope.maskedFill(a.lt(eps).logicalOr(a.gt(1 - eps)), 0);
      return slope.maskedFill(a.lt(0).logicalOr(a.gt(1)), NaN);
    }),
  },
});

/** log(x / (1 - x)); with `eps`, x is first held between eps and 1 - eps (`torch.logit`). */
export function logit(x: Tensor, ...args: unknown[]): Tensor {
  const { eps } = parameters<{ eps?: number | null }>("logit", ["eps"], args);
  return apply(logitOp, [x], [eps ?? -1]);
}

/** x * 2^y (`torch.ldexp`). */
export function ldexp(x: Tensor, y: Operand): Tensor {
  return tensorOperand("ldexp", x).mul(pow(2, isTensor(y) && !isFloat(y.dtype) ? y.to("float32") : y));
}

// --- trigonometry ---------------------------------------------------------------------------------------------------------------

export const sin = unary("sin", { kernel: (a) => a.sin(), type: "float", grad: { a: from("a", (g, { a }) => g.mul(a.cos())) } });
export const cos = unary("cos", { kernel: (a) => a.cos(), type: "float", grad: { a: from("a", (g, { a }) => g.mul(a.sin()).neg()) } });
export const tan = unary("tan", { kernel: (a) => a.tan(), type: "float", grad: { a: from("y", (g, { y }) => g.mul(y.square().add(1))) } });
export const asin = unary("asin", { kernel: (a) => a.asin(), type: "float", grad: { a: from("a", (g, { a }) => g.mul(a.square().neg().add(1).rsqrt())) } });
export const acos = unary("acos", { kernel: (a) => a.acos(), type: "float", grad: { a: from("a", (g, { a }) => g.mul(a.square().neg().add(1).rsqrt()).neg()) } });
export const atan = unary("atan", { kernel: (a) => a.atan(), type: "float", grad: { a: from("a", (g, { a }) => g.div(a.square().add(1))) } });
export const sinh = unary("sinh", { kernel: (a) => a.sinh(), type: "float", grad: { a: from("a", (g, { a }) => g.mul(a.cosh())) } });
export const cosh = unary("cosh", { kernel: (a) => a.cosh(), type: "float", grad: { a: from("a", (g, { a }) => g.mul(a.sinh())) } });
export const tanh = unary("tanh", { kernel: (a) => a.tanh(), type: "float", grad: { a: from("y", (g, { y }) => g.mul(y.square().neg().add(1))) } });
export const asinh = unary("asinh", { kernel: (a) => a.asinh(), type: "float", grad: { a: from("a", (g, { a }) => g.mul(a.square().add(1).rsqrt())) } });
export const acosh = unary("acosh", { kernel: (a) => a.acosh(), type: "float", grad: { a: from("a", (g, { a }) => g.mul(a.square().sub(1).rsqrt())) } });
export const atanh = unary("atanh", { kernel: (a) => a.atanh(), type: "float", grad: { a: from("a", (g, { a }) => g.div(a.square().neg().add(1))) } });
export const atan2 = binary("atan2", {
  kernel: (a, b) => a.atan2(b),
  type: "float",
  grad: {
    a: from("ab", (g, { a, b }) => g.mul(b.div(a.square().add(b.square())))),
    b: from("ab", (g, { a, b }) => g.mul(a.neg().div(a.square().add(b.square())))),
  },
});
export const hypot = binary("hypot", {
  kernel: (a, b) => {
    const [x, y] = [a.abs(), b.abs()];
    const [large, small] = [x.max(y), x.min(y)];
    const ratio = small.div(large);
    const length = large.eq(0).where(large, large.mul(ratio.square().add(1).sqrt()));
    return x.eq(Infinity).or(y.eq(Infinity)).where(x.constant(Infinity), length);
  },
  refuses: ["bool", "uint8", "int32", "int64"],
  grad: { a: from("ay", (g, { a, y }) => g.mul(a.div(y))), b: from("by", (g, { b, y }) => g.mul(b.div(y))) },
});
/** sin(pi x) / (pi x), 1 at 0. */
export const sinc = unary("sinc", {
  type: "float",
  kernel: (a) => a.eq(0).where(a.constant(1), a.mul(Math.PI).sin().div(a.mul(Math.PI))),
  grad: {
    a: from("a", (g, { a }) => {
      const turn = a.mul(Math.PI);
      return g.mul(turn.mul(turn.cos()).sub(turn.sin()).div(turn.mul(a))).maskedFill(a.eq(0), 0);
    }),
  },
});
export const deg2rad = unary("deg2rad", { kernel: (a) => a.mul(Math.PI / 180), type: "float", grad: { a: (g) => g.mul(Math.PI / 180) } });
export const rad2deg = unary("rad2deg", { kernel: (a) => a.mul(180 / Math.PI), type: "float", grad: { a: (g) => g.mul(180 / Math.PI) } });

export const sigmoid = unary("sigmoid", { kernel: (a) => a.sigmoid(), type: "float", grad: { a: from("y", (g, { y }) => g.mul(y.neg().add(1).mul(y))) } });

// --- rounding -------------------------------------------------------------------------------------------------------------------

const still = { a: (g: Tensor) => g.mul(0) };
const rounding = (op: "floor" | "ceil" | "trunc" | "round") => (a: Expr) => (isFloat(a.type) ? a[op]() : a);
export const floor = unary("floor", { kernel: rounding("floor"), refuses: ["bool"], grad: still });
export const ceil = unary("ceil", { kernel: rounding("ceil"), refuses: ["bool"], grad: still });
export const trunc = unary("trunc", { kernel: rounding("trunc"), refuses: ["bool"], grad: still });
const roundOp = unary("round", { kernel: rounding("round"), refuses: ["bool"], grad: still });
export const frac = unary("frac", { kernel: (a) => a.sub(a.trunc()), refuses: ["bool", "uint8", "int32", "int64"], grad: { a: (g) => g } });

/** Nearest whole numbers, halves to even; with `decimals` to that many places (`torch.round`). */
export function round(x: Tensor, options: { readonly decimals?: number } = {}): Tensor {
  const { decimals = 0 } = options;
  if (decimals === 0) return roundOp(x);
  if (!isFloat(x.dtype)) throw new DTypeError("round() with decimals takes floats", { op: "round" });
  const scale = 10 ** Math.abs(decimals);
  return decimals > 0 ? roundOp(x.mul(scale)).div(scale) : roundOp(x.div(scale)).mul(scale);
}

// --- comparison and logic -------------------------------------------------------------------------------------------------------

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
  const [a, b] = isFloat(x.dtype) ? [x, y] : [x.to("float64"), y.to("float64")];
  return apply(closeOp, [a, b], [rtol, atol, equalNan ? 1 : 0]);
}

// --- selection ------------------------------------------------------------------------------------------------------------------

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
  if (mask.dtype !== "bool") throw new DTypeError(`maskedFill only supports boolean masks, but got mask with dtype ${mask.dtype}`, { op: "maskedFill" });
  if (!isTensor(value)) {
    if (!isFloat(x.dtype) && !Number.isInteger(Number(value))) throw new DTypeError(`value cannot be converted to type ${x.dtype} without overflow`, { op: "maskedFill" });
  } else if (value.dim() !== 0) {
    throw new ShapeError(`maskedFill only supports a 0-dimensional value tensor, but got tensor with ${value.dim()} dimension(s).`, { op: "maskedFill" });
  }
}

/** `x` with `value` where `mask` holds (`torch.masked_fill`). */
export function maskedFill(x: Tensor, mask: Tensor, value: Operand): Tensor {
  assertMask(x, mask, value);
  return apply(maskedFillOp, [mask, x, isTensor(value) ? toDType(value, x.dtype) : Number(value)], none);
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

// --- conversion and copies ------------------------------------------------------------------------------------------------------

function conversion(dtype: DType): ElementwiseOp {
  return defineElementwise(`to ${dtype}`, {
    gradName: "ToCopy",
    kernel: (a) => a,
    type: (promoted) => ({ compute: promoted, result: dtype }),
    grad: { a: (g) => g },
  });
}

const conversions: Readonly<Record<DType, ElementwiseOp>> = {
  float32: conversion("float32"),
  float64: conversion("float64"),
  int32: conversion("int32"),
  int64: conversion("int64"),
  uint8: conversion("uint8"),
  bool: conversion("bool"),
};

/** The tensor in another dtype; the tensor itself when it has that dtype. */
export function toDType(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : apply(conversions[dtype], [x], none);
}

export const cloneOp = defineElementwise("clone", { kernel: (a) => a, grad: { a: (g) => g } });

/** A copy with memory of its own, contiguous. Differentiable. */
export function clone(x: Tensor): Tensor {
  return apply(cloneOp, [x], none);
}

/** The tensor itself if it is contiguous, else a contiguous copy. */
export function contiguous(x: Tensor): Tensor {
  return x.isContiguous() ? x : clone(x);
}

const overwrite = defineElementwise("copy", { kernel: (_a, b) => b, gradName: "Copy", grad: { a: (g) => g.mul(0), b: (g) => g } });

/** Writes `b` over `a` (`copy_`). `a` lends only its shape and its place in the graph: its contents are not read. */
export const copyOp: Op<readonly number[]> = {
  ...overwrite,
  run: (inputs, params, outputs, target) => cloneOp.run([inputs[1]], params, outputs, target),
};

const constantOver = defineElementwise("fill", { operands: 1, kernel: (_a, value) => value, grad: { a: (g) => g.mul(0) } });

/** Writes one number over `a` (`fill_`); as in `copyOp`, the contents of `a` are not read. */
export const fillInPlaceOp: Op<readonly number[]> = {
  ...constantOver,
  run(_inputs, [value], [meta], target) {
    return fillOp.run([], { shape: meta.shape, dtype: meta.dtype, params: [value] }, [meta], target);
  },
};

// --- helpers of gradient rules --------------------------------------------------------------------------------------------------

function times(g: Tensor, saved: Saved, letter: InputName): Tensor {
  return g.mul(saved.operand(letter));
}

function oneMinus(saved: Saved, letter: InputName): Tensor | number {
  const value = saved.operand(letter);
  return typeof value === "number" ? 1 - value : value.neg().add(1);
}

function logOf(x: Tensor | number): Tensor | number {
  return typeof x === "number" ? Math.log(x) : x.log();
}

function notPositive(x: Tensor | number): Tensor | number {
  return typeof x === "number" ? Number(x <= 0) : x.le(0);
}

function notAboveMinusOne(x: Tensor | number): Tensor | number {
  return typeof x === "number" ? Number(x <= -1) : x.le(-1);
}

function log1pOf(x: Tensor | number): Tensor | number {
  return typeof x === "number" ? Math.log1p(x) : x.log1p();
}

/** 1 where `a` beats `b`, 1/2 where they are equal. */
function share(a: Tensor, b: Tensor, wins: "gt" | "lt"): Tensor {
  return a[wins](b).to(a.dtype).add(a.eq(b).to(a.dtype).mul(0.5));
}

// --- the table ------------------------------------------------------------------------------------------------------------------

/** Entries of one operand; each is a method, and has an in-place form. */
export const unaryTable = {
  neg, abs, sign, reciprocal, square, sqrt, rsqrt, exp, exp2, expm1, log, log2, log10, log1p,
  sin, cos, tan, asin, acos, atan, sinh, cosh, tanh, asinh, acosh, atanh, sinc, deg2rad, rad2deg,
  sigmoid, floor, ceil, trunc, frac, logicalNot, bitwiseNot,
};

/** Entries of two operands; each is a method, and has an in-place form. */
export const binaryTable = {
  mul, floorDivide, remainder, fmod, atan2, hypot, copysign, heaviside, xlogy,
  eq, ne, lt, le, gt, ge, logicalAnd, logicalOr, logicalXor, bitwiseAnd, bitwiseOr, bitwiseXor,
};

/** Methods beside the in-place-able ones. */
export const methods = {
  ...unaryTable, ...binaryTable,
  add, sub, rsub, div, addcmul, addcdiv, lerp, maximum, minimum, fmax, fmin, clamp, clampMin, clampMax, pow, floatPower,
  positive, logaddexp, logaddexp2, logit, ldexp, round, isnan, isinf, isfinite, isposinf, isneginf, isreal, signbit, isclose,
  nanToNum, clone, contiguous, maskedFill,
  where: (x: Tensor, condition: Tensor, y: Operand): Tensor => where(condition, x, y),
  absolute: abs, negative: neg, multiply: mul, divide: div, trueDivide: div, subtract: sub, greater: gt, greaterEqual: ge, less: lt,
  lessEqual: le, notEqual: ne, fix: trunc, clip: clamp, arcsin: asin, arccos: acos, arctan: atan, arcsinh: asinh, arccosh: acosh,
  arctanh: atanh, arctan2: atan2, sgn: sign,
};

type Tail<F> = F extends (x: never, ...args: infer A) => unknown ? A : never;
type InPlace<T> = { readonly [K in keyof T & string as `${K}_`]: (x: Tensor, ...args: Tail<T[K]>) => Tensor };

/** The forms of entries that write to their first operand. */
export function inPlace<T extends Readonly<Record<string, { readonly op: Op<readonly number[]> }>>>(table: T): InPlace<T> {
  const made: Record<string, (x: Tensor, ...args: Operand[]) => Tensor> = {};
  for (const [name, { op }] of Object.entries(table)) made[`${name}_`] = (x, ...args) => applyTo(op, x, operands(name, x, ...args), none);
  return made as unknown as InPlace<T>;
}

/** Methods that write to their tensor. */
export const inPlaceMethods = {
  ...inPlace(unaryTable),
  ...inPlace(binaryTable),

  add_(x: Tensor, y: Operand, { alpha = 1 }: { readonly alpha?: number } = {}): Tensor {
    return alpha === 1 ? applyTo(addOp, x, operands("add_", x, y), none) : applyTo(addScaledOp, x, operands("add_", x, y), [alpha]);
  },
  sub_(x: Tensor, y: Operand, { alpha = 1 }: { readonly alpha?: number } = {}): Tensor {
    return alpha === 1 ? applyTo(subOp, x, operands("sub_", x, y), none) : applyTo(addScaledOp, x, operands("sub_", x, y), [-alpha]);
  },
  div_(x: Tensor, y: Operand, { roundingMode = null }: { readonly roundingMode?: "trunc" | "floor" | null } = {}): Tensor {
    const { op } = roundingMode === null ? trueDiv : roundingMode === "floor" ? floorDivide : truncDivide;
    return applyTo(op, x, operands("div_", x, y), none);
  },
  pow_(x: Tensor, y: Operand): Tensor {
    return applyTo(powOp, x, operands("pow_", x, y), none);
  },
  round_(x: Tensor): Tensor {
    return applyTo(roundOp.op, x, [x], none);
  },
  lerp_(x: Tensor, end: Operand, weight: Operand): Tensor {
    return applyTo(lerpOp, x, operands("lerp_", x, end, weight), none);
  },
  addcmul_(x: Tensor, y: Tensor, z: Tensor, { value = 1 }: { readonly value?: number } = {}): Tensor {
    return applyTo(addcmulOp, x, [x, y, z], [value]);
  },
  addcdiv_(x: Tensor, y: Tensor, z: Tensor, { value = 1 }: { readonly value?: number } = {}): Tensor {
    return applyTo(addcdivOp, x, [x, y, z], [value]);
  },
  clamp_(x: Tensor, ...args: unknown[]): Tensor {
    const { min, max } = parameters<{ min?: Operand; max?: Operand }>("clamp_", ["min", "max"], args);
    if (min !== undefined && max !== undefined) return applyTo(clampOp, x, operands("clamp_", x, min, max), none);
    if (min !== undefined) return applyTo(clampMinOp, x, operands("clamp_", x, min), none);
    if (max !== undefined) return applyTo(clampMaxOp, x, operands("clamp_", x, max), none);
    throw new ValueError("clamp_: At least one of 'min' or 'max' must not be undefined", { op: "clamp" });
  },
  maskedFill_(x: Tensor, mask: Tensor, value: Operand): Tensor {
    assertMask(x, mask, value);
    return applyTo(maskedFillInPlaceOp, x, [x, mask, isTensor(value) ? toDType(value, x.dtype) : Number(value)], none);
  },
  /** Overwrites with `source`, broadcast and converted. */
  copy_(x: Tensor, source: Tensor): Tensor {
    const moved = source.device === x.device ? source : source.to(x.device);
    return applyTo(copyOp, x, [x, toDType(moved, x.dtype)], none);
  },
  /** Overwrites every element with one number. */
  fill_(x: Tensor, value: number | Tensor): Tensor {
    if (typeof value !== "number") return x.copy_(value);
    return applyTo(fillInPlaceOp, x, [x], [value]);
  },
  zero_(x: Tensor): Tensor {
    return applyTo(fillInPlaceOp, x, [x], [0]);
  },
};

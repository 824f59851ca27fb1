/** Arithmetic: sums, products, quotients, remainders, extremes, rounding. */
import { DTypeError, ValueError } from "../errors.ts";
import type { Expr } from "../kernel/build.ts";
import { isFloat } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { parameters } from "../arguments.ts";
import { apply, applyTo } from "./dispatch.ts";
import { binary, inPlace, none, oneMinus, operands, times, unary } from "./elementwise.ts";
import type { Operand } from "./elementwise.ts";
import { defineElementwise } from "./kinds/elementwise.ts";
import { from } from "./op.ts";

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
export const square = unary("square", {
  kernel: (a) => a.square(),
  type: (promoted) => (promoted === "bool" ? { compute: "int64", result: "int64" } : { compute: promoted, result: promoted }),
  gradName: "Pow",
  grad: { a: from("a", (g, { a }) => g.mul(a).mul(2)) },
});

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
  overload: (_params, [, , weight]) => (weight === undefined ? 0 : 1),
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
  overload: (_params, [, low, high]) => (low === undefined && high === undefined ? 1 : 0),
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

/** 1 where `a` beats `b`, 1/2 where they are equal. */
function share(a: Tensor, b: Tensor, wins: "gt" | "lt"): Tensor {
  return a[wins](b).to(a.dtype).add(a.eq(b).to(a.dtype).mul(0.5));
}

// --- methods --------------------------------------------------------------------------------------------------------------------

const inPlaceable = { neg, abs, sign, reciprocal, square, mul, floorDivide, remainder, fmod, floor, ceil, trunc, frac };

export const methods = {
  ...inPlaceable,
  add, sub, rsub, div, addcmul, addcdiv, lerp, maximum, minimum, fmax, fmin, clamp, clampMin, clampMax, positive, round,
  absolute: abs, negative: neg, multiply: mul, divide: div, trueDivide: div, subtract: sub, fix: trunc, clip: clamp, sgn: sign,
};

/** Methods that write to their tensor. */
export const inPlaceMethods = {
  ...inPlace(inPlaceable),

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
};

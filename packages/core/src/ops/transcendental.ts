/** Powers, exponentials, logarithms, trigonometry. */
import { ValueError } from "../errors.ts";
import type { Expr } from "../kernel/build.ts";
import { floatingType, isFloat } from "../tensor/dtype.ts";
import { isTensor } from "../tensor/tensor.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { parameters } from "../arguments.ts";
import { apply, applyTo } from "./dispatch.ts";
import { binary, inPlace, none, operands, tensorOperand, unary } from "./elementwise.ts";
import type { Operand } from "./elementwise.ts";
import { fused } from "./fused.ts";
import { defineElementwise } from "./kinds/elementwise.ts";
import { from } from "./op.ts";

const { LN2, LN10 } = Math;

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
  overload: (_params, [, exponent]) => (exponent === undefined ? 0 : 1),
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

export const sqrt = unary("sqrt", { kernel: (a) => a.sqrt(), type: "float", grad: { a: fused("sqrtBackward", "y", (g, y) => g.div(y.mul(2))) } });
export const rsqrt = unary("rsqrt", { kernel: (a) => a.rsqrt(), type: "float", grad: { a: from("y", (g, { y }) => g.mul(y.pow(3)).mul(-0.5)) } });
export const exp = unary("exp", { kernel: (a) => a.exp(), type: "float", grad: { a: from("y", (g, { y }) => g.mul(y)) } });
export const exp2 = unary("exp2", { kernel: (a) => a.exp2(), type: "float", grad: { a: from("y", (g, { y }) => g.mul(y).mul(LN2)) } });
export const expm1 = unary("expm1", { kernel: (a) => a.expm1(), type: "float", grad: { a: from("y", (g, { y }) => g.mul(y.add(1))) } });
export const log = unary("log", { kernel: (a) => a.log(), type: "float", grad: { a: from("a", (g, { a }) => g.div(a)) } });
export const log2 = unary("log2", { kernel: (a) => a.log2(), type: "float", grad: { a: from("a", (g, { a }) => g.div(a.mul(LN2))) } });
export const log10 = unary("log10", { kernel: (a) => a.log10(), type: "float", grad: { a: from("a", (g, { a }) => g.div(a.mul(LN10))) } });
export const log1p = unary("log1p", { gradName: "Log1P", kernel: (a) => a.log1p(), type: "float", grad: { a: from("a", (g, { a }) => g.div(a.add(1))) } });

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
  return tensorOperand("ldexp", x).mul(pow(2, isTensor(y) && !isFloat(y.dtype) ? y.to(floatingType(y.dtype)) : y));
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
export const tanh = unary("tanh", { kernel: (a) => a.tanh(), type: "float", grad: { a: fused("tanhBackward", "y", (g, y) => g.mul(y.square().neg().add(1))) } });
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

export const sigmoid = unary("sigmoid", { kernel: (a) => a.sigmoid(), type: "float", grad: { a: fused("sigmoidBackward", "y", (g, y) => g.mul(y.neg().add(1).mul(y))) } });

// --- helpers of gradient rules --------------------------------------------------------------------------------------------------

function logOf(x: Tensor | number): Tensor | number {
  return typeof x === "number" ? Math.log(x) : x.log();
}

function log1pOf(x: Tensor | number): Tensor | number {
  return typeof x === "number" ? Math.log1p(x) : x.log1p();
}

function notPositive(x: Tensor | number): Tensor | number {
  return typeof x === "number" ? Number(x <= 0) : x.le(0);
}

function notAboveMinusOne(x: Tensor | number): Tensor | number {
  return typeof x === "number" ? Number(x <= -1) : x.le(-1);
}

// --- methods --------------------------------------------------------------------------------------------------------------------

const inPlaceable = {
  sqrt, rsqrt, exp, exp2, expm1, log, log2, log10, log1p, xlogy, sin, cos, tan, asin, acos, atan, sinh, cosh, tanh, asinh, acosh, atanh,
  atan2, hypot, sinc, deg2rad, rad2deg, sigmoid,
};

export const methods = {
  ...inPlaceable,
  pow, floatPower, logaddexp, logaddexp2, logit, ldexp,
  arcsin: asin, arccos: acos, arctan: atan, arcsinh: asinh, arccosh: acosh, arctanh: atanh, arctan2: atan2,
};

/** Methods that write to their tensor. */
export const inPlaceMethods = {
  ...inPlace(inPlaceable),
  pow_: (x: Tensor, y: Operand): Tensor => applyTo(powOp, x, operands("pow_", x, y), none),
};

/** Every table's functions, as the package exports them: `add(x, y)`, `cat([x, y], 0)`, ... */
export {
  abs, add, addcdiv, addcmul, ceil, clamp, clampMax, clampMin, div, floor, floorDivide, fmax, fmin, fmod, frac, lerp, maximum, minimum,
  mul, neg, positive, reciprocal, remainder, round, rsub, sign, square, sub, trunc,
} from "./arithmetic.ts";
export {
  bitwiseAnd, bitwiseNot, bitwiseOr, bitwiseXor, copysign, eq, ge, gt, heaviside, isclose, isfinite, isinf, isnan, isneginf, isposinf,
  isreal, le, logicalAnd, logicalNot, logicalOr, logicalXor, lt, ne, signbit,
} from "./comparison.ts";
export { clone, contiguous } from "./conversion.ts";
export { maskedFill, nanToNum, where } from "./selection.ts";
export {
  acos, acosh, asin, asinh, atan, atan2, atanh, cos, cosh, deg2rad, exp, exp2, expm1, floatPower, hypot, ldexp, log, log10, log1p, log2,
  logaddexp, logaddexp2, logit, pow, rad2deg, rsqrt, sigmoid, sin, sinc, sinh, sqrt, tan, tanh, xlog1py, xlogy,
} from "./transcendental.ts";
export { allclose, equal } from "./truth.ts";
export { digamma, entr, erf, erfc, erfinv, lgamma, ndtr } from "./special.ts";

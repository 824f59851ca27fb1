/** Every table's functions, as the package exports them: `add(x, y)`, `cat([x, y], 0)`, ... */
export {
  abs, acos, acosh, add, addcdiv, addcmul, asin, asinh, atan, atan2, atanh, bitwiseAnd, bitwiseNot, bitwiseOr, bitwiseXor, ceil, clamp,
  clampMax, clampMin, clone, contiguous, copysign, cos, cosh, deg2rad, div, eq, exp, exp2, expm1,
  floatPower, floor, floorDivide, fmax, fmin, fmod, frac, ge, gt, heaviside, hypot, isclose, isfinite, isinf, isnan, isneginf, isposinf,
  isreal, ldexp, le, lerp, log, log10, log1p, log2, logaddexp, logaddexp2, logicalAnd, logicalNot, logicalOr, logicalXor, logit,
  lt, maximum, minimum, mul, nanToNum, ne, neg, positive, pow, rad2deg, reciprocal, remainder, round, rsqrt, rsub, sigmoid, sign,
  signbit, sin, sinc, sinh, sqrt, square, sub, tan, tanh, trunc, where, xlog1py, xlogy, maskedFill,
} from "./elementwise.ts";
export { allclose, equal } from "./truth.ts";
export { digamma, entr, erf, erfc, erfinv, lgamma, ndtr } from "./special.ts";

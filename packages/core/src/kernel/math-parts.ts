/** Pieces of float32 functions that several of them share. */
import type { Expr } from "./build.ts";

/** A float32's bits as int32. */
export function bits(x: Expr): Expr {
  return x.bitcast("int32");
}

/** The first 12 bits of a float32's significand (or those that `mask` keeps): products of two such are exact. */
export function truncateBits(x: Expr, mask = ~0xfff): Expr {
  return bits(x).and(mask).bitcast("float32");
}

/** An integral float32 |n| < 2^22 as int32: n + 1.5 * 2^23 holds it in its low bits. */
function exponentOf(n: Expr): Expr {
  return bits(n.add(12582912)).sub(0x4b400000);
}

function power(exponent: Expr): Expr {
  return exponent.add(127).shl(23).bitcast("float32");
}

/** 2^n for an integral float32 n in [-126, 127]. */
export function powerOfTwo(n: Expr): Expr {
  return power(exponentOf(n));
}

/** y 2^n for an integral float32 n in [-252, 254], rounded once more where the result is denormal. */
export function scaleByPowerOfTwo(y: Expr, n: Expr): Expr {
  const exponent = exponentOf(n);
  const half = exponent.sar(1);
  return y.mul(power(half)).mul(power(exponent.sub(half)));
}

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

/** 1.5 * 2^23: a sum of it and a whole number |n| < 2^22 holds n in its low bits. */
const HOLDER = 12582912;

/** The bias of a float32's exponent, and of two. */
const BIAS = { once: 127, twice: 254 } as const;

/**
 * A float32 |x| < 2^22 rounded to n: as a float32, and in the low 9 bits of an int32 with the bias of an exponent, or of two.
 * (n is rounded by itself: compilers of shaders take what is added and subtracted again for nothing.)
 */
export function nearest(x: Expr, bias: keyof typeof BIAS): { readonly n: Expr; readonly biased: Expr } {
  const n = x.round();
  return { n, biased: bits(n.add(HOLDER + BIAS[bias])) };
}

/** 2^n in [-126, 127] from n with the bias `once`; bits above the low 9 are shifted out. */
export function powerOfTwo(biased: Expr): Expr {
  return biased.shl(23).bitcast("float32");
}

/** y 2^n for n in [-252, 254] with the bias `twice`, rounded once more where the result is denormal. */
export function scaleByPowerOfTwo(y: Expr, biased: Expr): Expr {
  const half = biased.shr(1);
  return y.mul(powerOfTwo(half)).mul(powerOfTwo(biased.sub(half)));
}

/** float32 powers as arithmetic: Sun's fdlibm e_powf.c (by Ian Lance Taylor), with its branches as selections. */
import type { Expr } from "./build.ts";
import { bits, nearest, scaleByPowerOfTwo, truncateBits } from "./math-parts.ts";

/** log2 of a positive finite x in two parts, together good to 2^-34 or so; the first has 12 bits. */
function log2Parts(x: Expr): { high: Expr; low: Expr } {
  const tiny = x.lt(2 ** -126);
  const all = bits(tiny.where(x.mul(2 ** 24), x));
  const fraction = all.and(0x007fffff);
  // The significand is taken relative to 1, to 1.5, or to 1 after halving.
  const aboveThreeHalves = fraction.ge(0x5db3d7);
  const nearThreeHalves = fraction.gt(0x1cc471).and(aboveThreeHalves.not());
  const exponent = all.sar(23).sub(127).sub(tiny.cast("int32").mul(24)).add(aboveThreeHalves.cast("int32"));
  const significandBits = fraction.or(0x3f800000).sub(aboveThreeHalves.cast("int32").shl(23));
  const significand = significandBits.bitcast("float32");
  const base = nearThreeHalves.where(x.constant(1.5), 1);

  // s = (m - b) / (m + b) in two parts.
  const u = significand.sub(base);
  const v = x.constant(1).div(significand.add(base));
  const s = u.mul(v);
  const sHigh = truncateBits(s);
  const sumHigh = significandBits.sar(1).and(~0xfff).or(0x20000000).add(0x00400000)
    .add(nearThreeHalves.cast("int32").shl(21)).bitcast("float32");
  const sumLow = significand.sub(sumHigh.sub(base));
  const sLow = v.mul(u.sub(sHigh.mul(sumHigh)).sub(sHigh.mul(sumLow)));

  // log(m / b) = 2/3 s (3 + s^2 + r)
  const square = s.mul(s);
  let series = square.mul(2.0697501302e-1).add(2.3066075146e-1);
  for (const c of [2.7272811532e-1, 3.3333334327e-1, 4.2857143283e-1, 6.0000002384e-1]) series = series.mul(square).add(c);
  const r = square.mul(square).mul(series).add(sLow.mul(sHigh.add(s)));
  const squareHigh = sHigh.mul(sHigh);
  const tHigh = truncateBits(squareHigh.add(3).add(r));
  const tLow = r.sub(tHigh.sub(3).sub(squareHigh));
  const productHigh = sHigh.mul(tHigh);
  const productLow = sLow.mul(tHigh).add(tLow.mul(s));
  const pHigh = truncateBits(productHigh.add(productLow));
  const pLow = productLow.sub(pHigh.sub(productHigh));

  // times 2 / (3 ln 2), plus log2 of the base, plus the exponent.
  const baseHigh = nearThreeHalves.where(x.constant(5.84960938e-1), 0);
  const baseLow = nearThreeHalves.where(x.constant(1.56322085e-6), 0);
  const zHigh = pHigh.mul(9.619140625e-1);
  const zLow = pHigh.mul(-1.1736857402e-4).add(pLow.mul(9.6179670095e-1)).add(baseLow);
  const n = exponent.cast("float32");
  const high = truncateBits(zHigh.add(zLow).add(baseHigh).add(n));
  const low = zLow.sub(high.sub(n).sub(baseHigh).sub(zHigh));
  return { high, low };
}

/** 2^(high + low). */
function exp2OfParts(high: Expr, low: Expr): Expr {
  const n = high.add(low).round().max(-160).min(140);
  const rest = high.sub(n);
  const t = truncateBits(low.add(rest), ~0x7fff);
  const u = t.mul(6.93145752e-1);
  const v = low.sub(t.sub(rest)).mul(6.9314718246e-1).add(t.mul(1.42860654e-6));
  const z = u.add(v);
  const w = v.sub(z.sub(u));
  const square = z.mul(z);
  let series = square.mul(4.1381369442e-8).add(-1.6533901999e-6);
  for (const c of [6.613755977e-5, -2.777777845e-3, 1.6666667163e-1]) series = series.mul(square).add(c);
  const t1 = z.sub(square.mul(series));
  const r = z.mul(t1).div(t1.sub(2)).sub(w.add(z.mul(w)));
  return scaleByPowerOfTwo(r.sub(z).neg().add(1), nearest(n, "twice").biased);
}

/** x to the power of y, with C's rules for signs, zeros, infinities and NaN. */
export function pow(x: Expr, y: Expr): Expr {
  const size = x.abs();
  // Beyond 2^32 every power of a number other than 1 has overflowed or vanished; infinite exponents join them.
  const exponent = y.max(-(2 ** 32)).min(2 ** 32);
  const { high, low } = log2Parts(size);
  const exponentHigh = truncateBits(exponent);
  // The clamp keeps far overflows and underflows out of the sums of parts.
  const productLow = exponent.sub(exponentHigh).mul(high).add(exponent.mul(low));
  const productHigh = exponentHigh.mul(high);
  const product = productHigh.add(productLow);
  const far = product.abs().gt(400);
  const power = exp2OfParts(far.where(product.max(-400).min(400), productHigh), far.where(0, productLow));

  const vanishes = size.eq(0);
  const limit = y.lt(0).xor(vanishes).where(x.constant(0), Infinity);
  const magnitude = vanishes.or(size.eq(Infinity)).where(limit, power);
  const integral = y.trunc().eq(y);
  const odd = integral.and(y.mul(0.5).trunc().ne(y.mul(0.5)));
  const signed = odd.where(magnitude.copysign(x), magnitude);
  const undefinedPower = x.lt(0).and(integral.not()).and(size.lt(Infinity));
  const known = x.ne(x).or(y.ne(y)).or(undefinedPower).where(NaN, signed);
  return y.eq(0).or(x.eq(1)).where(1, known);
}

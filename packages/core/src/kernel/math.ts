/**
 * Rewrites float32 functions of a kernel into arithmetic, so that every printer computes them in lanes and with the same bits.
 * Each is within 4 ULP (most within 2), for all inputs, NaN, infinities and denormals included, unless its docstring says less;
 * what is not in the table stays for the device's own functions.
 *
 * Nothing here relies on a fused multiply-add, on an order that a compiler may change, or on control flow.
 */
import { InternalError } from "../errors.ts";
import { Graph, type Expr } from "./build.ts";
import { sweepKernel } from "./ir.ts";
import type { BinaryOp, LoopKernel, Node, RowKernel, Store, Sweep, UnaryOp } from "./ir.ts";
import { pow } from "./math-power.ts";
import { bits, nearest, powerOfTwo, scaleByPowerOfTwo } from "./math-parts.ts";

/** `c[0] x^(n-1) + ... + c[n-1]` by Horner's rule. */
function polynomial(x: Expr, [first = 0, ...rest]: readonly number[]): Expr {
  let sum = x.constant(first);
  for (const c of rest) sum = sum.mul(x).add(c);
  return sum;
}

const LOG2_E = 1.4426950408889634;
/** ln 2 in two parts; the product of the first with an integer below 2^13 is exact. */
const LN2_HIGH = 0.693359375;
const LN2_LOW = -2.12194440054690583e-4;
/** (e^r - 1 - r) / r^2 on |r| <= ln(2) / 2 (Cephes, expf). */
const EXP = [1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1];

/** e^r - 1 for |r| <= ln(2) / 2. */
function expm1Reduced(r: Expr): Expr {
  return polynomial(r, EXP).mul(r.mul(r)).add(r);
}

/** x = n ln(2) + r with an integer n, which comes with the bias of an exponent, or of two (`nearest`). */
function reduceByLn2(x: Expr, bias: "once" | "twice"): { biased: Expr; r: Expr } {
  const { n, biased } = nearest(x.mul(LOG2_E), bias);
  return { biased, r: x.sub(n.mul(LN2_HIGH)).sub(n.mul(LN2_LOW)) };
}

function exp(x: Expr): Expr {
  const { biased, r } = reduceByLn2(x.max(-104).min(89), "twice");
  return scaleByPowerOfTwo(expm1Reduced(r).add(1), biased);
}

function exp2(x: Expr): Expr {
  const clamped = x.max(-151).min(129);
  const { n, biased } = nearest(clamped, "twice");
  return scaleByPowerOfTwo(expm1Reduced(clamped.sub(n).mul(Math.LN2)).add(1), biased);
}

function expm1(x: Expr): Expr {
  const { biased, r } = reduceByLn2(x.max(-40).min(89), "twice");
  // 2^n (p + 1) - 1 as 2 (2^(n-1) p + (2^(n-1) - 1/2)): exact for n = 0, and 2^127 is still finite.
  const half = scaleByPowerOfTwo(x.constant(0.5), biased);
  const y = half.mul(expm1Reduced(r)).add(half.sub(0.5)).mul(2);
  return x.abs().lt(2 ** -25).where(x, y);
}

/** Sun's fdlibm and FreeBSD's logf family: ln(1 + f) = f - f^2/2 + s (f^2/2 + R) with s = f / (2 + f). */
const LG1 = 0.66666662693;
const LG2 = 0.40000972152;
const LG3 = 0.28498786688;
const LG4 = 0.24279078841;
const LOG_LN2_HIGH = 6.9313812256e-1;
const LOG_LN2_LOW = 9.0580006145e-6;
const SQRT_HALF_BITS = 0x3f3504f3;
const ONE_BITS = 0x3f800000;

/** x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), for finite positive x. */
function splitLogarithm(x: Expr): { k: Expr; f: Expr } {
  const tiny = x.lt(2 ** -126);
  const raised = bits(tiny.where(x.mul(2 ** 25), x)).add(ONE_BITS - SQRT_HALF_BITS);
  const k = raised.sar(23).sub(127).cast("float32").sub(tiny.where(x.constant(25), 0));
  const f = raised.and(0x007fffff).add(SQRT_HALF_BITS).bitcast("float32").sub(1);
  return { k, f };
}

/** s (f^2/2 + R), and f^2/2. */
function logarithmTail(f: Expr): { halfSquare: Expr; tail: Expr } {
  const s = f.div(f.add(2));
  const z = s.mul(s);
  const w = z.mul(z);
  const t1 = w.mul(w.mul(LG4).add(LG2));
  const t2 = z.mul(w.mul(LG3).add(LG1));
  const halfSquare = f.mul(f).mul(0.5);
  return { halfSquare, tail: s.mul(halfSquare.add(t2.add(t1))) };
}

/** The logarithm's values at and below 0, at infinity and NaN, in place of `y`. */
function withLogarithmLimits(x: Expr, y: Expr, zero = 0): Expr {
  const above = x.lt(Infinity).where(y, x);
  const atPole = x.eq(zero).where(-Infinity, above);
  return x.lt(zero).where(NaN, atPole);
}

function log(x: Expr): Expr {
  const { k, f } = splitLogarithm(x);
  const { halfSquare, tail } = logarithmTail(f);
  const y = tail.add(k.mul(LOG_LN2_LOW)).sub(halfSquare).add(f).add(k.mul(LOG_LN2_HIGH));
  return withLogarithmLimits(x, y);
}

function log1p(x: Expr): Expr {
  const u = x.add(1);
  const split = splitLogarithm(u);
  const small = x.gt(-0.2928932).and(x.lt(0.41421354));
  const k = small.where(0, split.k);
  const f = small.where(x, split.f);
  // What rounding 1 + x lost, relative to it.
  const lost = split.k.gt(0).where(x.constant(1).sub(u.sub(x)), x.sub(u.sub(1)));
  const correction = small.or(split.k.ge(25)).where(0, lost.div(u));
  const { halfSquare, tail } = logarithmTail(f);
  const y = tail.add(k.mul(LOG_LN2_LOW).add(correction)).sub(halfSquare).add(f).add(k.mul(LOG_LN2_HIGH));
  return x.abs().lt(2 ** -24).where(x, withLogarithmLimits(x, y, -1));
}

/** ln(1 + f) in two parts, of which the first has 12 bits, so that its product with a 12-bit constant is exact. */
function logarithmParts(f: Expr): { high: Expr; low: Expr } {
  const { halfSquare, tail } = logarithmTail(f);
  const high = bits(f.sub(halfSquare)).and(~0xfff).bitcast("float32");
  return { high, low: f.sub(high).sub(halfSquare).add(tail) };
}

function log2(x: Expr): Expr {
  const { k, f } = splitLogarithm(x);
  const { high, low } = logarithmParts(f);
  const y = low.add(high).mul(-1.7605285393e-4).add(low.mul(1.4428710938)).add(high.mul(1.4428710938)).add(k);
  return withLogarithmLimits(x, y);
}

function log10(x: Expr): Expr {
  const { k, f } = splitLogarithm(x);
  const { high, low } = logarithmParts(f);
  const y = k.mul(7.9034151668e-7)
    .add(low.add(high).mul(-3.1689971365e-5))
    .add(low.mul(4.3432617188e-1))
    .add(high.mul(4.3432617188e-1))
    .add(k.mul(3.0102920532e-1));
  return withLogarithmLimits(x, y);
}

/** pi / 2 in parts of 12 bits (the last of 24): their products with integers of 12 bits are exact. */
const HALF_PI = halfPiParts();

function halfPiParts(): readonly number[] {
  const digits = [0x1921, 0xfb54, 0x442d, 0x1846, 0x9898, 0xcc51, 0x701b, 0x839a];
  // pi / 2 = 0x1.921fb54442d18469898cc51701b839a...p0: 12-bit groups after the leading digit.
  const text = digits.map((word) => word.toString(16).padStart(4, "0")).join("");
  const all = BigInt(`0x${text}`);
  const total = text.length * 4;
  const parts: number[] = [];
  let rest = all;
  // The leading hexadecimal digit is the integer part: value = all / 2^(total - 4).
  for (let shift = total - 12; parts.length < 4; shift -= 12) {
    const part = rest >> BigInt(shift);
    parts.push(Number(part) * 2 ** (shift - (total - 4)));
    rest -= part << BigInt(shift);
  }
  parts.push(Math.fround(Number(rest) * 2 ** -(total - 4)));
  return parts;
}

/**
 * The angle's remainder from the nearest multiple of pi / 2, and that multiple modulo 4. Within an ULP for |x| below 2^17, within 1e-7
 * below 2^23; beyond that the remainder loses its meaning, but stays a number.
 */
function reduceAngle(x: Expr): { r: Expr; quadrant: Expr } {
  const [p1 = 0, p2 = 0, p3 = 0, p4 = 0, p5 = 0] = HALF_PI;
  const n = x.mul(2 / Math.PI).round();
  const high = n.mul(1 / 4096).round().mul(4096);
  const guess = n.sub(high);
  // A large n is wrong by up to 1, which what is left tells.
  const left = x.sub(high.mul(p1)).sub(guess.mul(p1)).sub(high.mul(p2)).sub(guess.mul(p2)).sub(high.mul(p3));
  const low = guess.add(left.mul(2 / Math.PI).round());
  const exact = x.sub(high.mul(p1)).sub(low.mul(p1)).sub(high.mul(p2)).sub(low.mul(p2)).sub(high.mul(p3));
  const tail = low.mul(p5).add(high.mul(p5)).add(low.mul(p4)).add(high.mul(p4));
  // `high` is a multiple of 4.
  return { r: exact.sub(low.mul(p3)).sub(tail).max(-1).min(1), quadrant: low.cast("int32") };
}

/** Cephes, sinf and cosf on |r| <= pi / 4. */
function sineOf(r: Expr, quadrant: Expr): Expr {
  const z = r.mul(r);
  const sine = polynomial(z, [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1]).mul(z).mul(r).add(r);
  const cosine = polynomial(z, [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2])
    .mul(z.mul(z)).sub(z.mul(0.5)).add(1);
  const y = quadrant.and(1).ne(0).where(cosine, sine);
  return quadrant.and(2).ne(0).where(y.neg(), y);
}

function sin(x: Expr): Expr {
  const { r, quadrant } = reduceAngle(x);
  return sineOf(r, quadrant);
}

function cos(x: Expr): Expr {
  const { r, quadrant } = reduceAngle(x);
  return sineOf(r, quadrant.add(1));
}

/** 1 - 2 / (e^2x + 1), and near 0 an odd polynomial (Cephes, tanhf). */
function tanh(x: Expr): Expr {
  const size = x.abs();
  const { biased, r } = reduceByLn2(size.min(9.1).mul(2), "once");
  const power = expm1Reduced(r).add(1).mul(powerOfTwo(biased));
  const far = x.constant(1).sub(x.constant(2).div(power.add(1)));
  const z = x.mul(x);
  const series = polynomial(z, [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1]);
  return size.lt(0.625).where(series.mul(z).mul(x).add(x), far.copysign(x));
}

/** 1 - e^-P(x), and near 0 an odd polynomial (N. Juffa's erff); 1 in float32 from 3.92 on. */
function erf(x: Expr): Expr {
  const t = x.abs().min(4.2);
  const z = t.mul(t);
  const high = t.mul(-1.72853470e-5).add(3.83197126e-4);
  const low = t.mul(-3.88396438e-3).add(2.42546219e-2);
  let power = high.mul(z).add(low);
  for (const c of [-1.06777877e-1, -6.34846687e-1, -1.28717512e-1]) power = power.mul(t).add(c);
  const { biased, r } = reduceByLn2(power.mul(t).sub(t), "once");
  const far = x.constant(1).sub(expm1Reduced(r).add(1).mul(powerOfTwo(biased)));
  const series = polynomial(z, [
    -5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1,
  ]);
  return t.lt(0.927734375).where(series.mul(x).add(x), far.copysign(x));
}

/** Numerator and denominator of (distribution - 1/2) / x in x^2, lowest power first: erf's rational form in Eigen, rescaled. */
const NORMAL = [0.3989422619342804, 0.0327405147254467, 0.004503889475017786, 0.00015062661259435117, 0.000005061352112534223];
const NORMAL_BELOW = [
  1, 0.24873462319374084, 0.027746262028813362, 0.0017588087357580662, 0.00006362266140058637, 7.358739253504609e-7,
  -1.8424379799597546e-9,
];
/** From here on the quotient times x is 1/2 in float32, so that the distribution is 0 or 1. */
const NORMAL_END = 5.340023040771484;

/** `c[0] + c[1] x + ...` by Estrin's scheme: a short chain of dependent operations. */
function estrin(x: Expr, coefficients: readonly number[]): Expr {
  const pairs: Expr[] = [];
  for (let i = 0; i < coefficients.length; i += 2) {
    const [low = 0, high] = coefficients.slice(i, i + 2);
    pairs.push(high === undefined ? x.constant(low) : x.mul(high).add(low));
  }
  let power = x;
  while (pairs.length > 1) {
    power = power.mul(power);
    for (let i = 0; i < pairs.length; i++) {
      const high = pairs[i + 1];
      if (high !== undefined) pairs.splice(i, 2, high.mul(power).add(pairs[i] ?? 0));
    }
  }
  return pairs[0] ?? x.constant(0);
}

/** The normal distribution function of a float32, within 2e-7: half of the arithmetic that `erf` takes for 4 ULP. */
export function normalDistribution(x: Expr): Expr {
  const t = x.max(-NORMAL_END).min(NORMAL_END);
  const z = t.mul(t);
  return t.mul(estrin(z, NORMAL)).div(estrin(z, NORMAL_BELOW)).add(0.5);
}

/** From here on the power of two in the density is 2^-127, which `powerOfTwo` gives as 0. */
const DENSITY_END = 13.27;

/** The normal density of a float32, 0 below 2^-127. Its relative error is that of rounding x^2: about 6e-8 (1 + x^2 / 2). */
export function normalDensity(x: Expr): Expr {
  const t = x.max(-DENSITY_END).min(DENSITY_END);
  const { biased, r } = reduceByLn2(t.mul(t).mul(-0.5), "once");
  return expm1Reduced(r).add(1).mul(1 / Math.sqrt(2 * Math.PI)).mul(powerOfTwo(biased));
}

const unary: Partial<Record<string, (x: Expr) => Expr>> = {
  exp, exp2, expm1, log, log1p, log2, log10, sin, cos, tanh, erf,
} satisfies Partial<Record<UnaryOp, (x: Expr) => Expr>>;
const binary: Partial<Record<string, (x: Expr, y: Expr) => Expr>> = {
  pow,
} satisfies Partial<Record<BinaryOp, (x: Expr, y: Expr) => Expr>>;

function expandable(node: Node): boolean {
  return node.type === "float32" && (Object.hasOwn(unary, node.op) || Object.hasOwn(binary, node.op));
}

/** The kernel with float32 functions written out; the kernel itself where there are none. */
export function expandMath(kernel: LoopKernel): LoopKernel {
  if (![...kernel.body, ...kernel.epilogue].some(expandable)) return kernel;
  return { ...kernel, ...expandLists(kernel).lists };
}

/** The same for each sweep of a row kernel. */
export function expandRowMath(kernel: RowKernel): RowKernel {
  const sweeps = kernel.sweeps.map((sweep): Sweep => {
    const { lists, epilogue } = expandLists(sweepKernel(kernel, sweep));
    return { ...sweep, ...lists, results: sweep.results.map((id) => epilogue.value(id)) };
  });
  return { ...kernel, sweeps };
}

function expandLists(kernel: LoopKernel): {
  readonly lists: Pick<LoopKernel, "body" | "epilogue" | "step" | "stores">;
  readonly epilogue: Expanded;
} {
  const body = expandGraph(kernel.body);
  const epilogue = expandGraph(kernel.epilogue);
  const moved = (at: Store["at"], id: number): number => (at === "body" ? body : epilogue).value(id);
  const lists = {
    body: body.nodes,
    epilogue: epilogue.nodes,
    step: kernel.step.map((id) => body.value(id)),
    stores: kernel.stores.map((store) => ({
      ...store,
      value: moved(store.at, store.value),
      ...(store.guard === undefined ? {} : { guard: moved(store.at, store.guard) }),
      ...(store.indirect === undefined
        ? {}
        : { indirect: store.indirect.map(({ value, stride }) => ({ value: moved(store.at, value), stride })) }),
    })),
  };
  return { lists, epilogue };
}

interface Expanded {
  readonly nodes: readonly Node[];
  /** The new number of an old value. */
  value(id: number): number;
}

function expandGraph(nodes: readonly Node[]): Expanded {
  const graph = new Graph();
  const made: Expr[] = [];
  const at = (id: number): Expr => {
    const expr = made[id];
    if (expr === undefined) throw new InternalError(`kernel value ${id} is used before it is made`);
    return expr;
  };
  for (const node of nodes) made.push(expandNode(graph, node, at));
  return { nodes: graph.nodes, value: (id) => at(id).id };
}

function expandNode(graph: Graph, node: Node, at: (id: number) => Expr): Expr {
  if (node.op === "load") {
    return graph.push({
      ...node,
      ...(node.guard === undefined ? {} : { guard: at(node.guard).id }),
      ...(node.indirect === undefined
        ? {}
        : { indirect: node.indirect.map(({ value, stride }) => ({ value: at(value).id, stride })) }),
    });
  }
  if (!("args" in node)) return graph.push(node);
  const [a = 0, b = 0] = node.args as readonly number[];
  if (expandable(node)) {
    const one = unary[node.op];
    if (one !== undefined) return one(at(a));
    const two = binary[node.op];
    if (two !== undefined) return two(at(a), at(b));
  }
  return graph.push({ ...node, args: node.args.map((id) => at(id).id) } as unknown as Node);
}

/**
 * Special functions in double precision, for devices that compute them in JavaScript and as the reference for those that do not.
 * NaN gives NaN everywhere.
 */

/** `c[0] x^(n-1) + ... + c[n-1]`, highest power first. */
function polynomial(x: number, coefficients: readonly number[]): number {
  let sum = 0;
  for (const c of coefficients) sum = sum * x + c;
  return sum;
}

// erf and erfc: Sun's fdlibm, s_erf.c (relative error below 1 ULP), highest power first.
const ERX = 8.45062911510467529297e-1;
const EFX = 1.28379167095512586316e-1;
const PP = [
  -2.37630166566501626084e-5, -5.77027029648944159157e-3, -2.84817495755985104766e-2, -3.25042107247001499370e-1,
  1.28379167095512558561e-1,
];
const QQ = [
  -3.96022827877536812320e-6, 1.32494738004321644526e-4, 5.08130628187576562776e-3, 6.50222499887672944485e-2,
  3.97917223959155352819e-1, 1,
];
const PA = [
  -2.16637559486879084300e-3, 3.54783043256182359371e-2, -1.10894694282396677476e-1, 3.18346619901161753674e-1,
  -3.72207876035701323847e-1, 4.14856118683748331666e-1, -2.36211856075265944077e-3,
];
const QA = [
  1.19844998467991074170e-2, 1.36370839120290507362e-2, 1.26171219808761642112e-1, 7.18286544141962662868e-2,
  5.40397917702171048937e-1, 1.06420880400844228286e-1, 1,
];
const RA = [
  -9.81432934416914548592, -8.12874355063065934246e1, -1.84605092906711035994e2, -1.62396669462573470355e2,
  -6.23753324503260060396e1, -1.05586262253232909814e1, -6.93858572707181764372e-1, -9.86494403484714822705e-3,
];
const SA = [
  -6.04244152148580987438e-2, 6.57024977031928170135, 1.08635005541779435134e2, 4.29008140027567833386e2,
  6.45387271733267880336e2, 4.34565877475229228821e2, 1.37657754143519042600e2, 1.96512716674392571292e1, 1,
];
const RB = [
  -4.83519191608651397019e2, -1.02509513161107724954e3, -6.37566443368389627722e2, -1.60636384855821916062e2,
  -1.77579549177547519889e1, -7.99283237680523006574e-1, -9.86494292470009928597e-3,
];
const SB = [
  -2.24409524465858183362e1, 4.74528541206955367215e2, 2.55305040643316442583e3, 3.19985821950859553908e3,
  1.53672958608443695994e3, 3.25792512996573918826e2, 3.03380607434824582924e1, 1,
];

/** erfc on [1.25, 28], without the loss that rounding x * x brings. */
function erfcTail(x: number): number {
  const s = 1 / (x * x);
  const ratio = x < 1 / 0.35 ? polynomial(s, RA) / polynomial(s, SA) : polynomial(s, RB) / polynomial(s, SB);
  const z = Math.fround(x);
  return (Math.exp(-z * z - 0.5625) * Math.exp((z - x) * (z + x) + ratio)) / x;
}

/** The error function (`torch.erf`). */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a < 0.84375) {
    if (a < 2 ** -28) return x + EFX * x;
    const z = x * x;
    return x + x * (polynomial(z, PP) / polynomial(z, QQ));
  }
  if (a < 1.25) {
    const s = a - 1;
    return Math.sign(x) * (ERX + polynomial(s, PA) / polynomial(s, QA));
  }
  if (Number.isNaN(x)) return NaN;
  return a >= 6 ? Math.sign(x) : Math.sign(x) * (1 - erfcTail(a));
}

/** The complementary error function, accurate where `1 - erf(x)` is not (`torch.erfc`). */
export function erfc(x: number): number {
  const a = Math.abs(x);
  if (a < 0.84375) {
    if (a < 2 ** -56) return 1 - x;
    const z = x * x;
    const y = polynomial(z, PP) / polynomial(z, QQ);
    return x < 0.25 ? 1 - (x + x * y) : 0.5 - (x - 0.5 + x * y);
  }
  if (a < 1.25) {
    const s = a - 1;
    const ratio = polynomial(s, PA) / polynomial(s, QA);
    return x >= 0 ? 1 - ERX - ratio : 1 + (ERX + ratio);
  }
  if (Number.isNaN(x)) return NaN;
  if (a >= 28) return x > 0 ? 0 : 2;
  return x > 0 ? erfcTail(x) : 2 - erfcTail(a);
}

// The normal quantile: Wichura's AS 241 (PPND16), highest power first.
const QUANTILE_CENTRE = [
  2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457, 13731.693765509461125,
  1971.5909503065514427, 133.14166789178437745, 3.387132872796366608,
];
const QUANTILE_CENTRE_BELOW = [
  5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867, 5394.1960214247511077,
  687.1870074920579083, 42.313330701600911252, 1,
];
const QUANTILE_MIDDLE = [
  7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258, 3.64784832476320460504,
  5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734,
];
const QUANTILE_MIDDLE_BELOW = [
  1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459, 0.68976733498510000455,
  1.6763848301838038494, 2.05319162663775882187, 1,
];
const QUANTILE_TAIL = [
  2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386, 0.026532189526576123093, 0.29656057182850489123,
  1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772,
];
const QUANTILE_TAIL_BELOW = [
  2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
  0.0148753612908506148525, 0.13692988092273580531, 0.59983220655588793769, 1,
];

/** The inverse of the error function (`torch.erfinv`): infinite at -1 and 1, NaN beyond. */
export function erfinv(x: number): number {
  const a = Math.abs(x);
  if (a > 1 || Number.isNaN(x)) return NaN;
  if (a === 1) return x * Infinity;
  let y: number;
  if (a <= 0.85) {
    const r = 0.180625 - 0.25 * x * x;
    y = ((0.5 * x) * polynomial(r, QUANTILE_CENTRE)) / polynomial(r, QUANTILE_CENTRE_BELOW);
  } else {
    const r = Math.sqrt(-Math.log(0.5 * (1 - a)));
    y = Math.sign(x) * (r <= 5
      ? polynomial(r - 1.6, QUANTILE_MIDDLE) / polynomial(r - 1.6, QUANTILE_MIDDLE_BELOW)
      : polynomial(r - 5, QUANTILE_TAIL) / polynomial(r - 5, QUANTILE_TAIL_BELOW));
  }
  return y * Math.SQRT1_2;
}

/** lgamma(x) / ((x - 1) (x - 2)) in x - 1.5 on [1, 2]: a Chebyshev fit, error 3e-17; both zeros stay exact. */
const LGAMMA = [
  -0.000018042762737500831048, 0.000028340547351058170209, -0.000022062867871136649245, 0.00003498896464027488359,
  -0.00006765020809380931796, 0.00010771545393886625515, -0.00016865016226225165786, 0.00027089502962803557497,
  -0.00043802245287081509562, 0.00071156502503042787907, -0.0011644126224041501964, 0.0019229132430031887084,
  -0.0032120741489683528515, 0.005446457956850197943, -0.0094256224470610777597, 0.016797098628982759934,
  -0.031308487501021698632, 0.06291140107458167992, -0.14595989591430606885, 0.48312895054098086844,
];
/** Stirling's series: B(2n) / (2n (2n - 1)) for n = 7 .. 1. */
const STIRLING = [1 / 156, -691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12];

/** sin(pi x) for any x, exact where it is 0. */
function sinPi(x: number): number {
  const r = x - 2 * Math.round(x / 2);
  if (Math.abs(r) > 0.5) return Math.sin(Math.PI * (Math.sign(r) - r));
  return Math.sin(Math.PI * r);
}

/** The logarithm of the absolute value of the gamma function (`torch.lgamma`): infinite at 0 and the negative integers. */
export function lgamma(x: number): number {
  if (Number.isNaN(x)) return NaN;
  if (Math.abs(x) === Infinity) return Infinity;
  if (x < 0) {
    if (Number.isInteger(x)) return Infinity;
    return Math.log(Math.PI) - Math.log(Math.abs(sinPi(x))) - lgamma(1 - x);
  }
  if (x === 0) return Infinity;
  if (x < 1) return onUnitRange(x + 1, x, x - 1) - Math.log(x);
  if (x <= 2) return onUnitRange(x, x - 1, x - 2);
  if (x < 3) return onUnitRange(x - 1, x - 2, x - 3) + Math.log1p(x - 2);
  if (x < 8) {
    let product = 1;
    let y = x;
    while (y >= 3) product *= --y;
    return onUnitRange(y - 1, y - 2, y - 3) + Math.log1p(y - 2) + Math.log(product);
  }
  const series = polynomial(1 / (x * x), STIRLING) / x;
  return (x - 0.5) * (Math.log(x) - 1) + (0.5 * Math.log(2 * Math.PI) - 0.5) + series;
}

/** lgamma on [1, 2], with x - 1 and x - 2 as the caller knows them exactly. */
function onUnitRange(x: number, fromOne: number, fromTwo: number): number {
  // Adding 0 turns the -0 at 1 into 0.
  return fromOne * fromTwo * polynomial(x - 1.5, LGAMMA) + 0;
}

/** B(2n) / (2n) for n = 7 .. 1. */
const DIGAMMA = [1 / 12, -691 / 32760, 1 / 132, -1 / 240, 1 / 252, -1 / 120, 1 / 12];

/** The derivative of lgamma (`torch.digamma`): -Infinity at 0, Infinity at -0, NaN at the negative integers. */
export function digamma(x: number): number {
  if (x === 0) return Object.is(x, -0) ? Infinity : -Infinity;
  if (x < 0) {
    if (Number.isInteger(x) || x === -Infinity) return NaN;
    const fraction = x - Math.round(x);
    return digamma(1 - x) - Math.PI / Math.tan(Math.PI * fraction);
  }
  let y = x;
  let sum = 0;
  while (y < 10) {
    sum -= 1 / y;
    y += 1;
  }
  if (y === Infinity) return Infinity;
  const z = 1 / (y * y);
  return sum + Math.log(y) - 0.5 / y - z * polynomial(z, DIGAMMA);
}

const words = new DataView(new ArrayBuffer(8));

/** The float32 after `x` in the direction of `y` (C's nextafterf; both are float32 values). */
export function nextafter32(x: number, y: number): number {
  if (Number.isNaN(x) || Number.isNaN(y)) return NaN;
  if (x === y) return y;
  if (x === 0) return y > 0 ? 2 ** -149 : -(2 ** -149);
  words.setFloat32(0, x);
  words.setInt32(0, words.getInt32(0) + (y > x === x > 0 ? 1 : -1));
  return words.getFloat32(0);
}

/** The float64 after `x` in the direction of `y` (C's nextafter). */
export function nextafter64(x: number, y: number): number {
  if (Number.isNaN(x) || Number.isNaN(y)) return NaN;
  if (x === y) return y;
  if (x === 0) return y > 0 ? Number.MIN_VALUE : -Number.MIN_VALUE;
  words.setFloat64(0, x);
  words.setBigInt64(0, words.getBigInt64(0) + (y > x === x > 0 ? 1n : -1n));
  return words.getFloat64(0);
}

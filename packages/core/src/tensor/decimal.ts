/**
 * Decimal text of doubles as C's printf and Python's format() write it: the exact binary value, rounded half to even.
 * `Number.prototype.toFixed` rounds exact ties up ((0.03125).toFixed(4) is "0.0313", C prints 0.0312), stops at 1e21
 * and at 100 digits, and `toExponential` writes one-digit exponents; hence exact integer arithmetic here.
 */

interface Ratio {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

const bits = new DataView(new ArrayBuffer(8));

/** The exact value of a finite, non-negative double as a ratio of integers. */
function ratioOf(magnitude: number): Ratio {
  bits.setFloat64(0, magnitude);
  const word = bits.getBigUint64(0);
  const exponent = Number(word >> 52n);
  const fraction = word & 0xfffffffffffffn;
  const significand = exponent === 0 ? fraction : fraction | 0x10000000000000n;
  const power = Math.max(exponent, 1) - 1075;
  return power >= 0
    ? { numerator: significand << BigInt(power), denominator: 1n }
    : { numerator: significand, denominator: 1n << BigInt(-power) };
}

/** value * 10^power, rounded to an integer, ties to even. */
function scaledInteger(value: Ratio, power: number): bigint {
  const scale = 10n ** BigInt(Math.abs(power));
  const numerator = power >= 0 ? value.numerator * scale : value.numerator;
  const denominator = power >= 0 ? value.denominator : value.denominator * scale;
  const quotient = numerator / denominator;
  const twiceRest = 2n * (numerator % denominator);
  const roundUp = twiceRest > denominator || (twiceRest === denominator && quotient % 2n === 1n);
  return roundUp ? quotient + 1n : quotient;
}

function nonFinite(value: number): string {
  return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

function signOf(value: number): string {
  return value < 0 || Object.is(value, -0) ? "-" : "";
}

function withPoint(digits: string, fractionDigits: number): string {
  const point = digits.length - fractionDigits;
  return fractionDigits === 0 ? digits : `${digits.slice(0, point)}.${digits.slice(point)}`;
}

/** Python's `"{:.{digits}f}".format(value)`: "1.5000", "-0", "inf", "nan". */
export function formatFixed(value: number, digits: number): string {
  if (!Number.isFinite(value)) return nonFinite(value);
  const scaled = scaledInteger(ratioOf(Math.abs(value)), digits).toString();
  return signOf(value) + withPoint(scaled.padStart(digits + 1, "0"), digits);
}

/** Python's `"{:.{digits}e}".format(value)`: "1.5000e+00", "1.0000e-100". */
export function formatExponential(value: number, digits: number): string {
  if (!Number.isFinite(value)) return nonFinite(value);
  const ratio = ratioOf(Math.abs(value));
  let exponent = value === 0 ? 0 : decimalExponent(Math.abs(value), ratio);
  let scaled = scaledInteger(ratio, digits - exponent).toString();
  if (scaled.length > digits + 1) {
    // Rounding carried into a new digit (9.99996 -> 10.0000), which leaves a zero at the end.
    exponent += 1;
    scaled = scaled.slice(0, -1);
  }
  const mantissa = withPoint(scaled.padEnd(digits + 1, "0"), digits);
  const power = Math.abs(exponent).toString().padStart(2, "0");
  return `${signOf(value)}${mantissa}e${exponent < 0 ? "-" : "+"}${power}`;
}

/** floor(log10(magnitude)), exactly. */
function decimalExponent(magnitude: number, { numerator, denominator }: Ratio): number {
  const shortest = magnitude.toExponential();
  const exponent = Number(shortest.slice(shortest.indexOf("e") + 1));
  // The double that reads as 1e23 lies below it: the shortest text may be a power of ten that the value is not.
  const power = 10n ** BigInt(Math.abs(exponent));
  const below = exponent >= 0 ? numerator < power * denominator : numerator * power < denominator;
  return below ? exponent - 1 : exponent;
}

/**
 * The scalar ops of the kernel IR in plain JavaScript: what each means for each dtype. float32 values are numbers that
 * survive `Math.fround`, int32 and uint8 are whole numbers in range, bools are 0 and 1, int64 values are bigints.
 */
import type { DType } from "../../tensor/dtype.ts";
import type { BinaryOp, CompareOp, UnaryOp } from "../../kernel/ir.ts";
import { digamma, erf, erfc, erfinv, lgamma, nextafter32, nextafter64 } from "../../kernel/special.ts";

export type Scalar = number | bigint;
export type Unary = (a: Scalar) => Scalar;
export type Binary = (a: Scalar, b: Scalar) => Scalar;

/** Half to even, as PyTorch rounds. */
function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest < 0.5) return Object.is(x, -0) ? x : floor;
  if (rest > 0.5 || floor % 2 !== 0) return floor + 1 === 0 ? -0 : floor + 1;
  return floor;
}

export const floatUnary: Readonly<Record<UnaryOp, (x: number) => number>> = {
  neg: (x) => -x,
  abs: Math.abs,
  sign: (x) => (x > 0 ? 1 : 0) - (x < 0 ? 1 : 0),
  floor: Math.floor,
  ceil: Math.ceil,
  trunc: Math.trunc,
  round: roundHalfEven,
  sqrt: Math.sqrt,
  not: (x) => (x === 0 ? 1 : 0),
  exp: Math.exp,
  exp2: (x) => 2 ** x,
  expm1: Math.expm1,
  log: Math.log,
  log2: Math.log2,
  log10: Math.log10,
  log1p: Math.log1p,
  sin: Math.sin,
  cos: Math.cos,
  tan: Math.tan,
  asin: Math.asin,
  acos: Math.acos,
  atan: Math.atan,
  sinh: Math.sinh,
  cosh: Math.cosh,
  tanh: Math.tanh,
  asinh: Math.asinh,
  acosh: Math.acosh,
  atanh: Math.atanh,
  erf,
  erfc,
  erfinv,
  lgamma,
  digamma,
};

/** C's pow: 1 to any power and anything to the power 0 is 1, -1 to an infinite power too. */
function floatPow(a: number, b: number): number {
  if (a === 1 || (a === -1 && Math.abs(b) === Infinity)) return 1;
  return a ** b;
}

function floatMod(a: number, b: number): number {
  const rest = a % b;
  return rest !== 0 && b < 0 !== rest < 0 ? rest + b : rest;
}

function copysign(a: number, b: number): number {
  const negative = b < 0 || Object.is(b, -0) || (Number.isNaN(b) && signBit(b));
  return negative ? -Math.abs(a) : Math.abs(a);
}

const bits = new DataView(new ArrayBuffer(8));

function signBit(x: number): boolean {
  bits.setFloat64(0, x);
  return bits.getUint8(0) >= 0x80;
}

type FloatBinary = Exclude<BinaryOp, "and" | "or" | "xor" | "shl" | "shr" | "sar" | "mulhi" | "nextafter">;

const floatBinary: Readonly<Record<FloatBinary, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  mod: floatMod,
  fmod: (a, b) => a % b,
  pow: floatPow,
  atan2: Math.atan2,
  max: Math.max,
  min: Math.min,
  copysign,
};

type IntegerBinary = Exclude<BinaryOp, "atan2" | "copysign" | "nextafter" | "mulhi">;

/** Whole numbers as bigints of `width` bits; the caller wraps the result. */
const integerBinary: Readonly<Record<IntegerBinary, (a: bigint, b: bigint, width: number) => bigint>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => (b === 0n ? 0n : a / b),
  mod: (a, b) => {
    if (b === 0n) return 0n;
    const rest = a % b;
    return rest !== 0n && b < 0n !== rest < 0n ? rest + b : rest;
  },
  fmod: (a, b) => (b === 0n ? 0n : a % b),
  pow: integerPow,
  max: (a, b) => (a > b ? a : b),
  min: (a, b) => (a < b ? a : b),
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b, width) => a << shift(b, width),
  shr: (a, b, width) => BigInt.asUintN(width, a) >> shift(b, width),
  sar: (a, b, width) => a >> shift(b, width),
};

/** Shift counts are taken modulo the width, as processors do (uint8 shifts in 32 bits). */
function shift(count: bigint, width: number): bigint {
  return BigInt.asUintN(width === 64 ? 6 : 5, count);
}

/** By squaring, wrapped at every step. A negative power of anything but 1 and -1 is 0. */
function integerPow(base: bigint, exponent: bigint): bigint {
  if (exponent < 0n) return base === 1n ? 1n : base === -1n ? (exponent % 2n === 0n ? 1n : -1n) : 0n;
  let result = 1n;
  for (let b = base, e = exponent; e > 0n; e >>= 1n) {
    if (e & 1n) result = BigInt.asIntN(64, result * b);
    b = BigInt.asIntN(64, b * b);
  }
  return result;
}

/** The high half of the unsigned product of two int32. */
function mulhi(a: number, b: number): number {
  return Number((BigInt(a >>> 0) * BigInt(b >>> 0)) >> 32n) | 0;
}

/** The usual int32 ops without the detour over bigints. */
const fastInt32: Partial<Record<BinaryOp, (a: number, b: number) => number>> = {
  add: (a, b) => (a + b) | 0,
  sub: (a, b) => (a - b) | 0,
  mul: Math.imul,
  max: Math.max,
  min: Math.min,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b) => a << b,
  shr: (a, b) => (a >>> b) | 0,
  sar: (a, b) => a >> b,
  mulhi,
};

const widths = { int32: 32, int64: 64, uint8: 8 } as const;

/** A whole number, wrapped into `type`. */
function wrap(type: DType, value: bigint): Scalar {
  switch (type) {
    case "int64":
      return BigInt.asIntN(64, value);
    case "int32":
      return Number(BigInt.asIntN(32, value));
    case "uint8":
      return Number(BigInt.asUintN(8, value));
    case "bool":
      return value === 0n ? 0 : 1;
    case "float32":
    case "float64":
      return Number(value);
  }
}

/** The meaning of a unary op on `type`. */
export function unary(op: UnaryOp, type: DType): Unary {
  if (type === "float32" || type === "float64") {
    const f = floatUnary[op];
    return type === "float64" ? (a) => f(a as number) : (a) => Math.fround(f(a as number));
  }
  const f = integerUnary[op];
  if (f === undefined) throw new TypeError(`${op} does not take ${type}`);
  if (op === "not" && type === "bool") return (a) => (a === 0 ? 1 : 0);
  return (a) => wrap(type, f(BigInt(a)));
}

/** Whole numbers as bigints; the caller wraps the result. */
const integerUnary: Partial<Record<UnaryOp, (a: bigint) => bigint>> = {
  neg: (a) => -a,
  abs: (a) => (a < 0n ? -a : a),
  sign: (a) => (a > 0n ? 1n : a < 0n ? -1n : 0n),
  not: (a) => ~a,
  floor: (a) => a,
  ceil: (a) => a,
  trunc: (a) => a,
  round: (a) => a,
};

/** The meaning of a binary op on `type`. */
export function binary(op: BinaryOp, type: DType): Binary {
  if (type === "float32" || type === "float64") {
    if (op === "nextafter") return (type === "float32" ? nextafter32 : nextafter64) as Binary;
    if (!(op in floatBinary)) throw new TypeError(`${op} does not take ${type}`);
    const f = floatBinary[op as FloatBinary];
    return type === "float64" ? (f as Binary) : (a, b) => Math.fround(f(a as number, b as number));
  }
  const fast = type === "int32" ? fastInt32[op] : undefined;
  if (fast !== undefined) return fast as Binary;
  if (!(op in integerBinary)) throw new TypeError(`${op} does not take ${type}`);
  const f = integerBinary[op as IntegerBinary];
  const width = type === "bool" ? 8 : widths[type];
  return (a, b) => wrap(type, f(BigInt(a), BigInt(b), width));
}

/** The meaning of a comparison: 1 or 0. */
export function compare(op: CompareOp): Binary {
  switch (op) {
    case "eq":
      return (a, b) => (a === b ? 1 : 0);
    case "ne":
      return (a, b) => (a !== b ? 1 : 0);
    case "lt":
      return (a, b) => (a < b ? 1 : 0);
    case "le":
      return (a, b) => (a <= b ? 1 : 0);
    case "gt":
      return (a, b) => (a > b ? 1 : 0);
    case "ge":
      return (a, b) => (a >= b ? 1 : 0);
  }
}

const ranges = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint8: [0n, 255n],
} as const;

/** Float to integer truncates and saturates, NaN gives 0; integer to narrower integer wraps; to bool is `!= 0`. */
export function cast(from: DType, to: DType): Unary {
  if (from === to) return (a) => a;
  if (to === "bool") return (a) => (a === 0 || a === 0n ? 0 : 1);
  if (to === "float64") return (a) => Number(a);
  if (to === "float32") return from === "int64" ? (a) => int64ToFloat32(a as bigint) : (a) => Math.fround(a as number);
  if (from === "float32" || from === "float64") {
    const [least, most] = ranges[to];
    return (a) => {
      const x = Math.trunc(a as number);
      if (Number.isNaN(x)) return wrap(to, 0n);
      if (x <= Number(least)) return wrap(to, least);
      if (x >= Number(most)) return wrap(to, most);
      return wrap(to, BigInt(x));
    };
  }
  return (a) => wrap(to, BigInt(a));
}

/** Rounded once: what a double cannot hold is kept as a sticky bit. */
function int64ToFloat32(a: bigint): number {
  const magnitude = a < 0n ? -a : a;
  if (magnitude < 1n << 53n) return Math.fround(Number(a));
  const sticky = (magnitude & 0x7ffn) === 0n ? 0n : 1n;
  const rounded = Math.fround(Number((magnitude >> 11n) | sticky)) * 2048;
  return a < 0n ? -rounded : rounded;
}

/** float32 to int32 and back, bit by bit. */
export function bitcast(from: DType, to: DType): Unary {
  const floats = new Float32Array(1);
  const ints = new Int32Array(floats.buffer);
  if (from === "float32" && to === "int32") {
    return (a) => {
      floats[0] = a as number;
      return ints[0];
    };
  }
  if (from === "int32" && to === "float32") {
    return (a) => {
      ints[0] = a as number;
      return floats[0];
    };
  }
  throw new TypeError(`bitcast from ${from} to ${to}`);
}

/** The value of a constant's or an accumulator's text. */
export function constant(type: DType, text: string): Scalar {
  switch (type) {
    case "int64":
      return BigInt(text);
    case "float32":
      return Math.fround(Number(text));
    case "bool":
      return text === "true" || Number(text) !== 0 ? 1 : 0;
    case "float64":
    case "int32":
    case "uint8":
      return Number(text);
  }
}

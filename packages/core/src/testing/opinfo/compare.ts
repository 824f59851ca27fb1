/** Compares a computed tensor with an expected one, with tolerances that follow the tensor. */
import type { DType, TypedArray } from "../../tensor/dtype.ts";

/** A tensor as the comparison sees it: `data` in contiguous order. */
export interface TensorLike {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: TypedArray;
}

export interface Tolerance {
  /** Relative to the expected element: 1.3e-6 for float32, 1e-9 for float64. */
  readonly rtol?: number;
  /** Relative to the tensor's magnitude, for what cancellation made small: 1e-5 for float32, 1e-9 for float64. */
  readonly atol?: number;
  /** The least magnitude that is reckoned with: 1, so that `atol` is PyTorch's absolute tolerance for small tensors. */
  readonly magnitude?: number;
  /** How many terms were summed for one element: 1. */
  readonly reduction?: number;
}

const defaults = {
  float32: { rtol: 1.3e-6, atol: 1e-5 },
  float64: { rtol: 1e-9, atol: 1e-9 },
} as const;

/** The greatest finite absolute value; 0 where there is none. */
export function magnitudeOf({ data }: { readonly data: TypedArray }): number {
  let greatest = 0;
  for (const element of data) {
    const size = Math.abs(Number(element));
    if (size > greatest && size < Infinity) greatest = size;
  }
  return greatest;
}

/**
 * Says how `actual` differs from `expected`, or null where it does not: shape and dtype first, then the first element
 * that differs. NaN equals NaN; infinities, integers and bools are compared exactly; finite floats must lie within
 * `(rtol * |expected| + atol * magnitude) * sqrt(reduction)`, where the magnitude is the expected tensor's own, or the
 * given one if that is greater. (The root: rounding errors of a sum walk at random. The bound exceeds their worst case,
 * n * eps, for sums of up to 20,000 terms.)
 */
export function compareTensors(actual: TensorLike, expected: TensorLike, tolerance: Tolerance = {}): string | null {
  if (!sameShape(actual.shape, expected.shape)) {
    return `shape is [${actual.shape.join(", ")}], expected [${expected.shape.join(", ")}]`;
  }
  if (actual.dtype !== expected.dtype) return `dtype is ${actual.dtype}, expected ${expected.dtype}`;
  const length = expected.data.length;
  if (actual.data.length !== length) return `data has ${actual.data.length} elements, expected ${length}`;

  const allowed = allowance(expected, tolerance);
  let first = -1;
  let count = 0;
  for (let i = 0; i < length; i++) {
    if (isClose(elementAt(actual, i), elementAt(expected, i), allowed)) continue;
    if (count === 0) first = i;
    count++;
  }
  return count === 0 ? null : report(actual, expected, allowed, first, count);
}

type Allowance = (expected: number | bigint) => number;

function allowance(expected: TensorLike, tolerance: Tolerance): Allowance {
  if (expected.dtype !== "float32" && expected.dtype !== "float64") return () => 0;
  const { rtol, atol, magnitude = 1, reduction = 1 } = { ...defaults[expected.dtype], ...tolerance };
  const scale = Math.max(magnitudeOf(expected), magnitude);
  const terms = Math.sqrt(Math.max(reduction, 1));
  return (element) => (rtol * Math.abs(Number(element)) + atol * scale) * terms;
}

function isClose(actual: number | bigint, expected: number | bigint, allowed: Allowance): boolean {
  if (actual === expected) return true;
  if (typeof actual === "bigint" || typeof expected === "bigint") return false;
  if (Number.isNaN(expected)) return Number.isNaN(actual);
  if (!Number.isFinite(expected) || !Number.isFinite(actual)) return false;
  return Math.abs(actual - expected) <= allowed(expected);
}

function elementAt({ data }: TensorLike, i: number): number | bigint {
  return data[i] ?? NaN;
}

function report(actual: TensorLike, expected: TensorLike, allowed: Allowance, i: number, count: number): string {
  const got = elementAt(actual, i);
  const want = elementAt(expected, i);
  const off =
    typeof got === "number" && typeof want === "number" && Number.isFinite(got) && Number.isFinite(want)
      ? ` (off by ${short(Math.abs(got - want))}, allowed ${short(allowed(want))})`
      : "";
  const place = `${expected.dtype}[${expected.shape.join(", ")}] at [${position(expected.shape, i).join(", ")}]`;
  return `${place}: got ${got}, expected ${want}${off}; ${count} of ${expected.data.length} elements differ`;
}

function short(value: number): string {
  return String(Number(value.toPrecision(3)));
}

function position(shape: readonly number[], index: number): number[] {
  let rest = index;
  return shape
    .toReversed()
    .map((size) => {
      const i = rest % size;
      rest = (rest - i) / size;
      return i;
    })
    .toReversed();
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, d) => size === b[d]);
}

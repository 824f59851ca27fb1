import { describe, expect, test } from "vitest";
import { compareTensors, magnitudeOf, type TensorLike } from "../src/testing/opinfo/compare.ts";

function float32(...values: number[]): TensorLike {
  return { dtype: "float32", shape: [values.length], data: Float32Array.from(values) };
}

function float64(...values: number[]): TensorLike {
  return { dtype: "float64", shape: [values.length], data: Float64Array.from(values) };
}

describe("compareTensors", () => {
  test("equal tensors do not differ", () => {
    expect(compareTensors(float32(1, 2, 3), float32(1, 2, 3))).toBeNull();
    expect(compareTensors(float32(), float32())).toBeNull();
  });

  test("a shape differs even where the data agrees", () => {
    const flat = float32(1, 2, 3, 4);
    expect(compareTensors({ ...flat, shape: [2, 2] }, flat)).toBe("shape is [2, 2], expected [4]");
    expect(compareTensors({ ...float32(1), shape: [] }, float32(1))).toBe("shape is [], expected [1]");
  });

  test("a dtype differs even where the values agree", () => {
    expect(compareTensors(float64(1), float32(1))).toBe("dtype is float64, expected float32");
  });

  test("data that is too short for its shape is reported", () => {
    expect(compareTensors({ ...float32(1, 2, 3), data: new Float32Array(2) }, float32(1, 2, 3))).toMatch(/2 elements/);
  });

  test("NaN equals NaN and nothing else", () => {
    expect(compareTensors(float32(NaN), float32(NaN))).toBeNull();
    expect(compareTensors(float32(0), float32(NaN))).toMatch(/got 0, expected NaN/);
    expect(compareTensors(float32(NaN), float32(0))).toMatch(/got NaN, expected 0/);
    expect(compareTensors(float32(Infinity), float32(NaN))).not.toBeNull();
  });

  test("infinities are exact, sign included", () => {
    expect(compareTensors(float32(Infinity, -Infinity), float32(Infinity, -Infinity))).toBeNull();
    expect(compareTensors(float32(-Infinity), float32(Infinity))).not.toBeNull();
    expect(compareTensors(float32(3.4e38), float32(Infinity))).not.toBeNull();
    expect(compareTensors(float32(Infinity), float32(3.4e38))).not.toBeNull();
  });

  test("an infinity among the expected values does not widen the tolerance of the others", () => {
    expect(compareTensors(float32(Infinity, 1.01), float32(Infinity, 1))).toMatch(/at \[1\]/);
  });

  test("integers and bools are exact, beyond 2^53 too", () => {
    const int64 = (value: bigint): TensorLike => ({ dtype: "int64", shape: [], data: BigInt64Array.of(value) });
    expect(compareTensors(int64(2n ** 60n + 1n), int64(2n ** 60n + 1n))).toBeNull();
    expect(compareTensors(int64(2n ** 60n + 1n), int64(2n ** 60n))).toMatch(/got 1152921504606846977/);
    const bool = (value: number): TensorLike => ({ dtype: "bool", shape: [1], data: Uint8Array.of(value) });
    expect(compareTensors(bool(1), bool(0))).not.toBeNull();
    const int32 = (value: number): TensorLike => ({ dtype: "int32", shape: [1], data: Int32Array.of(value) });
    expect(compareTensors(int32(1_000_000_001), int32(1_000_000_000))).not.toBeNull();
  });

  test("float32 is held to about 1e-5, float64 to 1e-9", () => {
    expect(compareTensors(float32(1.00001), float32(1))).toBeNull();
    expect(compareTensors(float32(1.00003), float32(1))).not.toBeNull();
    expect(compareTensors(float64(1 + 1e-9), float64(1))).toBeNull();
    expect(compareTensors(float64(1 + 1e-8), float64(1))).not.toBeNull();
  });

  test("the absolute tolerance follows the tensor's magnitude", () => {
    expect(compareTensors(float32(1000, 0.005), float32(1000, 0))).toBeNull();
    expect(compareTensors(float32(1, 0.005), float32(1, 0))).not.toBeNull();
  });

  test("a smaller least magnitude holds small tensors to their own scale", () => {
    expect(compareTensors(float32(2e-6), float32(1e-6))).toBeNull();
    expect(compareTensors(float32(2e-6), float32(1e-6), { magnitude: 0 })).not.toBeNull();
  });

  test("long reductions may be off by more", () => {
    expect(compareTensors(float32(1.0001), float32(1))).not.toBeNull();
    expect(compareTensors(float32(1.0001), float32(1), { reduction: 100 })).toBeNull();
  });

  test("the report names the first element that differs, by its indices, and counts the rest", () => {
    const expected: TensorLike = { dtype: "float32", shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) };
    const actual: TensorLike = { ...expected, data: Float32Array.of(1, 2, 3, 4, 5.5, 7) };
    expect(compareTensors(actual, expected)).toBe(
      "float32[2, 3] at [1, 1]: got 5.5, expected 5 (off by 0.5, allowed 0.0000665); 2 of 6 elements differ",
    );
  });
});

test("magnitudeOf ignores infinities and NaN", () => {
  expect(magnitudeOf(float32(-3, Infinity, NaN, 2))).toBe(3);
  expect(magnitudeOf(float32())).toBe(0);
});

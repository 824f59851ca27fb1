import type { DType, RoutineKernel, TypedArray } from "@troupe/core/device";
import { itemSize, typedArray } from "@troupe/core/device";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createMemory, Heap, heapStart } from "../src/heap.ts";
import { sort } from "../src/routines/sort.ts";

const heap = new Heap(createMemory(1, 2 ** 24));
const base = heapStart(1);
heap.grow(base + 2 ** 20, 2 ** 24);

type Value = number | bigint;

/** Sorts rows of `values` through the routine, with `stride` between the elements of a row. */
function sortRows(dtype: DType, values: readonly Value[], rows: number, descending: boolean, stride = 1) {
  const length = values.length / rows;
  const operand = { dtype, inner: "any" } as const;
  const kernel: RoutineKernel = {
    kind: "routine",
    name: "sort",
    axes: 2,
    inputs: [operand],
    outputs: [{ ...operand, overwrites: true }, { dtype: "int64", inner: "any", overwrites: true }],
    scalars: [],
    options: { descending, stable: true },
  };
  const span = values.length * stride;
  const input = typedArray(dtype, heap.buffer, base, span);
  values.forEach((value, i) => {
    (input as { [i: number]: Value })[i * stride] = value;
  });
  const blocks = [base, base + 2 ** 18, base + 2 ** 19];
  const launch = sort(kernel, heap);
  const strides = [length * stride, stride, length, 1, length, 1];
  launch(new Int32Array([0, 0, 1, 0, 2, 0, rows, length, ...strides]), 0, (storage) => blocks[storage]);
  const sorted = typedArray(dtype, heap.buffer, blocks[1], values.length);
  const indices = new BigInt64Array(heap.buffer, blocks[2], values.length);
  return { values: Array.from(sorted as ArrayLike<Value>), indices: Array.from(indices, Number) };
}

/** PyTorch's order: NaN above everything, -0 equal to 0. */
function compare(a: Value, b: Value): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return a < b ? -1 : a > b ? 1 : 0;
}

function expected(values: readonly Value[], rows: number, descending: boolean) {
  const length = values.length / rows;
  const order: number[] = [];
  for (let row = 0; row < rows; row++) {
    const at = (i: number) => values[row * length + i];
    const sign = descending ? -1 : 1;
    order.push(...Array.from({ length }, (_, i) => i).sort((a, b) => sign * compare(at(a), at(b)) || a - b));
  }
  return { values: order.map((i, at) => values[Math.floor(at / length) * length + i]), indices: order };
}

const elements: Record<DType, fc.Arbitrary<Value>> = {
  float32: fc.oneof(fc.float(), fc.constantFrom(NaN, Infinity, -Infinity, 0, -0, 1)),
  float64: fc.oneof(fc.double(), fc.constantFrom(NaN, Infinity, -Infinity, 0, -0, 1)),
  int32: fc.oneof(fc.integer(), fc.integer({ min: -3, max: 3 })),
  int64: fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.bigInt({ min: -3n, max: 3n })),
  uint8: fc.integer({ min: 0, max: 255 }),
  bool: fc.integer({ min: 0, max: 1 }),
};

const exactly = (length: number) => ({ minLength: length, maxLength: length });

describe("sort", () => {
  for (const dtype of Object.keys(elements) as DType[]) {
    test(`${dtype} rows, short and long, sort stably with NaN greatest`, () => {
      const lengths = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 41, max: 400 }));
      const rows = fc.integer({ min: 1, max: 3 });
      const cases = fc.tuple(rows, lengths).chain(([count, length]) =>
        fc.tuple(fc.constant(count), fc.array(elements[dtype], exactly(count * length))));
      fc.assert(
        fc.property(cases, fc.boolean(), fc.integer({ min: 1, max: 3 }), ([count, values], descending, stride) => {
          expect(sortRows(dtype, values, count, descending, stride)).toEqual(expected(values, count, descending));
        }),
        { numRuns: 40 },
      );
    });
  }

  test("bits survive: a NaN's payload and the sign of zero", () => {
    const bits = new Float32Array(new Int32Array([0x7fc00123, 0x3f800000, 1 << 31]).buffer) as TypedArray;
    expect(itemSize("float32")).toBe(4);
    sortRows("float32", Array.from(bits as Float32Array), 1, false);
    expect(Object.is(new Float32Array(heap.buffer, base + 2 ** 18, 1)[0], -0)).toBe(true);
  });
});

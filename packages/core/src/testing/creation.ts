/** The creation suite that every device runs: constructors as in PyTorch, and random numbers whose bits follow from the seed alone. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Device } from "../actor/device.ts";
import { DTypeError, OutOfMemoryError, ShapeError, ValueError } from "../errors.ts";
import * as troupe from "../index.ts";
import { philox } from "./philox.ts";

export function creationSuite(name: string, device: () => Device): void {
  const at = (options: troupe.TensorOptions = {}): troupe.TensorOptions => ({ device: device(), ...options });

  describe(`${name}: constructors`, () => {
    test("tensor() infers int64, float32 and bool as PyTorch does, and float32 where a gradient is wanted", () => {
      expect(troupe.tensor([[1, 2], [3, 4]], at()).dtype).toBe("int64");
      expect(troupe.tensor([1, 2.5], at()).dtype).toBe("float32");
      expect(troupe.tensor([true, false], at()).dtype).toBe("bool");
      expect(troupe.tensor(7n, at()).tolistSync()).toBe(7);
      expect(troupe.tensor([1, 2], at({ requiresGrad: true })).dtype).toBe("float32");
      expect(dtypeOrError(() => troupe.tensor(new Float64Array([1, 2]), at())))
        .toMatch(device().dtypes.has("float64") ? /^float64$/ : /does not hold float64[^]*CPU device/);
      expect(troupe.tensor([], at()).shape).toEqual([0]);
    });

    test("tensor() keeps nested data in order, at any depth", () => {
      fc.assert(
        fc.property(fc.array(fc.array(fc.integer(), { minLength: 3, maxLength: 3 }), { minLength: 1, maxLength: 4 }), (rows) => {
          expect(troupe.tensor(rows, at()).tolistSync()).toEqual(rows);
        }),
        { numRuns: 20 },
      );
    });

    test("int64 survives exactly beyond 2^53", () => {
      const values = [2n ** 62n, -(2n ** 63n), 9007199254740993n];
      expect(troupe.tensor(values, at()).tolistSync()).toEqual(values);
    });

    test("ragged data, unknown dtypes and options, and impossible sizes are refused at the call", () => {
      expect(() => troupe.tensor([[1, 2], [3]], at())).toThrow(ShapeError);
      expect(() => troupe.tensor([["a"]] as never, at())).toThrow(DTypeError);
      expect(() => troupe.zeros([2], at({ dtype: "float16" as never }))).toThrow(DTypeError);
      expect(() => troupe.zeros([2], { devise: "cpu" } as never)).toThrow(ValueError);
      expect(() => troupe.zeros(-1, at())).toThrow(ShapeError);
      expect(() => troupe.arange(0, 5, -1, at())).toThrow(ValueError);
      expect(() => troupe.arange(0, 5, 0, at())).toThrow(ValueError);
    });

    test("data that no dtype holds is refused at the call, not turned into other numbers", () => {
      for (const value of [2n ** 63n, 1e20, [1, -1e19]]) {
        expect(() => troupe.tensor(value as number, at())).toThrow("Overflow when unpacking long");
      }
      expect(() => troupe.tensor([1, NaN], at({ dtype: "int64" }))).toThrow("cannot convert float NaN to integer");
      expect(() => troupe.tensor(["1"] as never, at({ dtype: "float32" }))).toThrow(DTypeError);
      expect(() => troupe.tensor([undefined] as never, at({ dtype: "float32" }))).toThrow(DTypeError);
      for (const array of [new Int16Array(2), new Uint32Array(2), new DataView(new ArrayBuffer(8))]) {
        expect(() => troupe.tensor(array as never, at())).toThrow(DTypeError);
      }
    });

    test("sizes beyond 32 bits are refused at the call, in constructors and in results", () => {
      for (const size of [2 ** 30, 1e12, 2 ** 53]) expect(() => troupe.zeros(size, at())).toThrow(OutOfMemoryError);
      const column = troupe.ones(1e5, 1, at());
      expect(() => column.add(column.t())).toThrow(OutOfMemoryError);
      expect(() => troupe.ones(1, at()).expand(2 ** 33).sum()).toThrow(ShapeError);
      expect(troupe.zeros(0, 2 ** 40, at()).shape).toEqual([0, 2 ** 40]);
    });

    test("fills, ranges and identities hold what they say, in every dtype that the device has", () => {
      for (const dtype of device().dtypes) {
        expect(troupe.ones([2, 2], at({ dtype })).to("float32").tolistSync()).toEqual([[1, 1], [1, 1]]);
        expect(troupe.eye(2, 3, at({ dtype })).to("int32").tolistSync()).toEqual([[1, 0, 0], [0, 1, 0]]);
      }
      for (const dtype of [...device().dtypes].filter((type) => type !== "bool")) {
        expect(troupe.arange(1, 10, 3, at({ dtype })).to("int32").tolistSync()).toEqual([1, 4, 7]);
      }
      expect(troupe.linspace(-1, 1, 5, at()).tolistSync()).toEqual([-1, -0.5, 0, 0.5, 1]);
      expect(troupe.full([2], 7, at()).dtype).toBe("int64");
      expect(troupe.zerosLike(troupe.ones([3], at({ dtype: "int32" }))).tolistSync()).toEqual([0, 0, 0]);
    });
  });

  describe(`${name}: random numbers`, () => {
    test("rand() gives the bits of Philox4x32-10 on (seed, op, element index)", () => {
      troupe.manualSeed(0x1234567890abcdefn);
      troupe.rand(3, at());
      const second = troupe.rand(500, at()).dataSync();
      const words = new Uint32Array(4);
      for (const index of [0, 1, 7, 499]) {
        philox([0x90abcdef, 0x12345678], [index, 0, 1, 0], words);
        expect(second[index]).toBe((words[0] >>> 8) * 2 ** -24);
      }
    });

    test("the same seed gives the same numbers again, another seed or another op different ones", () => {
      const draw = (seed: number): unknown => {
        troupe.manualSeed(seed);
        return [troupe.rand(8, at()).tolistSync(), troupe.randn(8, at()).tolistSync(), troupe.randperm(8, at()).tolistSync()];
      };
      expect(draw(3)).toEqual(draw(3));
      expect(draw(3)).not.toEqual(draw(4));
      troupe.manualSeed(3);
      expect(troupe.rand(8, at()).tolistSync()).not.toEqual(troupe.rand(8, at()).tolistSync());
    });

    test("moments are those of the distributions", () => {
      troupe.manualSeed(1);
      const n = 40_000;
      const uniform = troupe.rand(n, at());
      const normal = troupe.normal(2, 3, [n], at());
      expect(uniform.mean().itemSync()).toBeCloseTo(0.5, 2);
      expect(uniform.var().itemSync()).toBeCloseTo(1 / 12, 2);
      expect(uniform.min().itemSync()).toBeGreaterThanOrEqual(0);
      expect(uniform.max().itemSync()).toBeLessThan(1);
      expect(Math.abs(normal.mean().itemSync() - 2)).toBeLessThan(0.06);
      expect(Math.abs(normal.std().itemSync() - 3)).toBeLessThan(0.06);
      const dice = troupe.randint(1, 7, [n], at());
      expect([dice.min().itemSync(), dice.max().itemSync()]).toEqual([1, 6]);
      expect(dice.to("float32").mean().itemSync()).toBeCloseTo(3.5, 1);
    });

    test("randperm() is a permutation", () => {
      fc.assert(
        fc.property(fc.integer({ min: 0, max: 200 }), (n) => {
          const order = troupe.randperm(n, at()).tolistSync() as number[];
          expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i));
        }),
        { numRuns: 15 },
      );
    });
  });
}

/** The made tensor's dtype, or what is said where it is refused. */
function dtypeOrError(make: () => troupe.Tensor): string {
  try {
    return make().dtype;
  } catch (error) {
    return String(error);
  }
}

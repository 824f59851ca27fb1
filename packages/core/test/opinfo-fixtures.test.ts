import { readdirSync, readFileSync, statSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { camelCase, entryCall, isAmbiguous, missingOps, resultTensors } from "../src/testing/opinfo/adapters.ts";
import { compareTensors } from "../src/testing/opinfo/compare.ts";
import {
  cotangent,
  entryNames,
  functionOf,
  leavesOf,
  loadEntry,
  stridedStorage,
  tensorsOf,
  type TensorValue,
  type Value,
} from "../src/testing/opinfo/fixtures.ts";

const folder = new URL("../fixtures/opinfo/", import.meta.url);
const entries = entryNames().map(loadEntry);
const cases = entries.flatMap((entry) => entry.cases);

function product(shape: readonly number[]): number {
  return shape.reduce((size, n) => size * n, 1);
}

function vector(...values: number[]): TensorValue {
  const data = Float32Array.from(values);
  return { kind: "tensor", dtype: "float32", shape: [data.length], strides: [1], data, requiresGrad: false };
}

function plainNumber(value: number): Value {
  return { kind: "number", value, float: false };
}

describe("the fixtures", () => {
  test("hold every entry of ops.txt", () => {
    const listed = readFileSync(new URL("../scripts/opinfo/ops.txt", import.meta.url), "utf8").trim().split("\n");
    expect(entryNames().toSorted()).toEqual(listed.toSorted());
    expect(entries.filter((entry) => entry.cases.length === 0)).toEqual([]);
  });

  test("stay small: under 1 MB a file, 4 MB in all", () => {
    const sizes = readdirSync(folder).map((file) => statSync(new URL(file, folder)).size);
    expect(Math.max(...sizes)).toBeLessThan(1_000_000);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(4_000_000);
  });

  test("cover values, both orders of gradient, promotion, special values and errors", () => {
    const count = (holds: (one: (typeof cases)[number]) => boolean) => cases.filter(holds).length;
    expect(cases.length).toBeGreaterThan(10_000);
    expect(count((one) => one.grad !== null)).toBeGreaterThan(3_000);
    expect(count((one) => one.gradgrad !== null)).toBeGreaterThan(1_500);
    expect(count((one) => one.made === "promotion")).toBeGreaterThan(1_000);
    expect(count((one) => one.made === "special")).toBeGreaterThan(200);
    expect(entries.flatMap((entry) => entry.errors).length).toBeGreaterThan(250);
    for (const dtype of ["float32", "float64", "int64", "int32", "uint8", "bool"] as const) {
      expect(count((one) => one.made === null && one.dtype === dtype)).toBeGreaterThan(500);
    }
  });

  test("decode to tensors whose data fills their shapes and whose strides fit", () => {
    const all = cases.flatMap((one) => tensorsOf([...one.args, ...Object.values(one.kwargs), one.out]));
    const wrong = all.filter(
      ({ data, shape, strides }) => data.length !== product(shape) || strides.length !== shape.length,
    );
    expect(wrong).toEqual([]);
    expect(all.filter(({ dtype, data }) => dtype === "bool" && data.some((byte) => byte > 1))).toEqual([]);
  });

  test("give each leaf a gradient of its shape and dtype, or none", () => {
    const fits = (gradient: TensorValue | null, leaf: TensorValue | undefined) =>
      gradient === null || (gradient.shape.join() === leaf?.shape.join() && gradient.dtype === leaf.dtype);
    const wrong = cases.filter((one) => {
      const leaves = leavesOf(one);
      return [one.grad, one.gradgrad].some(
        (gradients) =>
          gradients !== null &&
          (gradients.length !== leaves.length || !gradients.every((gradient, i) => fits(gradient, leaves[i]))),
      );
    });
    expect(wrong).toEqual([]);
  });

  test("hold what PyTorch computes: mul's values and both orders of its gradients, recomputed", () => {
    const differentiable = loadEntry("mul").cases.filter((one) => one.gradgrad !== null && one.dtype === "float64");
    let checked = 0;
    for (const one of differentiable) {
      const [a, b] = leavesOf(one);
      if (a === undefined || b === undefined || a.shape.join() !== b.shape.join()) continue;
      const g = cotangent(a.shape, "float64");
      const from = (at: (i: number) => number) => ({
        ...a,
        data: new Float64Array(a.data.length).map((_, i) => at(i)),
      });
      const x = Array.from(a.data, Number);
      const y = Array.from(b.data, Number);
      const at = (list: ArrayLike<number>, i: number) => list[i] ?? NaN;
      const expected = [
        [one.out, from((i) => at(x, i) * at(y, i))],
        [one.grad?.[0], from((i) => at(g, i) * at(y, i))],
        [one.grad?.[1], from((i) => at(g, i) * at(x, i))],
        [one.gradgrad?.[0], from((i) => 2 * at(g, i) ** 2 * at(x, i))],
        [one.gradgrad?.[1], from((i) => 2 * at(g, i) ** 2 * at(y, i))],
      ] as const;
      for (const [held, computed] of expected) {
        if (held?.kind !== "tensor") throw new Error("mul holds no tensor here");
        expect(compareTensors(computed, held)).toBeNull();
        checked++;
      }
    }
    expect(checked).toBeGreaterThan(0);
  });

  test("hold samples that are not contiguous, and lay them out as PyTorch had them", () => {
    const strided = cases
      .filter((one) => one.made === "noncontiguous")
      .flatMap((one) => tensorsOf(one.args))
      .filter(({ shape, strides }) => shape.length === 2 && strides[1] !== 1);
    expect(strided.length).toBeGreaterThan(100);
    for (const tensor of strided) {
      const [rows = 0, columns = 0] = tensor.shape;
      const [down = 0, right = 0] = tensor.strides;
      const storage = stridedStorage(tensor);
      const elements = Array.from({ length: rows * columns }, (_, k) => {
        const column = k % columns;
        return storage[((k - column) / columns) * down + column * right];
      });
      expect(elements).toEqual(Array.from<number | bigint>(tensor.data));
    }
  });

  test("tell Python's 1.0 from 1", () => {
    const numbers = cases
      .flatMap((one) => [...one.args, ...Object.values(one.kwargs)])
      .filter((value) => value.kind === "number");
    expect(numbers.some((value) => value.float && Number.isInteger(value.value))).toBe(true);
    expect(numbers.some((value) => !value.float)).toBe(true);
  });

  test("an unknown entry is refused by name", () => {
    expect(() => loadEntry("no_such_op")).toThrow(/no OpInfo entry no_such_op/);
    expect(() => functionOf("toString")).toThrow(RangeError);
  });

  test("each load is private: writing to one does not change the next", () => {
    const first = tensorsOf(loadEntry("add").cases[0]?.args ?? []);
    for (const tensor of first) tensor.data.fill(0 as never);
    const second = tensorsOf(loadEntry("add").cases[0]?.args ?? []);
    expect(second.some((tensor) => tensor.data.some((element) => Number(element) !== 0))).toBe(true);
  });
});

describe("the adapters", () => {
  const context = { toTensor: (value: TensorValue) => value.data[0], device: "somewhere" };
  const echo = (...args: unknown[]) => args;
  const none = { args: [], kwargs: {} };

  test("names become camel case, underscores at the ends stay", () => {
    expect(["log_softmax", "zero_", "_x_y", "atleast_1d", "conv2d", "mT"].map(camelCase)).toEqual([
      "logSoftmax",
      "zero_",
      "_xY",
      "atleast1d",
      "conv2d",
      "mT",
    ]);
  });

  test("positional arguments stay, keywords become one trailing options object in camel case, None goes", () => {
    const call = entryCall({ indexAdd: echo }, "index_add");
    const kwargs: Record<string, Value> = { some_key: { kind: "dtype", dtype: "int64" }, other: { kind: "none" } };
    expect(call?.({ args: [vector(5), plainNumber(0)], kwargs }, context)).toEqual([5, 0, { someKey: "int64" }]);
    expect(call?.({ args: [vector(5)], kwargs: {} }, context)).toEqual([5]);
  });

  test("required keywords become positional, and creation is told its device", () => {
    const library = { nn: { functional: { maxPool2d: echo } }, zeros: echo };
    const kwargs = { stride: plainNumber(2), kernel_size: plainNumber(3) };
    expect(entryCall(library, "nn.functional.max_pool2d")?.({ args: [vector(7)], kwargs }, context)).toEqual([
      7,
      3,
      { stride: 2 },
    ]);
    expect(entryCall(library, "zeros")?.(none, context)).toEqual([{ device: "somewhere" }]);
  });

  test("what is no function is sought among the tensor's methods and fields", () => {
    class Tensor {
      viewAs(...args: unknown[]) {
        return ["viewed", this, ...args];
      }
      get T() {
        return "transposed";
      }
    }
    const self = new Tensor();
    const one = { toTensor: () => self };
    expect(entryCall({ Tensor }, "view_as")?.({ args: [vector(1), plainNumber(4)], kwargs: {} }, one)).toEqual([
      "viewed",
      self,
      4,
    ]);
    expect(entryCall({ Tensor }, "T")?.({ args: [vector(1)], kwargs: {} }, one)).toBe("transposed");
  });

  test("a list index is one tensor, a list of slices or lists stands for a tuple", () => {
    class Tensor {
      at(...index: unknown[]) {
        return index;
      }
    }
    const library = { Tensor, tensor: (list: unknown) => ({ list }), slice: (...bounds: unknown[]) => ({ bounds }) };
    const getitem = entryCall(library, "__getitem__");
    const at = (index: Value) =>
      getitem?.({ args: [vector(1), index], kwargs: {} }, { toTensor: () => new Tensor() });
    const numbers: Value = { kind: "list", items: [plainNumber(1), plainNumber(2)] };
    const all: Value = { kind: "slice", start: null, stop: 3, step: null };
    const bounds = [undefined, 3, undefined];
    expect(at(numbers)).toEqual([{ list: [1, 2] }]);
    expect(at({ ...numbers, kind: "tuple" })).toEqual([1, 2]);
    expect(at({ kind: "list", items: [all, numbers] })).toEqual([{ bounds }, { list: [1, 2] }]);
    expect(at(all)).toEqual([{ bounds }]);
    expect(at({ kind: "tuple", items: [{ kind: "none" }, { kind: "ellipsis" }] })).toEqual([null, "..."]);
  });

  test("what the library lacks is listed by name, once", () => {
    const library = { add: echo, log1p: echo, nn: { functional: { relu: echo } }, linalg: {} };
    const asked = ["add", "mul", "mul", "__radd__", "__rmul__", "special.log1p", "nn.functional.relu", "linalg.norm"];
    expect(missingOps(library, asked)).toEqual(["mul", "__rmul__", "linalg.norm"]);
    const all = entries.map((entry) => entry.function);
    expect(missingOps({}, all)).toEqual([...new Set(all)]);
  });

  test("every entry's arguments can be said to a library that has everything", () => {
    const anything: object = new Proxy(echo, {
      get: (_, name) => (name === Symbol.toPrimitive ? () => 0 : anything),
      apply: () => anything,
    });
    const Tensor = { prototype: new Proxy({}, { has: () => true, get: () => anything }) };
    const library = new Proxy({}, { get: (_, name) => (name === "Tensor" ? Tensor : anything) });
    const answers = entries.flatMap((entry) => {
      const call = entryCall(library, entry.function);
      return [...entry.cases, ...entry.errors].map((one) => call?.(one, { toTensor: () => anything }));
    });
    expect(answers.length).toBeGreaterThan(10_000);
    expect(answers).not.toContain(undefined);
  });

  test("a Python float that looks like an integer in JavaScript is ambiguous beside integers only", () => {
    const one: Value = { kind: "number", value: 1, float: true };
    const integers: TensorValue = { ...vector(1), dtype: "int32", data: Int32Array.of(1) };
    expect(isAmbiguous({ args: [integers, one], kwargs: {} })).toBe(true);
    expect(isAmbiguous({ args: [vector(1), one], kwargs: {} })).toBe(false);
    expect(isAmbiguous({ args: [integers, plainNumber(1)], kwargs: {} })).toBe(false);
  });

  test("a result's tensors come in PyTorch's order from tensors, lists and records", () => {
    const isText = (value: unknown): value is string => typeof value === "string";
    expect(resultTensors("a", isText)).toEqual(["a"]);
    expect(resultTensors(["a", ["b"], null], isText)).toEqual(["a", "b"]);
    expect(resultTensors({ values: "v", indices: "i" }, isText)).toEqual(["v", "i"]);
    expect(resultTensors(true, isText)).toEqual([]);
  });
});

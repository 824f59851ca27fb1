import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import "../src/tensor/methods.ts";
import type { Device } from "../src/actor/device.ts";
import { setDefaultDevice } from "../src/actor/device.ts";
import { gradcheck, gradgradcheck } from "../src/autograd/gradcheck.ts";
import { DTypeError } from "../src/errors.ts";
import { logSoftmax, softmax, softmin } from "../src/ops/softmax.ts";
import { tensor } from "../src/tensor/creation.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { mock } from "../src/testing/index.ts";

let device: Device;

beforeAll(() => {
  device = mock();
  setDefaultDevice(device);
});
afterAll(() => device.close());

const rows = fc.array(fc.array(fc.double({ min: -50, max: 50, noNaN: true }), { minLength: 3, maxLength: 3 }), {
  minLength: 1,
  maxLength: 4,
});
const double = (data: number[][]): Tensor => tensor(data, { dtype: "float64" });

describe("softmax", () => {
  test("rows are positive and sum to 1, along either dimension", () => {
    fc.assert(
      fc.property(rows, fc.constantFrom(0, 1), (data, dim) => {
        const y = softmax(double(data), dim);
        for (const total of y.sum(dim).dataSync()) expect(Number(total)).toBeCloseTo(1, 12);
        for (const element of y.dataSync()) expect(Number(element)).toBeGreaterThan(0);
      }),
      { numRuns: 30 },
    );
  });

  test("does not change when a row is shifted; its logarithm is logSoftmax", () => {
    fc.assert(
      fc.property(rows, fc.double({ min: -1e3, max: 1e3, noNaN: true }), (data, shift) => {
        const x = double(data);
        const y = softmax(x, 1).dataSync();
        softmax(x.add(shift), 1)
          .dataSync()
          .forEach((element, i) => expect(Number(element)).toBeCloseTo(Number(y[i]), 9));
        logSoftmax(x, 1)
          .exp()
          .dataSync()
          .forEach((element, i) => expect(Number(element)).toBeCloseTo(Number(y[i]), 12));
      }),
      { numRuns: 30 },
    );
  });

  test("neither great nor infinite scores overflow", () => {
    expect(softmax(tensor([1e30, 1e30], { dtype: "float32" }), 0).tolistSync()).toEqual([0.5, 0.5]);
    expect(softmax(tensor([-Infinity, 0.5]), 0).tolistSync()).toEqual([0, 1]);
    expect(softmin(tensor([-Infinity, 0.5]), 0).tolistSync()).toEqual([NaN, NaN]);
    expect(logSoftmax(tensor([-Infinity, 0.5]), 0).tolistSync()).toEqual([-Infinity, 0]);
  });

  test("takes whole numbers only with a dtype", () => {
    expect(() => softmax(tensor([1, 2]), 0)).toThrow(DTypeError);
    expect(softmax(tensor([1, 1]), 0, "float64").tolistSync()).toEqual([0.5, 0.5]);
  });

  test.each<[string, (x: Tensor) => Tensor]>([
    ["softmax", (x) => softmax(x, 1)],
    ["logSoftmax", (x) => logSoftmax(x, 0)],
    ["softmin", (x) => softmin(x, 1)],
  ])("gradients of %s agree with finite differences, first and second order", async (_, f) => {
    const x = tensor(
      [
        [0.5, -1.25, 2],
        [3, 0.75, -0.5],
      ],
      { dtype: "float64", requiresGrad: true },
    );
    expect(await gradcheck(f, [x])).toBe(true);
    expect(await gradgradcheck((y) => f(y.mul(y)), [x])).toBe(true);
  });
});

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import "../src/tensor/methods.ts";
import type { Device } from "../src/actor/device.ts";
import { setDefaultDevice } from "../src/actor/device.ts";
import { grad } from "../src/autograd/engine.ts";
import { gradcheck, gradgradcheck } from "../src/autograd/gradcheck.ts";
import { cumulativeTrapezoid, diff, trapezoid } from "../src/ops/composite/differences.ts";
import { cummax, cummin, cumprod, cumsum, logcumsumexp } from "../src/ops/scan.ts";
import { tensor, zeros } from "../src/tensor/creation.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { mock } from "../src/testing/index.ts";

let device: Device;

beforeAll(() => {
  device = mock();
  setDefaultDevice(device);
});
afterAll(() => device.close());

const rows = fc
  .record({ height: fc.integer({ min: 1, max: 4 }), width: fc.integer({ min: 1, max: 6 }), seed: fc.nat(1000) })
  .map(({ height, width, seed }) => {
    const data = Int32Array.from(
      { length: height * width },
      (_, i) => (((seed + 3) * (i + 1) * 2654435761) >>> 29) - 3,
    );
    return tensor(data).view([height, width]);
  });

describe("scans", () => {
  test("differences of running sums are the elements, along either dimension and in a transposed view", () => {
    fc.assert(
      fc.property(rows, fc.constantFrom(0, 1), (x, dim) => {
        const start = zeros(
          x.shape.map((size, axis) => (axis === dim ? 1 : size)),
          { dtype: "int64" },
        );
        expect(diff(cumsum(x, dim), 1, dim, start).tolistSync()).toEqual(x.tolistSync());
        expect(cumsum(x.t(), dim).tolistSync()).toEqual(
          cumsum(x, 1 - dim)
            .t()
            .tolistSync(),
        );
      }),
      { numRuns: 30 },
    );
  });

  test("the last running result is the whole one", () => {
    fc.assert(
      fc.property(rows, (x) => {
        const last = x.shape[1] - 1;
        expect(cumsum(x, 1).select(1, last).tolistSync()).toEqual(x.sum(1).tolistSync());
        expect(cumprod(x, 1).select(1, last).tolistSync()).toEqual(x.prod(1).tolistSync());
      }),
      { numRuns: 30 },
    );
  });

  test("running extremes name the latest of equals, and hold a NaN", () => {
    expect(cummax(tensor([1, 3, 3, 2]), 0).indices.tolistSync()).toEqual([0, 1, 2, 2]);
    expect(cummin(tensor([2, 1, 1, 2]), 0).indices.tolistSync()).toEqual([0, 1, 2, 2]);
    const { values, indices } = cummax(tensor([2, NaN, 3, NaN, 4]), 0);
    expect(values.tolistSync()).toEqual([2, NaN, NaN, NaN, NaN]);
    expect(indices.tolistSync()).toEqual([0, 1, 1, 3, 3]);
  });

  test("an empty dimension and a 0-dim tensor scan to themselves", () => {
    expect(cumsum(zeros(2, 0), 1).shape).toEqual([2, 0]);
    expect(cumprod(tensor(3.5), 0).tolistSync()).toBe(3.5);
  });

  test("trapezoids are exact on straight lines", () => {
    const y = tensor([0, 2, 6, 8], { dtype: "float64" });
    const x = tensor([0, 1, 3, 4], { dtype: "float64" });
    expect(trapezoid(y, x).itemSync()).toBe(16);
    expect(cumulativeTrapezoid(y, x).tolistSync()).toEqual([1, 9, 16]);
    expect(() => trapezoid(y, x.narrow(0, 0, 3))).toThrow("one `x` value for each sample point");
  });
});

describe("gradients of scans", () => {
  const samples = (): Tensor =>
    tensor(
      [
        [0.5, -1.25, 2, 0.25],
        [3, 0.75, -0.5, 1],
      ],
      { dtype: "float64", requiresGrad: true },
    );

  test.each<[string, (x: Tensor) => Tensor]>([
    ["cumsum", (x) => cumsum(x, 1)],
    ["cumprod", (x) => cumprod(x, 1)],
    ["logcumsumexp", (x) => logcumsumexp(x, 1)],
  ])("of %s agree with finite differences, first and second order", async (_, f) => {
    expect(await gradcheck(f, [samples()])).toBe(true);
    expect(await gradgradcheck((x) => f(x.mul(x)), [samples()])).toBe(true);
  });

  test("of a running product need no division: zeros are no exception, in any order", async () => {
    const x = tensor([2, 0, 3, 0, 5], { dtype: "float64", requiresGrad: true });
    const [first] = grad(cumprod(x, 0).sum(), x, { createGraph: true });
    expect(first.tolistSync()).toEqual([1, 8, 0, 0, 0]);
    expect(await gradgradcheck((y) => cumprod(y, 0), [x])).toBe(true);
  });
});

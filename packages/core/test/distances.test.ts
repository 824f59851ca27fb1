/** Distances between all pairs of rows. */
import { describe, expect, test } from "vitest";
import { cdist, gradcheck, gradgradcheck, manualSeed, rand, randn, tensor } from "../src/index.ts";
import type { Tensor } from "../src/index.ts";
import "../src/testing/index.ts"; // the mock device

const orders = [0, 0.5, 1, 1.5, 2, 3, Infinity];
const float64 = (data: number[][]): Tensor => tensor(data, { dtype: "float64", requiresGrad: true });

const leaf = (...shape: number[]): Tensor => rand(shape, { dtype: "float64", requiresGrad: true });

/** Rows of `x1` and `x2` meet in (0, 0); one pair shares a coordinate, and one has two equal greatest differences. */
const rows = (): [x1: Tensor, x2: Tensor] => [float64([[1, 2], [4, 2], [0, 0]]), float64([[1, 2], [-1, 4]])];

/** PyTorch's sums of gradients, by rows: [x1, x2]. */
const subgradients = new Map([
  [0, [[[0, 0], [0, 0], [0, 0]], [[0, 0], [0, 0]]]],
  [1, [[[1, -1], [2, -1], [0, -2]], [[0, 1], [-3, 3]]]],
  [2, [[[0.7071, -0.7071], [1.9285, -0.3714], [-0.2047, -1.8646]], [[-0.5528, 0.8944], [-1.8781, 2.0486]]]],
  [Infinity, [[[1, -1], [2, 0], [0, -2]], [[-1, 1], [-2, 2]]]],
]);

describe("cdist", () => {
  test.each(orders)("of order %s is the norm of each difference, broadcast over batches", async (p) => {
    manualSeed(1);
    const [x1, x2] = [randn(2, 1, 4, 3, { dtype: "float64" }), randn(3, 5, 3, { dtype: "float64" })];
    const expected = x1.unsqueeze(-2).sub(x2.unsqueeze(-3)).norm(p, -1);
    const actual = cdist(x1, x2, p);
    expect(actual.shape).toEqual([2, 3, 4, 5]);
    expect(await actual.sub(expected).abs().max().item()).toBeLessThan(1e-12);
  });

  test.each([...subgradients])("of order %s has PyTorch's subgradients where rows are equal", async (p, expected) => {
    const inputs = rows();
    cdist(...inputs, p).sum().backward();
    for (const [input, of] of inputs.entries()) {
      const off = of.grad?.sub(tensor(expected[input], { dtype: "float64" })).abs().max();
      expect(await off?.item()).toBeLessThan(1e-4);
    }
  });

  test.each(orders.filter((p) => p >= 1))("of order %s has gradients of first and second order", async (p) => {
    manualSeed(2);
    const inputs = [leaf(3, 2), leaf(2, 2)];
    expect(await gradcheck((a: Tensor, b: Tensor) => cdist(a, b, p), inputs)).toBe(true);
    expect(await gradgradcheck((a: Tensor, b: Tensor) => cdist(a, b, p), inputs)).toBe(true);
  });

  test("of many rows has the gradient of few", async () => {
    manualSeed(3);
    const [many, other] = [leaf(2, 30, 3), leaf(4, 3)];
    cdist(many, other).square().sum().backward();
    const whole = [many.grad, other.grad];
    many.grad = undefined;
    other.grad = undefined;
    for (const part of many.split(10, 1)) cdist(part, other).square().sum().backward();
    for (const [i, x] of [many, other].entries()) {
      const off = x.grad?.sub(whole[i] ?? 0).abs().max();
      expect(await off?.item()).toBeLessThan(1e-10);
    }
  });

  test("refuses what does not fit", () => {
    expect(() => cdist(randn(2, 3), randn(2, 4))).toThrow("same number of columns. X1: 3 X2: 4");
    expect(() => cdist(randn(3), randn(2, 3))).toThrow("at least 2D tensors, X1 got: 1D");
    expect(() => cdist(tensor([[1]]), randn(2, 1))).toThrow("floating-point dtypes, X1 got: Long");
    expect(() => cdist(randn(2, 3), randn(2, 3), -1)).toThrow("non-negative p");
  });
});

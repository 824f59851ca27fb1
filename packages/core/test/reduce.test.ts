import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import "../src/tensor/methods.ts";
import type { Device } from "../src/actor/device.ts";
import { setDefaultDevice } from "../src/actor/device.ts";
import { grad } from "../src/autograd/engine.ts";
import { gradcheck, gradgradcheck } from "../src/autograd/gradcheck.ts";
import { DTypeError, ShapeError, ValueError } from "../src/errors.ts";
import { amax, amin, argmax, argmin, max } from "../src/ops/extrema.ts";
import { linalgVectorNorm, norm } from "../src/ops/norm.ts";
import { all, any, logsumexp, mean, prod, std, sum, sumToSize, var as variance, varMean } from "../src/ops/reduce.ts";
import { tensor, zeros } from "../src/tensor/creation.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { mock } from "../src/testing/index.ts";

let device: Device;

beforeAll(() => {
  device = mock();
  setDefaultDevice(device);
});
afterAll(() => device.close());

/** A small tensor of whole numbers, some of whose dimensions are permuted in memory, and some of its dimensions. */
const operands = fc
  .record({
    shape: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }),
    seed: fc.integer({ min: 0, max: 1 << 20 }),
    turn: fc.nat(3),
    mask: fc.nat(15),
  })
  .map(({ shape, seed, turn, mask }) => {
    const count = shape.reduce((product, size) => product * size, 1);
    const data = Int32Array.from({ length: count }, (_, i) => ((seed + 1) * (i + 7) * 2654435761) >>> 28);
    const order = shape.map((_, dim) => (dim + turn) % shape.length);
    return { shape, data, order, dims: shape.map((_, dim) => dim).filter((dim) => (mask >> dim) & 1) };
  });

type Operand = typeof operands extends fc.Arbitrary<infer T> ? T : never;

const viewed = ({ shape, data, order }: Operand): Tensor => tensor(data).view(shape).permute(order);

describe("reductions", () => {
  test("over several dimensions equal reductions over one after the other", () => {
    fc.assert(
      fc.property(operands, (operand) => {
        const dims = operand.dims.length === 0 ? operand.shape.map((_, dim) => dim) : operand.dims;
        const x = viewed(operand);
        for (const reduce of [sum, amax, amin]) {
          let stepwise = x;
          for (const dim of dims) stepwise = reduce(stepwise, dim, true);
          expect(reduce(x, dims, true).tolistSync()).toEqual(stepwise.tolistSync());
        }
      }),
      { numRuns: 40 },
    );
  });

  test("of a view equal reductions of its contiguous copy", () => {
    fc.assert(
      fc.property(operands, (operand) => {
        const x = viewed(operand);
        const copy = tensor(x.dataSync()).view(x.shape);
        for (const reduce of [sum, prod, amax, all, any])
          expect(reduce(x, 0).tolistSync()).toEqual(reduce(copy, 0).tolistSync());
        expect(argmax(x).itemSync()).toBe(argmax(copy).itemSync());
      }),
      { numRuns: 40 },
    );
  });

  test("argmax and argmin find the first of equals, in row-major order", () => {
    fc.assert(
      fc.property(operands, (operand) => {
        const x = viewed(operand);
        const flat = [...x.dataSync()].map(Number);
        expect(argmax(x).itemSync()).toBe(flat.indexOf(Math.max(...flat)));
        expect(argmin(x).itemSync()).toBe(flat.indexOf(Math.min(...flat)));
      }),
      { numRuns: 40 },
    );
  });

  test("NaN is the extreme, wherever it stands", () => {
    const x = tensor([1, NaN, 3, NaN]);
    expect([amax(x).itemSync(), amin(x).itemSync(), max(x, 0).values.itemSync()]).toEqual([NaN, NaN, NaN]);
    expect([argmax(x).itemSync(), argmin(x).itemSync()]).toEqual([1, 1]);
  });

  test("of nothing give the identity, or say that there is none", () => {
    const x = zeros(2, 0);
    expect(sum(x, 1).tolistSync()).toEqual([0, 0]);
    expect(prod(x, 1).tolistSync()).toEqual([1, 1]);
    expect(all(x, 1).tolistSync()).toEqual([true, true]);
    expect(any(x, 1).tolistSync()).toEqual([false, false]);
    expect(mean(x, 1).tolistSync()).toEqual([NaN, NaN]);
    expect(logsumexp(x, 1).tolistSync()).toEqual([-Infinity, -Infinity]);
    expect(sum(x, 0).shape).toEqual([0]);
    expect(() => amax(x, 1)).toThrow(ShapeError);
    expect(() => argmax(x)).toThrow("Specify the reduction dim");
    expect(() => linalgVectorNorm(x, Infinity)).toThrow(ShapeError);
  });

  test("sums of whole numbers and bools are int64, and do not round", () => {
    expect(sum(tensor([true, true, false])).dtype).toBe("int64");
    expect(sum(tensor(new Int32Array([2 ** 31 - 1, 2 ** 31 - 1]))).itemSync()).toBe(2 ** 32 - 2);
    expect(sum(tensor([1.5, 2.5]), { dtype: "float64" }).dtype).toBe("float64");
  });

  test("refuse at the call what PyTorch refuses", () => {
    expect(() => mean(tensor([1, 2]))).toThrow(DTypeError);
    expect(() => mean(tensor([1, 2]))).toThrow("Got: Long");
    expect(() => std(tensor([1, 2]))).toThrow("only support floating point");
    expect(() => sum(zeros(2, 3), [0, 0])).toThrow(ShapeError);
    expect(() => sum(zeros(2, 3), 2)).toThrow("Dimension out of range");
    expect(() => sum(zeros(2, 3), { axis: 1 } as never)).toThrow(ValueError);
    expect(() => norm(zeros(2), "nuc")).toThrow(ValueError);
  });

  test("the variance of numbers far from 0 keeps its digits", () => {
    const x = tensor(Float32Array.from({ length: 1000 }, (_, i) => 10_000 + (i % 2)));
    const { var: spread, mean: center } = varMean(x, { correction: 0 });
    expect(spread.itemSync()).toBeCloseTo(0.25, 4);
    expect(center.itemSync()).toBeCloseTo(10_000.5, 1);
  });

  test("logsumexp neither overflows nor loses infinities", () => {
    expect(logsumexp(tensor([1000.5, 1000.5]), 0).itemSync()).toBeCloseTo(1000.5 + Math.LN2, 3);
    expect(logsumexp(tensor([-Infinity, -Infinity]), 0).itemSync()).toBe(-Infinity);
    expect(logsumexp(tensor([Infinity, 1]), 0).itemSync()).toBe(Infinity);
  });
});

describe("gradients of reductions", () => {
  const samples = (): Tensor =>
    tensor(
      [
        [0.5, -1.25, 2],
        [3, 0.75, -0.5],
      ],
      { dtype: "float64", requiresGrad: true },
    );

  test.each<[string, (x: Tensor) => Tensor]>([
    ["sum", (x) => sum(x, 0)],
    ["mean", (x) => mean(x, 1, true)],
    ["prod of all", (x) => prod(x)],
    ["amax", (x) => amax(x, 1)],
    ["logsumexp", (x) => logsumexp(x, [0, 1])],
    ["var", (x) => variance(x, 1)],
    ["std", (x) => std(x)],
    ["norm 1.5", (x) => norm(x, 1.5, 0)],
    ["norm 3", (x) => norm(x, 3)],
  ])("of %s agree with finite differences, first and second order", async (_, f) => {
    expect(await gradcheck(f, [samples()])).toBe(true);
    expect(await gradgradcheck((x) => f(x.mul(x)), [samples()])).toBe(true);
  });

  test("of a product are the products of the others, with zeros too", () => {
    const x = tensor([2, 0, 3], { dtype: "float64", requiresGrad: true });
    expect(grad(prod(x), x)[0].tolistSync()).toEqual([0, 6, 0]);
    const y = tensor([0, 0, 3], { dtype: "float64", requiresGrad: true });
    expect(grad(prod(y), y)[0].tolistSync()).toEqual([0, 0, 0]);
  });

  test("of an extreme are shared by all that reach it", () => {
    const x = tensor([3, 1, 3], { dtype: "float64", requiresGrad: true });
    expect(grad(amax(x), x)[0].tolistSync()).toEqual([0.5, 0, 0.5]);
  });

  test("sumToSize is the adjoint of expand", () => {
    const x = tensor([[1], [2]], { dtype: "float64" });
    const g = tensor(
      [
        [
          [1, 2, 3],
          [4, 5, 6],
        ],
        [
          [7, 8, 9],
          [10, 11, 12],
        ],
      ],
      { dtype: "float64" },
    );
    const inward = sumToSize(g, 2, 1).mul(x).sum().itemSync();
    expect(inward).toBe(
      g
        .mul(x.expand([2, 2, 3]))
        .sum()
        .itemSync(),
    );
    expect(() => sumToSize(g, 2)).toThrow("is not expandable");
  });
});

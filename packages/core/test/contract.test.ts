import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { setDefaultDevice, type Device } from "../src/actor/device.ts";
import { grad } from "../src/autograd/engine.ts";
import { bilinear, matrixPower, multiDot, outer, vecdot } from "../src/ops/composite/products.ts";
import { addmm, baddbmm, linear, matmul } from "../src/ops/contract.ts";
import { einsum, tensordot } from "../src/ops/einsum.ts";
import { contraction, plain } from "../src/ops/kinds/contract.ts";
import { apply } from "../src/ops/dispatch.ts";
import { arange, full, ones, tensor, zeros } from "../src/tensor/creation.ts";
import "../src/tensor/methods.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { mock } from "../src/testing/index.ts";

let device: Device;
beforeAll(() => {
  device = mock();
  setDefaultDevice(device.name);
});
afterAll(() => device.close());

const size = fc.integer({ min: 1, max: 4 });
const few = { numRuns: 40 };

/** Whole numbers, so that float32 sums are exact in any order. */
function numbers(shape: readonly number[], seed = 0): Tensor {
  const count = shape.reduce((product, own) => product * own, 1);
  return tensor(Float32Array.from({ length: count }, (_, i) => ((i * 7 + seed * 13) % 11) - 5)).reshape(shape);
}

/** The elements; a product alone may be -0 where a sum is 0. */
function values(x: Tensor): number[] {
  return [...(x.dataSync() as Float32Array)].map((own) => own + 0);
}

/** Sums of products by definition: all letters run through all sizes. */
function definition(index: string, x: Tensor, y: Tensor): number[] {
  const [operands, out] = index.split("->");
  const [xIndex, yIndex] = operands.split(",");
  const letters = [...new Set(out + xIndex + yIndex)];
  const sizes = letters.map((letter) =>
    xIndex.includes(letter) ? x.size(xIndex.indexOf(letter)) : y.size(yIndex.indexOf(letter)),
  );
  const [xs, ys] = [values(x), values(y)];
  const at = (own: string, point: readonly number[]): number =>
    Array.from(own).reduce((sum, letter) => sum * sizes[letters.indexOf(letter)] + point[letters.indexOf(letter)], 0);
  const total = sizes.reduce((product, own) => product * own, 1);
  const result = new Array<number>(
    Array.from(out).reduce((product, letter) => product * sizes[letters.indexOf(letter)], 1),
  ).fill(0);
  for (let i = 0; i < total; i++) {
    const point: number[] = [];
    let rest = i;
    for (let d = letters.length - 1; d >= 0; d--) {
      point[d] = rest % sizes[d];
      rest = Math.floor(rest / sizes[d]);
    }
    result[at(out, point)] += xs[at(xIndex, point)] * ys[at(yIndex, point)];
  }
  return result;
}

describe("a contraction", () => {
  const expressions = [
    "mk,kn->mn",
    "km,nk->nm",
    "bmk,bkn->bmn",
    "mbk,knb->bmn",
    "bmk,bkn->mn",
    "mjk,jkn->mn",
    "k,k->",
    "mk,k->m",
    "m,n->mn",
    "a,a->a",
    "abc,cad->bd",
    "ab,ab->",
  ];

  test("sums products over the letters that the result lacks, whatever the order of the letters", () => {
    fc.assert(
      fc.property(fc.constantFrom(...expressions), fc.array(size, { minLength: 6, maxLength: 6 }), (index, sizes) => {
        const letters = [...new Set(index.replaceAll(/[^a-z]/g, ""))];
        const [xIndex, yIndex] = index.split("->")[0].split(",");
        const shape = (own: string): number[] => Array.from(own, (letter) => sizes[letters.indexOf(letter)]);
        const [x, y] = [numbers(shape(xIndex), 1), numbers(shape(yIndex), 2)];
        expect(values(apply(contraction(index), [x, y], plain))).toEqual(definition(index, x, y));
      }),
      few,
    );
  });

  test.each(["mjk,jkn->mn", "mjk,kjn->nm", "bmk,bkn->mn", "jmk,nkj->mn"])(
    "of many elements over several dimensions that are not one in memory (%s) is the same",
    (index) => {
      const sizes: Readonly<Record<string, number>> = { m: 17, n: 19, j: 9, k: 13, b: 9 };
      const [xIndex, yIndex] = index.split("->")[0].split(",");
      const shape = (own: string): number[] => Array.from(own, (letter) => sizes[letter]);
      const [x, y] = [numbers(shape(xIndex), 1), numbers(shape(yIndex), 2)];
      expect(values(apply(contraction(index), [x, y], plain))).toEqual(definition(index, x, y));
      device.fenceSync();
      const before = device.stats().storages;
      apply(contraction(index), [x, y], plain).dispose();
      device.fenceSync();
      expect(device.stats().storages).toBe(before);
    },
  );

  test("reads transposed, sliced and expanded operands in place", () => {
    const x = numbers([6, 4]).t();
    const y = numbers([5, 1, 6]).expand([5, 3, 6]);
    expect(values(einsum("mk,abk->bma", x, y))).toEqual(definition("mk,abk->bma", x, y));
  });

  test("over no elements is zero", () => {
    expect(
      zeros([2, 0])
        .matmul(zeros([0, 3]))
        .tolistSync(),
    ).toEqual([
      [0, 0, 0],
      [0, 0, 0],
    ]);
    expect(zeros([0, 2]).matmul(zeros([2, 3])).shape).toEqual([0, 3]);
    expect(
      zeros([0])
        .dot(zeros([0]))
        .itemSync(),
    ).toBe(0);
  });

  test("of integers is exact and keeps its dtype", () => {
    const x = tensor([[2 ** 31 + 1, 3]]);
    expect(x.matmul(x.t()).tolistSync()).toEqual([[2n ** 62n + 2n ** 32n + 10n]]);
    expect(x.matmul(x.t()).dtype).toBe("int64");
  });
});

describe("matmul", () => {
  test("agrees with einsum for all ranks that broadcast", () => {
    fc.assert(
      fc.property(
        fc.array(size, { maxLength: 2 }),
        fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
        fc.tuple(size, size, size),
        fc.nat(2),
        (batch, single, [m, k, n], dropped) => {
          const xBatch = batch.map((own, i) => (single[i] ? 1 : own));
          const yBatch = batch.map((own, i) => (single[i + 2] ? 1 : own)).slice(dropped);
          const [x, y] = [numbers([...xBatch, m, k], 1), numbers([...yBatch, k, n], 2)];
          const product = matmul(x, y);
          const [xAll, yAll] = [
            x.expand([...batchOf(xBatch, yBatch), m, k]),
            y.expand([...batchOf(xBatch, yBatch), k, n]),
          ];
          const letters = "ab".slice(0, batchOf(xBatch, yBatch).length);
          expect(product.shape).toEqual([...batchOf(xBatch, yBatch), m, n]);
          expect(values(product)).toEqual(definition(`${letters}mk,${letters}kn->${letters}mn`, xAll, yAll));
        },
      ),
      few,
    );
  });

  test("says what does not fit as PyTorch does", () => {
    expect(() => ones([2, 3]).matmul(ones([4, 5]))).toThrow("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)");
    expect(() => ones([2, 3]).matmul(ones([4]))).toThrow("size mismatch, got 2, 2x3,4");
    expect(() => ones([3]).matmul(ones([4]))).toThrow("inconsistent tensor size, expected tensor [3] and src [4]");
    expect(() => ones([4, 2, 3]).matmul(ones([4, 5, 6]))).toThrow(
      "Expected size for first two dimensions of batch2 tensor to be: [4, 3] but got: [4, 5].",
    );
    expect(() => ones([4, 2, 3]).matmul(ones([3, 3, 6]))).toThrow(
      "The size of tensor a (4) must match the size of tensor b (3)",
    );
    expect(() => ones([4, 2, 3]).matmul(ones([5, 6]))).toThrow(
      "mat1 and mat2 shapes cannot be multiplied (8x3 and 5x6)",
    );
    expect(() => full([], 2).matmul(ones([2]))).toThrow(
      "both arguments to matmul need to be at least 1D, but they are 0D and 1D",
    );
    expect(() => ones([2, 2]).matmul(ones([2, 2], { dtype: "float64" }))).toThrow(
      "expected scalar type Float but found Double",
    );
  });

  test("sums the gradient of a repeated operand over its repetitions", () => {
    const x = numbers([3, 2, 4], 1);
    const w = numbers([1, 4, 5], 2).requiresGrad_();
    const [gradient] = grad(matmul(x, w), [w], { gradOutputs: [ones([3, 2, 5])] });
    expect(gradient.shape).toEqual([1, 4, 5]);
    expect(values(gradient)).toEqual(definition("amk,amn->kn", x, ones([3, 2, 5])));
  });

  test("has the graph names of PyTorch", () => {
    const x = ones([2, 2], { requiresGrad: true });
    expect(String(x.matmul(x).gradFn)).toBe("<MmBackward0>");
    expect(String(linear(x, ones([3, 2]), ones([3])).gradFn)).toBe("<AddmmBackward0>");
  });
});

describe("sums with a third tensor", () => {
  test("beta 0 ignores what the addend holds", () => {
    expect(addmm(full([2, 2], NaN), ones([2, 3]), ones([3, 2]), { beta: 0, alpha: 2 }).tolistSync()).toEqual([
      [6, 6],
      [6, 6],
    ]);
  });

  test("an in-place sum may write over its own factor", () => {
    const x = tensor(
      [
        [1, 2],
        [3, 4],
      ],
      { dtype: "float32" },
    );
    expect(x.addmm_(x, x).tolistSync()).toEqual([
      [8, 12],
      [18, 26],
    ]);
  });

  test("the factors reach every gradient", () => {
    const [c, x, y] = [numbers([2, 3, 2], 1), numbers([2, 3, 4], 2), numbers([2, 4, 2], 3)].map((own) =>
      own.requiresGrad_(),
    );
    const gradients = grad(baddbmm(c, x, y, { beta: 3, alpha: -2 }), [c, x, y], { gradOutputs: [ones([2, 3, 2])] });
    expect(values(gradients[0])).toEqual(new Array(12).fill(3));
    expect(values(gradients[1])).toEqual(definition("bmn,bkn->bmk", ones([2, 3, 2]), y).map((own) => -2 * own + 0));
  });

  test("a linear layer folds leading dimensions and adds its bias once", () => {
    const [x, w, b] = [numbers([2, 3, 4], 1), numbers([5, 4], 2), numbers([5], 3)];
    const expected = definition("abk,nk->abn", x, w).map((own, i) => own + values(b)[i % 5]);
    expect(values(linear(x, w, b))).toEqual(expected);
    expect(() => linear(x, ones([5, 3]))).toThrow("mat1 and mat2 shapes cannot be multiplied (6x4 and 3x5)");
  });
});

describe("einsum", () => {
  test("of several operands is independent of how they are grouped", () => {
    fc.assert(
      fc.property(fc.tuple(size, size, size, size), ([a, b, c, d]) => {
        const [x, y, z] = [numbers([a, b], 1), numbers([b, c], 2), numbers([c, d], 3)];
        expect(values(einsum("ab,bc,cd->da", x, y, z))).toEqual(values(matmul(x, matmul(y, z)).t().contiguous()));
      }),
      few,
    );
  });

  test("takes traces, diagonals, transposes and sums", () => {
    const x = numbers([3, 3]);
    const [a, b, c, d, e, f, g, h, i] = values(x);
    expect(einsum("ii", x).itemSync()).toBe(a + e + i);
    expect(values(einsum("ii->i", x))).toEqual([a, e, i]);
    expect(values(einsum("ji", x).contiguous())).toEqual([a, d, g, b, e, h, c, f, i]);
    expect(einsum("ij->", x).itemSync()).toBe(a + b + c + d + e + f + g + h + i);
  });

  test("broadcasts under dots and sizes of 1", () => {
    const [x, y] = [numbers([4, 1, 2], 1), numbers([3, 2], 2)];
    expect(values(einsum("...k,...k->...", x, y))).toEqual(definition("mk,nk->mn", x.reshape([4, 2]), y));
  });

  test("refuses what PyTorch refuses", () => {
    expect(() => einsum("ij,jk->il", ones([2, 3]), ones([3, 2]))).toThrow(
      "output subscript l does not appear in the equation for any input operand",
    );
    expect(() => einsum("ij,jk->ik", ones([2, 3]), ones([4, 2]))).toThrow(
      "subscript j has size 4 for operand 1 which does not broadcast with previously seen size 3",
    );
    expect(() => einsum("ij,jk->ik", ones([2, 3]))).toThrow(
      "fewer operands were provided than specified in the equation",
    );
    expect(() => einsum("ij->ik", ones([2, 3, 4]))).toThrow(
      "the number of subscripts in the equation (2) does not match the number of dimensions (3) for operand 0",
    );
  });
});

describe("products of several kinds", () => {
  test("tensordot contracts the named dimensions", () => {
    const [x, y] = [numbers([2, 3, 4], 1), numbers([4, 2, 5], 2)];
    expect(
      values(
        tensordot(x, y, [
          [2, 0],
          [0, 1],
        ]),
      ),
    ).toEqual(definition("abc,cad->bd", x, y));
    expect(() => tensordot(ones([2, 3]), ones([4, 5]), 1)).toThrow(
      "contracted dimensions need to match, but first has size 3 in dim -1 and second has size 4 in dim 0",
    );
  });

  test("a chain is the product in any order", () => {
    const matrices = [numbers([2, 5], 1), numbers([5, 1], 2), numbers([1, 6], 3), numbers([6, 3], 4)];
    expect(values(multiDot(matrices))).toEqual(values(matrices.reduce((product, next) => product.mm(next))));
  });

  test("powers multiply", () => {
    const x = numbers([2, 3, 3]);
    expect(values(matrixPower(x, 5))).toEqual(values(matmul(matmul(matmul(x, x), matmul(x, x)), x)));
    expect(matrixPower(ones([2, 2]), 0).tolistSync()).toEqual([
      [1, 0],
      [0, 1],
    ]);
  });

  test("outer, vecdot and bilinear follow their definitions", () => {
    expect(outer(arange(2), arange(3)).tolistSync()).toEqual([
      [0, 0, 0],
      [0, 1, 2],
    ]);
    expect(vecdot(numbers([2, 3], 1), numbers([2, 3], 2)).tolistSync()).toEqual(
      definition("ab,ab->a", numbers([2, 3], 1), numbers([2, 3], 2)),
    );
    const [x, y, w] = [numbers([2, 3], 1), numbers([2, 4], 2), numbers([5, 3, 4], 3)];
    const pairs = einsum("bi,bj->bij", x, y);
    expect(values(bilinear(x, y, w))).toEqual(definition("bij,oij->bo", pairs, w));
  });
});

function batchOf(x: readonly number[], y: readonly number[]): number[] {
  const rank = Math.max(x.length, y.length);
  return Array.from({ length: rank }, (_, i) => Math.max(x[x.length - rank + i] ?? 1, y[y.length - rank + i] ?? 1));
}

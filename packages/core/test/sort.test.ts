import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import "../src/tensor/methods.ts";
import type { Device } from "../src/actor/device.ts";
import { setDefaultDevice } from "../src/actor/device.ts";
import { grad } from "../src/autograd/engine.ts";
import { quantile } from "../src/ops/composite/quantiles.ts";
import { searchsorted } from "../src/ops/search.ts";
import { argsort, kthvalue, median, nanmedian, sort, topk } from "../src/ops/sort.ts";
import { unique, uniqueConsecutive } from "../src/ops/unique.ts";
import { tensor } from "../src/tensor/creation.ts";
import { mock } from "../src/testing/index.ts";

let device: Device;

beforeAll(() => {
  device = mock();
  setDefaultDevice(device);
});
afterAll(() => device.close());

const numbers = fc.array(fc.integer({ min: -5, max: 5 }), { minLength: 1, maxLength: 24 });

describe("sorting", () => {
  test("orders the values, stably, and says where they stood", () => {
    fc.assert(
      fc.property(numbers, fc.boolean(), (list, descending) => {
        const order = list.map((_, i) => i).sort((a, b) => (descending ? list[b] - list[a] : list[a] - list[b]));
        const { values, indices } = sort(tensor(list), 0, descending);
        expect(indices.tolistSync()).toEqual(order);
        expect(values.tolistSync()).toEqual(order.map((i) => list[i]));
      }),
      { numRuns: 30 },
    );
  });

  test("along any dimension of a view leaves the others alone", () => {
    const x = tensor([
      [3, 1, 2],
      [9, 7, 8],
    ]);
    expect(sort(x.t(), 0).values.tolistSync()).toEqual([
      [1, 7],
      [2, 8],
      [3, 9],
    ]);
    expect(argsort(x.t(), { dim: 0 }).tolistSync()).toEqual([
      [1, 1],
      [2, 2],
      [0, 0],
    ]);
  });

  test("counts NaN as the greatest value", () => {
    expect(sort(tensor([NaN, 1, Infinity])).values.tolistSync()).toEqual([1, Infinity, NaN]);
    expect(topk(tensor([NaN, 1, 2]), 2).values.tolistSync()).toEqual([NaN, 2]);
  });

  test("topk, kthvalue, median and quantile are places among the sorted values", () => {
    fc.assert(
      fc.property(numbers, fc.nat(23), (list, pick) => {
        const ordered = [...list].sort((a, b) => a - b);
        const k = (pick % list.length) + 1;
        const x = tensor(Float32Array.from(list));
        expect(topk(x, k, { largest: false }).values.tolistSync()).toEqual(ordered.slice(0, k));
        expect(topk(x, k).values.tolistSync()).toEqual(ordered.toReversed().slice(0, k));
        expect(kthvalue(x, k).values.itemSync()).toBe(ordered[k - 1]);
        expect(median(x).itemSync()).toBe(ordered[(list.length - 1) >> 1]);
        expect(quantile(x, 0, { interpolation: "lower" }).itemSync()).toBe(ordered[0]);
        expect(quantile(x, 1).itemSync()).toBe(ordered[list.length - 1]);
      }),
      { numRuns: 20 },
    );
  });

  test("a NaN is the median, and nanmedian leaves it out", () => {
    const x = tensor([
      [NaN, 1, 2, 4],
      [3, 1, 2, 4],
    ]);
    expect(median(x, 1).values.tolistSync()).toEqual([NaN, 2]);
    expect(median(x, 1).indices.tolistSync()).toEqual([0, 2]);
    expect(nanmedian(x, 1).values.tolistSync()).toEqual([2, 2]);
  });

  test("refuses at the call a k that is out of range", () => {
    expect(() => topk(tensor([1, 2]), 3)).toThrow("selected index k out of range");
    expect(() => kthvalue(tensor([1, 2]), 0)).toThrow("selected number k out of range");
  });

  test("gradients go to where the values came from", () => {
    const x = tensor([3, 1, 2], { dtype: "float64", requiresGrad: true });
    const weights = tensor([10, 20, 30], { dtype: "float64" });
    expect(grad(sort(x).values.mul(weights).sum(), x)[0].tolistSync()).toEqual([30, 10, 20]);
    expect(grad(topk(x, 1).values.sum(), x)[0].tolistSync()).toEqual([1, 0, 0]);
    expect(grad(median(x), x)[0].tolistSync()).toEqual([0, 0, 1]);
  });
});

describe("distinct elements", () => {
  test("unique gives a set in order, its inverse rebuilds the tensor, its counts add up", () => {
    fc.assert(
      fc.property(numbers, (list) => {
        const [values, inverse, counts] = unique(tensor(list), {
          returnInverse: true,
          returnCounts: true,
        }) as ReturnType<typeof tensor>[];
        const set = [...new Set(list)].sort((a, b) => a - b);
        expect(values.tolistSync()).toEqual(set);
        expect(values.indexSelect(0, inverse).tolistSync()).toEqual(list);
        expect(counts.tolistSync()).toEqual(set.map((value) => list.filter((other) => other === value).length));
      }),
      { numRuns: 20 },
    );
  });

  test("rows are distinct as wholes", () => {
    const x = tensor([
      [3, 1],
      [1, 2],
      [3, 1],
      [1, 0],
    ]);
    const [values, inverse, counts] = unique(x, { dim: 0, returnInverse: true, returnCounts: true }) as ReturnType<
      typeof tensor
    >[];
    expect(values.tolistSync()).toEqual([
      [1, 0],
      [1, 2],
      [3, 1],
    ]);
    expect(inverse.tolistSync()).toEqual([2, 1, 2, 0]);
    expect(counts.tolistSync()).toEqual([1, 1, 2]);
  });

  test("uniqueConsecutive joins only neighbours", () => {
    const [values, counts] = uniqueConsecutive(tensor([1, 1, 2, 1]), { returnCounts: true }) as ReturnType<
      typeof tensor
    >[];
    expect(values.tolistSync()).toEqual([1, 2, 1]);
    expect(counts.tolistSync()).toEqual([2, 1, 1]);
  });
});

describe("searchsorted", () => {
  test("finds the place before or behind equals", () => {
    fc.assert(
      fc.property(numbers, numbers, fc.boolean(), (list, wanted, right) => {
        const ordered = [...list].sort((a, b) => a - b);
        const places = wanted.map(
          (value) => ordered.filter((element) => (right ? element <= value : element < value)).length,
        );
        expect(searchsorted(tensor(ordered), tensor(wanted), { right }).tolistSync()).toEqual(places);
        const sorter = argsort(tensor(list));
        expect(searchsorted(tensor(list), tensor(wanted), { right, sorter }).tolistSync()).toEqual(places);
      }),
      { numRuns: 30 },
    );
  });

  test("searches each row of values in its own sequence", () => {
    const sequences = tensor([
      [1, 3, 5],
      [2, 4, 6],
    ]);
    expect(
      searchsorted(
        sequences,
        tensor([
          [3, 6],
          [3, 6],
        ]),
        { outInt32: true },
      ).tolistSync(),
    ).toEqual([
      [1, 3],
      [1, 2],
    ]);
    expect(() => searchsorted(sequences, tensor([1, 2]))).toThrow("must match");
  });
});

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { arange, DTypeError, grad, nonzero, ones, setDefaultDevice, slice, tensor, zeros } from "../src/index.ts";
import type { Device, Tensor } from "../src/index.ts";
import { mock } from "../src/testing/index.ts";

let device: Device;
beforeAll(() => {
  device = mock();
  setDefaultDevice(device.name);
});
afterAll(() => device.close());

const whole = (...shape: number[]): Tensor => arange(shape.reduce((a, b) => a * b, 1)).reshape(shape);

describe("x.at", () => {
  it("takes integers, slices, new axes and an ellipsis, and gives a view", () => {
    const x = whole(2, 3, 4);
    expect(x.at(1, slice(1, 3), null, -1).tolistSync()).toEqual([[19], [23]]);
    expect(x.at("...", 0).tolistSync()).toEqual([[0, 4, 8], [12, 16, 20]]);
    expect(x.at(slice(null, null, 2), "...", slice(-2)).shape).toEqual([1, 3, 2]);
    x.at(0, slice(0, 2)).fill_(-1);
    expect(x.lt(0).sum().itemSync()).toBe(8);
  });

  it("puts the dimensions of neighbouring index tensors in place, of others in front", () => {
    const x = whole(2, 3, 4, 5);
    const [rows, columns] = [tensor([0, 2]), tensor([[1], [3]])];
    expect(x.at(slice(), rows, columns).shape).toEqual([2, 2, 2, 5]);
    expect(x.at(tensor([0, 1]), slice(), tensor([1, 2])).shape).toEqual([2, 3, 5]);
    expect(x.at(slice(), [0, 0], slice(), [1, -1]).shape).toEqual([2, 2, 4]);
  });

  it("takes masks of one or several dimensions, and booleans", () => {
    const x = whole(2, 3);
    expect(x.at(x.gt(2)).tolistSync()).toEqual([3, 4, 5]);
    expect(x.at(slice(), tensor([true, false, true])).tolistSync()).toEqual([[0, 2], [3, 5]]);
    expect(x.at(true).shape).toEqual([1, 2, 3]);
    expect(x.at(false).shape).toEqual([0, 2, 3]);
  });

  it("refuses at the call what it can see, and at the read what only the device sees", async () => {
    const x = whole(2, 3);
    expect(() => x.at(2)).toThrow("index 2 is out of bounds for dimension 0 with size 2");
    expect(() => x.at(0, 0, 0)).toThrow("too many indices for tensor of dimension 2");
    expect(() => x.at(tensor([true, false, true]))).toThrow("The shape of the mask [3] at index 0 does not match");
    for (const index of ["1", undefined, {}]) expect(() => x.at(index as never)).toThrow(DTypeError);
    await expect(x.at(tensor([0, 2])).tolist()).rejects.toThrow("index 2 is out of range");
  });
});

describe("x.setAt", () => {
  it("writes numbers, arrays and tensors that broadcast", () => {
    const x = zeros(2, 3);
    x.setAt([0, slice(1, null)], 5);
    x.setAt([1], [[1, 2, 3]]);
    x.setAt([tensor([0, 1]), tensor([0, 2])], tensor([-1, -2], { dtype: "float32" }));
    expect(x.tolistSync()).toEqual([[-1, 5, 5], [1, 2, -2]]);
    x.setAt([x.gt(1)], 0);
    expect(x.tolistSync()).toEqual([[-1, 0, 0], [1, 0, -2]]);
  });

  it("refuses what is no value, and indices beside their array", () => {
    const x = zeros(2, 3);
    for (const value of [undefined, null, "5"]) expect(() => x.setAt(0, value as never)).toThrow(DTypeError);
    expect(() => x.setAt(0, 1, ...([5] as never[]))).toThrow("takes several indices as one array");
    expect(x.tolistSync()).toEqual([[0, 0, 0], [0, 0, 0]]);
  });

  it("is differentiable in what it overwrites and in what it writes", () => {
    const x = ones([2, 3], { requiresGrad: true });
    const value = tensor([1, 2], { requiresGrad: true });
    const y = x.mul(2);
    y.setAt([slice(), 1], value);
    y.setAt([tensor([1]), tensor([0])], value.at(0));
    y.mul(whole(2, 3)).sum().backward();
    expect(x.grad?.tolistSync()).toEqual([[0, 0, 4], [0, 0, 10]]);
    expect(value.grad?.tolistSync()).toEqual([4, 4]);
  });
});

describe("gather and scatter", () => {
  it("gather reads what scatter wrote where no index repeats", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 5 }), fc.nat(), (rows, columns, turn) => {
        const index = whole(rows, columns).add(turn).remainder(columns);
        const source = whole(rows, columns).to("float32");
        const written = zeros(rows, columns).scatter(1, index, source);
        expect(written.gather(1, index).tolistSync()).toEqual(source.tolistSync());
      }),
      { numRuns: 20 },
    );
  });

  it("scatterAdd is the adjoint of gather: <gather(x), y> = <x, scatterAdd(y)>", () => {
    const row = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 3, maxLength: 3 });
    const indices = fc.array(row, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(indices, (rows) => {
        const index = tensor(rows);
        const [x, y] = [whole(4, 3), whole(rows.length, 3).mul(7).remainder(5)];
        const left = x.gather(0, index).mul(y).sum().itemSync();
        expect(x.mul(zeros(4, 3, { dtype: "int64" }).scatterAdd(0, index, y)).sum().itemSync()).toBe(left);
      }),
      { numRuns: 20 },
    );
  });

  it("an index out of range poisons the result and nothing else", async () => {
    const x = whole(3);
    const bad = x.gather(0, tensor([0, 3]));
    expect(x.gather(0, tensor([2])).tolistSync()).toEqual([2]);
    await expect(bad.add(1).tolist()).rejects.toThrow("index 3 is out of range [op gather");
  });

  it("the gradient of a selection adds up where an index repeats, to any order", () => {
    const x = tensor([1, 2, 3], { requiresGrad: true });
    const picked = x.at(tensor([0, 0, 2]));
    const [first] = grad(picked.pow(3).sum(), x, { createGraph: true });
    expect(first.tolistSync()).toEqual([6, 0, 27]);
    const [second] = grad(first.sum(), x);
    expect(second.tolistSync()).toEqual([12, 0, 18]);
  });
});

describe("masks", () => {
  it("nonzero lists the places that maskedSelect takes and maskedScatter fills", () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 12 }), (bits) => {
        const mask = tensor(bits);
        const x = whole(bits.length);
        const places = bits.flatMap((bit, i) => (bit ? [i] : []));
        expect(nonzero(mask).tolistSync()).toEqual(places.map((place) => [place]));
        expect(x.maskedSelect(mask).tolistSync()).toEqual(places);
        const filled = x.mul(0).maskedScatter(mask, whole(bits.length).add(1));
        expect(filled.maskedSelect(mask).tolistSync()).toEqual(places.map((_, i) => i + 1));
      }),
      { numRuns: 20 },
    );
  });
});

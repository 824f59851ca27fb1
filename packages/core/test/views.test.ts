import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { arange, grad, noGrad, ones, setDefaultDevice, tensor, zeros } from "../src/index.ts";
import type { Device, Tensor } from "../src/index.ts";
import { mock } from "../src/testing/index.ts";

let device: Device;
beforeAll(() => {
  device = mock();
  setDefaultDevice(device.name);
});
afterAll(() => device.close());

const whole = (...shape: number[]): Tensor => arange(shape.reduce((a, b) => a * b, 1)).reshape(shape);
const shapes = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 });

describe("views share their base's memory", () => {
  const looks: Record<string, (x: Tensor) => Tensor> = {
    view: (x) => x.view(4, 3),
    t: (x) => x.t(),
    permute: (x) => x.permute(1, 0),
    select: (x) => x.select(1, 2),
    narrow: (x) => x.narrow(0, 1, 2),
    diagonal: (x) => x.diagonal(1),
    unfold: (x) => x.unfold(1, 2, 2),
    unsqueeze: (x) => x.unsqueeze(1),
    flatten: (x) => x.flatten(),
    split: (x) => x.split(2, 1)[1],
    asStrided: (x) => x.asStrided([2, 2], [5, 1], 1),
  };

  it.each(Object.keys(looks))("%s: a write to either shows in the other", (name) => {
    const x = whole(3, 4);
    const view = looks[name](x);
    view.fill_(-1);
    expect(x.eq(-1).sum().itemSync()).toBe(view.numel());
    x.fill_(7);
    expect(view.eq(7).all().itemSync()).toBe(1);
  });

  it("reshape copies only where strides leave no choice", () => {
    const x = whole(3, 4);
    x.reshape(2, 6).fill_(1);
    expect(x.sum().itemSync()).toBe(12);
    x.t().reshape(12).fill_(5);
    expect(x.sum().itemSync()).toBe(12);
  });
});

describe("laws", () => {
  it("a permutation and its inverse give the tensor back", () => {
    fc.assert(
      fc.property(shapes, fc.nat(), (shape, seed) => {
        const order = shape.map((_, dim) => dim).sort((a, b) => ((a * 7 + seed) % 5) - ((b * 7 + seed) % 5));
        const inverse = order.map((_, dim) => order.indexOf(dim));
        const x = whole(...shape);
        expect(x.permute(order).permute(inverse).tolistSync()).toEqual(x.tolistSync());
      }),
      { numRuns: 20 },
    );
  });

  it("the pieces of a split, joined, are the tensor", () => {
    fc.assert(
      fc.property(shapes, fc.nat(), fc.integer({ min: 1, max: 3 }), (shape, dim, size) => {
        const at = dim % shape.length;
        const [first, ...rest] = whole(...shape).split(size, at);
        expect(first.cat(rest, at).tolistSync()).toEqual(whole(...shape).tolistSync());
      }),
      { numRuns: 20 },
    );
  });

  it("rolling there and back, and flipping twice, change nothing", () => {
    fc.assert(
      fc.property(shapes, fc.integer({ min: -9, max: 9 }), (shape, shift) => {
        const x = whole(...shape);
        expect(x.roll(shift, 0).roll(-shift, 0).tolistSync()).toEqual(x.tolistSync());
        expect(x.flip(0).flip(0).tolistSync()).toEqual(x.tolistSync());
      }),
      { numRuns: 20 },
    );
  });
});

describe("gradients", () => {
  it("a window's elements are counted as often as windows hold them", () => {
    const x = ones([5], { requiresGrad: true });
    x.unfold(0, 3, 1).sum().backward();
    expect(x.grad?.tolistSync()).toEqual([1, 2, 3, 2, 1]);
  });

  it("a write through a view reaches the gradient of what was there and of what was written", () => {
    const x = ones([2, 3], { requiresGrad: true });
    const y = tensor([5, 6], { requiresGrad: true });
    const copy = x.clone();
    copy.select(1, 0).copy_(y);
    copy.mul(whole(2, 3)).sum().backward();
    expect(x.grad?.tolistSync()).toEqual([[0, 1, 2], [0, 4, 5]]);
    expect(y.grad?.tolistSync()).toEqual([0, 3]);
  });

  it("a view made before a write to its base follows the new history", () => {
    const x = ones([4], { requiresGrad: true });
    const base = x.clone();
    const half = base.narrow(0, 0, 2);
    base.mul_(3);
    half.sum().backward();
    expect(x.grad?.tolistSync()).toEqual([3, 3, 0, 0]);
  });

  it("writes through transposed and nested views are differentiable twice", () => {
    const x = ones([3, 2], { requiresGrad: true });
    const base = x.mul(2);
    base.t().select(0, 1).add_(base.narrow(0, 0, 1).select(1, 0).clone().pow(2));
    const [first] = grad(base.pow(2).sum(), x, { createGraph: true });
    const [second] = grad(first.sum(), x);
    // The sum of 4 a_i^2 + (2 b_i + 4 a_0^2)^2, at ones.
    expect(first.tolistSync()).toEqual([[296, 24], [8, 24], [8, 24]]);
    expect(second.tolistSync()).toEqual([[776, 40], [8, 40], [8, 40]]);
  });
});

describe("in place", () => {
  it("t_, squeeze_ and unsqueeze_ change the tensor itself", () => {
    const x = whole(2, 3);
    const held = x.t_();
    expect(held).toBe(x);
    expect(x.shape).toEqual([3, 2]);
    expect(x.unsqueeze_(0).squeeze_().tolistSync()).toEqual([[0, 3], [1, 4], [2, 5]]);
  });

  it("they keep the history, and refuse leaves that require a gradient", () => {
    const x = ones([2, 3], { requiresGrad: true });
    expect(() => x.t_()).toThrow("a leaf Variable that requires grad");
    const y = x.mul(2);
    y.t_().mul(whole(3, 2)).sum().backward();
    expect(x.grad?.tolistSync()).toEqual([[0, 4, 8], [2, 6, 10]]);
  });
});

describe("refusals say what PyTorch says", () => {
  it.each<[string, (x: Tensor) => unknown, RegExp]>([
    ["view of a transpose", (x) => x.t().view(6), /view size is not compatible.*Use \.reshape\(\.\.\.\) instead/],
    ["select out of range", (x) => x.select(0, 2), /index 2 out of range for tensor of size \[2, 3\] at dimension 0/],
    ["narrow from a fraction", (x) => x.narrow(0, 0.5, 1), /must be a whole number, got 0\.5/],
    ["split by a fraction", (x) => x.split(1.5), /whole number/],
    ["slices of NaN", (x) => x.narrow(0, 0, NaN), /whole number/],
    ["windows a fraction apart", (x) => x.unfold(1, 2, 0.5), /whole numbers/],
    ["roll by a fraction", (x) => x.roll(0.5, 0), /shifts must be whole numbers/],
    ["narrow too long", (x) => x.narrow(1, 2, 2), /start \(2\) \+ length \(2\) exceeds dimension size \(3\)/],
    ["expand of a size", (x) => x.expand(2, 4), /must match the existing size \(3\) at non-singleton dimension 1/],
    ["write to an expanded view", (x) => noGrad(() => x.select(0, 0).expand(4, 3).add_(1)), /single memory location/],
  ])("%s", (_, act, message) => {
    expect(() => act(zeros(2, 3))).toThrow(message);
  });
});

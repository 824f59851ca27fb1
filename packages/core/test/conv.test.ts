import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { setDefaultDevice, type Device } from "../src/actor/device.ts";
import { grad } from "../src/autograd/engine.ts";
import { conv1d, conv2d, conv3d, convTranspose1d, convTranspose2d } from "../src/ops/conv.ts";
import { convolveByLoop, convolveByProduct, type Convolution, type Place } from "../src/ops/convolution.ts";
import { inputOp, outputOp, weightOp } from "../src/ops/kinds/convolution.ts";
import { apply } from "../src/ops/dispatch.ts";
import { einsum } from "../src/ops/einsum.ts";
import { adaptiveAvgPool2d, adaptiveMaxPool1d, avgPool2d, localResponseNorm, maxPool2d } from "../src/ops/pool.ts";
import { fold, interpolate, pixelShuffle, pixelUnshuffle, unfold } from "../src/ops/resize.ts";
import { arange, ones, tensor } from "../src/tensor/creation.ts";
import "../src/tensor/methods.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import type { LocalValue } from "../src/tensor/value.ts";
import { mock } from "../src/testing/index.ts";

let device: Device;
beforeAll(() => {
  device = mock();
  setDefaultDevice(device.name);
});
afterAll(() => device.close());

/** Whole numbers, so that sums are exact in any order. */
function numbers(shape: readonly number[], seed = 0): Tensor {
  const count = shape.reduce((product, own) => product * own, 1);
  return tensor(Float32Array.from({ length: count }, (_, i) => ((i * 7 + seed * 13) % 11) - 5)).reshape(shape);
}

function values(x: Tensor): number[] {
  return [...(x.dataSync() as Float32Array)].map((own) => own + 0);
}

function dot(x: Tensor, y: Tensor): number {
  return x.mul(y).sum().itemSync();
}

interface Case {
  readonly n: number;
  readonly groups: number;
  readonly c: number;
  readonly o: number;
  readonly attrs: Convolution;
}

/** Convolutions of one to three dimensions in which at least one window fits. */
const cases: fc.Arbitrary<Case> = fc
  .record({
    n: fc.integer({ min: 1, max: 3 }),
    groups: fc.integer({ min: 1, max: 2 }),
    c: fc.integer({ min: 1, max: 3 }),
    o: fc.integer({ min: 1, max: 3 }),
    dims: fc.array(
      fc.record({
        kernel: fc.integer({ min: 1, max: 3 }),
        stride: fc.integer({ min: 1, max: 3 }),
        dilation: fc.integer({ min: 1, max: 2 }),
        padding: fc.integer({ min: 0, max: 2 }),
        extra: fc.integer({ min: 0, max: 4 }),
      }),
      { minLength: 1, maxLength: 3 },
    ),
  })
  .map(({ dims, ...rest }) => {
    const input = dims.map(
      ({ kernel, dilation, padding, extra }) => Math.max(1, dilation * (kernel - 1) + 1 - 2 * padding) + extra,
    );
    const of = (name: "kernel" | "stride" | "dilation" | "padding"): number[] => dims.map((dim) => dim[name]);
    const output = dims.map(
      ({ kernel, stride, dilation, padding }, d) =>
        Math.floor((input[d] + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1,
    );
    const attrs = {
      input,
      output,
      kernel: of("kernel"),
      stride: of("stride"),
      dilation: of("dilation"),
      padding: of("padding"),
      groups: rest.groups,
    };
    return { ...rest, attrs };
  });

function tensorsOf({ n, groups, c, o, attrs }: Case): Readonly<Record<Place, Tensor>> {
  return {
    x: numbers([n, c * groups, ...attrs.input], 1),
    w: numbers([o * groups, c, ...attrs.kernel], 2),
    y: numbers([n, o * groups, ...attrs.output], 3),
  };
}

/** One of the three tensors computed by `compute`, and how many storages that left behind. */
function outcome(
  compute: typeof convolveByLoop,
  tensors: Readonly<Record<Place, Tensor>>,
  target: Place,
  attrs: Convolution,
): { readonly result: number[]; readonly leaked: number } {
  const result = tensors[target].clone();
  const before = storages();
  const { x, w, y }: Record<Place, Tensor> = { ...tensors, [target]: result };
  compute({ x: local(x), w: local(w), y: local(y) }, target, attrs);
  const leaked = storages() - before;
  return { result: values(result), leaked };
}

function storages(): number {
  device.fenceSync();
  return device.stats().storages;
}

function local(x: Tensor): LocalValue {
  return x.value as LocalValue;
}

describe("the three convolutions", () => {
  test("are adjoint to one another: <conv(x, w), y> = <x, input(y, w)> = <w, weight(x, y)>", () => {
    fc.assert(
      fc.property(cases, (one) => {
        const { x, w, y } = tensorsOf(one);
        const product = dot(apply(outputOp, [x, w], one.attrs), y);
        expect(dot(x, apply(inputOp, [y, w], one.attrs))).toBe(product);
        expect(dot(w, apply(weightOp, [x, y], one.attrs))).toBe(product);
      }),
      { numRuns: 60 },
    );
  });

  test("are the same through the matrix product as in one loop, and leave no memory behind", () => {
    fc.assert(
      fc.property(cases, fc.constantFrom<Place>("x", "w", "y"), (one, target) => {
        const { result } = outcome(convolveByLoop, tensorsOf(one), target, one.attrs);
        expect(outcome(convolveByProduct, tensorsOf(one), target, one.attrs)).toEqual({ result, leaked: 0 });
      }),
      { numRuns: 60 },
    );
  });

  test.each<Place>(["x", "w", "y"])("of many images take a few of them at a time: %s", (target) => {
    const attrs = {
      input: [40, 40],
      kernel: [3, 3],
      output: [40, 40],
      stride: [1, 1],
      dilation: [1, 1],
      padding: [1, 1],
      groups: 1,
    };
    const tensors = tensorsOf({ n: 5, groups: 1, c: 16, o: 1, attrs });
    const { result } = outcome(convolveByLoop, tensors, target, attrs);
    expect(outcome(convolveByProduct, tensors, target, attrs)).toEqual({ result, leaked: 0 });
  });

  test("have second derivatives that are convolutions", () => {
    const x = numbers([2, 2, 5, 4], 1).requiresGrad_();
    const w = numbers([3, 2, 2, 3], 2).requiresGrad_();
    const y = conv2d(x, w, { stride: [2, 1], padding: 1 });
    const [gx, gw] = grad(y, [x, w], { gradOutputs: [numbers(y.shape, 3)], createGraph: true });
    const [ggx, ggw] = grad([gx, gw], [x, w], { gradOutputs: [numbers(x.shape, 4), numbers(w.shape, 5)] });
    // The gradients are bilinear: gx in (y, w), gw in (x, y).
    expect(dot(ggx, x.detach())).toBe(dot(gw.detach(), numbers(w.shape, 5)));
    expect(dot(ggw, w.detach())).toBe(dot(gx.detach(), numbers(x.shape, 4)));
  });
});

describe("convolution", () => {
  test("is the matrix product of weight and unfolded input", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 0, max: 2 }),
        fc.integer({ min: 1, max: 2 }),
        (kernel, stride, padding, dilation) => {
          const [x, w] = [numbers([2, 3, 7, 6], 1), numbers([4, 3, kernel, kernel], 2)];
          const options = { stride, padding, dilation };
          const product = einsum("ok,nkp->nop", w.reshape([4, -1]), unfold(x, kernel, options));
          expect(values(conv2d(x, w, options))).toEqual(values(product));
        },
      ),
      { numRuns: 20 },
    );
  });

  test("adds one bias to each channel and knows unbatched input", () => {
    const [x, w, b] = [numbers([2, 5], 1), numbers([3, 2, 2], 2), numbers([3], 3)];
    const y = conv1d(x, w, b);
    expect(y.shape).toEqual([3, 4]);
    expect(values(y.sub(conv1d(x.unsqueeze(0), w).squeeze(0)))).toEqual(
      values(b).flatMap((own) => [own, own, own, own]),
    );
  });

  test("with padding 'same' keeps the size, also for even kernels", () => {
    expect(conv2d(ones([1, 1, 5, 6]), ones([1, 1, 4, 3]), { padding: "same" }).shape).toEqual([1, 1, 5, 6]);
    expect(values(conv1d(ones([1, 1, 3]), ones([1, 1, 2]), { padding: "same" }))).toEqual([2, 2, 1]);
  });

  test("of three dimensions and of groups follow the definition", () => {
    expect(values(conv3d(ones([1, 1, 3, 3, 3]), ones([1, 1, 2, 2, 2])))).toEqual(new Array(8).fill(8));
    const [x, w] = [numbers([1, 4, 6], 1), numbers([2, 2, 3], 2)];
    const halves = [0, 1].flatMap((g) => values(conv1d(x.narrow(1, 2 * g, 2), w.narrow(0, g, 1))));
    expect(values(conv1d(x, w, { groups: 2 }))).toEqual(halves);
  });

  test("transposed is the gradient of the input, with the asked-for output size", () => {
    expect(
      values(
        convTranspose1d(tensor([[[1, 2]]], { dtype: "float32" }), tensor([[[1, 10, 100]]], { dtype: "float32" }), {
          stride: 2,
          outputPadding: 1,
        }),
      ),
    ).toEqual([1, 10, 102, 20, 200, 0]);
    expect(
      convTranspose2d(ones([1, 2, 3, 3]), ones([2, 4, 3, 3]), { stride: 2, padding: 1, outputPadding: 1 }).shape,
    ).toEqual([1, 4, 6, 6]);
  });

  test("says what does not fit as PyTorch does", () => {
    const x = ones([1, 3, 4, 4]);
    expect(() => conv2d(x, ones([2, 4, 3, 3]))).toThrow(
      "Given groups=1, weight of size [2, 4, 3, 3], expected input[1, 3, 4, 4] to have 4 channels, but got 3 channels instead",
    );
    expect(() => conv2d(x, ones([2, 3, 5, 5]))).toThrow(
      "Calculated padded input size per channel: (4 x 4). Kernel size: (5 x 5). Kernel size can't be greater than actual input size",
    );
    expect(() => conv2d(x, ones([2, 3, 3, 3]), ones([3]))).toThrow("expected bias to be 1-dimensional with 2 elements");
    expect(() => conv2d(x, ones([2, 3, 3, 3]), { stride: 0 })).toThrow("non-positive stride is not supported");
    expect(() => conv2d(x, ones([2, 3, 3, 3]), { padding: "same", stride: 2 })).toThrow(
      "padding='same' is not supported for strided convolutions",
    );
  });
});

describe("windows", () => {
  test("fold is the adjoint of unfold", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 0, max: 2 }),
        fc.integer({ min: 1, max: 2 }),
        (kernel, stride, padding, dilation) => {
          const x = numbers([2, 2, 6, 7], 1);
          const options = { stride, padding, dilation };
          const columns = unfold(x, kernel, options);
          const y = numbers(columns.shape, 2);
          expect(dot(columns, y)).toBe(dot(x, fold(y, [6, 7], kernel, options)));
        },
      ),
      { numRuns: 30 },
    );
  });

  test("a pixel shuffle is undone by the unshuffle", () => {
    const x = numbers([2, 8, 3, 2]);
    expect(pixelShuffle(x, 2).shape).toEqual([2, 2, 6, 4]);
    expect(values(pixelUnshuffle(pixelShuffle(x, 2), 2))).toEqual(values(x));
  });
});

describe("pooling", () => {
  test("takes the maximum of each window and where it was, the first of equals, NaN above all", () => {
    const x = tensor([
      [
        [1, 5, 5, 2],
        [0, 5, -1, NaN],
      ],
    ]);
    const { output, indices } = maxPool2d(x, 2, { returnIndices: true });
    expect(values(output)).toEqual([5, NaN]);
    expect(indices.tolistSync()).toEqual([[[1, 7]]]);
  });

  test("a window of nothing but -infinity has its first element's index", () => {
    const x = tensor([
      [
        [-Infinity, -Infinity],
        [-Infinity, -Infinity],
      ],
    ]);
    expect(maxPool2d(x, 2, { stride: 1, padding: 1, returnIndices: true }).indices.tolistSync()).toEqual([
      [
        [0, 0, 1],
        [0, 0, 1],
        [2, 2, 3],
      ],
    ]);
  });

  test("sends each gradient to the maximum that it came from", () => {
    const x = tensor(
      [
        [
          [1, 9, 3],
          [4, 2, 8],
          [7, 5, 6],
        ],
      ],
      { dtype: "float32", requiresGrad: true },
    );
    const [gradient] = grad(maxPool2d(x, 2, { stride: 1 }), [x], {
      gradOutputs: [
        tensor(
          [
            [
              [1, 2],
              [3, 4],
            ],
          ],
          { dtype: "float32" },
        ),
      ],
    });
    expect(values(gradient)).toEqual([0, 3, 0, 0, 0, 4, 3, 0, 0]);
  });

  test("counts the padding of averages or leaves it out", () => {
    const x = ones([1, 1, 2, 2]);
    expect(values(avgPool2d(x, 2, { padding: 1 }))).toEqual([0.25, 0.25, 0.25, 0.25]);
    expect(values(avgPool2d(x, 2, { padding: 1, countIncludePad: false }))).toEqual([1, 1, 1, 1]);
    expect(values(avgPool2d(x, 2, { divisorOverride: 1 }))).toEqual([4]);
    expect(values(avgPool2d(ones([1, 3, 3]), 2, { ceilMode: true }))).toEqual([1, 1, 1, 1]);
  });

  test("divides an input into as many windows as asked for", () => {
    expect(values(adaptiveAvgPool2d(arange(25, { dtype: "float32" }).reshape([1, 5, 5]), [1, 2]))).toEqual([11, 13]);
    expect(values(adaptiveMaxPool1d(tensor([[1, 4, 2, 3, 0]], { dtype: "float32" }), 2))).toEqual([4, 3]);
  });

  test("refuses sizes that leave nothing", () => {
    expect(() => maxPool2d(ones([1, 3, 4, 4]), 6)).toThrow(
      "Given input size: (3x4x4). Calculated output size: (3x0x0). Output size is too small",
    );
    expect(() => maxPool2d(ones([1, 3, 4, 4]), 2, { padding: 2 })).toThrow(
      "pad should be at most half of kernel size, but got pad=2 and kernel_size=2",
    );
  });
});

describe("interpolation", () => {
  test("repeats elements, or draws lines between them", () => {
    const x = tensor([[[0, 1, 4]]], { dtype: "float32" });
    expect(values(interpolate(x, { scaleFactor: 2 }))).toEqual([0, 0, 1, 1, 4, 4]);
    expect(values(interpolate(x, { size: 5, mode: "linear", alignCorners: true }))).toEqual([0, 0.5, 1, 2.5, 4]);
    expect(values(interpolate(x, { scaleFactor: 2, mode: "linear" }))).toEqual([0, 0.25, 0.75, 1.75, 3.25, 4]);
  });

  test("spreads gradients as it read elements", () => {
    const x = numbers([1, 2, 3, 4]).requiresGrad_();
    const y = interpolate(x, { size: [5, 3], mode: "bilinear" });
    const g = numbers(y.shape, 2);
    const [gradient] = grad(y, [x], { gradOutputs: [g] });
    expect(dot(gradient, x.detach())).toBeCloseTo(dot(y.detach(), g), 4);
  });
});

test("local response norm divides by the mean square over neighbouring channels", () => {
  const x = tensor([[[1], [2], [3]]], { dtype: "float32" });
  const expected = [1 / (1 + 5 / 3), 2 / (1 + 14 / 3), 3 / (1 + 13 / 3)];
  values(localResponseNorm(x, 3, { alpha: 1, beta: 1 })).forEach((own, i) => expect(own).toBeCloseTo(expected[i], 5));
});

/** The tuned convolutions equal sums written out, for any geometry; and the same bits whoever computes them. */
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { manualSeed, nn, randn, type Tensor } from "@troupe/core";
import type { Device, LoopKernel } from "@troupe/core/device";
import { cpu } from "../src/index.ts";
import { convolution } from "../src/routines/convolution.ts";
import { type LaunchArguments, runProgram, type View } from "./harness.ts";
import { Random } from "./random-kernels.ts";

type Target = "y" | "x" | "w";

interface Case {
  readonly rank: number;
  readonly images: number;
  readonly groups: number;
  /** Of a group. */
  readonly channels: number;
  readonly features: number;
  readonly input: readonly number[];
  readonly taps: readonly number[];
  readonly output: readonly number[];
  readonly stride: readonly number[];
  readonly dilation: readonly number[];
  readonly padding: readonly number[];
}

/** A view `[...shape]` of whole numbers: dense, transposed, with gaps, or (where it is read only) repeated. */
function view(random: Random, shape: readonly number[], isResult: boolean): View {
  const order = shape.map((_, d) => d);
  if (random.next() < 0.2) order.reverse();
  const gap = random.next() < 0.2 ? 2 : 1;
  const strides = shape.map(() => 0);
  let span = gap;
  for (const d of order.toReversed()) {
    if (!isResult && random.next() < 0.03) continue;
    strides[d] = span;
    span *= shape[d] + (random.next() < 0.1 ? 1 : 0);
  }
  const offset = random.integer(0, 2);
  return { array: Float32Array.from({ length: span + offset + 4 }, () => random.integer(-3, 3)), offset, strides };
}

function randomCase(random: Random): Case {
  const rank = random.integer(1, 2);
  const each = (make: () => number): number[] => Array.from({ length: rank }, make);
  const depthwise = random.next() < 0.25;
  const input = each(() => random.pick([1, 2, 3, 5, 7, 8, 9, 14, 16, 17, 28, 33]));
  const taps = each(() => random.pick([1, 1, 2, 3, 3, 5]));
  const stride = each(() => random.pick([1, 1, 1, 2, 3]));
  const dilation = each(() => random.pick([1, 1, 1, 2, 3]));
  const padding = each(() => random.pick([0, 0, 1, 1, 2, 3]));
  const output = input.map((size, d) =>
    Math.floor((size + 2 * padding[d] - dilation[d] * (taps[d] - 1) - 1) / stride[d]) + 1);
  if (output.some((size) => size < 1)) return randomCase(random);
  return {
    rank, input, taps, stride, dilation, padding, output,
    images: random.pick([0, 1, 1, 2, 3]),
    groups: depthwise ? random.pick([1, 3, 8]) : random.pick([1, 1, 1, 2, 3]),
    channels: depthwise ? 1 : random.pick([1, 2, 3, 4, 7, 13, 16]),
    features: depthwise ? random.pick([1, 1, 2]) : random.pick([1, 2, 3, 5, 6, 7, 8, 12, 16, 17, 20, 33]),
  };
}

/** The tensors as views `[images, groups, own channels, ...spatial]` (w: `[groups, features, channels, ...taps]`). */
function views(random: Random, c: Case, target: Target): Record<Target, View> {
  return {
    x: view(random, [c.images, c.groups, c.channels, ...c.input], target === "x"),
    w: view(random, [c.groups, c.features, c.channels, ...c.taps], target === "w"),
    y: view(random, [c.images, c.groups, c.features, ...c.output], target === "y"),
  };
}

function kernelOf(rank: number, target: Target): LoopKernel {
  const operand = { dtype: "float32", inner: "any" } as const;
  return {
    kind: "loop", name: `conv${rank}d${{ y: "", x: "Input", w: "Weight" }[target]}`, axes: 4 + 2 * rank,
    reduced: 1 + rank, inputs: [operand, operand], outputs: [{ ...operand, overwrites: true }],
    scalars: Array.from({ length: (target === "x" ? 5 : 4) * rank }, () => "int32" as const),
    body: [], accumulators: [], step: [], epilogue: [], stores: [],
  };
}

/** The launch as core's ops/convolution.ts makes it. */
function launchOf(c: Case, target: Target, { x, w, y }: Record<Target, View>): LaunchArguments {
  const none = c.taps.map(() => 0);
  const [xs, ws, ys] = [x, w, y].map(({ strides }) => strides.slice(3));
  const stepped = xs.map((step, d) => step * c.stride[d]);
  const dilated = xs.map((step, d) => step * c.dilation[d]);
  const before = -xs.reduce((sum, step, d) => sum + step * c.padding[d], 0);
  const scalars = (bound: readonly number[]): number[] =>
    bound.flatMap((size, d) => [c.stride[d], c.dilation[d], c.padding[d], size]);
  const [x0, x1, x2] = x.strides;
  const [w0, w1, w2] = w.strides;
  const [y0, y1, y2] = y.strides;
  const operand = ({ array, offset }: View, strides: readonly number[], shift = 0): View =>
    ({ array, offset: offset + shift, strides });
  if (target === "y") {
    return {
      sizes: [c.images, c.groups, c.features, ...c.output, c.channels, ...c.taps],
      operands: [
        operand(x, [x0, x1, 0, ...stepped, x2, ...dilated], before),
        operand(w, [0, w0, w1, ...none, w2, ...ws]),
        operand(y, [y0, y1, y2, ...ys, 0, ...none]),
      ],
      scalars: scalars(c.input),
    };
  }
  if (target === "w") {
    return {
      sizes: [c.groups, c.features, c.channels, ...c.taps, c.images, ...c.output],
      operands: [
        operand(x, [x1, 0, x2, ...dilated, x0, ...stepped], before),
        operand(y, [y1, y2, 0, ...none, y0, ...ys]),
        operand(w, [w0, w1, w2, ...ws, 0, ...none]),
      ],
      scalars: scalars(c.input),
    };
  }
  return {
    sizes: [c.images, c.groups, c.channels, ...c.input, c.features, ...c.taps],
    operands: [
      operand(y, [y0, y1, 0, ...none, y2, ...none]),
      operand(w, [0, w0, w2, ...none, w1, ...ws]),
      operand(x, [x0, x1, x2, ...xs, 0, ...none]),
    ],
    scalars: [...scalars(c.output), ...ys],
  };
}

function forEach(sizes: readonly number[], visit: (index: readonly number[]) => void, index: readonly number[] = []): void {
  if (index.length === sizes.length) visit(index);
  else for (let i = 0; i < sizes[index.length]; i++) forEach(sizes, visit, [...index, i]);
}

const at = ({ offset, strides }: View, index: readonly number[]): number =>
  index.reduce((sum, i, d) => sum + i * strides[d], offset);

/** The sum, one product after the other: what the result's array then holds. */
function writtenOut(c: Case, target: Target, tensors: Record<Target, View>): Float32Array {
  const result = tensors[target];
  const { x, w, y } = tensors;
  const array = Float32Array.from(result.array as Float32Array);
  const shape = target === "y" ? [c.images, c.groups, c.features, ...c.output]
    : target === "x" ? [c.images, c.groups, c.channels, ...c.input]
      : [c.groups, c.features, c.channels, ...c.taps];
  forEach(shape, (index) => (array[at(result, index)] = 0));
  forEach([c.images, c.groups, c.features, c.channels, ...c.output], ([n, g, o, i, ...place]) =>
    forEach(c.taps, (tap) => {
      const from = place.map((p, d) => p * c.stride[d] + tap[d] * c.dilation[d] - c.padding[d]);
      if (from.some((p, d) => p < 0 || p >= c.input[d])) return;
      const places = {
        x: at(x, [n, g, i, ...from]), w: at(w, [g, o, i, ...tap]), y: at(y, [n, g, o, ...place]),
      };
      const factors = (["x", "w", "y"] as const).filter((name) => name !== target);
      array[places[target]] += factors.reduce((product, name) => product * Number(tensors[name].array[places[name]]), 1);
    }));
  return array;
}

function run(c: Case, target: Target, tensors: Record<Target, View>, panel: number, parts: number): Float32Array {
  const array = Float32Array.from(tensors[target].array as Float32Array);
  const program = convolution(kernelOf(c.rank, target), panel);
  if (program === undefined) throw new Error("not recognised");
  runProgram(program, launchOf(c, target, { ...tensors, [target]: { ...tensors[target], array } }), parts);
  return array;
}

describe.each(["y", "x", "w"] as const)("the tuned convolution that computes %s", (target) => {
  test.each([8, 16])("equals the sums written out, for any geometry, strides and splits (panels of %i)", (panel) => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 3 }), (seed, parts) => {
        const random = new Random(seed);
        const c = randomCase(random);
        const tensors = views(random, c, target);
        // Small whole numbers: sums are exact in any order. What lies between the elements must not change.
        expect(run(c, target, tensors, panel, parts)).toEqual(writtenOut(c, target, tensors));
      }),
      { numRuns: 40 },
    );
  });

  test.each([8, 16])("equals them for more channels and features than one block holds (panels of %i)", (panel) => {
    const random = new Random(1);
    const small = { rank: 2, images: 2, groups: 1, taps: [3, 3], stride: [1, 1], dilation: [1, 1], padding: [1, 1] };
    for (const [channels, features, size] of [[75, 9, 6], [3, 200, 7], [200, 3, 7], [1, 2, 40]]) {
      const c = { ...small, channels, features, input: [size, size], output: [size, size] };
      const tensors = views(random, c, target);
      expect(run(c, target, tensors, panel, 2)).toEqual(writtenOut(c, target, tensors));
    }
  });
});

describe("a convolution with gradients on a CPU device", () => {
  const devices: Device[] = [];
  afterAll(() => Promise.all(devices.map((device) => device.close())));

  test("gives the same bits with one thread and with two", async () => {
    const bits = async (threads: number): Promise<number[][]> => {
      const device = cpu({ index: 60 + threads, threads, memoryLimit: 2 ** 28 });
      devices.push(device);
      const results: Tensor[] = [];
      for (const [groups, stride] of [[1, 1], [1, 2], [16, 1], [4, 1]]) {
        manualSeed(3);
        const x = randn([6, 16, 30, 30], { device, requiresGrad: true });
        const w = randn([32, 16 / groups, 3, 3], { device, requiresGrad: true });
        const y = nn.functional.conv2d(x, w, { padding: 1, groups, stride });
        y.backward(y.detach());
        results.push(y, x.grad as Tensor, w.grad as Tensor);
      }
      return Promise.all(results.map(async (result) => Array.from(await result.data(), Number)));
    };
    expect(await bits(2)).toEqual(await bits(1));
  });
});

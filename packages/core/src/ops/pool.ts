/** Pooling over windows (`torch.nn.functional`): maxima and averages, by window size or by output size. */
import { ShapeError, ValueError } from "../errors.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { assertList, parameters } from "../arguments.ts";
import { perDimension } from "./conv.ts";
import type { PerDimension } from "./conv.ts";
import { apply, applyAll } from "./dispatch.ts";
import { tensorOperand } from "./elementwise.ts";
import { defineWindowMax } from "./kinds/window-max.ts";
import { defineWindowSum } from "./kinds/window.ts";
import type { WindowAttrs, WindowOp } from "./kinds/window.ts";
import { namedTuple } from "./results.ts";
import type { NamedTuple } from "./results.ts";

export interface MaxPoolOptions {
  /** Distance of windows; by default their size. */
  readonly stride?: PerDimension;
  /** Elements of -infinity around the input, at most half a window. */
  readonly padding?: PerDimension;
  readonly dilation?: PerDimension;
  /** Whether a last window may reach beyond the padding. */
  readonly ceilMode?: boolean;
}

export interface AvgPoolOptions {
  readonly stride?: PerDimension;
  readonly padding?: PerDimension;
  readonly ceilMode?: boolean;
  /** Whether zeros of the padding count as elements; true by default. */
  readonly countIncludePad?: boolean;
  /** What sums are divided by instead of the window's size. */
  readonly divisorOverride?: number | null;
}

/** Pooled values, and where in its plane each was found (int64). */
export type PooledWithIndices = NamedTuple<"output" | "indices", Tensor>;

/** A result alone, or with indices where the options say `returnIndices: true`. */
export interface MaxPool {
  (
    input: Tensor,
    kernelSize: PerDimension,
    options: MaxPoolOptions & { readonly returnIndices: true },
  ): PooledWithIndices;
  (input: Tensor, kernelSize: PerDimension, options?: MaxPoolOptions & { readonly returnIndices?: false }): Tensor;
  (input: Tensor, kernelSize: PerDimension, ...options: unknown[]): Tensor | PooledWithIndices;
}

export type AvgPool = (
  input: Tensor,
  kernelSize: PerDimension,
  ...options: (AvgPoolOptions | PerDimension | boolean | null | undefined)[]
) => Tensor;

/** For each spatial dimension a size, or null to keep the input's. */
export type OutputSize = number | readonly (number | null)[];

export type AdaptiveAvgPool = (input: Tensor, outputSize: OutputSize) => Tensor;

export interface AdaptiveMaxPool {
  (input: Tensor, outputSize: OutputSize, options: { readonly returnIndices: true }): PooledWithIndices;
  (input: Tensor, outputSize: OutputSize, options?: { readonly returnIndices?: false }): Tensor;
  (input: Tensor, outputSize: OutputSize, ...options: unknown[]): Tensor | PooledWithIndices;
}

// --- windows of one size -----------------------------------------------------------------------------------------

function maxPool(rank: number): MaxPool {
  const name = `maxPool${rank}d`;
  const op = defineWindowMax(name, `MaxPool${rank}DWithIndices`);
  const names = ["stride", "padding", "dilation", "ceilMode", "returnIndices"] as const;
  const call = (input: Tensor, kernelSize: PerDimension, ...options: unknown[]): Tensor | PooledWithIndices => {
    const { returnIndices = false, ...given } = parameters<MaxPoolOptions & { readonly returnIndices?: boolean }>(
      name,
      names,
      options,
    );
    const geometry = windowGeometry(name, rank, kernelSize, given);
    const batched = withBatch(name, rank, input);
    return pooled(op, input, batched, slidingWindows(name, batched.shape, geometry), returnIndices);
  };
  return call as MaxPool;
}

function avgPool(rank: number): AvgPool {
  const name = `avgPool${rank}d`;
  const op = defineWindowSum(name, `AvgPool${rank}D`);
  const names = ["stride", "padding", "ceilMode", "countIncludePad", "divisorOverride"] as const;
  return (input, kernelSize, ...options) => {
    const { countIncludePad = true, divisorOverride, ...given } = parameters<AvgPoolOptions>(name, names, options);
    if (divisorOverride === 0) throw new ValueError("divisor must be not zero", { op: name });
    const geometry = windowGeometry(name, rank, kernelSize, given);
    const batched = withBatch(name, rank, input);
    const windows = slidingWindows(name, batched.shape, geometry);
    const result = apply(op, [batched], {
      ...windows,
      ...(divisorOverride === undefined || divisorOverride === null
        ? { sampler: countIncludePad ? "windowPadded" : "windowInside" }
        : { sampler: "window", divisor: divisorOverride }),
    });
    return batched === input ? result : result.squeeze(0);
  };
}

/**
 * Max pooling (`torch.nn.functional.max_pool1d`): input `[n, c, l]` or `[c, l]`. @throws ShapeError, ValueError,
 * DTypeError
 */
export const maxPool1d: MaxPool = maxPool(1);
/** Max pooling of `[n, c, h, w]` or `[c, h, w]` (`torch.nn.functional.max_pool2d`). @throws as maxPool1d */
export const maxPool2d: MaxPool = maxPool(2);
/** Max pooling of `[n, c, d, h, w]` or `[c, d, h, w]` (`torch.nn.functional.max_pool3d`). @throws as maxPool1d */
export const maxPool3d: MaxPool = maxPool(3);
/** Average pooling (`torch.nn.functional.avg_pool1d`): input `[n, c, l]` or `[c, l]`. @throws ShapeError, ValueError */
export const avgPool1d: AvgPool = avgPool(1);
/** Average pooling of `[n, c, h, w]` or `[c, h, w]` (`torch.nn.functional.avg_pool2d`). @throws as avgPool1d */
export const avgPool2d: AvgPool = avgPool(2);
/** Average pooling of `[n, c, d, h, w]` or `[c, d, h, w]` (`torch.nn.functional.avg_pool3d`). @throws as avgPool1d */
export const avgPool3d: AvgPool = avgPool(3);

// --- windows by output size --------------------------------------------------------------------------------------

function adaptiveWindows(op: string, input: Shape, outputSize: OutputSize): WindowAttrs {
  if (typeof outputSize !== "number") assertList(op, "output_size", outputSize, "sizes");
  const list =
    typeof outputSize === "number"
      ? input.map(() => outputSize)
      : outputSize.length === 1
        ? input.map(() => outputSize[0])
        : outputSize;
  if (list.length !== input.length) {
    throw new ValueError(`${op}(): output_size must have ${input.length} sizes, got [${list.join(", ")}]`, { op });
  }
  const output = list.map((size, d) => size ?? input[d]);
  if (output.some((size) => !Number.isInteger(size) || size < 0)) {
    throw new ValueError(
      `${op}(): elements of output_size must be greater than or equal to 0, but got [${output.join(", ")}]`,
      { op },
    );
  }
  if (input.includes(0)) {
    throw new ShapeError(
      `${op}(): Expected input to have non-zero size for non-batch dimensions, but input has spatial sizes [${input.join(", ")}]`,
      { op },
    );
  }
  const taps = input.map((size, d) => (output[d] === 0 ? 1 : widestPart(size, output[d])));
  return { sampler: "adaptive", input, output, taps, params: input.map((size) => [size]) };
}

/**
 * The most elements that a part has when `size` elements are divided into `parts` overlapping ones (see the adaptive
 * sampler).
 */
function widestPart(size: number, parts: number): number {
  let widest = 0;
  for (let i = 0; i < parts; i++)
    widest = Math.max(widest, Math.ceil(((i + 1) * size) / parts) - Math.floor((i * size) / parts));
  return widest;
}

function adaptiveAvgPool(rank: number): AdaptiveAvgPool {
  const name = `adaptiveAvgPool${rank}d`;
  const op = defineWindowSum(name, `AdaptiveAvgPool${rank}D`);
  return (input, outputSize) => {
    const batched = withBatch(name, rank, input);
    const result = apply(op, [batched], adaptiveWindows(name, batched.shape.slice(2), outputSize));
    return batched === input ? result : result.squeeze(0);
  };
}

function adaptiveMaxPool(rank: number): AdaptiveMaxPool {
  const name = `adaptiveMaxPool${rank}d`;
  const op = defineWindowMax(name, `AdaptiveMaxPool${rank}D`);
  const call = (input: Tensor, outputSize: OutputSize, ...options: unknown[]): Tensor | PooledWithIndices => {
    const { returnIndices = false } = parameters<{ readonly returnIndices?: boolean }>(
      name,
      ["returnIndices"],
      options,
    );
    const batched = withBatch(name, rank, input);
    return pooled(op, input, batched, adaptiveWindows(name, batched.shape.slice(2), outputSize), returnIndices);
  };
  return call as AdaptiveMaxPool;
}

/**
 * Averages over as many windows as asked for (`torch.nn.functional.adaptive_avg_pool1d`). @throws ShapeError,
 * ValueError
 */
export const adaptiveAvgPool1d: AdaptiveAvgPool = adaptiveAvgPool(1);
/** `torch.nn.functional.adaptive_avg_pool2d`. @throws as adaptiveAvgPool1d */
export const adaptiveAvgPool2d: AdaptiveAvgPool = adaptiveAvgPool(2);
/** `torch.nn.functional.adaptive_avg_pool3d`. @throws as adaptiveAvgPool1d */
export const adaptiveAvgPool3d: AdaptiveAvgPool = adaptiveAvgPool(3);
/**
 * Maxima over as many windows as asked for (`torch.nn.functional.adaptive_max_pool1d`). @throws ShapeError, ValueError,
 * DTypeError
 */
export const adaptiveMaxPool1d: AdaptiveMaxPool = adaptiveMaxPool(1);
/** `torch.nn.functional.adaptive_max_pool2d`. @throws as adaptiveMaxPool1d */
export const adaptiveMaxPool2d: AdaptiveMaxPool = adaptiveMaxPool(2);
/** `torch.nn.functional.adaptive_max_pool3d`. @throws as adaptiveMaxPool1d */
export const adaptiveMaxPool3d: AdaptiveMaxPool = adaptiveMaxPool(3);

// --- normalisation -----------------------------------------------------------------------------------------------

const channelAverage = defineWindowSum("channelAverage", "AvgPool2D");

/**
 * Divides by a power of the mean square over neighbouring channels (`torch.nn.functional.local_response_norm`;
 * Krizhevsky et al., 2012). @param input `[n, c, ...]` @throws ShapeError
 */
export function localResponseNorm(input: Tensor, size: number, ...options: unknown[]): Tensor {
  const names = ["alpha", "beta", "k"] as const;
  const {
    alpha = 1e-4,
    beta = 0.75,
    k = 1,
  } = parameters<{ readonly alpha?: number; readonly beta?: number; readonly k?: number }>(
    "localResponseNorm",
    names,
    options,
  );
  if (input.dim() < 3) {
    throw new ShapeError(`Expected 3D or higher dimensionality input (got ${input.dim()} dimensions)`, {
      op: "localResponseNorm",
    });
  }
  if (input.numel() === 0) return input;
  const [n, c] = input.shape;
  const rest = input.numel() / (n * c);
  const squares = input.mul(input).reshape([n, 1, c, rest]);
  const mean = apply(channelAverage, [squares], {
    sampler: "window",
    input: [c, rest],
    output: [c, rest],
    taps: [size, 1],
    params: [
      [c, 1, 1, Math.floor(size / 2)],
      [rest, 1, 1, 0],
    ],
    divisor: size,
  });
  return input.div(mean.reshape(input.shape).mul(alpha).add(k).pow(beta));
}

// --- what they have in common ------------------------------------------------------------------------------------

function pooled(
  op: WindowOp,
  input: Tensor,
  batched: Tensor,
  attrs: WindowAttrs,
  withIndices: boolean,
): Tensor | PooledWithIndices {
  const results = applyAll(op, [batched], attrs);
  const [output, indices] = batched === input ? results : results.map((result) => result.squeeze(0));
  return withIndices ? namedTuple<"output" | "indices", Tensor>(["output", "indices"], [output, indices]) : output;
}

/** Inputs without a batch dimension get one. @throws ShapeError on another rank, or where an image has no elements */
function withBatch(op: string, rank: number, input: Tensor): Tensor {
  tensorOperand(op, input);
  const batched = input.dim() === rank + 1 ? input.unsqueeze(0) : input;
  if (batched.dim() === rank + 2 && !batched.shape.slice(1).includes(0)) return batched;
  const ranks = `${rank + 1}D or ${rank + 2}D (batch mode) tensor`;
  const expectation =
    rank < 3
      ? `Expected ${ranks} with optional 0 dim batch size for input`
      : batched.dim() === rank + 2
        ? "Expected input's non-batch dimensions to have positive length"
        : `non-empty ${ranks} expected for input`;
  throw new ShapeError(`${expectation}, but got: [${input.shape.join(", ")}]`, { op });
}

interface SlidingOptions {
  readonly stride?: PerDimension;
  readonly padding?: PerDimension;
  readonly dilation?: PerDimension;
  readonly ceilMode?: boolean;
}

interface WindowGeometry {
  readonly taps: readonly number[];
  readonly stride: readonly number[];
  readonly padding: readonly number[];
  readonly dilation: readonly number[];
  readonly ceilMode: boolean;
}

function windowGeometry(op: string, rank: number, kernelSize: PerDimension, options: SlidingOptions): WindowGeometry {
  const taps = perDimension(op, "kernel_size", kernelSize, rank);
  const given = options.stride ?? [];
  const stride =
    Array.isArray(given) && given.length === 0
      ? taps
      : perDimension(op, "stride", given, rank);
  const padding = perDimension(op, "padding", options.padding ?? 0, rank);
  const dilation = perDimension(op, "dilation", options.dilation ?? 1, rank);
  taps.forEach((size, d) => {
    if (stride[d] === 0) throw new ValueError("stride should not be zero", { op });
    if (stride[d] < 0) throw new ValueError(`stride should be greater than zero, but got ${stride[d]}`, { op });
    if (size <= 0) throw new ValueError(`kernel size should be greater than zero, but got ${size}`, { op });
    if (dilation[d] <= 0)
      throw new ValueError(`dilation should be greater than zero, but got dilation: ${dilation[d]}`, { op });
    if (padding[d] < 0) throw new ValueError(`pad must be non-negative, but got pad: ${padding[d]}`, { op });
    if (padding[d] > size / 2) {
      throw new ValueError(
        `pad should be at most half of kernel size, but got pad=${padding[d]} and kernel_size=${size}`,
        { op },
      );
    }
  });
  return { taps, stride, padding, dilation, ceilMode: options.ceilMode ?? false };
}

function slidingWindows(
  op: string,
  shape: Shape,
  { taps, stride, padding, dilation, ceilMode }: WindowGeometry,
): WindowAttrs {
  const input = shape.slice(2);
  const output = input.map((size, d) => {
    const slack = size + 2 * padding[d] - dilation[d] * (taps[d] - 1) - 1 + (ceilMode ? stride[d] - 1 : 0);
    const count = Math.floor(slack / stride[d]) + 1;
    // A window must start inside the input or the padding before it.
    return ceilMode && (count - 1) * stride[d] >= size + padding[d] ? count - 1 : count;
  });
  if (output.some((count) => count < 1)) {
    // As PyTorch says it: without the batch, and a signal is an image of height 1.
    const sizes = (spatial: Shape): string => [shape[1], ...(input.length === 1 ? [1] : []), ...spatial].join("x");
    throw new ShapeError(
      `Given input size: (${sizes(input)}). Calculated output size: (${sizes(output)}). Output size is too small`,
      { op },
    );
  }
  return {
    sampler: "window",
    input,
    output,
    taps,
    params: input.map((size, d) => [size, stride[d], dilation[d], padding[d]]),
  };
}

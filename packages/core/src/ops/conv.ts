/** Convolutions and transposed convolutions in one, two and three dimensions (`torch.nn.functional`). */
import { ShapeError, ValueError } from "../errors.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { isTensor } from "../tensor/tensor.ts";
import { isOptions, parameters, shown } from "../arguments.ts";
import { apply } from "./dispatch.ts";
import { tensorOperand } from "./elementwise.ts";
import type { Convolution } from "./convolution.ts";
import { inputOp, outputOp } from "./kinds/convolution.ts";
import { windowCount } from "./windows.ts";

/** One number for all spatial dimensions, or one for each. */
export type PerDimension = number | readonly number[];

export interface ConvOptions {
  readonly stride?: PerDimension;
  /** Zeros around the input: sizes, `"valid"` (none) or `"same"` (as many outputs as inputs). */
  readonly padding?: PerDimension | "valid" | "same";
  readonly dilation?: PerDimension;
  /** Parts of the channels that do not mix. */
  readonly groups?: number;
}

export interface ConvTransposeOptions {
  readonly stride?: PerDimension;
  readonly padding?: PerDimension;
  /** Elements added behind the output. */
  readonly outputPadding?: PerDimension;
  readonly groups?: number;
  readonly dilation?: PerDimension;
}

type Conv<O> = (input: Tensor, weight: Tensor, bias?: Tensor | O, ...options: unknown[]) => Tensor;

/**
 * 1-d convolution: input `[n, c, l]` or `[c, l]`, weight `[o, c / groups, k]`, bias `[o]`. @throws ShapeError,
 * ValueError, DTypeError
 */
export const conv1d: Conv<ConvOptions> = (input, weight, ...rest) => convolution(1, input, weight, rest);

/**
 * 2-d convolution: input `[n, c, h, w]` or `[c, h, w]`, weight `[o, c / groups, kh, kw]`, bias `[o]`. @throws as conv1d
 */
export const conv2d: Conv<ConvOptions> = (input, weight, ...rest) => convolution(2, input, weight, rest);

/**
 * 3-d convolution: input `[n, c, d, h, w]` or `[c, d, h, w]`, weight `[o, c / groups, kd, kh, kw]`, bias `[o]`. @throws
 * as conv1d
 */
export const conv3d: Conv<ConvOptions> = (input, weight, ...rest) => convolution(3, input, weight, rest);

/** The adjoint of `conv1d`: weight `[c, o / groups, k]`, bias `[o]`. @throws ShapeError, ValueError, DTypeError */
export const convTranspose1d: Conv<ConvTransposeOptions> = (input, weight, ...rest) =>
  transposed(1, input, weight, rest);

/** The adjoint of `conv2d`: weight `[c, o / groups, kh, kw]`, bias `[o]`. @throws as convTranspose1d */
export const convTranspose2d: Conv<ConvTransposeOptions> = (input, weight, ...rest) =>
  transposed(2, input, weight, rest);

/** The adjoint of `conv3d`: weight `[c, o / groups, kd, kh, kw]`, bias `[o]`. @throws as convTranspose1d */
export const convTranspose3d: Conv<ConvTransposeOptions> = (input, weight, ...rest) =>
  transposed(3, input, weight, rest);

function convolution(rank: number, input: Tensor, weight: Tensor, rest: readonly unknown[]): Tensor {
  const op = `conv${rank}d`;
  const [bias, options] = biasAndOptions(op, rest);
  const {
    stride = 1,
    padding = 0,
    dilation = 1,
    groups = 1,
  } = parameters<ConvOptions>(op, ["stride", "padding", "dilation", "groups"], options);
  const batched = withBatch(op, rank, input, weight);
  assertGroups(op, weight.shape, groups);
  if (batched.size(1) !== weight.size(1) * groups) {
    throw new ShapeError(
      `Given groups=${groups}, weight of size [${weight.shape.join(", ")}], expected input[${batched.shape.join(", ")}] to have ` +
        `${weight.size(1) * groups} channels, but got ${batched.size(1)} channels instead`,
      { op },
    );
  }
  assertBias(op, bias, weight.size(0), weight.shape);
  const spatial = batched.shape.slice(2);
  const kernel = weight.shape.slice(2);
  const steps = positive(op, "stride", perDimension(op, "stride", stride, rank));
  const gaps = positive(op, "dilation", perDimension(op, "dilation", dilation, rank));
  const { before, both } = paddingSizes(op, padding, kernel, steps, gaps);
  spatial.forEach((size, d) => {
    if (size + both[d] >= gaps[d] * (kernel[d] - 1) + 1) return;
    throw new ShapeError(
      `Calculated padded input size per channel: (${spatial.map((own, e) => own + both[e]).join(" x ")}). ` +
        `Kernel size: (${kernel.map((own, e) => gaps[e] * (own - 1) + 1).join(" x ")}). Kernel size can't be greater than actual input size`,
      { op },
    );
  });
  const attrs: Convolution = {
    input: spatial,
    kernel,
    output: spatial.map((size, d) => windowCount(size, kernel[d], steps[d], both[d], gaps[d])),
    stride: steps,
    dilation: gaps,
    padding: before,
    groups,
  };
  const result = apply(outputOp, bias === undefined ? [batched, weight] : [batched, weight, bias], attrs);
  return batched === input ? result : result.squeeze(0);
}

function transposed(rank: number, input: Tensor, weight: Tensor, rest: readonly unknown[]): Tensor {
  const op = `convTranspose${rank}d`;
  const [bias, options] = biasAndOptions(op, rest);
  const names = ["stride", "padding", "outputPadding", "groups", "dilation"] as const;
  const {
    stride = 1,
    padding = 0,
    outputPadding = 0,
    groups = 1,
    dilation = 1,
  } = parameters<ConvTransposeOptions>(op, names, options);
  const batched = withBatch(op, rank, input, weight);
  assertGroups(op, weight.shape, groups);
  if (batched.size(1) !== weight.size(0)) {
    throw new ShapeError(
      `Given transposed=1, weight of size [${weight.shape.join(", ")}], expected input[${batched.shape.join(", ")}] to have ` +
        `${weight.size(0)} channels, but got ${batched.size(1)} channels instead`,
      { op },
    );
  }
  assertBias(op, bias, weight.size(1) * groups, weight.shape);
  const spatial = batched.shape.slice(2);
  const kernel = weight.shape.slice(2);
  const steps = positive(op, "stride", perDimension(op, "stride", stride, rank));
  const gaps = positive(op, "dilation", perDimension(op, "dilation", dilation, rank));
  const zeros = notNegative(op, "padding", perDimension(op, "padding", padding, rank));
  const extra = notNegative(op, "output_padding", perDimension(op, "output_padding", outputPadding, rank));
  if (extra.some((size, d) => size >= steps[d] && size >= gaps[d])) {
    throw new ValueError(
      `output padding must be smaller than either stride or dilation, but got output_padding: [${extra.join(", ")}] ` +
        `stride: [${steps.join(", ")}] dilation: [${gaps.join(", ")}]`,
      { op },
    );
  }
  const size = spatial.map((own, d) => (own - 1) * steps[d] - 2 * zeros[d] + gaps[d] * (kernel[d] - 1) + extra[d] + 1);
  if (size.some((own) => own <= 0)) {
    throw new ShapeError(
      `Given input size per channel: (${spatial.join(" x ")}). Calculated output size per channel: (${size.join(" x ")}). Output size is too small`,
      { op },
    );
  }
  const attrs: Convolution = {
    input: size,
    kernel,
    output: spatial,
    stride: steps,
    dilation: gaps,
    padding: zeros,
    groups,
  };
  const result = apply(inputOp, bias === undefined ? [batched, weight] : [batched, weight, bias], attrs);
  return batched === input ? result : result.squeeze(0);
}

// --- arguments ---------------------------------------------------------------------------------------------------

/** A bias may be left out, with or without a placeholder. */
function biasAndOptions(
  op: string,
  rest: readonly unknown[],
): [bias: Tensor | undefined, options: readonly unknown[]] {
  const [first, ...others] = rest;
  if (isTensor(first)) return [first, others];
  if (first === undefined || first === null) return [undefined, others];
  if (!isOptions(first)) tensorOperand(op, first, "bias");
  return [undefined, rest];
}

/** @throws ValueError unless there is one whole number for each spatial dimension */
export function perDimension(op: string, name: string, value: PerDimension, rank: number): readonly number[] {
  if (typeof value !== "number" && !Array.isArray(value)) {
    throw new ValueError(`${name} must be a whole number or a list of ${rank} of them, but got ${shown(value)}`, { op });
  }
  const list =
    typeof value === "number"
      ? new Array<number>(rank).fill(value)
      : value.length === 1
        ? new Array<number>(rank).fill(value[0])
        : value;
  if (list.length !== rank) {
    throw new ValueError(
      `expected ${name} to be a single integer value or a list of ${rank} values to match the dimensions, but got ${name}=[${list.join(", ")}]`,
      { op },
    );
  }
  if (!list.every((size) => Number.isInteger(size)))
    throw new ValueError(`${name} must be whole numbers, but got [${list.join(", ")}]`, { op });
  return list;
}

function positive(op: string, name: string, sizes: readonly number[]): readonly number[] {
  if (sizes.some((size) => size <= 0)) throw new ValueError(`non-positive ${name} is not supported`, { op });
  return sizes;
}

function notNegative(op: string, name: string, sizes: readonly number[]): readonly number[] {
  if (sizes.some((size) => size < 0)) throw new ValueError(`negative ${name} is not supported`, { op });
  return sizes;
}

function withBatch(op: string, rank: number, input: Tensor, weight: Tensor): Tensor {
  tensorOperand(op, input);
  tensorOperand(op, weight, "weight");
  if (weight.dim() !== rank + 2) {
    throw new ShapeError(
      `expected ${rank + 2}D weight for ${op}, but got weight of size: [${weight.shape.join(", ")}]`,
      { op },
    );
  }
  if (input.dim() === rank + 2) return input;
  if (input.dim() === rank + 1) return input.unsqueeze(0);
  throw new ShapeError(
    `Expected ${rank + 1}D (unbatched) or ${rank + 2}D (batched) input to ${op}, but got input of size: [${input.shape.join(", ")}]`,
    { op },
  );
}

function assertGroups(op: string, weight: Shape, groups: number): void {
  if (!Number.isInteger(groups) || groups <= 0) throw new ValueError("non-positive groups is not supported", { op });
  if (weight[0] % groups !== 0) {
    throw new ShapeError(
      `Given groups=${groups}, expected weight to be divisible by ${groups} at dimension 0, but got weight of size [${weight.join(", ")}] instead`,
      { op },
    );
  }
}

function assertBias(op: string, bias: Tensor | undefined, channels: number, weight: Shape): void {
  if (bias === undefined || (bias.dim() === 1 && bias.size(0) === channels)) return;
  throw new ShapeError(
    `Given weight of size [${weight.join(", ")}], expected bias to be 1-dimensional with ${channels} elements, but got bias of size [${bias.shape.join(", ")}] instead`,
    { op },
  );
}

/** Zeros before the input and on both sides together. */
function paddingSizes(
  op: string,
  padding: PerDimension | string,
  kernel: Shape,
  stride: readonly number[],
  dilation: readonly number[],
): { readonly before: readonly number[]; readonly both: readonly number[] } {
  if (padding === "valid") return { before: kernel.map(() => 0), both: kernel.map(() => 0) };
  if (padding === "same") {
    if (stride.some((step) => step !== 1))
      throw new ValueError("padding='same' is not supported for strided convolutions", { op });
    const both = kernel.map((size, d) => dilation[d] * (size - 1));
    return { before: both.map((zeros) => Math.floor(zeros / 2)), both };
  }
  if (typeof padding === "string")
    throw new ValueError(`Invalid padding string: '${padding}'`, { op, remedy: `Give sizes, "valid" or "same".` });
  const before = notNegative(op, "padding", perDimension(op, "padding", padding, kernel.length));
  return { before, both: before.map((zeros) => 2 * zeros) };
}

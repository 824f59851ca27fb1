/** Convolution layers. */
import { conv1d, conv2d, conv3d, convTranspose1d, convTranspose2d, convTranspose3d } from "../../ops/conv.ts";
import type { PerDimension } from "../../ops/conv.ts";
import { assertOptions, assertWhole, shown } from "../../arguments.ts";
import { empty } from "../../tensor/creation.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { ValueError } from "../../errors.ts";
import { Module } from "../module.ts";
import { Parameter } from "../parameter.ts";
import { placementNames, placementOf, resetWeights } from "./linear.ts";
import type { Placement } from "./linear.ts";

export interface ConvLayerOptions extends Placement {
  readonly stride?: PerDimension;
  readonly padding?: PerDimension | "valid" | "same";
  readonly dilation?: PerDimension;
  readonly groups?: number;
  readonly bias?: boolean;
}

export interface ConvTransposeLayerOptions extends Placement {
  readonly stride?: PerDimension;
  readonly padding?: PerDimension;
  readonly outputPadding?: PerDimension;
  readonly dilation?: PerDimension;
  readonly groups?: number;
  readonly bias?: boolean;
}

/** @throws ValueError unless there is one whole number for all dimensions, or one for each */
function each(value: PerDimension, rank: number): readonly number[] {
  const given: unknown = value;
  if (typeof given !== "number" && !(Array.isArray(given) && given.length === rank))
    throw new ValueError(`sizes of a kernel must be a number or ${rank} of them, got ${shown(given)}`, { op: "conv" });
  return typeof value === "number" ? new Array<number>(rank).fill(value) : value;
}

/** As Python prints a tuple. */
export function tuple(values: readonly number[]): string {
  return values.length === 1 ? `(${values[0]},)` : `(${values.join(", ")})`;
}

/** What convolutions and transposed ones share: sizes, weight and bias. */
abstract class ConvolutionLayer extends Module {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: readonly number[];
  readonly stride: readonly number[];
  readonly padding: readonly number[] | "valid" | "same";
  readonly dilation: readonly number[];
  readonly groups: number;
  declare weight: Parameter;
  declare bias: Parameter | null;

  /** @throws ValueError where the channels do not divide into groups */
  constructor(
    rank: number,
    inChannels: number,
    outChannels: number,
    kernelSize: PerDimension,
    options: ConvLayerOptions,
    transposed: boolean,
  ) {
    super();
    const names = ["stride", "padding", "dilation", "groups", "bias", ...placementNames];
    assertOptions(this.constructor.name, options, transposed ? ["outputPadding", ...names] : names);
    for (const [name, value] of Object.entries({ inChannels, outChannels, groups: options.groups ?? 1 }))
      assertWhole(this.constructor.name, name, value);
    const { stride = 1, padding = 0, dilation = 1, groups = 1, bias = true } = options;
    if (inChannels % groups !== 0)
      throw new ValueError("in_channels must be divisible by groups", { op: this.constructor.name });
    if (outChannels % groups !== 0)
      throw new ValueError("out_channels must be divisible by groups", { op: this.constructor.name });
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.kernelSize = each(kernelSize, rank);
    this.stride = each(stride, rank);
    this.padding = typeof padding === "string" ? padding : each(padding, rank);
    this.dilation = each(dilation, rank);
    this.groups = groups;
    const channels = transposed ? [inChannels, outChannels / groups] : [outChannels, inChannels / groups];
    const placement = placementOf(options);
    this.registerParameter("weight", new Parameter(empty([...channels, ...this.kernelSize], placement)));
    this.registerParameter("bias", bias ? new Parameter(empty([outChannels], placement)) : null);
    this.resetParameters();
  }

  resetParameters(): void {
    resetWeights(this.weight, this.bias);
  }

  protected reprParts(outputPadding?: readonly number[]): string {
    const { padding } = this;
    const unpadded = typeof padding !== "string" && padding.every((size) => size === 0);
    return [
      `${this.inChannels}, ${this.outChannels}, kernel_size=${tuple(this.kernelSize)}, stride=${tuple(this.stride)}`,
      ...(unpadded ? [] : [`padding=${typeof padding === "string" ? padding : tuple(padding)}`]),
      ...(this.dilation.every((size) => size === 1) ? [] : [`dilation=${tuple(this.dilation)}`]),
      ...(outputPadding === undefined || outputPadding.every((size) => size === 0)
        ? []
        : [`output_padding=${tuple(outputPadding)}`]),
      ...(this.groups === 1 ? [] : [`groups=${this.groups}`]),
      ...(this.bias === null ? ["bias=False"] : []),
    ].join(", ");
  }
}

type Convolution = typeof conv1d;

abstract class PlainConvolution extends ConvolutionLayer {
  readonly #convolve: Convolution;

  constructor(
    convolve: Convolution,
    rank: number,
    inChannels: number,
    outChannels: number,
    kernelSize: PerDimension,
    options: ConvLayerOptions,
  ) {
    super(rank, inChannels, outChannels, kernelSize, options, false);
    this.#convolve = convolve;
  }

  override forward(x: Tensor): Tensor {
    const { stride, padding, dilation, groups } = this;
    return this.#convolve(x, this.weight, this.bias ?? undefined, { stride, padding, dilation, groups });
  }

  override extraRepr(): string {
    return this.reprParts();
  }
}

/** `torch.nn.Conv1d`: [n, inChannels, l] to [n, outChannels, l']. */
export class Conv1d extends PlainConvolution {
  constructor(inChannels: number, outChannels: number, kernelSize: PerDimension, options: ConvLayerOptions = {}) {
    super(conv1d, 1, inChannels, outChannels, kernelSize, options);
  }
}

/** `torch.nn.Conv2d`: [n, inChannels, h, w] to [n, outChannels, h', w']. */
export class Conv2d extends PlainConvolution {
  constructor(inChannels: number, outChannels: number, kernelSize: PerDimension, options: ConvLayerOptions = {}) {
    super(conv2d, 2, inChannels, outChannels, kernelSize, options);
  }
}

/** `torch.nn.Conv3d`: [n, inChannels, d, h, w] to [n, outChannels, d', h', w']. */
export class Conv3d extends PlainConvolution {
  constructor(inChannels: number, outChannels: number, kernelSize: PerDimension, options: ConvLayerOptions = {}) {
    super(conv3d, 3, inChannels, outChannels, kernelSize, options);
  }
}

type TransposedConvolution = typeof convTranspose1d;

abstract class TransposedConvolutionLayer extends ConvolutionLayer {
  readonly outputPadding: readonly number[];
  readonly #convolve: TransposedConvolution;

  constructor(
    convolve: TransposedConvolution,
    rank: number,
    inChannels: number,
    outChannels: number,
    kernelSize: PerDimension,
    options: ConvTransposeLayerOptions,
  ) {
    super(rank, inChannels, outChannels, kernelSize, options, true);
    this.outputPadding = each(options.outputPadding ?? 0, rank);
    this.#convolve = convolve;
  }

  override forward(x: Tensor): Tensor {
    const { stride, padding, outputPadding, groups, dilation } = this;
    return this.#convolve(x, this.weight, this.bias ?? undefined, {
      stride,
      outputPadding,
      groups,
      dilation,
      padding: typeof padding === "string" ? 0 : padding,
    });
  }

  override extraRepr(): string {
    return this.reprParts(this.outputPadding);
  }
}

/** `torch.nn.ConvTranspose1d`. */
export class ConvTranspose1d extends TransposedConvolutionLayer {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: PerDimension,
    options: ConvTransposeLayerOptions = {},
  ) {
    super(convTranspose1d, 1, inChannels, outChannels, kernelSize, options);
  }
}

/** `torch.nn.ConvTranspose2d`. */
export class ConvTranspose2d extends TransposedConvolutionLayer {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: PerDimension,
    options: ConvTransposeLayerOptions = {},
  ) {
    super(convTranspose2d, 2, inChannels, outChannels, kernelSize, options);
  }
}

/** `torch.nn.ConvTranspose3d`. */
export class ConvTranspose3d extends TransposedConvolutionLayer {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: PerDimension,
    options: ConvTransposeLayerOptions = {},
  ) {
    super(convTranspose3d, 3, inChannels, outChannels, kernelSize, options);
  }
}

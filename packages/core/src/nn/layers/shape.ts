/** Layers that change shape or zero elements: flattening, pooling, dropout. */
import { dropout, featureDropout } from "../../ops/composite/dropout.ts";
import * as pool from "../../ops/pool.ts";
import type { OutputSize } from "../../ops/pool.ts";
import { assertOptions, assertWhole, shown } from "../../arguments.ts";
import { perDimension } from "../../ops/conv.ts";
import type { PerDimension } from "../../ops/conv.ts";
import { interpolate } from "../../ops/resize.ts";
import type { InterpolateOptions } from "../../ops/resize.ts";
import { ValueError } from "../../errors.ts";
import { isTensor } from "../../tensor/tensor.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Module } from "../module.ts";
import { tuple } from "./convolution.ts";
import { flag } from "./linear.ts";

/** What comes in goes out (`torch.nn.Identity`). */
export class Identity extends Module {
  override forward(x: Tensor): Tensor {
    return x;
  }
}

/** Dimensions `startDim` to `endDim` as one (`torch.nn.Flatten`). */
export class Flatten extends Module {
  readonly startDim: number;
  readonly endDim: number;

  /** @throws ValueError for what is no whole number */
  constructor(startDim = 1, endDim = -1) {
    super();
    assertWhole("Flatten", "startDim", startDim);
    assertWhole("Flatten", "endDim", endDim);
    this.startDim = startDim;
    this.endDim = endDim;
  }

  override forward(x: Tensor): Tensor {
    return x.flatten(this.startDim, this.endDim);
  }

  override extraRepr(): string {
    return `start_dim=${this.startDim}, end_dim=${this.endDim}`;
  }
}

/** One dimension as several (`torch.nn.Unflatten`). */
export class Unflatten extends Module {
  readonly dim: number;
  readonly unflattenedSize: readonly number[];

  constructor(dim: number, unflattenedSize: readonly number[]) {
    super();
    this.dim = dim;
    this.unflattenedSize = [...unflattenedSize];
  }

  override forward(x: Tensor): Tensor {
    return x.unflatten(this.dim, this.unflattenedSize);
  }

  override extraRepr(): string {
    return `dim=${this.dim}, unflattened_size=${tuple(this.unflattenedSize)}`;
  }
}

abstract class DropoutLayer extends Module {
  readonly p: number;
  readonly inplace: boolean;

  /** @throws ValueError unless 0 <= p <= 1, and for an unknown option */
  constructor(p: number, options: { readonly inplace?: boolean }) {
    super();
    assertOptions(this.constructor.name, options, ["inplace"]);
    if (!(p >= 0 && p <= 1))
      throw new ValueError(`dropout probability has to be between 0 and 1, but got ${shown(p)}`, {
        op: this.constructor.name,
      });
    this.p = p;
    this.inplace = options.inplace ?? false;
  }

  override extraRepr(): string {
    return `p=${this.p}, inplace=${flag(this.inplace)}`;
  }
}

/** Zeroes elements while training (`torch.nn.Dropout`). */
export class Dropout extends DropoutLayer {
  constructor(p = 0.5, options: { readonly inplace?: boolean } = {}) {
    super(p, options);
  }

  override forward(x: Tensor): Tensor {
    return dropout(x, this.p, this.training, this.inplace);
  }
}

/** Zeroes channels while training (`torch.nn.Dropout2d`). */
export class Dropout2d extends DropoutLayer {
  constructor(p = 0.5, options: { readonly inplace?: boolean } = {}) {
    super(p, options);
  }

  override forward(x: Tensor): Tensor {
    return featureDropout(x, this.p, this.training, this.inplace);
  }
}

function sizeText(size: PerDimension): string {
  return typeof size === "number" ? String(size) : tuple(size);
}

export interface MaxPoolLayerOptions {
  readonly stride?: PerDimension;
  readonly padding?: PerDimension;
  readonly dilation?: PerDimension;
  readonly ceilMode?: boolean;
}

abstract class MaxPool extends Module {
  readonly kernelSize: PerDimension;
  readonly options: MaxPoolLayerOptions;
  readonly #pool: pool.MaxPool;

  /** @throws ValueError for a window without a size, and for an unknown option */
  constructor(function_: pool.MaxPool, rank: number, kernelSize: PerDimension, options: MaxPoolLayerOptions) {
    super();
    const { name } = this.constructor;
    perDimension(name, "kernel_size", kernelSize, rank);
    assertOptions(name, options, ["stride", "padding", "dilation", "ceilMode"]);
    this.kernelSize = kernelSize;
    this.options = options;
    this.#pool = function_;
  }

  override forward(x: Tensor): Tensor {
    const pooled = this.#pool(x, this.kernelSize, this.options);
    if (!isTensor(pooled))
      throw new ValueError("a pooling layer gives values only: use nn.functional for indices", {
        op: this.constructor.name,
      });
    return pooled;
  }

  override extraRepr(): string {
    const { stride = this.kernelSize, padding = 0, dilation = 1, ceilMode = false } = this.options;
    return (
      `kernel_size=${sizeText(this.kernelSize)}, stride=${sizeText(stride)}, padding=${sizeText(padding)}, ` +
      `dilation=${sizeText(dilation)}, ceil_mode=${flag(ceilMode)}`
    );
  }
}

/** `torch.nn.MaxPool1d`. */
export class MaxPool1d extends MaxPool {
  constructor(kernelSize: PerDimension, options: MaxPoolLayerOptions = {}) {
    super(pool.maxPool1d, 1, kernelSize, options);
  }
}

/** `torch.nn.MaxPool2d`. */
export class MaxPool2d extends MaxPool {
  constructor(kernelSize: PerDimension, options: MaxPoolLayerOptions = {}) {
    super(pool.maxPool2d, 2, kernelSize, options);
  }
}

/** `torch.nn.MaxPool3d`. */
export class MaxPool3d extends MaxPool {
  constructor(kernelSize: PerDimension, options: MaxPoolLayerOptions = {}) {
    super(pool.maxPool3d, 3, kernelSize, options);
  }
}

export interface AvgPoolLayerOptions {
  readonly stride?: PerDimension;
  readonly padding?: PerDimension;
  readonly ceilMode?: boolean;
  readonly countIncludePad?: boolean;
  readonly divisorOverride?: number | null;
}

abstract class AvgPool extends Module {
  readonly kernelSize: PerDimension;
  readonly options: AvgPoolLayerOptions;
  readonly #pool: pool.AvgPool;

  /** @throws ValueError for a window without a size, and for an unknown option */
  constructor(function_: pool.AvgPool, rank: number, kernelSize: PerDimension, options: AvgPoolLayerOptions) {
    super();
    const { name } = this.constructor;
    perDimension(name, "kernel_size", kernelSize, rank);
    assertOptions(name, options, ["stride", "padding", "ceilMode", "countIncludePad", "divisorOverride"]);
    this.kernelSize = kernelSize;
    this.options = options;
    this.#pool = function_;
  }

  override forward(x: Tensor): Tensor {
    return this.#pool(x, this.kernelSize, this.options);
  }

  override extraRepr(): string {
    const { stride = this.kernelSize, padding = 0 } = this.options;
    return `kernel_size=${sizeText(this.kernelSize)}, stride=${sizeText(stride)}, padding=${sizeText(padding)}`;
  }
}

/** `torch.nn.AvgPool1d`. */
export class AvgPool1d extends AvgPool {
  constructor(kernelSize: PerDimension, options: AvgPoolLayerOptions = {}) {
    super(pool.avgPool1d, 1, kernelSize, options);
  }
}

/** `torch.nn.AvgPool2d`. */
export class AvgPool2d extends AvgPool {
  constructor(kernelSize: PerDimension, options: AvgPoolLayerOptions = {}) {
    super(pool.avgPool2d, 2, kernelSize, options);
  }
}

/** `torch.nn.AvgPool3d`. */
export class AvgPool3d extends AvgPool {
  constructor(kernelSize: PerDimension, options: AvgPoolLayerOptions = {}) {
    super(pool.avgPool3d, 3, kernelSize, options);
  }
}

type NoOptions = Readonly<Record<string, never>>;

abstract class AdaptivePool extends Module {
  readonly outputSize: OutputSize;
  readonly #pool: (x: Tensor, size: OutputSize) => Tensor;

  /** @throws ValueError without an output size, and for any option */
  constructor(function_: (x: Tensor, size: OutputSize) => Tensor, outputSize: OutputSize, options: NoOptions) {
    super();
    const { name: op } = this.constructor;
    if (typeof outputSize !== "number" && !Array.isArray(outputSize))
      throw new ValueError(`output_size must be a number or a list of them, got ${shown(outputSize)}`, { op });
    assertOptions(op, options, []);
    this.outputSize = outputSize;
    this.#pool = function_;
  }

  override forward(x: Tensor): Tensor {
    return this.#pool(x, this.outputSize);
  }

  override extraRepr(): string {
    const { outputSize } = this;
    const text =
      typeof outputSize === "number" ? String(outputSize) : `(${outputSize.map((size) => size ?? "None").join(", ")})`;
    return `output_size=${text}`;
  }
}

/** `torch.nn.AdaptiveAvgPool1d`. */
export class AdaptiveAvgPool1d extends AdaptivePool {
  constructor(outputSize: OutputSize, options: NoOptions = {}) {
    super(pool.adaptiveAvgPool1d, outputSize, options);
  }
}

/** `torch.nn.AdaptiveAvgPool2d`. */
export class AdaptiveAvgPool2d extends AdaptivePool {
  constructor(outputSize: OutputSize, options: NoOptions = {}) {
    super(pool.adaptiveAvgPool2d, outputSize, options);
  }
}

/** `torch.nn.AdaptiveMaxPool2d`. */
export class AdaptiveMaxPool2d extends AdaptivePool {
  constructor(outputSize: OutputSize, options: NoOptions = {}) {
    super((x, size) => pool.adaptiveMaxPool2d(x, size), outputSize, options);
  }
}

/** `torch.nn.Upsample`. */
export class Upsample extends Module {
  readonly options: InterpolateOptions;

  constructor(options: InterpolateOptions) {
    super();
    this.options = options;
  }

  override forward(x: Tensor): Tensor {
    return interpolate(x, this.options);
  }

  override extraRepr(): string {
    const { size, scaleFactor, mode = "nearest" } = this.options;
    const extent =
      scaleFactor === undefined || scaleFactor === null
        ? `size=${String(size)}`
        : `scale_factor=${String(scaleFactor)}`;
    return `${extent}, mode=${mode}`;
  }
}

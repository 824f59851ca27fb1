/** Normalisation layers. */
import { batchNorm, groupNorm, instanceNorm, layerNorm } from "../../ops/composite/normalization.ts";
import { localResponseNorm } from "../../ops/pool.ts";
import { noGrad } from "../../autograd/mode.ts";
import { ShapeError, ValueError } from "../../errors.ts";
import { assertList, assertOptions, assertWhole } from "../../arguments.ts";
import { ones, tensor, zeros } from "../../tensor/creation.ts";
import type { Shape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Module } from "../module.ts";
import { Parameter } from "../parameter.ts";
import { tuple } from "./convolution.ts";
import { flag, placementNames, placementOf } from "./linear.ts";
import type { Placement } from "./linear.ts";

interface AffineOptions extends Placement {
  readonly eps?: number;
}

/** Python's shortest form of a small number: 1e-05 for 0.00001. */
function python(value: number): string {
  if (value === 0 || Math.abs(value) >= 1e-4) return Number.isInteger(value) ? value.toFixed(1) : String(value);
  return value.toExponential().replace(/e-(\d)$/, "e-0$1");
}

/** Layer normalisation over the last dimensions (`torch.nn.LayerNorm`). */
export class LayerNorm extends Module {
  readonly normalizedShape: Shape;
  readonly eps: number;
  declare weight: Parameter | null;
  declare bias: Parameter | null;

  constructor(normalizedShape: number | Shape, options: AffineOptions & { readonly elementwiseAffine?: boolean } = {}) {
    super();
    assertOptions("LayerNorm", options, ["eps", "elementwiseAffine", ...placementNames]);
    const { eps = 1e-5, elementwiseAffine = true } = options;
    if (typeof normalizedShape !== "number") assertList("LayerNorm", "normalizedShape", normalizedShape, "sizes");
    this.normalizedShape = typeof normalizedShape === "number" ? [normalizedShape] : [...normalizedShape];
    this.eps = eps;
    const placement = placementOf(options);
    this.registerParameter("weight", elementwiseAffine ? new Parameter(ones(this.normalizedShape, placement)) : null);
    this.registerParameter("bias", elementwiseAffine ? new Parameter(zeros(this.normalizedShape, placement)) : null);
  }

  override forward(x: Tensor): Tensor {
    return layerNorm(x, this.normalizedShape, this.weight, this.bias, this.eps);
  }

  override extraRepr(): string {
    return `${tuple(this.normalizedShape)}, eps=${python(this.eps)}, elementwise_affine=${flag(this.weight !== null)}`;
  }
}

/** Group normalisation (`torch.nn.GroupNorm`). */
export class GroupNorm extends Module {
  readonly numGroups: number;
  readonly numChannels: number;
  readonly eps: number;
  declare weight: Parameter | null;
  declare bias: Parameter | null;

  /** @throws ValueError where the channels do not divide into groups */
  constructor(numGroups: number, numChannels: number, options: AffineOptions & { readonly affine?: boolean } = {}) {
    super();
    assertOptions("GroupNorm", options, ["eps", "affine", ...placementNames]);
    const { eps = 1e-5, affine = true } = options;
    if (numChannels % numGroups !== 0)
      throw new ValueError("num_channels must be divisible by num_groups", { op: "GroupNorm" });
    this.numGroups = numGroups;
    this.numChannels = numChannels;
    this.eps = eps;
    this.registerParameter("weight", affine ? new Parameter(ones([numChannels], placementOf(options))) : null);
    this.registerParameter("bias", affine ? new Parameter(zeros([numChannels], placementOf(options))) : null);
  }

  override forward(x: Tensor): Tensor {
    return groupNorm(x, this.numGroups, this.weight, this.bias, this.eps);
  }

  override extraRepr(): string {
    return `${this.numGroups}, ${this.numChannels}, eps=${python(this.eps)}, affine=${flag(this.weight !== null)}`;
  }
}

export interface BatchNormOptions extends AffineOptions {
  /** The weight of a new batch in the running moments; null for their plain average. */
  readonly momentum?: number | null;
  readonly affine?: boolean;
  readonly trackRunningStats?: boolean;
}

/** What batch and instance normalisation share: parameters and running moments of channels. */
abstract class ChannelNorm extends Module {
  readonly numFeatures: number;
  readonly eps: number;
  readonly momentum: number | null;
  readonly affine: boolean;
  readonly trackRunningStats: boolean;
  declare weight: Parameter | null;
  declare bias: Parameter | null;
  declare runningMean: Tensor | null;
  declare runningVar: Tensor | null;
  declare numBatchesTracked: Tensor | null;

  constructor(numFeatures: number, options: BatchNormOptions, affineByDefault: boolean) {
    super();
    const names = ["eps", "momentum", "affine", "trackRunningStats", ...placementNames];
    assertOptions(this.constructor.name, options, names);
    assertWhole(this.constructor.name, "numFeatures", numFeatures);
    const { eps = 1e-5, momentum = 0.1, affine = affineByDefault, trackRunningStats = affineByDefault } = options;
    const placement = placementOf(options);
    this.numFeatures = numFeatures;
    this.eps = eps;
    this.momentum = momentum;
    this.affine = affine;
    this.trackRunningStats = trackRunningStats;
    this.registerParameter("weight", affine ? new Parameter(ones([numFeatures], placement)) : null);
    this.registerParameter("bias", affine ? new Parameter(zeros([numFeatures], placement)) : null);
    this.registerBuffer("runningMean", trackRunningStats ? zeros([numFeatures], placement) : null);
    this.registerBuffer("runningVar", trackRunningStats ? ones([numFeatures], placement) : null);
    this.registerBuffer(
      "numBatchesTracked",
      trackRunningStats ? tensor(0, { dtype: "int64", device: placement.device }) : null,
    );
  }

  /** Forgets the running moments. */
  resetRunningStats(): void {
    noGrad(() => {
      this.runningMean?.fill_(0);
      this.runningVar?.fill_(1);
      this.numBatchesTracked?.fill_(0);
    });
  }

  override extraRepr(): string {
    const { numFeatures, eps, momentum, affine, trackRunningStats } = this;
    const weight = momentum === null ? "None" : python(momentum);
    return (
      `${numFeatures}, eps=${python(eps)}, momentum=${weight}, affine=${flag(affine)}, ` +
      `track_running_stats=${flag(trackRunningStats)}`
    );
  }
}

function checkRank(x: Tensor, ranks: readonly number[], layer: string): void {
  if (!ranks.includes(x.dim())) {
    throw new ShapeError(`expected ${ranks.map((rank) => `${rank}D`).join(" or ")} input (got ${x.dim()}D input)`, {
      op: layer,
    });
  }
}

abstract class BatchNorm extends ChannelNorm {
  readonly #ranks: readonly number[];

  constructor(ranks: readonly number[], numFeatures: number, options: BatchNormOptions) {
    super(numFeatures, options, true);
    this.#ranks = ranks;
  }

  override forward(x: Tensor): Tensor {
    checkRank(x, this.#ranks, this.constructor.name);
    const { weight, bias, eps } = this;
    const update = this.training && this.numBatchesTracked !== null;
    if (update) noGrad(() => this.numBatchesTracked?.add_(1));
    const training = this.training || this.runningMean === null || this.runningVar === null;
    const [mean, variance] = update || !training ? [this.runningMean, this.runningVar] : [null, null];
    return batchNorm(x, mean, variance, {
      weight,
      bias,
      training,
      momentum: this.momentum ?? this.#plainAverage(update),
      eps,
    });
  }

  /** The newest batch's share in an average of all, which has to be read. */
  #plainAverage(update: boolean): number {
    return update && this.numBatchesTracked !== null ? 1 / this.numBatchesTracked.itemSync() : 0;
  }
}

/** Batch normalisation of [n, c] or [n, c, l] (`torch.nn.BatchNorm1d`). */
export class BatchNorm1d extends BatchNorm {
  constructor(numFeatures: number, options: BatchNormOptions = {}) {
    super([2, 3], numFeatures, options);
  }
}

/** Batch normalisation of [n, c, h, w] (`torch.nn.BatchNorm2d`). */
export class BatchNorm2d extends BatchNorm {
  constructor(numFeatures: number, options: BatchNormOptions = {}) {
    super([4], numFeatures, options);
  }
}

/** Batch normalisation of [n, c, d, h, w] (`torch.nn.BatchNorm3d`). */
export class BatchNorm3d extends BatchNorm {
  constructor(numFeatures: number, options: BatchNormOptions = {}) {
    super([5], numFeatures, options);
  }
}

abstract class InstanceNorm extends ChannelNorm {
  readonly #rank: number;

  constructor(rank: number, numFeatures: number, options: BatchNormOptions) {
    super(numFeatures, options, false);
    this.#rank = rank;
  }

  override forward(x: Tensor): Tensor {
    checkRank(x, [this.#rank, this.#rank - 1], this.constructor.name);
    const { runningMean, runningVar, weight, bias, eps, momentum } = this;
    const useInputStats = this.training || !this.trackRunningStats;
    const options = { runningMean, runningVar, weight, bias, useInputStats, momentum: momentum ?? 0, eps };
    return x.dim() === this.#rank ? instanceNorm(x, options) : instanceNorm(x.unsqueeze(0), options).squeeze(0);
  }
}

/** Instance normalisation of [n, c, l] (`torch.nn.InstanceNorm1d`). */
export class InstanceNorm1d extends InstanceNorm {
  constructor(numFeatures: number, options: BatchNormOptions = {}) {
    super(3, numFeatures, options);
  }
}

/** Instance normalisation of [n, c, h, w] (`torch.nn.InstanceNorm2d`). */
export class InstanceNorm2d extends InstanceNorm {
  constructor(numFeatures: number, options: BatchNormOptions = {}) {
    super(4, numFeatures, options);
  }
}

/** `torch.nn.LocalResponseNorm`. */
export class LocalResponseNorm extends Module {
  readonly size: number;
  readonly alpha: number;
  readonly beta: number;
  readonly k: number;

  constructor(size: number, options: { readonly alpha?: number; readonly beta?: number; readonly k?: number } = {}) {
    super();
    const { alpha = 1e-4, beta = 0.75, k = 1 } = options;
    this.size = size;
    this.alpha = alpha;
    this.beta = beta;
    this.k = k;
  }

  override forward(x: Tensor): Tensor {
    return localResponseNorm(x, this.size, { alpha: this.alpha, beta: this.beta, k: this.k });
  }

  override extraRepr(): string {
    return `${this.size}, alpha=${python(this.alpha)}, beta=${python(this.beta)}, k=${python(this.k)}`;
  }
}

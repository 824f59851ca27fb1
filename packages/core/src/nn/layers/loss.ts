/** Losses as modules: made with their options, called with input and target. */
import { assertOptions } from "../../arguments.ts";
import type { Reduction } from "../../ops/composite/loss-reduction.ts";
import * as f from "../functional.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Module } from "../module.ts";

export interface LossOptions {
  readonly reduction?: Reduction;
}

/** A loss that is one function of input, target and the options that it was made with. */
abstract class PairLoss<O extends object> extends Module {
  readonly options: O;
  readonly #loss: (input: Tensor, target: Tensor, options: O) => Tensor;

  /** @throws ValueError for an option that is neither `reduction` nor among `names` */
  constructor(
    loss: (input: Tensor, target: Tensor, options: O) => Tensor,
    options: O,
    names: readonly (keyof O & string)[] = [],
  ) {
    super();
    assertOptions(this.constructor.name, options, ["reduction", ...names]);
    this.#loss = loss;
    this.options = options;
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return this.#loss(input, target, this.options);
  }
}

/** `torch.nn.MSELoss`. */
export class MSELoss extends PairLoss<LossOptions> {
  constructor(options: LossOptions = {}) {
    super((input, target, own) => f.mseLoss(input, target, own), options);
  }
}

/** `torch.nn.L1Loss`. */
export class L1Loss extends PairLoss<LossOptions> {
  constructor(options: LossOptions = {}) {
    super((input, target, own) => f.l1Loss(input, target, own), options);
  }
}

/** `torch.nn.SmoothL1Loss`. */
export class SmoothL1Loss extends PairLoss<LossOptions & { readonly beta?: number }> {
  constructor(options: LossOptions & { readonly beta?: number } = {}) {
    super((input, target, own) => f.smoothL1Loss(input, target, { ...own }), options, ["beta"]);
  }
}

/** `torch.nn.HuberLoss`. */
export class HuberLoss extends PairLoss<LossOptions & { readonly delta?: number }> {
  constructor(options: LossOptions & { readonly delta?: number } = {}) {
    super((input, target, own) => f.huberLoss(input, target, { ...own }), options, ["delta"]);
  }
}

/** `torch.nn.KLDivLoss`. */
export class KLDivLoss extends PairLoss<{
  readonly reduction?: Reduction | "batchmean";
  readonly logTarget?: boolean;
}> {
  constructor(options: { readonly reduction?: Reduction | "batchmean"; readonly logTarget?: boolean } = {}) {
    super((input, target, own) => f.klDiv(input, target, { ...own }), options, ["logTarget"]);
  }
}

/** `torch.nn.SoftMarginLoss`. */
export class SoftMarginLoss extends PairLoss<LossOptions> {
  constructor(options: LossOptions = {}) {
    super((input, target, own) => f.softMarginLoss(input, target, own), options);
  }
}

/** `torch.nn.HingeEmbeddingLoss`. */
export class HingeEmbeddingLoss extends PairLoss<LossOptions & { readonly margin?: number }> {
  constructor(options: LossOptions & { readonly margin?: number } = {}) {
    super((input, target, own) => f.hingeEmbeddingLoss(input, target, { ...own }), options, ["margin"]);
  }
}

/** `torch.nn.PoissonNLLLoss`. */
export class PoissonNLLLoss extends PairLoss<
  LossOptions & { readonly logInput?: boolean; readonly full?: boolean; readonly eps?: number }
> {
  constructor(
    options: LossOptions & { readonly logInput?: boolean; readonly full?: boolean; readonly eps?: number } = {},
  ) {
    super((input, target, own) => f.poissonNllLoss(input, target, { ...own }), options, ["logInput", "full", "eps"]);
  }
}

/** A loss whose weights are a buffer: they move with the module. */
abstract class WeightedLoss<O extends object> extends Module {
  declare weight: Tensor | null;
  readonly options: O;

  /** @throws ValueError for an option that is neither `weight`, `reduction` nor among `names` */
  constructor(options: O & { readonly weight?: Tensor | null }, names: readonly string[] = []) {
    super();
    assertOptions(this.constructor.name, options, ["weight", "reduction", ...names]);
    const { weight = null, ...rest } = options;
    this.options = rest as unknown as O;
    this.registerBuffer("weight", weight);
  }
}

export interface CrossEntropyLossOptions extends LossOptions {
  /** A factor for each class. */
  readonly weight?: Tensor | null;
  readonly ignoreIndex?: number;
  readonly labelSmoothing?: number;
}

/** `torch.nn.CrossEntropyLoss`. */
export class CrossEntropyLoss extends WeightedLoss<CrossEntropyLossOptions> {
  constructor(options: CrossEntropyLossOptions = {}) {
    super(options, ["ignoreIndex", "labelSmoothing"]);
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return f.crossEntropy(input, target, { ...this.options, weight: this.weight });
  }
}

/** `torch.nn.NLLLoss`. */
export class NLLLoss extends WeightedLoss<Omit<CrossEntropyLossOptions, "labelSmoothing">> {
  constructor(options: Omit<CrossEntropyLossOptions, "labelSmoothing"> = {}) {
    super(options, ["ignoreIndex"]);
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return f.nllLoss(input, target, { ...this.options, weight: this.weight });
  }
}

interface WeightedOptions extends LossOptions {
  readonly weight?: Tensor | null;
}

/** `torch.nn.BCELoss`. */
export class BCELoss extends WeightedLoss<WeightedOptions> {
  constructor(options: WeightedOptions = {}) {
    super(options);
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return f.binaryCrossEntropy(input, target, { ...this.options, weight: this.weight });
  }
}

/** `torch.nn.BCEWithLogitsLoss`. */
export class BCEWithLogitsLoss extends WeightedLoss<WeightedOptions> {
  declare posWeight: Tensor | null;

  constructor(options: WeightedOptions & { readonly posWeight?: Tensor | null } = {}) {
    super(options, ["posWeight"]);
    this.registerBuffer("posWeight", options.posWeight ?? null);
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return f.binaryCrossEntropyWithLogits(input, target, {
      ...this.options,
      weight: this.weight,
      posWeight: this.posWeight,
    });
  }
}

/** `torch.nn.MultiMarginLoss`. */
export class MultiMarginLoss extends WeightedLoss<WeightedOptions & { readonly p?: 1 | 2; readonly margin?: number }> {
  constructor(options: WeightedOptions & { readonly p?: 1 | 2; readonly margin?: number } = {}) {
    super(options, ["p", "margin"]);
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return f.multiMarginLoss(input, target, { ...this.options, weight: this.weight });
  }
}

/** A loss of three tensors. */
abstract class TripleLoss<O extends object> extends Module {
  readonly options: O;
  readonly #loss: (a: Tensor, b: Tensor, c: Tensor, options: O) => Tensor;

  /** @throws ValueError for an option that is neither `reduction` nor among `names` */
  constructor(
    loss: (a: Tensor, b: Tensor, c: Tensor, options: O) => Tensor,
    options: O,
    names: readonly (keyof O & string)[],
  ) {
    super();
    assertOptions(this.constructor.name, options, ["reduction", ...names]);
    this.#loss = loss;
    this.options = options;
  }

  override forward(a: Tensor, b: Tensor, c: Tensor): Tensor {
    return this.#loss(a, b, c, this.options);
  }
}

type MarginOptions = LossOptions & { readonly margin?: number };

/** `torch.nn.MarginRankingLoss`: two scores and which is to be greater. */
export class MarginRankingLoss extends TripleLoss<MarginOptions> {
  constructor(options: MarginOptions = {}) {
    super((x, y, target, own) => f.marginRankingLoss(x, y, target, { ...own }), options, ["margin"]);
  }
}

/** `torch.nn.CosineEmbeddingLoss`: two vectors and whether they belong together. */
export class CosineEmbeddingLoss extends TripleLoss<MarginOptions> {
  constructor(options: MarginOptions = {}) {
    super((x, y, target, own) => f.cosineEmbeddingLoss(x, y, target, { ...own }), options, ["margin"]);
  }
}

/** `torch.nn.TripletMarginLoss`: anchor, positive, negative. */
export class TripletMarginLoss extends TripleLoss<
  MarginOptions & { readonly p?: number; readonly eps?: number; readonly swap?: boolean }
> {
  constructor(options: MarginOptions & { readonly p?: number; readonly eps?: number; readonly swap?: boolean } = {}) {
    super(
      (anchor, positive, negative, own) => f.tripletMarginLoss(anchor, positive, negative, { ...own }),
      options,
      ["margin", "p", "eps", "swap"],
    );
  }
}

/** `torch.nn.GaussianNLLLoss`: input, target, variance. */
export class GaussianNLLLoss extends TripleLoss<LossOptions & { readonly full?: boolean; readonly eps?: number }> {
  constructor(options: LossOptions & { readonly full?: boolean; readonly eps?: number } = {}) {
    super(
      (input, target, variance, own) => f.gaussianNllLoss(input, target, variance, { ...own }),
      options,
      ["full", "eps"],
    );
  }
}

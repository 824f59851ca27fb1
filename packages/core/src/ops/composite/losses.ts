/** Losses, with PyTorch's reductions. A target that is no valid label fails on the device; shapes are checked at the call. */
import { ShapeError, ValueError } from "../../errors.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { broadcastShapes, sameShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { parameters } from "../arguments.ts";
import { apply } from "../dispatch.ts";
import type { ElementwiseOp } from "../kinds/elementwise.ts";
import {
  absoluteErrorOp, binaryCrossEntropyOp, binaryCrossEntropyWithLogitsOp, divergenceOp, huberOp, logDivergenceOp, smoothL1Op,
  softMarginOp, squaredErrorOp, weightedBinaryCrossEntropyWithLogitsOp,
} from "../losses.ts";
import { labelShape, nllPick } from "../nll.ts";
import { norm } from "../norm.ts";
import { logSoftmax } from "../softmax.ts";
import { take } from "../places.ts";
import { gather, scatter } from "../scatter.ts";
import type { Optional } from "../signatures.ts";

/** What becomes of the losses of single places. */
export type Reduction = "none" | "mean" | "sum";

type Maybe = Tensor | null | undefined;

interface Reduced {
  readonly reduction?: Reduction;
}

function checkReduction(op: string, reduction: string): void {
  if (!["none", "mean", "sum"].includes(reduction)) throw new ValueError(`${reduction} is not a valid value for reduction`, { op });
}

/** @throws ValueError on an unknown reduction */
function reduce(op: string, losses: Tensor, reduction: Reduction): Tensor {
  checkReduction(op, reduction);
  if (reduction === "none") return losses;
  return reduction === "mean" ? losses.mean() : losses.sum();
}

function textOf(x: Tensor): string {
  return `[${x.shape.join(", ")}]`;
}

/** A loss of input and target places: `f(input, target, { reduction })`. */
function pointwise(op: ElementwiseOp): (input: Tensor, target: Tensor, options?: Reduced) => Tensor {
  return (input, target, ...args) => {
    const { reduction = "mean" } = parameters<Reduced>(op.name, ["reduction"], args);
    checkReduction(op.name, reduction);
    return reduce(op.name, apply(op, [input, target], []), reduction);
  };
}

// --- regression -----------------------------------------------------------------------------------------------------------------

/** (input - target)^2 (`torch.nn.functional.mse_loss`). */
export const mseLoss = pointwise(squaredErrorOp);

/** |input - target| (`torch.nn.functional.l1_loss`). */
export const l1Loss = pointwise(absoluteErrorOp);

/**
 * Squared near the target, linear from `beta` on; `beta: 0` is the L1 loss (`torch.nn.functional.smooth_l1_loss`).
 * @throws ValueError where beta is negative
 */
export function smoothL1Loss(input: Tensor, target: Tensor, ...args: Optional<[reduction: Reduction, beta: number]>): Tensor {
  const { reduction = "mean", beta = 1 } = parameters<Reduced & { beta?: number }>("smoothL1Loss", ["reduction", "beta"], args);
  if (beta < 0) throw new ValueError("smooth_l1_loss does not support negative values for beta.", { op: "smoothL1Loss" });
  const losses = beta === 0 ? apply(absoluteErrorOp, [input, target], []) : apply(smoothL1Op, [input, target], [beta]);
  return reduce("smoothL1Loss", losses, reduction);
}

/**
 * Squared near the target, linear beyond `delta` (`torch.nn.functional.huber_loss`).
 * @throws ValueError unless delta is positive
 */
export function huberLoss(input: Tensor, target: Tensor, ...args: Optional<[reduction: Reduction, delta: number]>): Tensor {
  const { reduction = "mean", delta = 1 } = parameters<Reduced & { delta?: number }>("huberLoss", ["reduction", "delta"], args);
  if (delta <= 0) throw new ValueError("huber_loss does not support non-positive values for delta.", { op: "huberLoss" });
  return reduce("huberLoss", apply(huberOp, [input, target], [delta]), reduction);
}

/** Negative log-likelihood of Poisson counts (`torch.nn.functional.poisson_nll_loss`); `full` adds Stirling's approximation. */
export function poissonNllLoss(
  input: Tensor,
  target: Tensor,
  ...args: Optional<[logInput: boolean, full: boolean, eps: number, reduction: Reduction]>
): Tensor {
  const { logInput = true, full = false, eps = 1e-8, reduction = "mean" } = parameters<
    Reduced & { logInput?: boolean; full?: boolean; eps?: number }
  >("poissonNllLoss", ["logInput", "full", "eps", "reduction"], args);
  if (!["none", "mean", "sum"].includes(reduction)) throw new ValueError(`${reduction} is not valid`, { op: "poissonNllLoss" });
  let losses = logInput ? input.exp().sub(target.mul(input)) : input.sub(target.mul(input.add(eps).log()));
  if (full) {
    const stirling = target.mul(target.log()).sub(target).add(target.mul(2 * Math.PI).log().mul(0.5));
    losses = losses.add(stirling.maskedFill(target.le(1), 0));
  }
  return reduce("poissonNllLoss", losses, reduction);
}

/**
 * Negative log-likelihood of normal distributions with means `input` and variances `variance`
 * (`torch.nn.functional.gaussian_nll_loss`). A negative variance fails in PyTorch; here it counts as `eps`.
 * @throws ShapeError where the variance does not fit
 */
export function gaussianNllLoss(
  input: Tensor,
  target: Tensor,
  variance: Tensor,
  ...args: Optional<[full: boolean, eps: number, reduction: Reduction]>
): Tensor {
  const { full = false, eps = 1e-6, reduction = "mean" } = parameters<Reduced & { full?: boolean; eps?: number }>(
    "gaussianNllLoss",
    ["full", "eps", "reduction"],
    args,
  );
  checkReduction("gaussianNllLoss", reduction);
  let spread = variance;
  if (!sameShape(variance.shape, input.shape)) {
    if (sameShape(input.shape.slice(0, -1), variance.shape)) spread = variance.unsqueeze(-1);
    else if (variance.dim() !== input.dim() || !sameShape([...input.shape.slice(0, -1), 1], variance.shape)) {
      throw new ShapeError("var is of incorrect size", { op: "gaussianNllLoss" });
    }
  }
  // The floor has no gradient of its own, as in PyTorch.
  const held = spread.add(spread.detach().clampMin(eps).sub(spread.detach()));
  let losses = held.log().add(input.sub(target).square().div(held)).mul(0.5);
  if (full) losses = losses.add(0.5 * Math.log(2 * Math.PI));
  return reduce("gaussianNllLoss", losses, reduction);
}

// --- probabilities --------------------------------------------------------------------------------------------------------------

/**
 * Cross entropy of probabilities (`torch.nn.functional.binary_cross_entropy`). An input outside of [0, 1] fails on the device.
 * @param weight a factor for each place, broadcast
 * @throws ShapeError where target and input differ in shape
 */
export function binaryCrossEntropy(input: Tensor, target: Tensor, ...args: Optional<[weight: Tensor | null, reduction: Reduction]>): Tensor {
  const { weight, reduction = "mean" } = parameters<Reduced & { weight?: Maybe }>("binaryCrossEntropy", ["weight", "reduction"], args);
  if (!sameShape(input.shape, target.shape)) {
    throw new ShapeError(
      `Using a target size (${textOf(target)}) that is different to the input size (${textOf(input)}) is deprecated. Please ensure they have the same size.`,
      { op: "binaryCrossEntropy" },
    );
  }
  const losses = apply(binaryCrossEntropyOp, [input, target], []);
  return reduce("binaryCrossEntropy", weight ? losses.mul(weight) : losses, reduction);
}

/**
 * Cross entropy of sigmoid(input) (`torch.nn.functional.binary_cross_entropy_with_logits`).
 * @param posWeight a factor for positive answers, broadcast
 * @throws ShapeError where target and input differ in shape
 */
export function binaryCrossEntropyWithLogits(
  input: Tensor,
  target: Tensor,
  ...args: Optional<[weight: Tensor | null, reduction: Reduction, posWeight: Tensor | null]>
): Tensor {
  const { weight, reduction = "mean", posWeight } = parameters<Reduced & { weight?: Maybe; posWeight?: Maybe }>(
    "binaryCrossEntropyWithLogits",
    ["weight", "reduction", "posWeight"],
    args,
  );
  if (!sameShape(input.shape, target.shape)) {
    throw new ShapeError(`Target size (${textOf(target)}) must be the same as input size (${textOf(input)})`, {
      op: "binaryCrossEntropyWithLogits",
    });
  }
  const losses = posWeight
    ? apply(weightedBinaryCrossEntropyWithLogitsOp, [input, target, posWeight], [])
    : apply(binaryCrossEntropyWithLogitsOp, [input, target], []);
  return reduce("binaryCrossEntropyWithLogits", weight ? losses.mul(weight) : losses, reduction);
}

/**
 * Kullback-Leibler divergence of log-probabilities `input` from `target` (`torch.nn.functional.kl_div`).
 * @param reduction also "batchmean": the sum divided by the batch size
 */
export function klDiv(input: Tensor, target: Tensor, ...args: Optional<[reduction: Reduction | "batchmean", logTarget: boolean]>): Tensor {
  const { reduction = "mean", logTarget = false } = parameters<{ reduction?: Reduction | "batchmean"; logTarget?: boolean }>(
    "klDiv",
    ["reduction", "logTarget"],
    args,
  );
  const losses = apply(logTarget ? logDivergenceOp : divergenceOp, [input, target], []);
  if (reduction === "batchmean") return losses.sum().div(input.size(0));
  return reduce("klDiv", losses, reduction);
}

interface LabelOptions extends Reduced {
  readonly weight?: Maybe;
  readonly ignoreIndex?: number;
}

/**
 * Minus the log-probability of each label (`torch.nn.functional.nll_loss`).
 * @param input log-probabilities: [classes], [batch, classes] or [batch, classes, ...]
 * @param target whole-number labels: [], [batch] or [batch, ...]; one that is no class fails on the device
 * @param weight a factor for each class; the mean is over the labels' weights
 * @param ignoreIndex labels of this value count for nothing
 * @throws ShapeError where shapes do not fit
 */
export function nllLoss(
  input: Tensor,
  target: Tensor,
  ...args: Optional<[weight: Tensor | null, ignoreIndex: number, reduction: Reduction]>
): Tensor {
  const { weight, ignoreIndex = -100, reduction = "mean" } = parameters<LabelOptions>("nllLoss", ["weight", "ignoreIndex", "reduction"], args);
  return labelLoss("nllLoss", input, target, weight, ignoreIndex, reduction).loss;
}

/** Checks, picks and reduces; also gives the total of the labels' weights where a mean was taken. */
function labelLoss(
  op: string,
  input: Tensor,
  target: Tensor,
  weight: Maybe,
  ignoreIndex: number,
  reduction: Reduction,
): { readonly loss: Tensor; readonly total: Tensor | undefined } {
  checkReduction(op, reduction);
  checkLabels(op, input, target, weight);
  const [losses, weights] = nllPick(input, target, weight ?? undefined, ignoreIndex);
  if (reduction === "none") return { loss: losses, total: undefined };
  if (reduction === "sum") return { loss: losses.sum(), total: undefined };
  const total = weights.sum();
  return { loss: losses.sum().div(total), total };
}

function checkLabels(op: string, input: Tensor, target: Tensor, weight: Maybe): void {
  if (input.dim() === 0) throw new ShapeError("input should be 1-dimensional or more", { op });
  if (isFloat(target.dtype) || target.dtype === "bool") {
    throw new ValueError(`expected labels of a whole-number dtype but found ${target.dtype}`, { op, remedy: 'Convert them with .to("int64").' });
  }
  const expected = labelShape(input.shape);
  if (!sameShape(expected, target.shape)) {
    const batches = input.dim() > 1 && target.dim() > 0 && input.shape[0] !== target.shape[0];
    throw new ShapeError(
      batches
        ? `Expected input batch_size (${input.shape[0]}) to match target batch_size (${target.shape[0]}).`
        : `Expected target size [${expected.join(", ")}], got ${textOf(target)}`,
      { op },
    );
  }
  const classes = input.shape[input.dim() === 1 ? 0 : 1];
  if (weight && (weight.dim() !== 1 || weight.shape[0] !== classes)) {
    throw new ShapeError(`weight tensor should be defined either for all ${classes} classes or no classes but got weight tensor of shape: ${textOf(weight)}`, { op });
  }
}

interface CrossEntropyOptions extends LabelOptions {
  readonly labelSmoothing?: number;
}

/**
 * Cross entropy of the softmax of `input` (`torch.nn.functional.cross_entropy`).
 * @param input scores: [classes], [batch, classes] or [batch, classes, ...]
 * @param target labels as in `nllLoss`, or probabilities of the shape of `input`
 * @param labelSmoothing how much of each target is spread over all classes, 0 to 1
 * @throws ShapeError, ValueError where arguments do not fit
 */
export function crossEntropy(
  input: Tensor,
  target: Tensor,
  ...args: Optional<[weight: Tensor | null, ignoreIndex: number, reduction: Reduction, labelSmoothing: number]>
): Tensor {
  const { weight, ignoreIndex = -100, reduction = "mean", labelSmoothing = 0 } = parameters<CrossEntropyOptions>(
    "crossEntropy",
    ["weight", "ignoreIndex", "reduction", "labelSmoothing"],
    args,
  );
  checkReduction("crossEntropy", reduction);
  if (labelSmoothing < 0 || labelSmoothing > 1) {
    throw new ValueError(`label_smoothing must be between 0.0 and 1.0. Got: ${labelSmoothing}`, { op: "crossEntropy" });
  }
  const dim = input.dim() === 1 ? 0 : 1;
  if (isFloat(target.dtype)) return probabilityLoss(input, target, weight, reduction, labelSmoothing, dim);
  checkLabels("crossEntropy", input, target, weight);
  const logs = logSoftmax(input, dim);
  const { loss, total } = labelLoss("crossEntropy", logs, target, weight, ignoreIndex, reduction);
  if (labelSmoothing === 0) return loss;

  const spread = weight ? logs.mul(alongClasses(weight, logs, dim)) : logs;
  const places = spread.sum(dim).neg().maskedFill(target.eq(ignoreIndex), 0);
  const smooth = total === undefined ? reduce("crossEntropy", places, reduction) : places.sum().div(total);
  return loss.mul(1 - labelSmoothing).add(smooth.mul(labelSmoothing / input.shape[dim]));
}

function alongClasses(weight: Tensor, x: Tensor, dim: number): Tensor {
  return weight.reshape(x.shape.map((size, i) => (i === dim ? size : 1)));
}

function probabilityLoss(input: Tensor, target: Tensor, weight: Maybe, reduction: Reduction, labelSmoothing: number, dim: number): Tensor {
  if (!sameShape(input.shape, target.shape)) {
    throw new ShapeError(`Expected floating point type for target with class probabilities to have the input's size ${textOf(input)}, got ${textOf(target)}`, {
      op: "crossEntropy",
    });
  }
  const classes = input.shape[dim];
  const aim = labelSmoothing > 0 ? target.mul(1 - labelSmoothing).add(labelSmoothing / classes) : target;
  const logs = logSoftmax(input, dim).mul(aim);
  const losses = (weight ? logs.mul(alongClasses(weight, logs, dim)) : logs).neg();
  if (reduction === "none") return losses.sum(dim);
  return reduction === "sum" ? losses.sum() : losses.sum().div(input.numel() / classes);
}

// --- margins --------------------------------------------------------------------------------------------------------------------

/** log(1 + exp(-target * input)) (`torch.nn.functional.soft_margin_loss`); targets are 1 and -1. */
export const softMarginLoss = pointwise(softMarginOp);

/** input where the target is 1, max(0, margin - input) where it is -1 (`torch.nn.functional.hinge_embedding_loss`). */
export function hingeEmbeddingLoss(input: Tensor, target: Tensor, ...args: Optional<[margin: number, reduction: Reduction]>): Tensor {
  const { margin = 1, reduction = "mean" } = parameters<Reduced & { margin?: number }>("hingeEmbeddingLoss", ["margin", "reduction"], args);
  checkReduction("hingeEmbeddingLoss", reduction);
  const apart = input.neg().add(margin).clampMin(0).maskedFill(target.eq(1), 0);
  const near = input.maskedFill(target.eq(-1), 0);
  return reduce("hingeEmbeddingLoss", apart.add(near), reduction);
}

/**
 * max(0, -target * (x - y) + margin) (`torch.nn.functional.margin_ranking_loss`).
 * @throws ShapeError where ranks differ
 */
export function marginRankingLoss(x: Tensor, y: Tensor, target: Tensor, ...args: Optional<[margin: number, reduction: Reduction]>): Tensor {
  const { margin = 0, reduction = "mean" } = parameters<Reduced & { margin?: number }>("marginRankingLoss", ["margin", "reduction"], args);
  checkReduction("marginRankingLoss", reduction);
  if (x.dim() !== y.dim() || x.dim() !== target.dim()) {
    throw new ShapeError(
      `margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: ${textOf(x)}, input2: ${textOf(y)}, target: ${textOf(target)} `,
      { op: "marginRankingLoss" },
    );
  }
  return reduce("marginRankingLoss", target.neg().mul(x.sub(y)).add(margin).clampMin(0), reduction);
}

/**
 * Each wrong class costs max(0, margin - (score of the label - its score))^p, averaged over the classes
 * (`torch.nn.functional.multi_margin_loss`).
 * @param input [classes] or [batch, classes]
 */
export function multiMarginLoss(
  input: Tensor,
  target: Tensor,
  ...args: Optional<[p: 1 | 2, margin: number, weight: Tensor | null, reduction: Reduction]>
): Tensor {
  const { p = 1, margin = 1, weight, reduction = "mean" } = parameters<Reduced & { p?: number; margin?: number; weight?: Maybe }>(
    "multiMarginLoss",
    ["p", "margin", "weight", "reduction"],
    args,
  );
  if (p !== 1 && p !== 2) throw new ValueError("only p == 1 and p == 2 supported", { op: "multiMarginLoss" });
  const single = input.dim() < 2;
  const scores = single ? input.reshape([1, input.numel()]) : input;
  const labels = target.reshape([scores.shape[0], 1]);
  const short = gather(scores, 1, labels).neg().add(scores).add(margin).clampMin(0);
  let costs = p === 2 ? short.square() : short;
  if (weight) costs = costs.mul(take(weight, labels));
  // The label itself costs nothing.
  const others = scatter(costs, 1, labels, 0);
  const losses = others.sum(1).div(scores.shape[1]);
  return reduce("multiMarginLoss", single && target.dim() === 0 ? losses.reshape([]) : losses, reduction);
}

/** Binary cross entropy with logits averaged over the classes (`torch.nn.functional.multilabel_soft_margin_loss`). */
export function multilabelSoftMarginLoss(input: Tensor, target: Tensor, ...args: Optional<[weight: Tensor | null, reduction: Reduction]>): Tensor {
  const { weight, reduction = "mean" } = parameters<Reduced & { weight?: Maybe }>("multilabelSoftMarginLoss", ["weight", "reduction"], args);
  const losses = apply(binaryCrossEntropyWithLogitsOp, [input, target], []);
  return reduce("multilabelSoftMarginLoss", (weight ? losses.mul(weight) : losses).mean(-1), reduction);
}

// --- distances ------------------------------------------------------------------------------------------------------------------

/** 1 - cosine where the target is 1, max(0, cosine - margin) where it is -1 (`torch.nn.functional.cosine_embedding_loss`). */
export function cosineEmbeddingLoss(x: Tensor, y: Tensor, target: Tensor, ...args: Optional<[margin: number, reduction: Reduction]>): Tensor {
  const { margin = 0, reduction = "mean" } = parameters<Reduced & { margin?: number }>("cosineEmbeddingLoss", ["margin", "reduction"], args);
  if (target.dim() > 1 || x.dim() !== target.dim() + 1 || y.dim() !== target.dim() + 1) {
    throw new ShapeError(
      `${target.dim()}D target tensor expects ${target.dim() + 1}D input tensors, but found inputs with sizes ${textOf(x)} and ${textOf(y)}.`,
      { op: "cosineEmbeddingLoss" },
    );
  }
  const dim = target.dim();
  const tiny = 1e-12;
  const squares = (v: Tensor): Tensor => v.mul(v).sum(dim).add(tiny);
  const cosine = x.mul(y).sum(dim).div(squares(x).mul(squares(y)).sqrt());
  const near = cosine.neg().add(1).maskedFill(target.ne(1), 0);
  const apart = cosine.sub(margin).clampMin(0).maskedFill(target.ne(-1), 0);
  return reduce("cosineEmbeddingLoss", near.add(apart), reduction);
}

interface TripletOptions extends Reduced {
  readonly margin?: number;
  readonly swap?: boolean;
}

/**
 * max(0, margin + distance to the positive - distance to the negative), in the p-norm
 * (`torch.nn.functional.triplet_margin_loss`). With `swap` the negative's nearer distance counts.
 */
export function tripletMarginLoss(
  anchor: Tensor,
  positive: Tensor,
  negative: Tensor,
  ...args: Optional<[margin: number, p: number, eps: number, swap: boolean, reduction: Reduction]>
): Tensor {
  const { margin = 1, p = 2, eps = 1e-6, swap = false, reduction = "mean" } = parameters<TripletOptions & { p?: number; eps?: number }>(
    "tripletMarginLoss",
    ["margin", "p", "eps", "swap", "reduction"],
    args,
  );
  const distance = (x: Tensor, y: Tensor): Tensor => norm(x.sub(y).add(eps), p, -1);
  return tripletLoss("tripletMarginLoss", distance, anchor, positive, negative, margin, swap, reduction);
}

/** `tripletMarginLoss` with any distance of two tensors (`torch.nn.functional.triplet_margin_with_distance_loss`). */
export function tripletMarginWithDistanceLoss(
  anchor: Tensor,
  positive: Tensor,
  negative: Tensor,
  options: TripletOptions & { readonly distanceFunction?: (x: Tensor, y: Tensor) => Tensor } = {},
): Tensor {
  const { distanceFunction = (x: Tensor, y: Tensor) => norm(x.sub(y).add(1e-6), 2, -1), margin = 1, swap = false, reduction = "mean" } = options;
  return tripletLoss("tripletMarginWithDistanceLoss", distanceFunction, anchor, positive, negative, margin, swap, reduction);
}

function tripletLoss(
  op: string,
  distance: (x: Tensor, y: Tensor) => Tensor,
  anchor: Tensor,
  positive: Tensor,
  negative: Tensor,
  margin: number,
  swap: boolean,
  reduction: Reduction,
): Tensor {
  checkReduction(op, reduction);
  broadcastShapes([anchor.shape, positive.shape, negative.shape], op);
  const near = distance(anchor, positive);
  const far = distance(anchor, negative);
  const nearest = swap ? far.minimum(distance(positive, negative)) : far;
  return reduce(op, near.sub(nearest).add(margin).clampMin(0), reduction);
}

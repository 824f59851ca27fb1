/** Losses of margins and distances, with PyTorch's reductions. Shapes are checked at the call. */
import { ShapeError, ValueError } from "../../errors.ts";
import { broadcastShapes } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { parameters } from "../../arguments.ts";
import { apply } from "../dispatch.ts";
import { binaryCrossEntropyWithLogitsOp, softMarginOp } from "../losses.ts";
import { norm } from "../norm.ts";
import { take } from "../places.ts";
import { gather, scatter } from "../scatter.ts";
import type { Optional } from "../signatures.ts";
import { checkReduction, pointwise, reduce, textOf } from "./loss-reduction.ts";
import type { Maybe, Reduced, Reduction } from "./loss-reduction.ts";

// --- margins ---------------------------------------------------------------------------------------------------------

/** log(1 + exp(-target * input)) (`torch.nn.functional.soft_margin_loss`); targets are 1 and -1. */
export const softMarginLoss = pointwise(softMarginOp);

/** input where the target is 1, max(0, margin - input) where it is -1 (`torch.nn.functional.hinge_embedding_loss`). */
export function hingeEmbeddingLoss(
  input: Tensor,
  target: Tensor,
  ...args: Optional<[margin: number, reduction: Reduction]>
): Tensor {
  const { margin = 1, reduction = "mean" } = parameters<Reduced & { margin?: number }>(
    "hingeEmbeddingLoss",
    ["margin", "reduction"],
    args,
  );
  checkReduction("hingeEmbeddingLoss", reduction);
  const apart = input.neg().add(margin).clampMin(0).maskedFill(target.eq(1), 0);
  const near = input.maskedFill(target.eq(-1), 0);
  return reduce("hingeEmbeddingLoss", apart.add(near), reduction);
}

/**
 * max(0, -target * (x - y) + margin) (`torch.nn.functional.margin_ranking_loss`).
 * @throws ShapeError where ranks differ
 */
export function marginRankingLoss(
  x: Tensor,
  y: Tensor,
  target: Tensor,
  ...args: Optional<[margin: number, reduction: Reduction]>
): Tensor {
  const { margin = 0, reduction = "mean" } = parameters<Reduced & { margin?: number }>(
    "marginRankingLoss",
    ["margin", "reduction"],
    args,
  );
  checkReduction("marginRankingLoss", reduction);
  if (x.dim() !== y.dim() || x.dim() !== target.dim()) {
    throw new ShapeError(
      `margin_ranking_loss : All input tensors should have same dimension but got sizes: ` +
        `input1: ${textOf(x)}, input2: ${textOf(y)}, ` +
        `target: ${textOf(target)} `,
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
  const {
    p = 1,
    margin = 1,
    weight,
    reduction = "mean",
  } = parameters<Reduced & { p?: number; margin?: number; weight?: Maybe }>(
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
export function multilabelSoftMarginLoss(
  input: Tensor,
  target: Tensor,
  ...args: Optional<[weight: Tensor | null, reduction: Reduction]>
): Tensor {
  const { weight, reduction = "mean" } = parameters<Reduced & { weight?: Maybe }>(
    "multilabelSoftMarginLoss",
    ["weight", "reduction"],
    args,
  );
  const losses = apply(binaryCrossEntropyWithLogitsOp, [input, target], []);
  return reduce("multilabelSoftMarginLoss", (weight ? losses.mul(weight) : losses).mean(-1), reduction);
}

// --- distances -------------------------------------------------------------------------------------------------------

/**
 * 1 - cosine where the target is 1, max(0, cosine - margin) where it is -1
 * (`torch.nn.functional.cosine_embedding_loss`).
 */
export function cosineEmbeddingLoss(
  x: Tensor,
  y: Tensor,
  target: Tensor,
  ...args: Optional<[margin: number, reduction: Reduction]>
): Tensor {
  const { margin = 0, reduction = "mean" } = parameters<Reduced & { margin?: number }>(
    "cosineEmbeddingLoss",
    ["margin", "reduction"],
    args,
  );
  if (target.dim() > 1 || x.dim() !== target.dim() + 1 || y.dim() !== target.dim() + 1) {
    throw new ShapeError(
      `${target.dim()}D target tensor expects ${target.dim() + 1}D input tensors, ` +
        `but found inputs with sizes ${textOf(x)} and ${textOf(y)}.`,
      { op: "cosineEmbeddingLoss" },
    );
  }
  const dim = target.dim();
  const tiny = 1e-12;
  const squares = (v: Tensor): Tensor => v.mul(v).sum(dim).add(tiny);
  const cosine = x
    .mul(y)
    .sum(dim)
    .div(squares(x).mul(squares(y)).sqrt());
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
  const {
    margin = 1,
    p = 2,
    eps = 1e-6,
    swap = false,
    reduction = "mean",
  } = parameters<TripletOptions & { p?: number; eps?: number }>(
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
  const {
    distanceFunction = (x: Tensor, y: Tensor) => norm(x.sub(y).add(1e-6), 2, -1),
    margin = 1,
    swap = false,
    reduction = "mean",
  } = options;
  return tripletLoss(
    "tripletMarginWithDistanceLoss",
    distanceFunction,
    anchor,
    positive,
    negative,
    margin,
    swap,
    reduction,
  );
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

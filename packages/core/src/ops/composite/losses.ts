/**
 * Losses, with PyTorch's reductions. A target that is no valid label fails on the device; shapes are checked at the
 * call.
 */
import { ShapeError, ValueError } from "../../errors.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { sameShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { parameters } from "../../arguments.ts";
import { div } from "../arithmetic.ts";
import { labelEntropy } from "../cross-entropy.ts";
import { apply } from "../dispatch.ts";
import { tensorOperand } from "../elementwise.ts";
import {
  absoluteErrorOp,
  binaryCrossEntropyOp,
  binaryCrossEntropyWithLogitsOp,
  divergenceOp,
  huberOp,
  logDivergenceOp,
  smoothL1Op,
  squaredErrorOp,
  weightedBinaryCrossEntropyWithLogitsOp,
} from "../losses.ts";
import { labelShape, nllPick } from "../nll.ts";
import type { Optional } from "../signatures.ts";
import { logSoftmax } from "../softmax.ts";
import { checkPair, checkReduction, pointwise, reduce, textOf, totalOf } from "./loss-reduction.ts";
import type { Maybe, Reduced, Reduction } from "./loss-reduction.ts";

// --- regression ------------------------------------------------------------------------------------------------------

/** (input - target)^2 (`torch.nn.functional.mse_loss`). */
export const mseLoss = pointwise(squaredErrorOp);

/** |input - target| (`torch.nn.functional.l1_loss`). */
export const l1Loss = pointwise(absoluteErrorOp);

/**
 * Squared near the target, linear from `beta` on; `beta: 0` is the L1 loss (`torch.nn.functional.smooth_l1_loss`).
 * @throws ValueError where beta is negative
 */
export function smoothL1Loss(
  input: Tensor,
  target: Tensor,
  ...args: Optional<[reduction: Reduction, beta: number], { reduction: Reduction; beta: number }>
): Tensor {
  const { reduction = "mean", beta = 1 } = parameters<Reduced & { beta?: number }>(
    "smoothL1Loss",
    ["reduction", "beta"],
    args,
  );
  checkPair("smoothL1Loss", input, target);
  if (beta < 0)
    throw new ValueError("smooth_l1_loss does not support negative values for beta.", { op: "smoothL1Loss" });
  const losses = beta === 0 ? apply(absoluteErrorOp, [input, target], []) : apply(smoothL1Op, [input, target], [beta]);
  return reduce("smoothL1Loss", losses, reduction);
}

/**
 * Squared near the target, linear beyond `delta` (`torch.nn.functional.huber_loss`).
 * @throws ValueError unless delta is positive
 */
export function huberLoss(
  input: Tensor,
  target: Tensor,
  ...args: Optional<[reduction: Reduction, delta: number], { reduction: Reduction; delta: number }>
): Tensor {
  const { reduction = "mean", delta = 1 } = parameters<Reduced & { delta?: number }>(
    "huberLoss",
    ["reduction", "delta"],
    args,
  );
  checkPair("huberLoss", input, target);
  if (delta <= 0)
    throw new ValueError("huber_loss does not support non-positive values for delta.", { op: "huberLoss" });
  return reduce("huberLoss", apply(huberOp, [input, target], [delta]), reduction);
}

/**
 * Negative log-likelihood of Poisson counts (`torch.nn.functional.poisson_nll_loss`); `full` adds Stirling's
 * approximation.
 */
export function poissonNllLoss(
  input: Tensor,
  target: Tensor,
  ...args: Optional<
    [logInput: boolean, full: boolean, eps: number, reduction: Reduction],
    { logInput: boolean; full: boolean; eps: number; reduction: Reduction }
  >
): Tensor {
  const {
    logInput = true,
    full = false,
    eps = 1e-8,
    reduction = "mean",
  } = parameters<Reduced & { logInput?: boolean; full?: boolean; eps?: number }>(
    "poissonNllLoss",
    ["logInput", "full", "eps", "reduction"],
    args,
  );
  checkPair("poissonNllLoss", input, target);
  if (!["none", "mean", "sum"].includes(reduction))
    throw new ValueError(`${reduction} is not valid`, { op: "poissonNllLoss" });
  let losses = logInput ? input.exp().sub(target.mul(input)) : input.sub(target.mul(input.add(eps).log()));
  if (full) {
    const stirling = target
      .mul(target.log())
      .sub(target)
      .add(
        target
          .mul(2 * Math.PI)
          .log()
          .mul(0.5),
      );
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
  ...args: Optional<
    [full: boolean, eps: number, reduction: Reduction],
    { full: boolean; eps: number; reduction: Reduction }
  >
): Tensor {
  const {
    full = false,
    eps = 1e-6,
    reduction = "mean",
  } = parameters<Reduced & { full?: boolean; eps?: number }>("gaussianNllLoss", ["full", "eps", "reduction"], args);
  checkPair("gaussianNllLoss", input, target);
  tensorOperand("gaussianNllLoss", variance, "var");
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

// --- probabilities ---------------------------------------------------------------------------------------------------

/**
 * Cross entropy of probabilities (`torch.nn.functional.binary_cross_entropy`). An input outside of [0, 1] fails on the
 * device.
 * @param weight a factor for each place, broadcast
 * @throws ShapeError where target and input differ in shape
 */
export function binaryCrossEntropy(
  input: Tensor,
  target: Tensor,
  ...args: Optional<[weight: Tensor | null, reduction: Reduction], { weight: Tensor | null; reduction: Reduction }>
): Tensor {
  const { weight, reduction = "mean" } = parameters<Reduced & { weight?: Maybe }>(
    "binaryCrossEntropy",
    ["weight", "reduction"],
    args,
  );
  checkPair("binaryCrossEntropy", input, target);
  if (!sameShape(input.shape, target.shape)) {
    throw new ShapeError(
      `Using a target size (${textOf(target)}) that is different to the input size (${textOf(input)}) is deprecated. ` +
        `Please ensure they have the same size.`,
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
  ...args: Optional<
    [weight: Tensor | null, reduction: Reduction, posWeight: Tensor | null],
    { weight: Tensor | null; reduction: Reduction; posWeight: Tensor | null }
  >
): Tensor {
  const {
    weight,
    reduction = "mean",
    posWeight,
  } = parameters<Reduced & { weight?: Maybe; posWeight?: Maybe }>(
    "binaryCrossEntropyWithLogits",
    ["weight", "reduction", "posWeight"],
    args,
  );
  checkPair("binaryCrossEntropyWithLogits", input, target);
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
export function klDiv(
  input: Tensor,
  target: Tensor,
  ...args: Optional<
    [reduction: Reduction | "batchmean", logTarget: boolean],
    { reduction: Reduction | "batchmean"; logTarget: boolean }
  >
): Tensor {
  const { reduction = "mean", logTarget = false } = parameters<{
    reduction?: Reduction | "batchmean";
    logTarget?: boolean;
  }>("klDiv", ["reduction", "logTarget"], args);
  checkPair("klDiv", input, target);
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
  ...args: Optional<
    [weight: Tensor | null, ignoreIndex: number, reduction: Reduction],
    { weight: Tensor | null; ignoreIndex: number; reduction: Reduction }
  >
): Tensor {
  const {
    weight,
    ignoreIndex = -100,
    reduction = "mean",
  } = parameters<LabelOptions>("nllLoss", ["weight", "ignoreIndex", "reduction"], args);
  return labelLoss("nllLoss", input, target, weight, ignoreIndex, reduction).loss;
}

/** Sum and mean as autograd knows them; the mean is over the labels' weights. */
function labelTotal(gradName: string) {
  return { ...totalOf(gradName), quotient: { ...div.op, gradName } };
}

const labelTotals = { NllLoss: labelTotal("NllLoss"), NllLoss2D: labelTotal("NllLoss2D") };

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
  checkPair(op, input, target);
  checkLabels(op, input, target, weight);
  return totalled(op, input, nllPick(input, target, weight ?? undefined, ignoreIndex), reduction);
}

/** Reduces losses of single labels; the mean is over the labels' weights. */
function totalled(
  op: string,
  input: Tensor,
  [losses, weights]: readonly [Tensor, Tensor],
  reduction: Reduction,
): { readonly loss: Tensor; readonly total: Tensor | undefined } {
  const known = labelTotals[input.dim() > 2 ? "NllLoss2D" : "NllLoss"];
  if (reduction !== "mean") return { loss: reduce(op, losses, reduction, known), total: undefined };
  const total = weights.sum();
  return { loss: apply(known.quotient, [losses.sum(), total], []), total };
}

function checkLabels(op: string, input: Tensor, target: Tensor, weight: Maybe): void {
  if (input.dim() === 0) throw new ShapeError("input should be 1-dimensional or more", { op });
  if (isFloat(target.dtype) || target.dtype === "bool") {
    throw new ValueError(`expected labels of a whole-number dtype but found ${target.dtype}`, {
      op,
      remedy: 'Convert them with .to("int64").',
    });
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
  if (weight) tensorOperand(op, weight, "weight");
  if (weight && (weight.dim() !== 1 || weight.shape[0] !== classes)) {
    throw new ShapeError(
      `weight tensor should be defined either for all ${classes} classes or no classes ` +
        `but got weight tensor of shape: ${textOf(weight)}`,
      { op },
    );
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
  ...args: Optional<
    [weight: Tensor | null, ignoreIndex: number, reduction: Reduction, labelSmoothing: number],
    { weight: Tensor | null; ignoreIndex: number; reduction: Reduction; labelSmoothing: number }
  >
): Tensor {
  const {
    weight,
    ignoreIndex = -100,
    reduction = "mean",
    labelSmoothing = 0,
  } = parameters<CrossEntropyOptions>("crossEntropy", ["weight", "ignoreIndex", "reduction", "labelSmoothing"], args);
  checkPair("crossEntropy", input, target);
  checkReduction("crossEntropy", reduction);
  if (labelSmoothing < 0 || labelSmoothing > 1) {
    throw new ValueError(`label_smoothing must be between 0.0 and 1.0. Got: ${labelSmoothing}`, { op: "crossEntropy" });
  }
  const dim = input.dim() === 1 ? 0 : 1;
  if (isFloat(target.dtype)) return probabilityLoss(input, target, weight, reduction, labelSmoothing, dim);
  checkLabels("crossEntropy", input, target, weight);
  if (labelSmoothing === 0) {
    return totalled("crossEntropy", input, labelEntropy(input, target, weight ?? undefined, ignoreIndex), reduction).loss;
  }
  const logs = logSoftmax(input, dim);
  const { loss, total } = labelLoss("crossEntropy", logs, target, weight, ignoreIndex, reduction);
  const spread = weight ? logs.mul(alongClasses(weight, logs, dim)) : logs;
  const places = spread.sum(dim).neg().maskedFill(target.eq(ignoreIndex), 0);
  const smooth = total === undefined ? reduce("crossEntropy", places, reduction) : places.sum().div(total);
  return loss.mul(1 - labelSmoothing).add(smooth.mul(labelSmoothing / input.shape[dim]));
}

function alongClasses(weight: Tensor, x: Tensor, dim: number): Tensor {
  return weight.reshape(x.shape.map((size, i) => (i === dim ? size : 1)));
}

function probabilityLoss(
  input: Tensor,
  target: Tensor,
  weight: Maybe,
  reduction: Reduction,
  labelSmoothing: number,
  dim: number,
): Tensor {
  if (!sameShape(input.shape, target.shape)) {
    throw new ShapeError(
      `Expected floating point type for target with class probabilities ` +
        `to have the input's size ${textOf(input)}, got ${textOf(target)}`,
      {
        op: "crossEntropy",
      },
    );
  }
  const classes = input.shape[dim];
  const aim = labelSmoothing > 0 ? target.mul(1 - labelSmoothing).add(labelSmoothing / classes) : target;
  const logs = logSoftmax(input, dim).mul(aim);
  const losses = (weight ? logs.mul(alongClasses(weight, logs, dim)) : logs).neg();
  if (reduction === "none") return losses.sum(dim);
  return reduction === "sum" ? losses.sum() : losses.sum().div(input.numel() / classes);
}

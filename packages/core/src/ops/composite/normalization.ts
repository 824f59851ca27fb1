/**
 * Normalisation layers as functions: layer, batch, group, instance and local response norm; unit vectors and distances.
 */
import { noGrad } from "../../autograd/mode.ts";
import { ShapeError, ValueError } from "../../errors.ts";
import { numelOf, sameShape } from "../../tensor/shape.ts";
import type { Shape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { assertList, parameters } from "../../arguments.ts";
import { applyTo } from "../dispatch.ts";
import { tensorOperand } from "../elementwise.ts";
import { defineElementwise } from "../kinds/elementwise.ts";
import { norm } from "../norm.ts";
import { normalizeBy, normalizeOver } from "../normalize.ts";
import type { Optional } from "../signatures.ts";

type Maybe = Tensor | null | undefined;

interface Moments {
  readonly mean: Tensor;
  readonly variance: Tensor;
}

/** Mean and variance (divided by the count) over `dims`, kept, without recording. */
function momentsOf(x: Tensor, dims: readonly number[]): Moments {
  return noGrad(() => {
    const fixed = x.detach();
    return { mean: fixed.mean(dims, true), variance: fixed.var(dims, { correction: 0, keepdim: true }) };
  });
}

/**
 * Layer normalisation over the last dimensions (`torch.nn.functional.layer_norm`; Ba et al. 2016).
 * @param normalizedShape the sizes of those dimensions
 * @param weight, bias tensors of that shape
 * @throws ShapeError where sizes do not fit
 */
export function layerNorm(
  x: Tensor,
  normalizedShape: Shape | number,
  ...args: Optional<[weight: Tensor | null, bias: Tensor | null, eps: number]>
): Tensor {
  tensorOperand("layerNorm", x);
  if (typeof normalizedShape !== "number") assertList("layerNorm", "normalized_shape", normalizedShape, "sizes");
  const shape = typeof normalizedShape === "number" ? [normalizedShape] : normalizedShape;
  const {
    weight,
    bias,
    eps = 1e-5,
  } = parameters<{ weight?: Maybe; bias?: Maybe; eps?: number }>("layerNorm", ["weight", "bias", "eps"], args);
  checkLayerNorm(x, shape, weight, bias);
  const dims = shape.map((_, i) => x.dim() - shape.length + i);
  const { mean, variance } = momentsOf(x, dims);
  return normalizeOver(dims, "NativeLayerNorm", x, mean, variance, weight ?? 1, bias ?? 0, eps);
}

function checkLayerNorm(x: Tensor, shape: Shape, weight: Maybe, bias: Maybe): void {
  const fail = (message: string): never => {
    throw new ShapeError(message, { op: "layerNorm" });
  };
  const text = (sizes: Shape): string => `[${sizes.join(", ")}]`;
  if (shape.length === 0)
    fail(
      `Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, ` +
        `but got normalized_shape = ${text(shape)}`,
    );
  for (const [name, parameter] of [
    ["weight", weight],
    ["bias", bias],
  ] as const) {
    if (parameter && !sameShape(parameter.shape, shape)) {
      fail(
        `Expected ${name} to be of same shape as normalized_shape, ` +
          `but got ${name} of shape ${text(parameter.shape)} and normalized_shape = ${text(shape)}`,
      );
    }
  }
  if (x.dim() < shape.length || !sameShape(x.shape.slice(x.dim() - shape.length), shape)) {
    fail(
      `Given normalized_shape=${text(shape)}, expected input with shape [*, ${shape.join(", ")}], ` +
        `but got input of size${text(x.shape)}`,
    );
  }
}

const runningOp = defineElementwise("runningAverage", {
  kernel: (running, fresh, keep, gain) => running.mul(keep).add(fresh.mul(gain)),
  operands: 2,
});

/** running = running * (1 - momentum) + statistic * factor * momentum, in place. */
function updateRunning(running: Maybe, statistic: Tensor, momentum: number, factor = 1): void {
  if (!running) return;
  noGrad(() =>
    applyTo(runningOp, running, [running, statistic.reshape(running.shape)], [1 - momentum, momentum * factor]),
  );
}

interface NormOptions {
  readonly weight?: Maybe;
  readonly bias?: Maybe;
  readonly momentum?: number;
  readonly eps?: number;
}

/** A tensor with one number for each channel, so that it broadcasts over `x`; `fallback` where there is none. */
function overChannels(parameter: Maybe, x: Tensor, fallback: number): Tensor | number {
  return parameter ? parameter.reshape(x.shape.map((size, dim) => (dim === 1 ? size : 1))) : fallback;
}

/**
 * Batch normalisation of each channel (dimension 1) (`torch.nn.functional.batch_norm`; Ioffe and Szegedy 2015). With
 * `training` the batch's own moments count, and the running ones, where given, are updated in place.
 * @param runningMean, runningVar one number for each channel
 * @throws ShapeError, ValueError where sizes do not fit, or a training batch has one value a channel
 */
export function batchNorm(
  x: Tensor,
  runningMean: Maybe,
  runningVar: Maybe,
  ...args: Optional<[weight: Tensor | null, bias: Tensor | null, training: boolean, momentum: number, eps: number]>
): Tensor {
  const {
    weight,
    bias,
    training = false,
    momentum = 0.1,
    eps = 1e-5,
  } = parameters<NormOptions & { training?: boolean }>(
    "batchNorm",
    ["weight", "bias", "training", "momentum", "eps"],
    args,
  );
  if (x.numel() === 0) return emptyBatchNorm(x, weight, bias);
  const channels = x.dim() > 1 ? x.shape[1] : 1;
  checkChannels({ running_mean: runningMean, running_var: runningVar, weight, bias }, channels, "batchNorm");
  const w = overChannels(weight, x, 1);
  const b = overChannels(bias, x, 0);
  if (!training) {
    if (!runningMean || !runningVar)
      throw new ValueError("Expected running_mean and running_var to be defined when training=false", {
        op: "batchNorm",
      });
    return normalizeBy(
      x,
      overChannels(runningMean, x, 0) as Tensor,
      overChannels(runningVar, x, 1) as Tensor,
      w,
      b,
      eps,
    );
  }
  const count = x.numel() / channels;
  if (count === 1) {
    throw new ValueError(
      `Expected more than 1 value per channel when training, got input size [${x.shape.join(", ")}]`,
      { op: "batchNorm" },
    );
  }
  const dims = x.shape.map((_, dim) => dim).filter((dim) => dim !== 1);
  const { mean, variance } = momentsOf(x, dims);
  updateRunning(runningMean, mean, momentum);
  updateRunning(runningVar, variance, momentum, count / (count - 1));
  return normalizeOver(dims, "NativeBatchNorm", x, mean, variance, w, b, eps);
}

/** Nothing to normalise: the result keeps its place in the graph. */
function emptyBatchNorm(x: Tensor, weight: Maybe, bias: Maybe): Tensor {
  let result = x.clone();
  if (weight) result = result.mul(overChannels(weight, x, 1));
  if (bias) result = result.add(overChannels(bias, x, 0));
  return result;
}

function checkChannels(tensors: Readonly<Record<string, Maybe>>, channels: number, op: string): void {
  for (const [name, value] of Object.entries(tensors)) {
    if (value && value.numel() !== channels) {
      throw new ShapeError(`${name} should contain ${channels} elements not ${value.numel()}`, { op });
    }
  }
}

/**
 * Group normalisation: moments over each group of channels (`torch.nn.functional.group_norm`; Wu and He 2018).
 * @throws ShapeError where the channels do not divide into groups
 */
export function groupNorm(
  x: Tensor,
  numGroups: number,
  ...args: Optional<[weight: Tensor | null, bias: Tensor | null, eps: number]>
): Tensor {
  const {
    weight,
    bias,
    eps = 1e-5,
  } = parameters<{ weight?: Maybe; bias?: Maybe; eps?: number }>("groupNorm", ["weight", "bias", "eps"], args);
  if (x.dim() < 2)
    throw new ShapeError(`Expected at least 2 dimensions for input tensor but received ${x.dim()}`, {
      op: "groupNorm",
    });
  const [batch, channels, ...spatial] = x.shape;
  if (channels % numGroups !== 0) {
    throw new ShapeError(
      `Expected number of channels in input to be divisible by num_groups, ` +
        `but got input of shape [${x.shape.join(", ")}] and num_groups=${numGroups}`,
      { op: "groupNorm" },
    );
  }
  checkChannels({ weight, bias }, channels, "groupNorm");
  const each = channels / numGroups;
  const grouped = x.reshape([batch, numGroups, each, numelOf(spatial)]);
  const over = (parameter: Maybe, fallback: number): Tensor | number =>
    parameter?.reshape([1, numGroups, each, 1]) ?? fallback;
  const dims = [2, 3];
  const { mean, variance } = momentsOf(grouped, dims);
  return normalizeOver(dims, "NativeGroupNorm", grouped, mean, variance, over(weight, 1), over(bias, 0), eps).reshape(
    x.shape,
  );
}

/**
 * Instance normalisation: moments of each channel of each instance (`torch.nn.functional.instance_norm`; Ulyanov et al.
 * 2016). Without `useInputStats` the running moments are used.
 */
export function instanceNorm(
  x: Tensor,
  ...args: Optional<
    [
      runningMean: Tensor | null,
      runningVar: Tensor | null,
      weight: Tensor | null,
      bias: Tensor | null,
      useInputStats: boolean,
      momentum: number,
      eps: number,
    ]
  >
): Tensor {
  const {
    runningMean,
    runningVar,
    weight,
    bias,
    useInputStats = true,
    momentum = 0.1,
    eps = 1e-5,
  } = parameters<NormOptions & { runningMean?: Maybe; runningVar?: Maybe; useInputStats?: boolean }>(
    "instanceNorm",
    ["runningMean", "runningVar", "weight", "bias", "useInputStats", "momentum", "eps"],
    args,
  );
  if (!useInputStats) {
    return batchNorm(x, runningMean, runningVar, { weight, bias, training: false, momentum, eps });
  }
  const [batch, channels, ...spatial] = x.shape;
  const count = numelOf(spatial);
  if (x.dim() < 3 || count === 1) {
    throw new ValueError(`Expected more than 1 spatial element when training, got input size [${x.shape.join(", ")}]`, {
      op: "instanceNorm",
    });
  }
  checkChannels({ running_mean: runningMean, running_var: runningVar, weight, bias }, channels, "instanceNorm");
  const dims = spatial.map((_, i) => 2 + i);
  const { mean, variance } = momentsOf(x, dims);
  noGrad(() => {
    if (runningMean) updateRunning(runningMean, mean.reshape([batch, channels]).mean(0), momentum);
    if (runningVar)
      updateRunning(runningVar, variance.reshape([batch, channels]).mean(0), momentum, count / (count - 1));
  });
  return normalizeOver(
    dims,
    "InstanceNorm",
    x,
    mean,
    variance,
    overChannels(weight, x, 1),
    overChannels(bias, x, 0),
    eps,
  );
}

/** x divided by its p-norm along `dim`, at least `eps` (`torch.nn.functional.normalize`). */
export function normalize(x: Tensor, ...args: Optional<[p: number, dim: number, eps: number]>): Tensor {
  const {
    p = 2,
    dim = 1,
    eps = 1e-12,
  } = parameters<{ p?: number; dim?: number; eps?: number }>("normalize", ["p", "dim", "eps"], args);
  return x.div(norm(x, p, dim, true).clampMin(eps));
}

/** The cosine of the angle between `x` and `y` along `dim`, broadcast (`torch.nn.functional.cosine_similarity`). */
export function cosineSimilarity(x: Tensor, y: Tensor, ...args: Optional<[dim: number, eps: number]>): Tensor {
  const { dim = 1, eps = 1e-8 } = parameters<{ dim?: number; eps?: number }>("cosineSimilarity", ["dim", "eps"], args);
  const squares = (v: Tensor): Tensor => v.mul(v).sum(dim, true);
  const unit = (v: Tensor): Tensor =>
    v.div(
      squares(v)
        .clampMin(eps * eps)
        .sqrt(),
    );
  const [a, b] = broadcastPair(x, y);
  return unit(a).mul(unit(b)).sum(dim);
}

function broadcastPair(x: Tensor, y: Tensor): [Tensor, Tensor] {
  if (sameShape(x.shape, y.shape)) return [x, y];
  const rank = Math.max(x.dim(), y.dim());
  const padded = (v: Tensor): Tensor => v.reshape([...new Array<number>(rank - v.dim()).fill(1), ...v.shape]);
  const [a, b] = [padded(x), padded(y)];
  const shape = a.shape.map((size, i) => (size === 1 ? b.shape[i] : size));
  return [a.expand(shape), b.expand(shape)];
}

/** The p-norm of x - y + eps along the last dimension (`torch.nn.functional.pairwise_distance`). */
export function pairwiseDistance(
  x: Tensor,
  y: Tensor,
  ...args: Optional<[p: number, eps: number, keepdim: boolean]>
): Tensor {
  const {
    p = 2,
    eps = 1e-6,
    keepdim = false,
  } = parameters<{ p?: number; eps?: number; keepdim?: boolean }>("pairwiseDistance", ["p", "eps", "keepdim"], args);
  return norm(x.sub(y).add(eps), p, -1, keepdim);
}

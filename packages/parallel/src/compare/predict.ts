/**
 * What each strategy costs by formula. Bytes are those of one training step, sent by all devices together: the batch on
 * its way from the first device, activations, and gradients. d: devices; all-reduce of b bytes: 2 (d - 1) b in all,
 * which is 2 (d - 1) / d of b a device (Patarasuk and Yuan 2009).
 */
import type { LayerPlan } from "../layerwise/plan.ts";
import type { LayerSize } from "./layers.ts";

/** A batch on the first device. */
export interface BatchSize {
  readonly rows: number;
  readonly inputBytes: number;
  readonly targetBytes: number;
  /** What a loss counts over the whole batch to divide by: 4 for the labels of a cross entropy, else 0. */
  readonly countBytes: number;
}

function allReduceBytes(devices: number, bytes: number): number {
  return 2 * (devices - 1) * bytes;
}

/** Data parallel: the other devices' rows of the batch, and one all-reduce of all gradients and of the loss's count. */
export function dataParallelBytes(devices: number, layers: readonly LayerSize[], batch: BatchSize): number {
  // Parts follow torch.chunk: all but the last ones have as many rows as the first.
  const staying = Math.ceil(batch.rows / devices) / batch.rows;
  const gradients = layers.reduce((sum, { parameterBytes }) => sum + parameterBytes, 0);
  const leaving = (1 - staying) * (batch.inputBytes + batch.targetBytes);
  return leaving + allReduceBytes(devices, gradients + batch.countBytes);
}

/**
 * Layer-wise: the batch to every device, one all-reduce of each row layer's output forward, and of each column layer's
 * input backward where that has a gradient.
 */
export function layerwiseBytes(
  devices: number,
  plan: LayerPlan,
  layers: readonly LayerSize[],
  batch: BatchSize,
): number {
  let bytes = (devices - 1) * (batch.inputBytes + batch.targetBytes);
  let hasGradient = false;
  for (const { name, inputBytes, outputBytes, parameterBytes } of layers) {
    const style = plan[name]?.name;
    if (style === "row") bytes += allReduceBytes(devices, outputBytes);
    if (style === "column" && hasGradient) bytes += allReduceBytes(devices, inputBytes);
    hasGradient ||= parameterBytes > 0;
  }
  return bytes;
}

/**
 * Network partitioning: the targets to the last device, and at each cut the activations forward and as many bytes of
 * their gradients backward.
 * @param sizes how many children each stage has
 */
export function pipelineBytes(sizes: readonly number[], layers: readonly LayerSize[], batch: BatchSize): number {
  let bytes = sizes.length > 1 ? batch.targetBytes : 0;
  let end = 0;
  let hasGradient = false;
  for (const size of sizes.slice(0, -1)) {
    hasGradient ||= layers.slice(end, end + size).some(({ parameterBytes }) => parameterBytes > 0);
    end += size;
    bytes += (hasGradient ? 2 : 1) * layers[end - 1].outputBytes;
  }
  return bytes;
}

/**
 * The part of the stages' time in which they wait: (p - 1) / (m + p - 1) for p stages of equal cost and m micro-batches
 * (Huang et al. 2019, "GPipe"; the same for 1F1B).
 */
export function pipelineBubble(stages: number, microbatches: number): number {
  return (stages - 1) / (microbatches + stages - 1);
}

/** The models' parameters, by PyTorch's names and in its layouts. */
import type { ModelName } from "./jobs.ts";

/** Uniform within 1 / sqrt(fan in), or one value throughout. */
export type Start = { readonly shape: readonly number[] } & ({ readonly fanIn: number } | { readonly value: number });

/** Of the transformer. */
export const width = 128;
export const heads = 4;
export const sequence = 64;
export const vocabulary = 64;
/** What its scores get where a token would see what follows it; finite, as some contenders want it. */
export const masked = -1e9;

export const models: Readonly<Record<ModelName, Readonly<Record<string, Start>>>> = {
  mlp: { ...linear("0", 784, 256), ...linear("2", 256, 128), ...linear("4", 128, 10) },
  cnn: { ...convolution("0", 1, 16), ...convolution("3", 16, 32), ...linear("7", 1568, 10) },
  transformer: {
    "tokens.weight": { shape: [vocabulary, width], fanIn: width },
    positions: { shape: [sequence, width], fanIn: width },
    ...norm("norm1"),
    ...linear("query", width, width),
    // No bias: scores' softmax does not depend on it, so its gradient is rounding errors, which Adam would make steps of.
    "key.weight": { shape: [width, width], fanIn: width },
    ...linear("value", width, width),
    ...linear("output", width, width),
    ...norm("norm2"),
    ...linear("up", width, 4 * width),
    ...linear("down", 4 * width, width),
    ...linear("head", width, vocabulary),
  },
};

function linear(name: string, inputs: number, outputs: number): Record<string, Start> {
  return weighted(name, [outputs, inputs], inputs);
}

function convolution(name: string, inputs: number, outputs: number): Record<string, Start> {
  return weighted(name, [outputs, inputs, 3, 3], inputs * 9);
}

function weighted(name: string, shape: readonly number[], fanIn: number): Record<string, Start> {
  return { [`${name}.weight`]: { shape, fanIn }, [`${name}.bias`]: { shape: [shape[0]], fanIn } };
}

function norm(name: string): Record<string, Start> {
  return { [`${name}.weight`]: { shape: [width], value: 1 }, [`${name}.bias`]: { shape: [width], value: 0 } };
}

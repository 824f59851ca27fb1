/** The sizes of one launch, as plain numbers: what is decided before the compiled code runs. */
import type { Places } from "./convolution-geometry.ts";

export interface ConvolutionShape {
  readonly images: number;
  readonly groups: number;
  readonly rows: number;
  readonly channels: number;
  readonly positions: readonly number[];
  readonly taps: readonly number[];
  readonly stride: readonly number[];
  readonly dilation: readonly number[];
  readonly padding: readonly number[];
  readonly extent: readonly number[];
}

export function shapeOf(places: Places, words: Int32Array, at: number): ConvolutionShape {
  const read = places.reader(words, at);
  const { axes, rank } = places;
  const dimensions = (place: (d: number) => number): number[] =>
    Array.from({ length: rank }, (_, d) => read(place(d)));
  return {
    images: read(places.size(axes.images)),
    groups: read(places.size(axes.groups)),
    rows: read(places.size(axes.rows)),
    channels: read(places.size(axes.channels)),
    positions: dimensions((d) => places.size(axes.positions + d)),
    taps: dimensions((d) => places.size(axes.taps + d)),
    stride: dimensions((d) => places.scalar(4 * d)),
    dilation: dimensions((d) => places.scalar(4 * d + 1)),
    padding: dimensions((d) => places.scalar(4 * d + 2)),
    extent: dimensions((d) => places.scalar(4 * d + 3)),
  };
}

export function product(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total * size, 1);
}

/** Multiply-adds of a launch. */
export function multiplications({ images, groups, rows, channels, positions, taps }: ConvolutionShape): number {
  return images * groups * rows * channels * product(positions) * product(taps);
}

/** What a convolution's launch says: sizes, strides in bytes and geometry, read from the argument block into variables. */
import type { LoopKernel } from "@troupe/core/device";
import type { ArgumentLayout } from "../wasm/arguments.ts";
import type { Int, Ints, Variable } from "./ints.ts";

/** Which of its three tensors a convolution computes. */
export type Target = "y" | "x" | "w";

/** The names of the kernels that the routine overrides. */
export const convolutionNames: readonly string[] = [1, 2].flatMap((rank) =>
  ["", "Input", "Weight"].map((suffix) => `conv${rank}d${suffix}`));

/** The name of a kernel that core gives to convolutions (ops/convolution.ts): dimensions and target. */
export function parseName(name: string): { readonly rank: number; readonly target: Target } | undefined {
  const match = /^conv([12])d(Input|Weight)?$/.exec(name);
  if (match === null) return undefined;
  return { rank: Number(match[1]), target: match[2] === undefined ? "y" : match[2] === "Input" ? "x" : "w" };
}

/** For each spatial dimension one variable. */
export type PerDimension = readonly Variable[];

/** Where a launch's arguments lie; the same places for the code and for what is computed before it runs. */
export class Places {
  readonly rank: number;
  readonly target: Target;
  readonly #layout: ArgumentLayout;
  readonly #operands: number;

  constructor(kernel: LoopKernel, layout: ArgumentLayout, rank: number, target: Target) {
    this.rank = rank;
    this.target = target;
    this.#layout = layout;
    this.#operands = kernel.inputs.length + kernel.outputs.length;
  }

  /**
   * Axes. y: images, groups, rows (features), ...positions | channels, ...taps; x: images, groups, rows (channels),
   * ...positions | channels (features), ...taps; w: groups, features, channels, ...taps | images, ...positions.
   */
  get axes(): {
    readonly images: number;
    readonly groups: number;
    readonly rows: number;
    readonly channels: number;
    readonly positions: number;
    readonly taps: number;
  } {
    const { rank } = this;
    return this.target === "w"
      ? { groups: 0, rows: 1, channels: 2, taps: 3, images: 3 + rank, positions: 4 + rank }
      : { images: 0, groups: 1, rows: 2, positions: 3, channels: 3 + rank, taps: 4 + rank };
  }

  /** The byte offsets in the argument block. */
  size(axis: number): number {
    return this.#layout.size(axis);
  }

  stride(operand: number, axis: number): number {
    return this.#layout.stride(operand, axis);
  }

  address(operand: number): number {
    return this.#layout.address(operand);
  }

  scalar(index: number): number {
    return this.#layout.scalarOffsets[index];
  }

  /** Reads a place (a byte offset in the argument block) from a launch's own words. */
  reader(words: Int32Array, at: number): (place: number) => number {
    // The block has one word an operand, the launch two.
    return (place) => words[at + this.#operands + place / 4];
  }
}

/** The numbers of a launch that the routines share. */
export class Geometry {
  readonly places: Places;
  readonly images: Variable;
  readonly groups: Variable;
  readonly rows: Variable;
  readonly channels: Variable;
  readonly positions: PerDimension;
  readonly taps: PerDimension;
  readonly stride: PerDimension;
  readonly dilation: PerDimension;
  readonly padding: PerDimension;
  /** Sizes of what windows read: x's, or y's where x is computed. */
  readonly extent: PerDimension;
  readonly #code: Ints;
  readonly #args: Variable;

  constructor(code: Ints, args: Variable, places: Places) {
    this.#code = code;
    this.#args = args;
    this.places = places;
    const { axes, rank } = places;
    const size = (axis: number): Variable => code.variable(code.load(args, places.size(axis)));
    const dimensions = (make: (d: number) => Int): PerDimension =>
      Array.from({ length: rank }, (_, d) => code.variable(make(d)));
    this.images = size(axes.images);
    this.groups = size(axes.groups);
    this.rows = size(axes.rows);
    this.channels = size(axes.channels);
    this.positions = dimensions((d) => code.load(args, places.size(axes.positions + d)));
    this.taps = dimensions((d) => code.load(args, places.size(axes.taps + d)));
    const scalar = (i: number) => (d: number): Int => this.scalar(4 * d + i);
    this.stride = dimensions(scalar(0));
    this.dilation = dimensions(scalar(1));
    this.padding = dimensions(scalar(2));
    this.extent = dimensions(scalar(3));
  }

  scalar(index: number): Int {
    return this.#code.load(this.#args, this.places.scalar(index));
  }

  /** A variable with an operand's address. */
  address(operand: number): Variable {
    return this.#code.variable(this.#code.load(this.#args, this.places.address(operand)));
  }

  /** A variable with an operand's stride along an axis, in bytes. */
  stepOf(operand: number, axis: number): Variable {
    return this.#code.variable(this.#code.load(this.#args, this.places.stride(operand, axis)).mul(4));
  }

  stepsOf(operand: number, firstAxis: number): PerDimension {
    return Array.from({ length: this.places.rank }, (_, d) => this.stepOf(operand, firstAxis + d));
  }
}

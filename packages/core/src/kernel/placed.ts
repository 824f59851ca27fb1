/** A launch as data: a loop kernel with the arguments that a run message carries (the order that kernel/ir.ts fixes). */
import { scalarWords, type LoopKernel, type Node } from "./ir.ts";

export interface PlacedOperand {
  readonly storage: number;
  readonly offset: number;
  /** Along each axis of the kernel, in elements. */
  readonly strides: readonly number[];
}

export interface PlacedKernel {
  readonly kernel: LoopKernel;
  /** Inputs, then outputs. */
  readonly operands: readonly PlacedOperand[];
  readonly sizes: readonly number[];
  /** The words of the scalars. */
  readonly scalars: readonly number[];
}

/** Reads the arguments of a launch of `kernel` that begin at `words[at]`. */
export function readPlaced(kernel: LoopKernel, words: ArrayLike<number>, at: number): PlacedKernel {
  const { axes, inputs, outputs } = kernel;
  const count = inputs.length + outputs.length;
  const take = (from: number, length: number): number[] => Array.from({ length }, (_, i) => words[from + i]);
  const sizesAt = at + 2 * count;
  const stridesAt = sizesAt + axes;
  const operands = Array.from({ length: count }, (_, k) => ({
    storage: words[at + 2 * k],
    offset: words[at + 2 * k + 1],
    strides: take(stridesAt + k * axes, axes),
  }));
  const scalarCount = kernel.scalars.reduce((sum, dtype) => sum + scalarWords(dtype), 0);
  return { kernel, operands, sizes: take(sizesAt, axes), scalars: take(stridesAt + count * axes, scalarCount) };
}

/** The arguments of a launch, as words. */
export function placedWords({ operands, sizes, scalars }: PlacedKernel): number[] {
  return [
    ...operands.flatMap(({ storage, offset }) => [storage, offset]),
    ...sizes,
    ...operands.flatMap(({ strides }) => strides),
    ...scalars,
  ];
}

export function inputsOf({ kernel, operands }: PlacedKernel): readonly PlacedOperand[] {
  return operands.slice(0, kernel.inputs.length);
}

export function outputsOf({ kernel, operands }: PlacedKernel): readonly PlacedOperand[] {
  return operands.slice(kernel.inputs.length);
}

/** Every value of a kernel. */
export function nodesOf({ body, epilogue }: LoopKernel): readonly Node[] {
  return [...body, ...epilogue];
}

/** Whether a kernel computes with its loop indices, and not with what lies there alone. */
export function namesAxes(kernel: LoopKernel): boolean {
  return nodesOf(kernel).some(({ op }) => op === "axis" || op === "size");
}

/**
 * The same work with axis `axis` (an outer one) as two, the inner of `size` steps. The kernel must not name axes.
 */
export function splitAxis({ kernel, operands, sizes, scalars }: PlacedKernel, axis: number, size: number): PlacedKernel {
  return {
    kernel: { ...kernel, axes: kernel.axes + 1 },
    operands: operands.map(({ storage, offset, strides }) => ({
      storage, offset, strides: strides.toSpliced(axis, 1, strides[axis] * size, strides[axis]),
    })),
    sizes: sizes.toSpliced(axis, 1, sizes[axis] / size, size),
    scalars,
  };
}

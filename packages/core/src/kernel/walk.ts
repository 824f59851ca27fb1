/** How one launch walks through what another one wrote: the reader's indices as indices of the writer. */
import { namesAxes, splitAxis, type PlacedKernel, type PlacedOperand } from "./placed.ts";

/** A reader that moves along the writer's axes without ever carrying from one to the next. */
export interface Walk {
  /** The reader; some of its outer axes may have been split in two. */
  readonly reader: PlacedKernel;
  /** The writer's index along each of its axes where the reader begins. */
  readonly start: readonly number[];
  /** For each axis of the reader its steps along each axis of the writer. */
  readonly steps: readonly (readonly number[])[];
}

/** Splits tried before giving up; each makes one more axis. */
const mostSplits = 4;

/**
 * Follows the reader's operand number `operand` through the storage that the writer filled, every element once.
 *
 * @param outer how many axes of the writer its output goes along
 * @returns undefined where elements of the reader do not lie on a straight path through the writer's axes
 */
export function followWriter(reader: PlacedKernel, operand: number, writer: PlacedKernel, output: PlacedOperand, outer: number): Walk | undefined {
  const radix = denseAxes(output, writer.sizes, outer);
  if (radix === undefined || reader.sizes.includes(0)) return undefined;
  for (let splits = 0, now = reader; splits <= mostSplits; splits++) {
    const { offset, strides } = now.operands[operand];
    const start = digits(offset, radix, outer);
    const steps = strides.map((stride, axis) => digits(now.sizes[axis] === 1 ? 0 : stride, radix, outer));
    if (start === undefined || steps.includes(undefined)) return undefined;
    const walk = { reader: now, start, steps: steps as number[][] };
    const wraps = radix.find(({ axis, size }) => reach(walk, axis) >= size);
    if (wraps === undefined) return walk;
    const split = splitAt(walk, wraps);
    if (split === undefined || namesAxes(reader.kernel)) return undefined;
    now = splitAxis(now, split.axis, split.size);
  }
  return undefined;
}

interface DenseAxis {
  readonly axis: number;
  readonly stride: number;
  readonly size: number;
}

/** The axes along which the output lies dense from its storage's first element, the widest step first. */
function denseAxes({ offset, strides }: PlacedOperand, sizes: readonly number[], outer: number): DenseAxis[] | undefined {
  const axes = Array.from({ length: outer }, (_, axis) => ({ axis, stride: strides[axis], size: sizes[axis] }))
    .filter(({ size }) => size !== 1)
    .toSorted((a, b) => b.stride - a.stride);
  let next = 1;
  for (const { stride, size } of axes.toReversed()) {
    if (stride !== next) return undefined;
    next *= size;
  }
  return offset === 0 && next > 0 ? axes : undefined;
}

/** `distance` elements as steps along the writer's axes; undefined where that would be backwards or beyond the last. */
function digits(distance: number, radix: readonly DenseAxis[], outer: number): number[] | undefined {
  const steps = new Array<number>(outer).fill(0);
  let left = distance;
  for (const { axis, stride } of radix) {
    steps[axis] = Math.floor(left / stride);
    left -= steps[axis] * stride;
  }
  return distance >= 0 && left === 0 ? steps : undefined;
}

/** The greatest index along an axis of the writer. */
function reach({ reader, start, steps }: Walk, axis: number): number {
  return steps.reduce((sum, own, i) => sum + own[axis] * (reader.sizes[i] - 1), start[axis]);
}

/** The reader's outer axis that alone runs over the end of an axis of the writer, and how many steps it can take there. */
function splitAt({ reader, steps }: Walk, { axis, size }: DenseAxis): { axis: number; size: number } | undefined {
  const { axes, reduced } = reader.kernel;
  const over = steps.findIndex((own, i) => own[axis] > 0 && own[axis] * reader.sizes[i] > size);
  if (over < 0 || over >= axes - reduced) return undefined;
  const inner = size / steps[over][axis];
  const divides = Number.isInteger(inner) && inner > 1 && reader.sizes[over] % inner === 0 && inner < reader.sizes[over];
  return divides ? { axis: over, size: inner } : undefined;
}

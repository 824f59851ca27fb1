/** Arithmetic of shapes, strides and dimensions. Pure; shapes and strides are treated as immutable. */
import { ShapeError } from "../errors.ts";
import { shown } from "../arguments.ts";

export type Shape = readonly number[];

export function numelOf(shape: Shape): number {
  let count = 1;
  for (const size of shape) count *= size;
  return count;
}

export function sameShape(a: Shape, b: Shape): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Strides, in elements, of a row-major array (a size of 0 counts as 1, as in PyTorch). */
export function contiguousStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = step;
    step *= Math.max(shape[i], 1);
  }
  return strides;
}

/** Whether elements lie in row-major order without gaps. */
export function isContiguous(shape: Shape, strides: readonly number[]): boolean {
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] === 0) return true;
    if (shape[i] !== 1) {
      if (strides[i] !== step) return false;
      step *= shape[i];
    }
  }
  return true;
}

/**
 * The shape to which all broadcast (`torch.broadcast_shapes`).
 * @throws ShapeError where sizes differ and neither is 1
 */
export function broadcastShapes(shapes: readonly Shape[], op?: string): Shape {
  let result = shapes[0] ?? [];
  for (let i = 1; i < shapes.length; i++) {
    if (!sameShape(result, shapes[i])) result = broadcastTwo(result, shapes[i], op);
  }
  return result;
}

function broadcastTwo(a: Shape, b: Shape, op: string | undefined): Shape {
  const rank = Math.max(a.length, b.length);
  const result = new Array<number>(rank);
  for (let i = 0; i < rank; i++) {
    const x = a[a.length - rank + i] ?? 1;
    const y = b[b.length - rank + i] ?? 1;
    if (x !== y && x !== 1 && y !== 1) {
      throw new ShapeError(
        `The size of tensor a (${x}) must match the size of tensor b (${y}) at non-singleton dimension ${i}: ` +
          `[${a.join(", ")}] and [${b.join(", ")}] do not broadcast`,
        { op, remedy: "Align the shapes with unsqueeze(), view() or expand(); sizes broadcast only from 1." },
      );
    }
    result[i] = x === 1 ? y : x;
  }
  return result;
}

/** Strides of a view that repeats `shape` to `target` (0 along repeated dimensions). `shape` must broadcast to `target`. */
export function broadcastStrides(shape: Shape, strides: readonly number[], target: Shape): number[] {
  const lead = target.length - shape.length;
  const result = new Array<number>(target.length);
  for (let i = 0; i < target.length; i++) {
    const own = i - lead;
    result[i] = own < 0 || (shape[own] === 1 && target[i] !== 1) ? 0 : strides[own];
  }
  return result;
}

/**
 * A dimension number in [0, rank), counting from the end when negative. A 0-dim tensor takes 0 and -1.
 * @throws ShapeError
 */
export function normalizeDim(dim: number, rank: number, op?: string): number {
  const bound = Math.max(rank, 1);
  if (!Number.isInteger(dim) || dim < -bound || dim >= bound) {
    throw new ShapeError(
      `Dimension out of range (expected to be in range of [${-bound}, ${bound - 1}], but got ${shown(dim)})`,
      { op },
    );
  }
  return dim < 0 ? dim + bound : dim;
}

/**
 * Dimensions as sorted numbers without repeats; undefined or an empty list means all.
 * @throws ShapeError on a repeated dimension
 */
export function normalizeDims(dims: number | readonly number[] | undefined, rank: number, op?: string): number[] {
  if (dims === undefined || (Array.isArray(dims) && dims.length === 0)) return Array.from({ length: rank }, (_, i) => i);
  const list = (Array.isArray(dims) ? (dims as readonly number[]) : [dims as number]).map((dim) => normalizeDim(dim, rank, op));
  const unique = [...new Set(list)].sort((a, b) => a - b);
  if (unique.length !== list.length) throw new ShapeError(`dim appears multiple times in the list of dims [${list.join(", ")}]`, { op });
  return rank === 0 ? [] : unique;
}

/**
 * Fills in the one size that is -1 so that `numel` elements fit.
 * @throws ShapeError
 */
export function inferSize(sizes: Shape, numel: number, op = "view"): Shape {
  let unknown = -1;
  let known = 1;
  sizes.forEach((size, i) => {
    if (size === -1) {
      if (unknown >= 0) throw new ShapeError("only one dimension can be inferred", { op });
      unknown = i;
    } else if (!Number.isInteger(size) || size < 0) {
      throw new ShapeError(`invalid shape dimension ${size}`, { op });
    } else {
      known *= size;
    }
  });
  if (unknown < 0) {
    if (known !== numel) throw invalidShape(sizes, numel, op);
    return sizes;
  }
  if (known === 0) {
    throw new ShapeError(
      `cannot reshape tensor of ${numel} elements into shape [${sizes.join(", ")}] because the unspecified dimension size -1 can be any value and is ambiguous`,
      { op },
    );
  }
  if (numel % known !== 0) throw invalidShape(sizes, numel, op);
  return sizes.map((size, i) => (i === unknown ? numel / known : size));
}

function invalidShape(sizes: Shape, numel: number, op: string): ShapeError {
  return new ShapeError(`shape '[${sizes.join(", ")}]' is invalid for input of size ${numel}`, { op });
}

/**
 * Strides with which `strides` over `shape` can be seen as `target` without a copy, or undefined where they cannot
 * (PyTorch's computeStride).
 */
export function viewStrides(shape: Shape, strides: readonly number[], target: Shape): number[] | undefined {
  if (numelOf(shape) === 0) return contiguousStrides(target);
  if (shape.length === 0) return target.map(() => 1);
  const result = new Array<number>(target.length);
  let place = target.length - 1;
  let chunkStride = strides[shape.length - 1];
  let chunkElements = 1;
  let placed = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    chunkElements *= shape[i];
    const chunkEnds = i === 0 || (shape[i - 1] !== 1 && strides[i - 1] !== chunkElements * chunkStride);
    if (!chunkEnds) continue;
    while (place >= 0 && (placed < chunkElements || target[place] === 1)) {
      result[place] = placed * chunkStride;
      placed *= target[place];
      place--;
    }
    if (placed !== chunkElements) return undefined;
    if (i > 0) {
      chunkStride = strides[i - 1];
      chunkElements = 1;
      placed = 1;
    }
  }
  return place === -1 ? result : undefined;
}

/** A list of sizes given as `f(2, 3)` or `f([2, 3])`. @throws ShapeError for what is no whole number */
export function sizesOf(sizes: readonly (number | readonly number[])[]): Shape {
  const list = sizes.length === 1 && Array.isArray(sizes[0]) ? (sizes[0] as readonly number[]) : (sizes as readonly number[]);
  for (const size of list) {
    if (!Number.isInteger(size)) throw new ShapeError(`sizes must be whole numbers, got [${list.map(shown).join(", ")}]`);
  }
  return list;
}

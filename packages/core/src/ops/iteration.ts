/** Turning shapes and strides into the fewest loop axes: dimensions of size 1 go, and neighbours merge where every operand allows. */
import type { Shape } from "../tensor/shape.ts";

export interface Iteration {
  readonly sizes: readonly number[];
  /** For each operand its stride along each remaining axis. */
  readonly strides: readonly (readonly number[])[];
}

/**
 * Collapses the iteration space `shape` over operands with these strides. The order of elements is kept. An empty or one-element
 * space becomes one axis.
 */
export function collapse(shape: Shape, strides: readonly (readonly number[])[]): Iteration {
  const operands = strides.length;
  const sizes: number[] = [];
  const result = new Array<number[]>(operands);
  for (let k = 0; k < operands; k++) result[k] = [];
  for (let axis = 0; axis < shape.length; axis++) {
    const size = shape[axis];
    if (size === 1) continue;
    const last = sizes.length - 1;
    let merges = last >= 0;
    for (let k = 0; merges && k < operands; k++) merges = result[k][last] === strides[k][axis] * size;
    if (merges) {
      sizes[last] *= size;
      for (let k = 0; k < operands; k++) result[k][last] = strides[k][axis];
    } else {
      sizes.push(size);
      for (let k = 0; k < operands; k++) result[k].push(strides[k][axis]);
    }
  }
  if (sizes.length === 0) {
    // One element: any stride will do, and 1 lets it share the contiguous kernel.
    sizes.push(1);
    for (const own of result) own.push(1);
  }
  return { sizes, strides: result };
}

/** Turning shapes and strides into the fewest loop axes: dimensions of size 1 go, and neighbours merge where every operand allows. */
import type { InnerStride } from "../kernel/ir.ts";
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
  const sizes: number[] = [];
  const result: number[][] = strides.map(() => []);
  for (let axis = 0; axis < shape.length; axis++) {
    if (shape[axis] === 1) continue;
    const last = sizes.length - 1;
    if (last >= 0 && strides.every((own, k) => result[k][last] === own[axis] * shape[axis])) {
      sizes[last] *= shape[axis];
      strides.forEach((own, k) => (result[k][last] = own[axis]));
    } else {
      sizes.push(shape[axis]);
      strides.forEach((own, k) => result[k].push(own[axis]));
    }
  }
  if (sizes.length === 0) {
    // One element: any stride will do, and 1 lets it share the contiguous kernel.
    sizes.push(1);
    for (const own of result) own.push(1);
  }
  return { sizes, strides: result };
}

/** What a stride along the innermost axis lets a printer assume. */
export function innerStride(stride: number): InnerStride {
  return stride === 0 || stride === 1 ? stride : "any";
}

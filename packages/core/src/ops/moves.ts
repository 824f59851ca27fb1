/** Launches that only move elements: what views, joins and indexed ops are made of. They know values, not tensors. */
import { Graph } from "../kernel/build.ts";
import { innerStride } from "../kernel/ir.ts";
import type { InnerStride } from "../kernel/ir.ts";
import { numelOf, sameShape } from "../tensor/shape.ts";
import { allocate } from "../tensor/value.ts";
import type { LocalValue } from "../tensor/value.ts";
import { fillOp } from "./generate.ts";
import { collapse } from "./iteration.ts";
import { defineElementwise } from "./kinds/elementwise.ts";
import { KernelCache, launch } from "./launch.ts";

const copy = defineElementwise("copy", { kernel: (a) => a });

/** Writes `source`, repeated to the target's shape and converted to its dtype, into `target`. */
export function copyInto(source: LocalValue, target: LocalValue): void {
  if (isSameView(source, target)) return;
  copy.run([source], [], [target], target);
}

/** `value` itself where it is contiguous, else a contiguous copy. */
export function contiguousValue(value: LocalValue): LocalValue {
  if (value.contiguous) return value;
  const fresh = allocate(value.device, value.shape, value.dtype);
  copyInto(value, fresh);
  return fresh;
}

/**
 * Where a result that starts as a copy of `source` is made: in the target of an in-place call, else in fresh memory.
 */
export function startFrom(source: LocalValue, target: LocalValue | undefined): LocalValue {
  const out = target ?? allocate(source.device, source.shape, source.dtype);
  copyInto(source, out);
  return out;
}

function isSameView(a: LocalValue, b: LocalValue): boolean {
  return (
    a.storage === b.storage &&
    a.dtype === b.dtype &&
    a.offset === b.offset &&
    sameShape(a.shape, b.shape) &&
    sameShape(a.strides, b.strides)
  );
}

/** Writes one number into every element of `target`. */
export function fillWith(target: LocalValue, value: number): void {
  fillOp.run([], { shape: target.shape, dtype: target.dtype, params: [value] }, [target], target);
}

const additions = new KernelCache<string>();

/** Adds `source` to `target`, of the same shape; several elements of `target` may be one place in memory. */
export function addInto(source: LocalValue, target: LocalValue): void {
  if (numelOf(target.shape) === 0) return;
  const { sizes, strides } = collapse(target.shape, [source.strides, target.strides]);
  const inner = lastStride(strides[0]);
  const kernel = additions.get(`${source.dtype} ${target.dtype} ${inner} ${sizes.length}`, () => {
    const body = new Graph();
    const value = body.load(0, source.dtype).cast(target.dtype);
    return {
      kind: "loop",
      name: "addInto",
      axes: sizes.length,
      reduced: 0,
      inputs: [{ dtype: source.dtype, inner }],
      // Never "1": lanes could meet in one place.
      outputs: [{ dtype: target.dtype, inner: "any", overwrites: false }],
      scalars: [],
      body: body.nodes,
      accumulators: [],
      step: [],
      epilogue: [],
      stores: [{ output: 0, value: value.id, at: "body", combine: target.dtype === "bool" ? "max" : "add" }],
    };
  });
  launch(
    kernel,
    [
      { value: source, strides: strides[0] },
      { value: target, strides: strides[1] },
    ],
    sizes,
  );
}

export function lastStride(strides: readonly number[]): InnerStride {
  return innerStride(strides[strides.length - 1]);
}

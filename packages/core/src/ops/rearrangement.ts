/** What ops that rearrange elements have in common. */
import { LocalValue } from "../tensor/value.ts";
import { pascal } from "./op.ts";
import type { Op } from "./op.ts";

/** The part of `value` from `start` on, `length` places along `dim`. */
export function part(value: LocalValue, dim: number, start: number, length: number): LocalValue {
  const { shape, strides, offset } = value;
  return new LocalValue(value.storage, value.dtype, shape.with(dim, length), strides, offset + start * strides[dim]);
}

/** An op that writes the elements of its inputs elsewhere: it moves them, and is no view. */
export function rearrangement<A>(name: string, op: Pick<Op<A>, "infer" | "run" | "gradientOf">): Op<A> {
  return { name, kind: "composite", gradName: pascal(name), isView: false, outputs: 1, ...op };
}

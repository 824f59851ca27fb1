/** Data out of tensors: numbers, nested arrays, typed arrays, text. Asynchronous, and blocking where the name ends in Sync. */
import { inspect } from "node:util";
import { ShapeError, ValueError } from "../errors.ts";
import { noGrad } from "../autograd/mode.ts";
import { typedArray } from "./dtype.ts";
import type { DType, TypedArray } from "./dtype.ts";
import { relieve } from "./memory.ts";
import { edgeSlices, formatTensor, shownShape } from "./printing.ts";
import { numelOf } from "./shape.ts";
import type { Shape } from "./shape.ts";
import type { Tensor } from "./tensor.ts";

/** Nested arrays of numbers (int64 beyond 2^53 as bigint) or booleans. */
export type Nested = number | bigint | boolean | Nested[];

/**
 * A private copy of the elements in row-major order. Rejects with the error of the op that failed, if one on the way here did.
 */
export async function data(x: Tensor): Promise<TypedArray> {
  const { value, dtype } = x;
  const bytes = await value.executor.read(value);
  await relieve();
  return asArray(bytes, dtype);
}

/** As `data`, blocking the coordinating thread. */
export function dataSync(x: Tensor): TypedArray {
  return asArray(x.value.executor.readSync(x.value), x.dtype);
}

function asArray(bytes: Uint8Array, dtype: DType): TypedArray {
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
  const probe = typedArray(dtype, new ArrayBuffer(0));
  return typedArray(dtype, aligned.buffer, aligned.byteOffset, aligned.byteLength / probe.BYTES_PER_ELEMENT);
}

/**
 * The one element as a number; bools are 0 and 1.
 * @throws ShapeError unless there is exactly one element; ValueError for an int64 beyond 2^53
 */
export async function item(x: Tensor): Promise<number> {
  assertOne(x);
  return numberOf((await data(x))[0]);
}

/** As `item`, blocking the coordinating thread. */
export function itemSync(x: Tensor): number {
  assertOne(x);
  return numberOf(dataSync(x)[0]);
}

function assertOne(x: Tensor): void {
  if (x.numel() !== 1) {
    throw new ShapeError(`a Tensor with ${x.numel()} elements cannot be converted to Scalar`, { op: "item", remedy: "Use tolist() or data()." });
  }
}

function numberOf(element: number | bigint): number {
  if (typeof element === "number") return element;
  const number = Number(element);
  if (!Number.isSafeInteger(number)) throw new ValueError(`${element} does not fit a number exactly`, { op: "item", remedy: "Use tolist(): it gives a bigint." });
  return number;
}

/** Nested arrays, as deep as the tensor has dimensions; a 0-dim tensor gives its element. */
export async function tolist(x: Tensor): Promise<Nested> {
  return nest(await data(x), x.shape, x.dtype);
}

/** As `tolist`, blocking the coordinating thread. */
export function tolistSync(x: Tensor): Nested {
  return nest(dataSync(x), x.shape, x.dtype);
}

function nest(flat: TypedArray, shape: Shape, dtype: DType): Nested {
  let next = 0;
  const element = (): number | bigint | boolean => {
    const value = flat[next++];
    if (dtype === "bool") return value !== 0;
    if (typeof value === "bigint" && Number.isSafeInteger(Number(value))) return Number(value);
    return value;
  };
  const build = (depth: number): Nested => (depth === shape.length ? element() : Array.from({ length: shape[depth] }, () => build(depth + 1)));
  return build(0);
}

/** The text that PyTorch prints. Blocks until the shown elements are there; of a large tensor only those are read. */
export function text(x: Tensor): string {
  const shown = noGrad(() => shownPart(x));
  return formatTensor({
    dtype: x.dtype,
    shape: x.shape,
    data: dataSync(shown),
    device: x.device.type === "cpu" && x.device.index === 0 ? undefined : x.device.name,
    gradFn: x.gradFn?.name,
    requiresGrad: x.requiresGrad,
  });
}

/** The elements that printing shows: all, or the edges of a large tensor. */
function shownPart(x: Tensor): Tensor {
  if (numelOf(shownShape(x.shape)) === x.numel()) return x;
  let part = x.detach();
  edgeSlices(x.shape).forEach((ranges, dim) => {
    const pieces = ranges.map(([from, to]) => part.narrow(dim, from, to - from));
    part = pieces.length === 1 ? pieces[0] : pieces[0].cat([pieces[1]], dim);
  });
  return part;
}

/** For `console.log`: what PyTorch prints, or why it cannot be. */
export function inspectText(x: Tensor): string {
  try {
    return text(x);
  } catch (error) {
    return `tensor(<${inspect(error instanceof Error ? error.message : error)}>, size=(${x.shape.join(", ")}), dtype=${x.dtype})`;
  }
}

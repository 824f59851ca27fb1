/** JavaScript's data as a tensor's: shape, dtype and bytes of nested lists and typed arrays. */
import { shown } from "../arguments.ts";
import { DTypeError, ShapeError, ValueError } from "../errors.ts";
import { dtypeOfNumber, getDefaultDtype, isFloat, isInteger, itemSize, typedArray } from "./dtype.ts";
import type { DType, TypedArray } from "./dtype.ts";
import { isTensor } from "./tensor.ts";

/** Numbers, booleans, bigints, nested to any depth. */
export type NestedData = number | bigint | boolean | readonly NestedData[];

type Flat = readonly (number | bigint | boolean)[] | TypedArray;

export function flatten(data: NestedData): { shape: number[]; flat: (number | bigint | boolean)[] } {
  const shape: number[] = [];
  for (let level: NestedData = data; Array.isArray(level); level = (level as readonly NestedData[])[0]) {
    shape.push(level.length);
    if (level.length === 0) break;
  }
  const flat: (number | bigint | boolean)[] = [];
  const visit = (item: NestedData, depth: number): void => {
    if (!Array.isArray(item)) {
      if (depth < shape.length) throw ragged(shape[depth], "a number", depth);
      if (typeof item !== "number" && typeof item !== "boolean" && typeof item !== "bigint") throw notANumber(item);
      flat.push(item);
      return;
    }
    const items = item as readonly NestedData[];
    if (depth >= shape.length || items.length !== shape[depth]) throw ragged(shape[depth] ?? 0, `a list of ${items.length}`, depth);
    for (const inner of items) visit(inner, depth + 1);
  };
  visit(data, 0);
  return { shape, flat };
}

function notANumber(item: unknown): DTypeError {
  const remedy = isTensor(item) ? "stack() puts tensors together." : item instanceof Promise ? "Is an await missing?" : undefined;
  return new DTypeError(`tensor(): could not infer dtype of ${item === null ? "null" : typeof item === "object" ? shown(item) : typeof item}`, { op: "tensor", remedy });
}

function ragged(expected: number, got: string, depth: number): ShapeError {
  return new ShapeError(`expected sequence of length ${expected} at dim ${depth} (got ${got})`, { op: "tensor" });
}

export function dtypeOf(flat: Flat, wantsFloat: boolean): DType {
  if (ArrayBuffer.isView(flat)) return dtypeOfArray(flat);
  let dtype: DType = flat.length === 0 ? getDefaultDtype() : "bool";
  for (const item of flat) {
    const own = dtypeOfNumber(item);
    if (isFloat(own)) return own;
    if (own === "int64") dtype = "int64";
  }
  return wantsFloat && isInteger(dtype) ? getDefaultDtype() : dtype;
}

function assertLong(value: bigint): bigint {
  if (BigInt.asIntN(64, value) === value) return value;
  throw new ValueError("Overflow when unpacking long", { op: "tensor", remedy: 'For numbers beyond 2^63 give { dtype: "float32" }.' });
}

function longOf(value: number): bigint {
  if (!Number.isFinite(value)) throw new ValueError(`cannot convert float ${value} to integer`, { op: "tensor" });
  return assertLong(BigInt(Math.trunc(value)));
}

function dtypeOfArray(array: TypedArray): DType {
  if (array instanceof Float32Array) return "float32";
  if (array instanceof Float64Array) return "float64";
  if (array instanceof Int32Array) return "int32";
  if (array instanceof BigInt64Array) return "int64";
  if (array instanceof Uint8Array) return "uint8";
  const { name } = (array as ArrayBufferView).constructor;
  throw new DTypeError(`tensor(): no dtype is that of a ${name}`, { op: "tensor", remedy: "Copy it to an array of another type, for instance Int32Array.from(data)." });
}

export function bytesOf(flat: Flat, dtype: DType): Uint8Array {
  if (ArrayBuffer.isView(flat) && dtypeOfArray(flat) === dtype) return new Uint8Array(flat.buffer, flat.byteOffset, flat.byteLength);
  const target = typedArray(dtype, new ArrayBuffer(flat.length * itemSize(dtype)));
  if (target instanceof BigInt64Array) {
    for (let i = 0; i < flat.length; i++) {
      const item = flat[i];
      target[i] = typeof item === "bigint" ? assertLong(item) : longOf(Number(item));
    }
  } else if (dtype === "bool") {
    for (let i = 0; i < flat.length; i++) target[i] = Number(flat[i]) === 0 ? 0 : 1;
  } else {
    for (let i = 0; i < flat.length; i++) target[i] = Number(flat[i]);
  }
  return new Uint8Array(target.buffer as ArrayBuffer, 0, target.byteLength);
}

/** Element types, their storage and PyTorch's promotion between them. */
import { DTypeError } from "../errors.ts";

export type DType = "float32" | "float64" | "int32" | "int64" | "uint8" | "bool";

/** The typed array in which the host sees a dtype's elements; bools are bytes 0 and 1. */
export type TypedArray = Float32Array | Float64Array | Int32Array | BigInt64Array | Uint8Array;

type Category = "bool" | "integer" | "float";

interface DTypeFacts {
  readonly bytes: 1 | 4 | 8;
  readonly category: Category;
  readonly array: new (buffer: ArrayBufferLike, byteOffset?: number, length?: number) => TypedArray;
  /** Order among the dtypes of one category. */
  readonly width: number;
}

const facts: Readonly<Record<DType, DTypeFacts>> = {
  bool: { bytes: 1, category: "bool", array: Uint8Array, width: 0 },
  uint8: { bytes: 1, category: "integer", array: Uint8Array, width: 0 },
  int32: { bytes: 4, category: "integer", array: Int32Array, width: 1 },
  int64: { bytes: 8, category: "integer", array: BigInt64Array, width: 2 },
  float32: { bytes: 4, category: "float", array: Float32Array, width: 0 },
  float64: { bytes: 8, category: "float", array: Float64Array, width: 1 },
};

export const dtypes = Object.keys(facts) as readonly DType[];

export function isDType(name: unknown): name is DType {
  return typeof name === "string" && Object.hasOwn(facts, name);
}

/** Bytes of one element. */
export function itemSize(dtype: DType): 1 | 4 | 8 {
  return facts[dtype].bytes;
}

export function isFloat(dtype: DType): boolean {
  return facts[dtype].category === "float";
}

/** Integers proper: bool is not one. */
export function isInteger(dtype: DType): boolean {
  return facts[dtype].category === "integer";
}

/** A typed array of `dtype` over `buffer`. */
export function typedArray(dtype: DType, buffer: ArrayBufferLike, byteOffset = 0, length?: number): TypedArray {
  return new facts[dtype].array(buffer, byteOffset, length);
}

const categoryOrder: readonly Category[] = ["bool", "integer", "float"];

function categoryRank(dtype: DType): number {
  return categoryOrder.indexOf(facts[dtype].category);
}

/** The smallest dtype to which both can be converted (`torch.promote_types`). */
export function promoteTypes(a: DType, b: DType): DType {
  if (a === b) return a;
  const byCategory = categoryRank(a) - categoryRank(b);
  if (byCategory !== 0) return byCategory > 0 ? a : b;
  return facts[a].width >= facts[b].width ? a : b;
}

/** How much a participant weighs in promotion: numbers yield to 0-dim tensors, which yield to dimensioned ones. */
export interface Promotable {
  readonly dtype: DType;
  readonly weight: "number" | "scalar" | "tensor";
}

const weights = ["tensor", "scalar", "number"] as const;

/**
 * The common dtype of operands (`torch.result_type`): a lower-priority operand changes the result only where its category is
 * higher, and then only to that category's default.
 */
export function resultType(operands: readonly Promotable[]): DType {
  let result: DType | undefined;
  for (const weight of weights) {
    let group: DType | undefined;
    for (const operand of operands) {
      if (operand.weight !== weight) continue;
      group = group === undefined ? operand.dtype : promoteTypes(group, operand.dtype);
    }
    if (group === undefined) continue;
    if (result === undefined || categoryRank(group) > categoryRank(result)) result = group;
  }
  if (result === undefined) throw new DTypeError("resultType(): no operands");
  return result;
}

let floatDefault: DType = "float32";

/** The dtype of new float tensors (`torch.set_default_dtype`). @throws DTypeError unless a float dtype */
export function setDefaultDtype(dtype: DType): void {
  if (!isDType(dtype) || !isFloat(dtype)) {
    throw new DTypeError(`only floating-point types are supported as the default type, not ${String(dtype)}`);
  }
  floatDefault = dtype;
}

export function getDefaultDtype(): DType {
  return floatDefault;
}

/** The dtype a JavaScript number, bigint or boolean brings to an op: whole numbers are int64, others the default. */
export function dtypeOfNumber(value: number | bigint | boolean): DType {
  if (typeof value === "boolean") return "bool";
  if (typeof value === "bigint") return "int64";
  return Number.isInteger(value) && !Object.is(value, -0) ? "int64" : floatDefault;
}

/** What an op that makes fractions (division, mean, exp) computes in, given its promoted operand dtype. */
export function floatingType(dtype: DType): DType {
  return isFloat(dtype) ? dtype : floatDefault;
}

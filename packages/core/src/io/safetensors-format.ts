/** What the reader and the writer of safetensors files share: constants, errors, the size of a tensor. */

import { TroupeError } from "../errors.ts";
import { itemSize, type DType } from "../tensor/dtype.ts";

/** One tensor as its raw bytes: little-endian, row-major, without padding. */
export interface RawTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** A file's free-form annotations, from text to text. */
export type SafetensorsMetadata = ReadonlyMap<string, string>;

export interface SafetensorsErrorPlace {
  /** The tensor that is at fault. */
  readonly tensor?: string;
  /** The byte of the file that is at fault. */
  readonly byteOffset?: number;
  /** What the reader can do about it. */
  readonly remedy?: string;
}

/** A safetensors file cannot be read, or what was given cannot be written as one. */
export class SafetensorsError extends TroupeError {
  override readonly name = "SafetensorsError";
  readonly tensor: string | undefined;
  readonly byteOffset: number | undefined;

  constructor(message: string, place: SafetensorsErrorPlace, options?: ErrorOptions) {
    const { tensor, byteOffset, remedy } = place;
    const where = [
      ...(tensor === undefined ? [] : [`tensor ${JSON.stringify(tensor)}`]),
      ...(byteOffset === undefined ? [] : [`byte ${byteOffset}`]),
    ];
    super(`safetensors: ${where.length > 0 ? `${where.join(", ")}: ` : ""}${message}`, { remedy }, options);
    this.tensor = tensor;
    this.byteOffset = byteOffset;
  }
}

export const LENGTH_BYTES = 8;
export const MAX_HEADER_BYTES = 100_000_000;
export const METADATA_KEY = "__metadata__";

/** The format's names of Troupe's dtypes. */
export const CODES: Readonly<Record<DType, string>> = {
  int64: "I64",
  float64: "F64",
  float32: "F32",
  int32: "I32",
  uint8: "U8",
  bool: "BOOL",
};

export const DTYPES: ReadonlyMap<string, DType> = new Map(
  Object.entries(CODES).map(([dtype, code]) => [code, dtype as DType]),
);

/** What to do about each sort of fault. */
export const REMEDIES = {
  damaged: "The file is truncated or damaged, or is no safetensors file: fetch or save it again.",
  malformed: "The program that wrote this file breaks the format: save it again with another one.",
  unsupported: `Convert the tensor to one of ${[...DTYPES.keys()].join(", ")} before saving it.`,
  tooLarge: "Save fewer tensors to a file, or shorten names and metadata.",
  caller: "Correct the arguments of the call.",
} as const;

/** Bytes of a tensor: Infinity or inexact beyond 2^53, which no range of offsets equals. */
export function byteLength(dtype: DType, shape: readonly number[]): number {
  const bytes = shape.includes(0) ? 0 : shape.reduce((product, size) => product * size, itemSize(dtype));
  return bytes > Number.MAX_SAFE_INTEGER ? Infinity : bytes;
}

/**
 * Checks that a bool tensor's bytes are 0 and 1.
 *
 * @param byteOffset where `bytes` begin in the file, if they come from one
 */
export function checkBools(name: string, dtype: DType, bytes: Uint8Array, byteOffset?: number): void {
  if (dtype !== "bool") return;
  const index = bytes.findIndex((byte) => byte > 1);
  if (index < 0) return;
  throw new SafetensorsError(`bool element ${index} is the byte ${bytes[index]}, neither 0 nor 1`, {
    tensor: name,
    ...(byteOffset !== undefined && { byteOffset: byteOffset + index }),
    remedy: byteOffset === undefined ? REMEDIES.caller : REMEDIES.damaged,
  });
}

/**
 * The safetensors file format: 8 bytes of header length (little-endian), a JSON header that names each tensor's dtype,
 * shape and place, padded with spaces to a multiple of 8, then the tensors' little-endian bytes without a gap.
 * https://github.com/huggingface/safetensors#format
 *
 * Pure: bytes in, bytes out. Written files equal the reference implementation's bit for bit. Files are read as strictly
 * as the format's text asks, which is stricter than the reference: duplicate keys are refused, the header begins with
 * `{`, and bools are 0 or 1.
 */

import type { DType } from "../tensor/dtype.ts";
import {
  byteLength,
  checkBools,
  CODES,
  DTYPES,
  LENGTH_BYTES,
  MAX_HEADER_BYTES,
  METADATA_KEY,
  REMEDIES,
  SafetensorsError,
  type RawTensor,
  type SafetensorsMetadata,
} from "./safetensors-format.ts";
import { JsonNumber, JsonSyntaxError, parseStrictJson, type JsonObject, type JsonValue } from "./strict-json.ts";

export { SafetensorsError, type RawTensor, type SafetensorsMetadata };

export interface SafetensorsContents {
  /** In the order of their bytes in the file. The bytes are views of the decoded input, at any alignment. */
  readonly tensors: Map<string, RawTensor>;
  /** Absent if the file has none. */
  readonly metadata: SafetensorsMetadata | undefined;
}

const ALIGNMENT = 8;
const OPENING_BRACE = 0x7b;
const SPACE = 0x20;

/** The order of tensors in a file: the reference's dtypes by falling alignment. */
const WRITING_ORDER = Object.keys(CODES);

/**
 * Reads a safetensors file.
 *
 * @param file the whole file
 * @returns the tensors, as views of `file`, and the metadata
 * @throws SafetensorsError if the file departs from the format in any way, or holds a dtype that Troupe does not have
 */
export function decodeSafetensors(file: Uint8Array): SafetensorsContents {
  const headerEnd = readHeaderEnd(file);
  const header = parseHeader(file.subarray(LENGTH_BYTES, headerEnd));
  const data = file.subarray(headerEnd);

  const declared: Declaration[] = [];
  let metadata: SafetensorsMetadata | undefined;
  for (const [name, value] of header) {
    if (name === METADATA_KEY) metadata = readMetadata(value);
    else declared.push(readDeclaration(name, value));
  }
  declared.sort((a, b) => a.start - b.start || a.end - b.end);
  checkCoverage(declared, data.length);

  const tensors = new Map<string, RawTensor>();
  for (const { name, dtype, shape, start, end } of declared) {
    const bytes = data.subarray(start, end);
    checkBools(name, dtype, bytes, headerEnd + start);
    tensors.set(name, { dtype, shape, bytes });
  }
  return { tensors, metadata };
}

/** One tensor's entry in the header; offsets count from the header's end. */
interface Declaration {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
}

function readHeaderEnd(file: Uint8Array): number {
  if (file.length < LENGTH_BYTES) {
    throw new SafetensorsError(`the file has ${file.length} bytes; the header's length alone takes ${LENGTH_BYTES}`, {
      byteOffset: file.length,
      remedy: REMEDIES.damaged,
    });
  }
  const length = new DataView(file.buffer, file.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
  if (length > MAX_HEADER_BYTES) {
    throw new SafetensorsError(`the header claims ${length} bytes; the format allows ${MAX_HEADER_BYTES}`, {
      byteOffset: 0,
      remedy: REMEDIES.damaged,
    });
  }
  const end = LENGTH_BYTES + Number(length);
  if (end > file.length) {
    throw new SafetensorsError(`the header claims ${length} bytes, but only ${file.length - LENGTH_BYTES} follow`, {
      byteOffset: 0,
      remedy: REMEDIES.damaged,
    });
  }
  return end;
}

function parseHeader(bytes: Uint8Array): JsonObject {
  if (bytes[0] !== OPENING_BRACE) {
    throw new SafetensorsError('the header does not begin with "{"', {
      byteOffset: LENGTH_BYTES,
      remedy: REMEDIES.damaged,
    });
  }
  let text: string;
  try {
    // A copy, since TextDecoder need not take shared memory.
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(new Uint8Array(bytes));
  } catch (cause) {
    throw new SafetensorsError("the header is not valid UTF-8", { remedy: REMEDIES.damaged }, { cause });
  }
  try {
    // The first character is a brace: what parses is an object.
    return parseStrictJson(text) as JsonObject;
  } catch (cause) {
    if (!(cause instanceof JsonSyntaxError)) throw cause;
    const byteOffset = LENGTH_BYTES + Buffer.byteLength(text.slice(0, cause.position));
    throw new SafetensorsError(
      `the header is not valid JSON: ${cause.message}`,
      { byteOffset, remedy: REMEDIES.malformed },
      { cause },
    );
  }
}

function readMetadata(value: JsonValue): SafetensorsMetadata | undefined {
  if (value === null) return undefined;
  if (!(value instanceof Map)) {
    throw new SafetensorsError(`${METADATA_KEY} is not an object`, { remedy: REMEDIES.malformed });
  }
  const metadata = new Map<string, string>();
  for (const [key, text] of value) {
    if (typeof text !== "string") {
      throw new SafetensorsError(`${METADATA_KEY}: the value of ${JSON.stringify(key)} is not a string`, {
        remedy: REMEDIES.malformed,
      });
    }
    metadata.set(key, text);
  }
  return metadata;
}

function readDeclaration(name: string, value: JsonValue): Declaration {
  const fail = (message: string, remedy: string = REMEDIES.malformed): never => {
    throw new SafetensorsError(message, { tensor: name, remedy });
  };
  if (!(value instanceof Map)) return fail("its entry in the header is not an object");
  const code = value.get("dtype");
  if (typeof code !== "string") return fail("dtype is missing or not a string");
  const dtype = DTYPES.get(code);
  if (dtype === undefined) return fail(`Troupe has no dtype for ${JSON.stringify(code)}`, REMEDIES.unsupported);
  const shape = readSizes(value.get("shape"));
  if (shape === undefined) return fail("shape is missing or not an array of integers from 0 to 2^53 - 1");
  const offsets = readSizes(value.get("data_offsets"));
  if (offsets?.length !== 2) return fail("data_offsets is missing or not an array of two integers from 0 to 2^53 - 1");
  const [start, end] = offsets;
  if (start > end) return fail(`data_offsets [${start}, ${end}] end before they start`);
  const expected = byteLength(dtype, shape);
  if (end - start !== expected) {
    const span = end - start;
    return fail(`data_offsets [${start}, ${end}] span ${span} bytes; ${code} [${shape.join(", ")}] takes ${expected}`);
  }
  return { name, dtype, shape, start, end };
}

/** An array of non-negative safe integers in plain digits, or undefined if `value` is anything else. */
function readSizes(value: JsonValue | undefined): number[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const sizes: number[] = [];
  for (const item of value) {
    if (!(item instanceof JsonNumber) || !/^\d+$/.test(item.literal)) return undefined;
    sizes.push(Number(item.literal));
  }
  return sizes.every(Number.isSafeInteger) ? sizes : undefined;
}

/** Every byte of the data belongs to exactly one tensor. */
function checkCoverage(declared: readonly Declaration[], dataLength: number): void {
  let covered = 0;
  for (const { name, start, end } of declared) {
    if (start !== covered) {
      const problem = start < covered ? "overlap another tensor's" : `leave a hole from ${covered}`;
      throw new SafetensorsError(`data_offsets [${start}, ${end}] ${problem}`, {
        tensor: name,
        remedy: REMEDIES.malformed,
      });
    }
    if (end > dataLength) {
      throw new SafetensorsError(`data_offsets [${start}, ${end}] pass the end of the ${dataLength} data bytes`, {
        tensor: name,
        remedy: REMEDIES.damaged,
      });
    }
    covered = end;
  }
  if (covered !== dataLength) {
    throw new SafetensorsError(`the file has ${dataLength} data bytes, of which the tensors take ${covered}`, {
      remedy: REMEDIES.damaged,
    });
  }
}

/**
 * Writes a safetensors file, bit for bit as the reference implementation does: tensors by falling alignment of their
 * dtype, then by name in code point order, whatever their order here. (The reference writes several metadata entries in
 * no fixed order; here they keep theirs.)
 *
 * @param entries names and tensors
 * @throws SafetensorsError for a name that is used twice, reserved or not valid Unicode, for bytes that do not fit
 *   dtype and shape, or for a header beyond the format's limit
 */
export function encodeSafetensors(
  entries: Iterable<readonly [string, RawTensor]>,
  metadata?: SafetensorsMetadata,
): Uint8Array<ArrayBuffer> {
  const sorted = [...entries].sort(inWritingOrder);
  const names = new Set<string>();
  for (const [name, tensor] of sorted) {
    checkEntry(name, tensor, names.has(name));
    names.add(name);
  }
  const header = encodeHeader(sorted, metadata);
  const dataLength = sorted.reduce((total, [, { bytes }]) => total + bytes.length, 0);

  const file = new Uint8Array(LENGTH_BYTES + header.length + dataLength);
  new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
  file.set(header, LENGTH_BYTES);
  let position = LENGTH_BYTES + header.length;
  for (const [, { bytes }] of sorted) {
    file.set(bytes, position);
    position += bytes.length;
  }
  return file;
}

type Entry = readonly [name: string, tensor: RawTensor];

function inWritingOrder([leftName, left]: Entry, [rightName, right]: Entry): number {
  const byDType = WRITING_ORDER.indexOf(left.dtype) - WRITING_ORDER.indexOf(right.dtype);
  // UTF-8 sorts by code point, which strings' own order (UTF-16) does not beyond U+FFFF.
  return byDType || Buffer.compare(Buffer.from(leftName), Buffer.from(rightName));
}

function checkEntry(name: string, { dtype, shape, bytes }: RawTensor, duplicate: boolean): void {
  const fail = (message: string): never => {
    throw new SafetensorsError(message, { tensor: name, remedy: REMEDIES.caller });
  };
  if (duplicate) fail("two tensors have this name");
  if (name === METADATA_KEY) fail("this name is reserved for the metadata");
  if (!name.isWellFormed()) fail("the name has an unpaired surrogate and cannot be written as UTF-8");
  if (!Object.hasOwn(CODES, dtype)) fail(`${dtype} is not a dtype`);
  if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0)) fail(`[${shape.join(", ")}] is not a shape`);
  const expected = byteLength(dtype, shape);
  if (bytes.length !== expected) {
    fail(`${dtype} [${shape.join(", ")}] takes ${expected} bytes, but ${bytes.length} were given`);
  }
  checkBools(name, dtype, bytes);
}

function encodeHeader(entries: readonly Entry[], metadata: SafetensorsMetadata | undefined): Uint8Array {
  // Built by hand: an object would move names that look like integers to the front.
  const members: string[] = [];
  if (metadata !== undefined) members.push(`"${METADATA_KEY}":${encodeMetadata(metadata)}`);
  let start = 0;
  for (const [name, { dtype, shape, bytes }] of entries) {
    const end = start + bytes.length;
    const declaration = JSON.stringify({ dtype: CODES[dtype], shape, data_offsets: [start, end] });
    members.push(`${JSON.stringify(name)}:${declaration}`);
    start = end;
  }
  const json = new TextEncoder().encode(`{${members.join(",")}}`);
  const header = new Uint8Array(Math.ceil(json.length / ALIGNMENT) * ALIGNMENT).fill(SPACE);
  if (header.length > MAX_HEADER_BYTES) {
    throw new SafetensorsError(`the header takes ${header.length} bytes; the format allows ${MAX_HEADER_BYTES}`, {
      remedy: REMEDIES.tooLarge,
    });
  }
  header.set(json);
  return header;
}

function encodeMetadata(metadata: SafetensorsMetadata): string {
  const members = Array.from(metadata, ([key, value]) => {
    if (typeof value !== "string" || !key.isWellFormed() || !value.isWellFormed()) {
      throw new SafetensorsError(`metadata: ${JSON.stringify(key)} or its value is not valid Unicode text`, {
        remedy: REMEDIES.caller,
      });
    }
    return `${JSON.stringify(key)}:${JSON.stringify(value)}`;
  });
  return `{${members.join(",")}}`;
}

import { readFileSync } from "node:fs";

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { TroupeError } from "../src/errors.ts";
import { decodeSafetensors, encodeSafetensors, SafetensorsError, type RawTensor } from "../src/io/safetensors.ts";
import { JsonNumber, parseStrictJson } from "../src/io/strict-json.ts";
import { dtypes, itemSize, type DType } from "../src/tensor/dtype.ts";

/** What scripts/safetensors/dump.py writes: `file` is the reference library's own. */
interface ReferenceFile {
  metadata: Record<string, string> | null;
  tensors: [name: string, dtype: DType, shape: number[], bytes: string][];
  file: string;
}

const referenceFiles: ReferenceFile[] = JSON.parse(
  readFileSync(new URL("../fixtures/safetensors.json", import.meta.url), "utf8"),
);

function bytesOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, "hex"));
}

/** A file of this header, unpadded, and these data bytes. */
function fileOf(header: string | Uint8Array, data: readonly number[] = [], claimed?: number | bigint): Uint8Array {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const file = new Uint8Array(8 + text.length + data.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(claimed ?? text.length), true);
  file.set(text, 8);
  file.set(data, 8 + text.length);
  return file;
}

function headerOf(file: Uint8Array): string {
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  return new TextDecoder().decode(file.subarray(8, 8 + length));
}

function errorOf(action: () => unknown): SafetensorsError {
  try {
    action();
  } catch (error) {
    if (error instanceof SafetensorsError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

const names = fc.string({ unit: "grapheme", maxLength: 12 }).filter((name) => name !== "__metadata__");
const tensors: fc.Arbitrary<RawTensor> = fc
  .record({
    dtype: fc.constantFrom(...dtypes),
    shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }),
  })
  .chain(({ dtype, shape }) => {
    const length = shape.reduce((product, size) => product * size, itemSize(dtype));
    const max = dtype === "bool" ? 1 : 255;
    return fc
      .uint8Array({ minLength: length, maxLength: length, max })
      .map((bytes): RawTensor => ({ dtype, shape, bytes }));
  });
const collections = fc
  .uniqueArray(fc.tuple(names, tensors), { selector: ([name]) => name, maxLength: 6 })
  .map((entries) => new Map(entries));
const metadatas = fc.option(
  fc.array(fc.tuple(names, names)).map((entries) => new Map(entries)),
  { nil: undefined },
);

describe("a safetensors file", () => {
  test.each(referenceFiles)("equals the reference library's bit for bit: $tensors", ({ metadata, tensors, file }) => {
    const entries = tensors.map(
      ([name, dtype, shape, hex]) => [name, { dtype, shape, bytes: bytesOf(hex) }] as const,
    );
    const map = metadata === null ? undefined : new Map(Object.entries(metadata));
    expect(encodeSafetensors(entries, map)).toEqual(bytesOf(file));
    expect(encodeSafetensors(entries.toReversed(), map)).toEqual(bytesOf(file));

    const decoded = decodeSafetensors(bytesOf(file));
    expect(decoded.metadata).toEqual(map);
    expect(decoded.tensors).toEqual(new Map(entries));
  });

  test("reads back what was written, and is written the same again", () => {
    fc.assert(
      fc.property(collections, metadatas, (entries, metadata) => {
        const file = encodeSafetensors(entries, metadata);
        const decoded = decodeSafetensors(file);
        expect(decoded.tensors).toEqual(entries);
        expect(decoded.metadata).toEqual(metadata);
        expect(encodeSafetensors(decoded.tensors, decoded.metadata)).toEqual(file);
      }),
    );
  });

  test("starts its data at a multiple of 8, and each tensor at a multiple of its element size", () => {
    fc.assert(
      fc.property(collections, metadatas, (entries, metadata) => {
        for (const { dtype, bytes } of decodeSafetensors(encodeSafetensors(entries, metadata)).tensors.values()) {
          expect(bytes.byteOffset % itemSize(dtype)).toBe(0);
        }
      }),
    );
  });

  test("is read without a copy, at any offset of a larger buffer, shared memory included", () => {
    const file = encodeSafetensors([["x", { dtype: "uint8", shape: [2], bytes: Uint8Array.of(5, 6) }]]);
    const buffer = new SharedArrayBuffer(file.length + 3);
    const shifted = new Uint8Array(buffer, 3);
    shifted.set(file);
    const bytes = decodeSafetensors(shifted).tensors.get("x")?.bytes;
    expect(bytes?.buffer).toBe(buffer);
    shifted[shifted.length - 1] = 9;
    expect([...(bytes ?? [])]).toEqual([5, 9]);
  });

  test("may list tensors in any order, hold extra fields and lack padding", () => {
    const header =
      '{"b":{"data_offsets":[1,2],"dtype":"U8","shape":[1],"note":[1.5,{"x":null}]},' +
      '"a":{"dtype":"BOOL","shape":[1,1],"data_offsets":[0,1]},"__metadata__":null}  \n';
    const { tensors, metadata } = decodeSafetensors(fileOf(header, [1, 7]));
    expect([...tensors.keys()]).toEqual(["a", "b"]);
    expect(tensors.get("b")?.bytes).toEqual(Uint8Array.of(7));
    expect(metadata).toBeUndefined();
  });

  test("keeps the order of several metadata entries", () => {
    const metadata = new Map([["b", "1"], ["10", "2"], ["a", "3"], ["2", "4"]]);
    expect(headerOf(encodeSafetensors([], metadata)).trimEnd()).toBe(
      '{"__metadata__":{"b":"1","10":"2","a":"3","2":"4"}}',
    );
  });
});

/** The header of a file with one tensor, "a". */
function one(fields: string): string {
  return `{"a":{${fields}}}`;
}

function u8(shape: string, end: number): string {
  return one(`"dtype":"U8","shape":${shape},"data_offsets":[0,${end}]`);
}

const valid = '"dtype":"U8","shape":[1],"data_offsets":[0,1]';
const invalidUtf8 = Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d);
const byteOrderMark = Uint8Array.of(0xef, 0xbb, 0xbf, 0x7b, 0x7d);

describe("a corrupt file is refused with what is wrong, where, and a remedy", () => {
  test.each<[string, Uint8Array, RegExp, { tensor?: string; byteOffset?: number }?]>([
    ["an empty file", new Uint8Array(0), /has 0 bytes/, { byteOffset: 0 }],
    ["a file without a whole header length", new Uint8Array(7), /has 7 bytes/, { byteOffset: 7 }],
    ["a header beyond the limit", fileOf("{}", [], 100_000_001), /allows 100000000/, { byteOffset: 0 }],
    ["a header length beyond any number", fileOf("{}", [], 2n ** 64n - 1n), /18446744073709551615/],
    ["a header past the end", fileOf("{}", [], 3), /claims 3 bytes, but only 2 follow/],
    ["an empty header", fileOf(""), /does not begin with "\{"/, { byteOffset: 8 }],
    ["whitespace before the brace", fileOf(" {}"), /does not begin/],
    ["a byte order mark", fileOf(byteOrderMark), /does not begin/],
    ["a header that is no object", fileOf("[]"), /does not begin/],
    ["invalid UTF-8", fileOf(invalidUtf8), /not valid UTF-8/],
    ["text after the object", fileOf("{}\0"), /not valid JSON: unexpected text/, { byteOffset: 10 }],
    ["an unfinished object", fileOf('{"é":'), /not valid JSON: unexpected end/, { byteOffset: 14 }],
    ["a trailing comma", fileOf(`{"a":{${valid}},}`, [1]), /expected a key/],
    ["a raw control character", fileOf('{"a\n":1}'), /control character/],
    ["an unpaired surrogate", fileOf(String.raw`{"\ud800":1}`), /unpaired surrogate/],
    ["a deep nest", fileOf(`{"a":${"[".repeat(100_000)}`), /nested deeper/],
    ["two tensors of a name", fileOf(`{"a":{${valid}},"a":{${valid}}}`, [1]), /duplicate key "a"/],
    ["a name twice, once escaped", fileOf(String.raw`{"a":{${valid}},"\u0061":{${valid}}}`, [1]), /duplicate key "a"/],
    ["a field twice", fileOf(one(`${valid},"dtype":"U8"`), [1]), /duplicate key "dtype"/],
    ["two metadata sections", fileOf('{"__metadata__":{},"__metadata__":{}}'), /duplicate key "__metadata__"/],
    ["a metadata key twice", fileOf('{"__metadata__":{"k":"1","k":"2"}}'), /duplicate key "k"/],
    ["metadata that is no object", fileOf('{"__metadata__":[]}'), /__metadata__ is not an object/],
    ["a metadata value that is no string", fileOf('{"__metadata__":{"k":1}}'), /"k" is not a string/],
    ["an entry that is no object", fileOf('{"a":["U8",[1],[0,1]]}', [1]), /not an object/, { tensor: "a" }],
    ["no dtype", fileOf(one('"shape":[1],"data_offsets":[0,1]'), [1]), /dtype is missing/, { tensor: "a" }],
    ["an unknown dtype", fileOf(one('"dtype":"BF16","shape":[1],"data_offsets":[0,2]'), [1, 2]), /no dtype for "BF16"/],
    ["a dtype in lower case", fileOf(one('"dtype":"u8","shape":[1],"data_offsets":[0,1]'), [1]), /no dtype for "u8"/],
    ["no shape", fileOf(one('"dtype":"U8","data_offsets":[0,1]'), [1]), /shape is missing/, { tensor: "a" }],
    ["a negative size", fileOf(u8("[-1]", 1), [1]), /shape is missing or not/],
    ["a size of minus zero", fileOf(u8("[-0]", 0)), /shape is missing or not/],
    ["a fractional size", fileOf(u8("[1.0]", 1), [1]), /shape is missing or not/],
    ["an exponent", fileOf(u8("[1e0]", 1), [1]), /shape is missing or not/],
    ["a size with a leading zero", fileOf(u8("[01]", 1), [1]), /not valid JSON/],
    ["a size past 2^53", fileOf(u8("[9007199254740993]", 1), [1]), /2\^53/],
    [
      "a shape whose product overflows",
      fileOf(u8("[4294967296,4294967296,4294967296]", 1), [1]),
      /takes Infinity/,
    ],
    ["no offsets", fileOf(one('"dtype":"U8","shape":[1]'), [1]), /data_offsets is missing/, { tensor: "a" }],
    ["three offsets", fileOf(one('"dtype":"U8","shape":[1],"data_offsets":[0,1,2]'), [1]), /array of two/],
    ["offsets in reverse", fileOf(one('"dtype":"U8","shape":[1],"data_offsets":[1,0]'), [1]), /end before they start/],
    ["bytes that do not fit the shape", fileOf(u8("[2]", 1), [1]), /span 1 bytes; U8 \[2\] takes 2/],
    ["data cut short", fileOf(one(valid), []), /pass the end of the 0 data bytes/, { tensor: "a" }],
    ["data too long", fileOf(one(valid), [1, 2]), /has 2 data bytes, of which the tensors take 1/],
    ["data without tensors", fileOf("{}", [1]), /tensors take 0/],
    ["a hole at the start", fileOf(one('"dtype":"U8","shape":[1],"data_offsets":[1,2]'), [1, 2]), /hole from 0/],
    [
      "a hole between tensors",
      fileOf(`{"a":{${valid}},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, [1, 2, 3]),
      /hole from 1/,
      { tensor: "b" },
    ],
    ["an overlap", fileOf(`{"a":{${valid}},"b":{${valid}}}`, [1]), /overlap/, { tensor: "b" }],
    [
      "a bool that is neither 0 nor 1",
      fileOf(one('"dtype":"BOOL","shape":[3],"data_offsets":[0,3]'), [0, 1, 2]),
      /bool element 2 is the byte 2/,
      { tensor: "a", byteOffset: 65 },
    ],
  ])("%s", (_, file, message, place = {}) => {
    const error = errorOf(() => decodeSafetensors(file));
    expect(error).toBeInstanceOf(TroupeError);
    expect(error.message).toMatch(message);
    expect(error.place.remedy).toMatch(/\.$/);
    expect(error.message).toContain(error.place.remedy);
    expect(error).toMatchObject(place);
  });

  test("every truncation of a file is refused", () => {
    fc.assert(
      fc.property(collections, metadatas, fc.double({ min: 0, max: 1, noNaN: true }), (entries, metadata, part) => {
        const file = encodeSafetensors(entries, metadata);
        const length = Math.min(file.length - 1, Math.floor(part * file.length));
        expect(errorOf(() => decodeSafetensors(file.subarray(0, length)))).toBeInstanceOf(SafetensorsError);
      }),
    );
  });

  test("any damage to the header yields either a typed error or tensors that tile the data", () => {
    fc.assert(
      fc.property(collections, fc.nat(), fc.integer({ min: 0, max: 255 }), (entries, at, byte) => {
        const file = encodeSafetensors(entries);
        const headerEnd = 8 + headerOf(file).length;
        file[at % Math.min(headerEnd, file.length)] = byte;
        try {
          const sizes = Array.from(decodeSafetensors(file).tensors.values(), ({ bytes }) => bytes.length);
          const end = 8 + Number(new DataView(file.buffer).getBigUint64(0, true));
          expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(file.length - end);
        } catch (error) {
          if (!(error instanceof SafetensorsError)) throw error;
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("what cannot be written is refused at the call", () => {
  const bytes = Uint8Array.of(1);
  const tensor: RawTensor = { dtype: "uint8", shape: [1], bytes };

  test.each<[string, [string, RawTensor][], RegExp]>([
    ["two tensors of a name", [["a", tensor], ["a", tensor]], /two tensors have this name/],
    ["a reserved name", [["__metadata__", tensor]], /reserved/],
    ["a name that is not Unicode", [["\ud800", tensor]], /unpaired surrogate/],
    ["too few bytes", [["a", { dtype: "float32", shape: [1], bytes }]], /takes 4 bytes, but 1 were given/],
    ["a negative size", [["a", { dtype: "uint8", shape: [-1], bytes }]], /not a shape/],
    ["a fractional size", [["a", { dtype: "uint8", shape: [0.5, 2], bytes }]], /not a shape/],
    ["an unknown dtype", [["a", { dtype: "float16" as DType, shape: [1], bytes }]], /float16 is not a dtype/],
    ["a bool that is neither 0 nor 1", [["a", { dtype: "bool", shape: [1], bytes: Uint8Array.of(2) }]], /byte 2/],
  ])("%s", (_, entries, message) => {
    const error = errorOf(() => encodeSafetensors(entries));
    expect(error.message).toMatch(message);
    expect(error.tensor).toBe(entries[0]?.[0]);
  });

  test("metadata that is not text", () => {
    for (const value of [1 as unknown as string, "\udfff"]) {
      expect(errorOf(() => encodeSafetensors([], new Map([["k", value]]))).message).toMatch(/metadata: "k"/);
    }
  });

  test("a header beyond the format's limit", () => {
    const metadata = new Map([["k", "x".repeat(100_000_000)]]);
    expect(errorOf(() => encodeSafetensors([], metadata)).message).toMatch(/allows 100000000/);
  });
});

test("the header's JSON is read as JSON.parse reads it, where no key repeats", () => {
  const plain = (value: unknown): unknown => {
    if (value instanceof Map) return new Map(Array.from(value, ([key, item]) => [key, plain(item)]));
    if (Array.isArray(value)) return value.map(plain);
    return value instanceof JsonNumber ? Number(value.literal) : value;
  };
  const mapped = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(mapped);
    if (value === null || typeof value !== "object") return value;
    return new Map(Object.entries(value).map(([key, item]) => [key, mapped(item)]));
  };
  fc.assert(
    fc.property(fc.json({ stringUnit: "grapheme" }), (text) => {
      expect(plain(parseStrictJson(` ${text}\n`))).toEqual(mapped(JSON.parse(text)));
    }),
    { numRuns: 300 },
  );
});

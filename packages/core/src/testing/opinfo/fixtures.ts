/**
 * Loader of PyTorch's OpInfo samples: each op's arguments, results, gradients and errors, as PyTorch computed them.
 * The files are written by scripts/opinfo/dump.py; the README beside it says what they hold.
 */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import type { DType, TypedArray } from "../../tensor/dtype.ts";

/** A tensor of a sample. `data` is in contiguous (row-major) order whatever the strides, and private to this value. */
export interface TensorValue {
  readonly kind: "tensor";
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Strides in elements that the tensor had in PyTorch; `stridedStorage` lays the data out by them. */
  readonly strides: readonly number[];
  readonly data: TypedArray;
  readonly requiresGrad: boolean;
}

/** A Python number; `float` tells 1.0 from 1, which PyTorch's promotion does too. */
export interface NumberValue {
  readonly kind: "number";
  readonly value: number;
  readonly float: boolean;
}

/** Python's start:stop:step. */
export interface SliceValue {
  readonly kind: "slice";
  readonly start: number | null;
  readonly stop: number | null;
  readonly step: number | null;
}

/** An argument or a result of a sample. `ellipsis` is Python's `...`; `none` its None. */
export type Value =
  | TensorValue
  | NumberValue
  | { readonly kind: "boolean"; readonly value: boolean }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "none" }
  | { readonly kind: "ellipsis" }
  | { readonly kind: "list" | "tuple"; readonly items: readonly Value[] }
  | SliceValue
  | { readonly kind: "dtype"; readonly dtype: DType }
  | { readonly kind: "module"; readonly name: string };

/** How an op is called: PyTorch's positional and keyword (snake case) arguments. */
export interface CallArguments {
  readonly args: readonly Value[];
  readonly kwargs: Readonly<Record<string, Value>>;
}

/** A sample copied into non-contiguous tensors; operands of two dtypes; infinities, NaN and the like. */
export type Made = "noncontiguous" | "promotion" | "special";

/** One call and what PyTorch answers. */
export interface SampleCase extends CallArguments {
  /** The dtype that the sample was drawn for, or the first operand's. */
  readonly dtype: DType;
  /** What the dump script made of OpInfo's operands, or in their place; null for OpInfo's own. */
  readonly made: Made | null;
  readonly out: Value;
  /**
   * Gradients of the leaves (`leavesOf`, in that order) for the fixed `cotangent` of each output that requires a
   * gradient, null for a leaf that has none; null where nothing is differentiable.
   */
  readonly grad: readonly (TensorValue | null)[] | null;
  /** Gradients, with respect to the leaves, of the sum of the squares of all elements of `grad`. */
  readonly gradgrad: readonly (TensorValue | null)[] | null;
  /** What the call left in its argument tensors (`tensorsOf`, in that order) where it changed them, else null. */
  readonly updated: readonly (TensorValue | null)[] | null;
}

/** A call that PyTorch refuses. */
export interface ErrorCase extends CallArguments {
  /** Python's exception class, for instance "RuntimeError". */
  readonly type: string;
  /** A regular expression (Python's syntax) that PyTorch's message matches. */
  readonly regex: string;
}

export interface Entry {
  /** OpInfo's name and variant, for instance "max.reduction_with_dim". */
  readonly name: string;
  /** OpInfo's name, for instance "max". */
  readonly function: string;
  readonly aliases: readonly string[];
  readonly dtypes: readonly DType[];
  readonly cases: readonly SampleCase[];
  readonly errors: readonly ErrorCase[];
}

interface Index {
  readonly pytorch: string;
  readonly entries: Readonly<Record<string, { readonly function: string; readonly pack: string }>>;
}

interface PackedTensor {
  readonly t: DType;
  readonly shape: readonly number[];
  readonly at: number;
  readonly strides?: readonly number[];
  readonly grad?: 1;
}

type PackedValue =
  | null
  | boolean
  | number
  | string
  | PackedValue[]
  | PackedTensor
  | { readonly tuple: PackedValue[] }
  | { readonly float: string }
  | { readonly dtype: DType }
  | { readonly slice: readonly [start: number | null, stop: number | null, step: number | null] }
  | { readonly module: string }
  | { readonly ellipsis: 1 };

interface PackedCall {
  readonly args: readonly PackedValue[];
  readonly kwargs: Readonly<Record<string, PackedValue>>;
}

interface PackedCase extends PackedCall {
  readonly dtype: DType;
  readonly made?: Made;
  readonly out: PackedValue;
  readonly grad?: readonly (PackedTensor | null)[];
  readonly gradgrad?: readonly (PackedTensor | null)[];
  readonly updated?: readonly (PackedTensor | null)[];
}

interface PackedEntry {
  readonly entry: string;
  readonly function: string;
  readonly aliases: readonly string[];
  readonly dtypes: readonly DType[];
  readonly cases: readonly PackedCase[];
  readonly errors: readonly (PackedCall & { readonly type: string; readonly regex: string })[];
  /** First byte and length of the entry's tensors in the pack. */
  readonly blob: readonly [number, number];
}

interface Pack {
  readonly entries: ReadonlyMap<string, PackedEntry>;
  readonly tensors: Uint8Array;
}

const folder = new URL("../../../fixtures/opinfo/", import.meta.url);
const packs = new Map<string, Pack>();
let index: Index | undefined;

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const satisfies Record<DType, unknown>;

function readIndex(): Index {
  index ??= JSON.parse(readFileSync(new URL("index.json", folder), "utf8")) as Index;
  return index;
}

/** The names of all entries, sorted. */
export function entryNames(): string[] {
  return Object.keys(readIndex().entries);
}

/** OpInfo's op name of an entry: "max.binary" -> "max". @throws RangeError for an unknown entry */
export function functionOf(entry: string): string {
  return indexed(entry).function;
}

/** Reads one entry, its pack once. @throws RangeError for an unknown entry */
export function loadEntry(name: string): Entry {
  const pack = openPack(indexed(name).pack);
  const packed = pack.entries.get(name);
  if (packed === undefined) throw new RangeError(`OpInfo entry ${name} is not in its pack: write the fixtures anew`);
  const [start, length] = packed.blob;
  return decodeEntry(packed, pack.tensors.subarray(start, start + length));
}

function indexed(name: string): Index["entries"][string] {
  const { entries } = readIndex();
  const found = Object.hasOwn(entries, name) ? entries[name] : undefined;
  if (found === undefined) throw new RangeError(`no OpInfo entry ${name}: add it to scripts/opinfo/ops.txt`);
  return found;
}

function openPack(file: string): Pack {
  let pack = packs.get(file);
  if (pack === undefined) {
    const bytes = gunzipSync(readFileSync(new URL(file, folder)));
    const end = 4 + bytes.readUInt32LE(0);
    const entries = JSON.parse(bytes.toString("utf8", 4, end)) as readonly PackedEntry[];
    const tensors = new Uint8Array(bytes.buffer, bytes.byteOffset + end, bytes.length - end);
    pack = { entries: new Map(entries.map((entry) => [entry.entry, entry])), tensors };
    packs.set(file, pack);
  }
  return pack;
}

function decodeEntry(packed: PackedEntry, blob: Uint8Array): Entry {
  const call = ({ args, kwargs }: PackedCall): CallArguments => ({
    args: args.map((value) => decodeValue(value, blob)),
    kwargs: Object.fromEntries(Object.entries(kwargs).map(([key, value]) => [key, decodeValue(value, blob)])),
  });
  const tensors = (list: readonly (PackedTensor | null)[] | undefined) =>
    list?.map((tensor) => (tensor === null ? null : decodeTensor(tensor, blob))) ?? null;
  return {
    name: packed.entry,
    function: packed.function,
    aliases: packed.aliases,
    dtypes: packed.dtypes,
    cases: packed.cases.map((one) => ({
      ...call(one),
      dtype: one.dtype,
      made: one.made ?? null,
      out: decodeValue(one.out, blob),
      grad: tensors(one.grad),
      gradgrad: tensors(one.gradgrad),
      updated: tensors(one.updated),
    })),
    errors: packed.errors.map((one) => ({ ...call(one), type: one.type, regex: one.regex })),
  };
}

function decodeValue(packed: PackedValue, blob: Uint8Array): Value {
  if (packed === null) return { kind: "none" };
  if (typeof packed === "boolean") return { kind: "boolean", value: packed };
  if (typeof packed === "number") return { kind: "number", value: packed, float: !Number.isInteger(packed) };
  if (typeof packed === "string") return { kind: "string", value: packed };
  const items = (list: PackedValue[]) => list.map((item) => decodeValue(item, blob));
  if (Array.isArray(packed)) return { kind: "list", items: items(packed) };
  if ("t" in packed) return decodeTensor(packed, blob);
  if ("tuple" in packed) return { kind: "tuple", items: items(packed.tuple) };
  if ("float" in packed) return { kind: "number", value: pythonFloat(packed.float), float: true };
  if ("dtype" in packed) return { kind: "dtype", dtype: packed.dtype };
  if ("module" in packed) return { kind: "module", name: packed.module };
  if ("ellipsis" in packed) return { kind: "ellipsis" };
  const [start, stop, step] = packed.slice;
  return { kind: "slice", start, stop, step };
}

function pythonFloat(text: string): number {
  if (text === "inf") return Infinity;
  return text === "-inf" ? -Infinity : Number(text);
}

function decodeTensor({ t: dtype, shape, at, strides, grad }: PackedTensor, blob: Uint8Array): TensorValue {
  const array = arrays[dtype];
  const bytes = sizeOf(shape) * array.BYTES_PER_ELEMENT;
  const data = new array(blob.slice(at, at + bytes).buffer);
  return {
    kind: "tensor",
    dtype,
    shape,
    strides: strides ?? contiguousStrides(shape),
    data,
    requiresGrad: grad === 1,
  };
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function contiguousStrides(shape: readonly number[]): number[] {
  const strides: number[] = [];
  let stride = 1;
  for (const size of shape.toReversed()) {
    strides.unshift(stride);
    stride *= Math.max(size, 1);
  }
  return strides;
}

/** The tensors among values, depth first. Of a call: `tensorsOf([...args, ...Object.values(kwargs)])`. */
export function tensorsOf(values: readonly Value[]): TensorValue[] {
  return values.flatMap((value) => {
    if (value.kind === "tensor") return [value];
    return value.kind === "list" || value.kind === "tuple" ? tensorsOf(value.items) : [];
  });
}

/** The argument tensors of a call that require gradients, in the order of `grad` and `gradgrad`. */
export function leavesOf({ args, kwargs }: CallArguments): TensorValue[] {
  return tensorsOf([...args, ...Object.values(kwargs)]).filter((tensor) => tensor.requiresGrad);
}

/** What the gradients were taken for: -1 to 1 in equal steps over an output's elements (-1 where there is only one). */
export function cotangent(shape: readonly number[], dtype: "float32" | "float64"): Float32Array | Float64Array {
  const length = sizeOf(shape);
  return new arrays[dtype](length).map((_, i) => -1 + (2 * i) / Math.max(length - 1, 1));
}

/** A tensor's elements where its strides put them in memory, from offset 0; the gaps are zero. */
export function stridedStorage({ dtype, shape, strides, data }: TensorValue): TypedArray {
  const span = data.length === 0 ? 0 : 1 + shape.reduce((sum, size, d) => sum + (size - 1) * (strides[d] ?? 0), 0);
  const storage: TypedArray = new arrays[dtype](span);
  data.forEach((element: number | bigint, position: number) => {
    let rest = position;
    let offset = 0;
    for (let d = shape.length - 1; d >= 0; d--) {
      const size = shape[d] ?? 1;
      offset += (rest % size) * (strides[d] ?? 0);
      rest = Math.floor(rest / size);
    }
    storage[offset] = element;
  });
  return storage;
}

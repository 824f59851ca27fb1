/** Runs printed kernels on a memory of their own, and the same kernels by plain interpretation. */
import {
  digamma, erf, erfc, erfinv, itemSize, lgamma, nextafter32, nextafter64, typedArray,
  type DType, type LoopKernel, type Node, type TypedArray,
} from "@troupe/core/device";
import { ArgumentLayout, faultCodes, Scratch, writeArguments } from "../src/wasm/arguments.ts";
import { setCompilerFlags } from "../src/flags.ts";
import { instantiate, type Program } from "../src/wasm/program.ts";

/** A strided view of an array, as one operand of a launch. */
export interface View {
  readonly array: TypedArray;
  readonly offset: number;
  readonly strides: readonly number[];
}

export interface LaunchArguments {
  readonly sizes: readonly number[];
  /** Inputs, then outputs; outputs are written in place. Views may share arrays. */
  readonly operands: readonly View[];
  readonly scalars?: readonly (number | bigint)[];
}

export interface SeenFault {
  readonly code: string;
  readonly detail: number;
}

// As a device compiles: with fused vectors where the processor has them.
setCompilerFlags();

const memory = new WebAssembly.Memory({ initial: 256, maximum: 65536, shared: true });

/** The arguments of a launch; `ids` are the storages of its operands. */
export function launchWords(kernel: LoopKernel, { sizes, operands, scalars = [] }: LaunchArguments, ids: readonly number[]): Int32Array {
  const words: number[] = [];
  for (const [i, { offset }] of operands.entries()) words.push(ids[i] ?? 0, offset);
  words.push(...sizes);
  for (const { strides } of operands) words.push(...strides);
  for (const [i, type] of kernel.scalars.entries()) {
    const one = typedArray(type, new ArrayBuffer(8), 0, 1);
    assign(one, 0, scalars[i] ?? 0);
    const raw = new Int32Array(one.buffer);
    words.push(raw[0] ?? 0);
    if (itemSize(type) === 8) words.push(raw[1] ?? 0);
  }
  return Int32Array.from(words);
}

export function assign(array: TypedArray, index: number, value: number | bigint): void {
  if (array instanceof BigInt64Array) array[index] = BigInt(value);
  else array[index] = Number(value);
}

/** Runs `program` in `parts` calls one after the other, and copies all operands back. */
export function runProgram(program: Program, launch: LaunchArguments, parts = 1): SeenFault | undefined {
  const kernel = program.kernel as LoopKernel;
  const layout = new ArgumentLayout(kernel);
  const argsAt = 1024;
  const scratchAt = 8192;
  let next = 1 << 20;
  const addresses = new Map<TypedArray, number>();
  for (const { array } of launch.operands) {
    if (addresses.has(array)) continue;
    addresses.set(array, next);
    next += Math.ceil(array.byteLength / 64) * 64 + 64;
  }
  const needed = next + 65536 - memory.buffer.byteLength;
  if (needed > 0) memory.grow(Math.ceil(needed / 65536));
  const bytes = new Uint8Array(memory.buffer);
  for (const [array, address] of addresses) {
    bytes.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), address);
  }
  const order = [...addresses.values()];
  const ids = launch.operands.map(({ array }) => order.indexOf(addresses.get(array) ?? -1));
  const words = launchWords(kernel, launch, ids);
  const memoryWords = new Int32Array(memory.buffer);
  writeArguments(kernel, layout, memoryWords, argsAt / 4, words, 0, (storage) => order[storage] ?? 0);
  program.arrange?.(memoryWords, argsAt / 4);
  const run = instantiate(new WebAssembly.Module(program.bytes), memory);
  memoryWords[scratchAt / 4 + Scratch.fault] = 0;
  const extent = program.extent(words, 0);
  const scratchBytes = program.scratchBytes(words, 0);
  const far = Math.ceil(next / 64) * 64;
  const scratch = scratchBytes > 65536 ? far : scratchAt;
  if (scratch === far && far + scratchBytes > memory.buffer.byteLength) {
    memory.grow(Math.ceil((far + scratchBytes - memory.buffer.byteLength) / 65536));
  }
  for (let part = 0; part < parts; part++) {
    run(argsAt, Math.floor((extent * part) / parts), Math.floor((extent * (part + 1)) / parts), scratch);
  }
  const after = new Uint8Array(memory.buffer);
  for (const [array, address] of addresses) {
    new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(after.subarray(address, address + array.byteLength));
  }
  const seen = new Int32Array(memory.buffer);
  const code = seen[scratch / 4 + Scratch.fault] ?? 0;
  return code === 0 ? undefined : { code: faultCodes[code - 1] ?? "", detail: seen[scratch / 4 + Scratch.detail] ?? 0 };
}

type Value = number | bigint;

const unary: Record<string, (x: number) => number> = {
  neg: (x) => -x, abs: Math.abs, floor: Math.floor, ceil: Math.ceil, trunc: Math.trunc, sqrt: Math.sqrt,
  sign: (x) => (x > 0 ? 1 : 0) - (x < 0 ? 1 : 0), round: roundHalfToEven,
  exp: Math.exp, exp2: (x) => 2 ** x, expm1: Math.expm1, log: Math.log, log2: Math.log2, log10: Math.log10, log1p: Math.log1p,
  sin: Math.sin, cos: Math.cos, tan: Math.tan, asin: Math.asin, acos: Math.acos, atan: Math.atan, sinh: Math.sinh, cosh: Math.cosh,
  tanh: Math.tanh, asinh: Math.asinh, acosh: Math.acosh, atanh: Math.atanh, erf, erfc, erfinv, lgamma, digamma,
};

function roundHalfToEven(x: number): number {
  const floor = Math.floor(x);
  const part = x - floor;
  if (part !== 0.5) return Math.round(x);
  const even = floor % 2 === 0 ? floor : floor + 1;
  return even === 0 && x < 0 ? -0 : even;
}

function modulo(x: number, y: number): number {
  const r = x % y;
  return r !== 0 && r < 0 !== y < 0 ? r + y : r;
}

const floatBinary: Record<string, (x: number, y: number) => number> = {
  add: (x, y) => x + y, sub: (x, y) => x - y, mul: (x, y) => x * y, div: (x, y) => x / y, max: Math.max, min: Math.min,
  fmod: (x, y) => x % y, mod: modulo, pow: (x, y) => (x === 1 ? 1 : x ** y), atan2: Math.atan2,
  copysign: (x, y) => (y < 0 || Object.is(y, -0) ? -Math.abs(x) : Math.abs(x)),
};

function integerBinary(op: string, x: bigint, y: bigint, bits: number): bigint {
  const unsigned = (value: bigint): bigint => BigInt.asUintN(bits, value);
  const shift = y & BigInt(Math.max(bits, 32) - 1);
  switch (op) {
    case "add": return x + y;
    case "sub": return x - y;
    case "mul": return x * y;
    case "div": return y === 0n ? 0n : x / y;
    case "fmod": return y === 0n ? 0n : x % y;
    case "mod": {
      if (y === 0n) return 0n;
      const r = x % y;
      return r !== 0n && r < 0n !== y < 0n ? r + y : r;
    }
    case "pow": return y >= 0n ? x ** y : x === 1n ? 1n : x === -1n ? (y % 2n === 0n ? 1n : -1n) : 0n;
    case "max": return x > y ? x : y;
    case "min": return x < y ? x : y;
    case "and": return x & y;
    case "or": return x | y;
    case "xor": return x ^ y;
    case "shl": return x << shift;
    case "shr": return unsigned(x) >> shift;
    case "sar": return x >> shift;
    case "mulhi": return (unsigned(x) * unsigned(y)) >> 32n;
    default: throw new Error(`no integer ${op}`);
  }
}

const compare: Record<string, (x: Value, y: Value) => boolean> = {
  eq: (x, y) => x === y, ne: (x, y) => x !== y, lt: (x, y) => x < y, le: (x, y) => x <= y, gt: (x, y) => x > y, ge: (x, y) => x >= y,
};

const cell = new DataView(new ArrayBuffer(8));

/** A value as the dtype holds it: int64 as bigint, everything else as number. */
function hold(type: DType, value: Value): Value {
  switch (type) {
    case "float32": return Math.fround(Number(value));
    case "float64": return Number(value);
    case "int64": return BigInt.asIntN(64, BigInt(value));
    case "int32": return Number(BigInt.asIntN(32, BigInt(value)));
    case "uint8": return Number(BigInt.asUintN(8, BigInt(value)));
    case "bool": return value ? 1 : 0;
  }
}

function cast(from: DType, to: DType, value: Value): Value {
  if (to === "bool") return Number.isNaN(value) || Number(value) !== 0 ? 1 : 0;
  const fromFloat = from === "float32" || from === "float64";
  if (!fromFloat || to === "float32" || to === "float64") return hold(to, value);
  const x = Number.isNaN(value) ? 0 : Math.trunc(Number(value));
  if (to === "int64") return x >= 2 ** 63 ? 2n ** 63n - 1n : x <= -(2 ** 63) ? -(2n ** 63n) : BigInt(x);
  const [low, high] = to === "uint8" ? [0, 255] : [-(2 ** 31), 2 ** 31 - 1];
  return Math.min(Math.max(x, low), high) + 0;
}

function operate(node: Node & { args: readonly number[] }, type: DType, args: readonly Value[], argumentType: DType): Value {
  const [a = 0, b = 0, c = 0] = args;
  if (node.op in compare) return compare[node.op]?.(a, b) === true ? 1 : 0;
  if (node.op === "select") return a ? b : c;
  if (node.op === "cast") return cast(argumentType, type, a);
  if (node.op === "bitcast") {
    if (type === "int32") {
      cell.setFloat32(0, Number(a));
      return cell.getInt32(0);
    }
    cell.setInt32(0, Number(a));
    return cell.getFloat32(0);
  }
  if (type === "float32" || type === "float64") {
    if (node.op === "nextafter") return (type === "float32" ? nextafter32 : nextafter64)(Number(a), Number(b));
    const one = unary[node.op];
    if (one !== undefined) return hold(type, one(Number(a)));
    const two = floatBinary[node.op];
    if (two === undefined) throw new Error(`no float ${node.op}`);
    return hold(type, two(Number(a), Number(b)));
  }
  if (type === "bool") {
    const [x, y] = [Number(a), Number(b)];
    const table: Record<string, number> = {
      not: 1 - x, and: x & y, or: x | y, xor: x ^ y, add: x | y, mul: x & y, max: x | y, min: x & y, sub: x ^ y,
    };
    return table[node.op] ?? x;
  }
  const [x, y] = [BigInt(a), BigInt(b)];
  const bits = type === "int64" ? 64 : type === "int32" ? 32 : 8;
  const op: string = node.op;
  switch (op) {
    case "neg": return hold(type, -x);
    case "not": return hold(type, ~x);
    case "abs": return hold(type, x < 0n ? -x : x);
    case "sign": return hold(type, x > 0n ? 1n : x < 0n ? -1n : 0n);
    case "floor": case "ceil": case "trunc": case "round": return hold(type, x);
    default: return hold(type, integerBinary(op, x, y, bits));
  }
}

/** Runs a kernel point by point, in the order of its nest, float32 rounded after every operation. */
export function interpret(kernel: LoopKernel, launch: LaunchArguments): SeenFault | undefined {
  const { sizes, operands, scalars = [] } = launch;
  const outerAxes = kernel.axes - kernel.reduced;
  let fault: SeenFault | undefined;
  const at = Array.from<number>({ length: kernel.axes }).fill(0);
  const scalarValue = (index: number): Value => hold(kernel.scalars[index] ?? "int32", scalars[index] ?? 0);
  const element = (operand: number, axes: number, indirect: readonly { value: number; stride: number }[] | undefined, values: Value[]): number => {
    const view = operands[operand];
    if (view === undefined) throw new Error("no operand");
    let index = view.offset;
    for (let axis = 0; axis < axes; axis++) index += (at[axis] ?? 0) * (view.strides[axis] ?? 0);
    for (const { value, stride } of indirect ?? []) index += Number(values[value]) * Number(scalarValue(stride));
    return index;
  };
  const evaluate = (nodes: readonly Node[], accumulators: readonly Value[], axes: number): Value[] => {
    const values: Value[] = [];
    for (const node of nodes) {
      let value: Value = 0;
      if (node.op === "const") value = hold(node.type, node.type === "int64" ? BigInt(node.value) : Number(node.value));
      else if (node.op === "scalar") value = scalarValue(node.index);
      else if (node.op === "axis") value = at[node.index] ?? 0;
      else if (node.op === "size") value = sizes[node.index] ?? 0;
      else if (node.op === "acc" || node.op === "other") value = accumulators[node.index] ?? 0;
      else if (node.op === "load") {
        value = node.type === "int64" ? 0n : 0;
        if (node.guard === undefined || values[node.guard]) {
          value = operands[node.index]?.array[element(node.index, axes, node.indirect, values)] ?? NaN;
        }
      } else if (node.op === "check") {
        if (!values[node.args[0]]) fault ??= { code: node.code, detail: Number(values[node.args[1]]) };
      } else if ("args" in node) {
        const args = node.args.map((id) => values[id] ?? 0);
        value = operate(node, node.type, args, nodes[node.args[0]]?.type ?? node.type);
      }
      values.push(value);
    }
    return values;
  };
  const write = (place: "body" | "epilogue", nodes: readonly Node[], values: Value[], axes: number): void => {
    for (const store of kernel.stores) {
      if (store.at !== place || (store.guard !== undefined && !values[store.guard])) continue;
      const operand = kernel.inputs.length + store.output;
      const array = operands[operand]?.array;
      if (array === undefined) throw new Error("no output");
      const index = element(operand, axes, store.indirect, values);
      let value = values[store.value] ?? 0;
      if (store.combine !== undefined) {
        const type = kernel.outputs[store.output]?.dtype ?? "float32";
        value = operate({ op: store.combine, type, args: [0, 1] }, type, [array[index] ?? 0, value], type);
      }
      assign(array, index, value);
    }
  };
  const forEach = (from: number, to: number, visit: () => void): void => {
    if (from === to) {
      visit();
      return;
    }
    for (let i = 0; i < (sizes[from] ?? 0); i++) {
      at[from] = i;
      forEach(from + 1, to, visit);
    }
  };
  forEach(0, outerAxes, () => {
    let accumulators = kernel.accumulators.map(({ type, init }) => hold(type, type === "int64" ? BigInt(init) : Number(init)));
    forEach(outerAxes, kernel.axes, () => {
      const values = evaluate(kernel.body, accumulators, kernel.axes);
      write("body", kernel.body, values, kernel.axes);
      accumulators = kernel.step.map((id) => values[id] ?? 0);
    });
    if (kernel.reduced === 0) return;
    write("epilogue", kernel.epilogue, evaluate(kernel.epilogue, accumulators, outerAxes), outerAxes);
  });
  return fault;
}

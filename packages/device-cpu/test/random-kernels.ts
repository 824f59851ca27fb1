/** Random kernels and launches from a seed, for the comparison of printed kernels with their interpretation. */
import {
  isFloat, itemSize, typedArray,
  type Accumulator, type BinaryOp, type CompareOp, type DType, type LoopKernel, type Node, type Store, type TypedArray, type UnaryOp,
} from "@troupe/core/device";
import { assign, type LaunchArguments, type View } from "./harness.ts";

/** Mulberry32: numbers in [0, 1). */
export function randomNumbers(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class Random {
  readonly next: () => number;

  constructor(seed: number) {
    this.next = randomNumbers(seed);
  }

  integer(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  pick<T>(items: readonly [T, ...T[]]): T {
    return items[this.integer(0, items.length - 1)] ?? items[0];
  }
}

const dtypes = ["float32", "float64", "int32", "int64", "uint8", "bool"] as const;
const laneTypes = ["float32", "int32", "uint8", "bool"] as const;
const floatUnary = ["neg", "abs", "sign", "floor", "ceil", "trunc", "round", "sqrt"] as const;
const floatBinary = ["add", "sub", "mul", "div", "fmod", "mod", "max", "min", "copysign"] as const;
const laneFloatBinary = ["add", "sub", "mul", "div", "max", "min", "copysign"] as const;
const integerUnary = ["neg", "abs", "sign", "not"] as const;
const integerBinary = ["add", "sub", "mul", "div", "mod", "fmod", "max", "min", "and", "or", "xor", "shl", "shr", "sar", "pow"] as const;
const laneIntegerBinary = ["add", "sub", "mul", "max", "min", "and", "or", "xor"] as const;
const boolBinary = ["and", "or", "xor"] as const;
const compares = ["eq", "ne", "lt", "le", "gt", "ge"] as const;

export function randomValue(random: Random, type: DType): number | bigint {
  const special = random.next() < 0.15;
  switch (type) {
    case "bool": return random.integer(0, 1);
    case "uint8": return special ? random.pick([0, 1, 255]) : random.integer(0, 255);
    case "int32": return special ? random.pick([0, -1, 2 ** 31 - 1, -(2 ** 31)]) : random.integer(-20, 20);
    case "int64": return BigInt(special ? random.pick([0, -1, 2 ** 53, -(2 ** 53)]) : random.integer(-20, 20));
    case "float32":
    case "float64":
      if (special) return random.pick([0, NaN, Infinity, -Infinity, 1e-40, 1e30, -3e9]);
      return random.next() < 0.5 ? random.integer(-8, 8) / 2 : Math.fround(random.next() * 20 - 10);
  }
}

export function randomArray(random: Random, type: DType, length: number): TypedArray {
  const array = typedArray(type, new ArrayBuffer(length * itemSize(type)), 0, length);
  for (let i = 0; i < length; i++) assign(array, i, randomValue(random, type));
  return array;
}

function constantOf(random: Random, type: DType): string {
  if (type === "bool") return String(random.integer(0, 1));
  // No zero: which zero max(0, -0) gives is left open.
  return isFloat(type) ? String(random.integer(1, 9) / 2) : String(random.integer(1, 5));
}

/** Node `id`, or 1 where that is NaN. */
function withoutNaN(nodes: Node[], id: number, type: DType): number {
  const isNumber = nodes.push({ op: "eq", type: "bool", args: [id, id] }) - 1;
  const one = nodes.push({ op: "const", type, value: "1" }) - 1;
  return nodes.push({ op: "select", type, args: [isNumber, id, one] }) - 1;
}

/** Appends `count` random operations on what is there; `lanes`: only what runs in vectors. */
export function growGraph(random: Random, nodes: Node[], count: number, lanes: boolean, use: (id: number) => boolean = () => true): void {
  for (let i = 0; i < count; i++) {
    const candidates = nodes.map((_, id) => id).filter((id) => use(id) && nodes[id]?.op !== "check");
    const a = candidates[random.integer(0, candidates.length - 1)] ?? 0;
    const type = nodes[a]?.type ?? "int32";
    const alike = candidates.filter((id) => nodes[id]?.type === type);
    let b = alike[random.integer(0, alike.length - 1)] ?? a;
    if (random.next() < 0.3) b = nodes.push({ op: "const", type, value: constantOf(random, type) }) - 1;
    const kind = random.integer(0, 9);
    const bools = candidates.filter((id) => nodes[id]?.type === "bool");
    const condition = bools[random.integer(0, bools.length - 1)];
    if (kind === 0) nodes.push({ op: "cast", type: random.pick(lanes ? laneTypes : dtypes), args: [a] });
    else if (kind === 1 && (type !== "bool" || !lanes)) {
      nodes.push({ op: random.pick<CompareOp>(compares), type: "bool", args: [a, b] });
    } else if (kind === 2 && condition !== undefined) nodes.push({ op: "select", type, args: [condition, a, b] });
    else if (kind === 3 && (type === "int32" || type === "float32")) {
      // A bitcast to float32 would make NaNs whose payload may change.
      if (type === "float32") nodes.push({ op: "abs", type, args: [a] });
      else nodes.push({ op: "mulhi", type, args: [a, b] });
    } else if (kind <= 5) {
      const op: UnaryOp = isFloat(type) ? random.pick(floatUnary) : type === "bool" ? "not" : random.pick(integerUnary);
      nodes.push({ op, type, args: [a] });
    } else {
      let op: BinaryOp;
      if (isFloat(type)) op = random.pick(lanes ? laneFloatBinary : floatBinary);
      else if (type === "bool") op = random.pick(boolBinary);
      else op = random.pick(lanes ? laneIntegerBinary : integerBinary);
      if (op === "pow") b = nodes.push({ op: "const", type, value: String(random.integer(0, 3)) }) - 1;
      // Which sign a NaN has is left open.
      if (op === "copysign") b = withoutNaN(nodes, b, type);
      if (["shl", "shr", "sar"].includes(op)) b = nodes.push({ op: "const", type, value: String(random.integer(0, 7)) }) - 1;
      nodes.push({ op, type, args: [a, b] });
    }
  }
}

type Inner = 0 | 1 | "any";

/** A view over a fresh random array that fits `sizes` with the given innermost stride. */
export function randomView(random: Random, type: DType, sizes: readonly number[], inner: Inner, distinct = false): View {
  const order = sizes.map((_, axis) => axis);
  if (inner !== 1) order.sort(() => random.next() - 0.5);
  const strides = sizes.map(() => 0);
  let span = 1;
  if (inner === "any" && !distinct && random.next() < 0.5) span = random.integer(1, 3);
  for (const axis of order.toReversed()) {
    const last = axis === sizes.length - 1;
    if (!distinct && !last && random.next() < 0.25) continue;
    if (last && inner === 0) continue;
    strides[axis] = span;
    span *= Math.max(sizes[axis] ?? 1, 1) + (last && inner === 1 ? random.integer(0, 2) : 0);
  }
  let offset = random.integer(0, 3);
  // Some axes run backwards.
  for (const axis of order) {
    if ((axis === sizes.length - 1 && inner !== "any") || random.next() > 0.15) continue;
    const stride = strides[axis] ?? 0;
    offset += stride * Math.max((sizes[axis] ?? 1) - 1, 0);
    strides[axis] = -stride;
  }
  return { array: randomArray(random, type, span + offset + 4), offset, strides };
}

export interface Case {
  readonly kernel: LoopKernel;
  readonly launch: LaunchArguments;
}

function randomSizes(random: Random, axes: number): number[] {
  const sizes = Array.from({ length: axes }, () => random.integer(1, 5));
  if (axes > 0 && random.next() < 0.7) sizes[random.integer(0, axes - 1)] = random.pick([0, 1, 7, 8, 16, 21, 33, 40]);
  if (axes > 0 && random.next() < 0.5) sizes[axes - 1] = random.pick([1, 3, 8, 9, 17, 24, 31, 70]);
  return sizes;
}

/** An elementwise kernel with up to three inputs and two outputs. */
export function randomElementwise(seed: number): Case {
  const random = new Random(seed);
  const axes = random.integer(0, 3);
  const sizes = randomSizes(random, axes);
  const lanes = random.next() < 0.6;
  const inputs = Array.from({ length: random.integer(1, 3) }, () => ({
    dtype: random.pick<DType>(lanes ? laneTypes : dtypes),
    inner: axes === 0 ? (0 as const) : random.pick<Inner>(lanes ? [1, 1, 1, 0] : [1, 1, 0, "any"]),
  }));
  const scalars: DType[] = [random.pick<DType>(lanes ? laneTypes : dtypes), "int32"];
  const nodes: Node[] = inputs.map(({ dtype }, index) => ({ op: "load", type: dtype, index }));
  nodes.push({ op: "scalar", type: scalars[0] ?? "int32", index: 0 });
  for (let axis = 0; axis < axes; axis++) {
    if (random.next() < 0.3) nodes.push({ op: "axis", type: "int32", index: axis }, { op: "size", type: "int32", index: axis });
  }
  growGraph(random, nodes, random.integer(1, 9), lanes);
  const stores: Store[] = [{ output: 0, value: nodes.length - 1, at: "body" }];
  if (random.next() < 0.3) stores.push({ output: 1, value: random.integer(0, nodes.length - 1), at: "body" });
  const outputs = stores.map(({ value }) => ({
    dtype: nodes[value]?.type ?? "float32",
    inner: axes === 0 ? (0 as const) : random.pick<Inner>(lanes ? [1, 1, 1, "any"] : [1, "any"]),
    overwrites: true,
  }));
  const kernel: LoopKernel = {
    kind: "loop", name: "elementwise", axes, reduced: 0, inputs, outputs, scalars, body: nodes,
    accumulators: [], step: [], epilogue: [], stores,
  };
  const operands = [
    ...inputs.map(({ dtype, inner }) => randomView(random, dtype, sizes, inner)),
    ...outputs.map(({ dtype, inner }) => randomView(random, dtype, sizes, inner, true)),
  ];
  return { kernel, launch: { sizes, operands, scalars: scalars.map((type) => randomValue(random, type)) } };
}

const monoidInit: Record<string, Record<string, string>> = {
  add: { float32: "0", float64: "0", int32: "0", int64: "0", uint8: "0" },
  mul: { int32: "1", int64: "1", uint8: "1" },
  max: { float32: "-Infinity", float64: "-Infinity", int32: "-2147483648", int64: "-9223372036854775808", uint8: "0" },
  min: { float32: "Infinity", float64: "Infinity", int32: "2147483647", int64: "9223372036854775807", uint8: "255" },
  and: { bool: "1", int32: "-1" },
  or: { bool: "0", int32: "0" },
};

/** A reducing kernel; values are small whole numbers, so that sums are exact in any order. */
export function randomReduction(seed: number): Case {
  const random = new Random(seed);
  const axes = random.integer(1, 4);
  const reduced = random.integer(1, Math.min(axes, 2));
  const sizes = randomSizes(random, axes);
  if (random.next() < 0.3) sizes[axes - 1] = random.pick([130, 300, 600]);
  const outer = axes - reduced;
  if (outer > 0 && random.next() < 0.5) sizes[outer - 1] = random.pick([4, 8, 16, 19, 37]);
  while (sizes.reduce((product, size) => product * size, 1) > 8000) {
    sizes[sizes.indexOf(Math.max(...sizes))] = Math.ceil(Math.max(...sizes) / 2);
  }
  const type = random.pick<DType>(["float32", "float32", "float64", "int32", "int64", "uint8", "bool"]);
  const inner = random.pick<Inner>([1, 1, "any"]);
  const inputs = [{ dtype: type, inner }, { dtype: type, inner: random.pick<Inner>([inner, 0]) }];
  const body: Node[] = inputs.map(({ dtype }, index) => ({ op: "load", type: dtype, index }));
  const value = body.push({ op: type === "bool" ? "xor" : random.pick<BinaryOp>(["min", "max", "sub"]), type, args: [0, 1] }) - 1;
  const accumulators: Accumulator[] = [];
  const step: number[] = [];
  const count = random.integer(1, 3);
  for (let index = 0; index < count; index++) {
    const names = (["add", "mul", "max", "min", "and", "or"] as const).filter((op) => monoidInit[op]?.[type] !== undefined);
    const op = names[random.integer(0, names.length - 1)] ?? "and";
    accumulators.push({ type, init: monoidInit[op]?.[type] ?? "0" });
    const acc = body.push({ op: "acc", type, index }) - 1;
    step.push(body.push({ op, type, args: random.next() < 0.5 ? [acc, value] : [value, acc] }) - 1);
  }
  if (random.next() < 0.2 && type !== "bool") {
    // A step that does not join: elements must be taken in order.
    const acc = body.findIndex((node) => node.op === "acc");
    const two = body.push({ op: "const", type, value: "2" }) - 1;
    const doubled = body.push({ op: "sub", type, args: [two, acc] }) - 1;
    step[0] = body.push({ op: "add", type, args: [doubled, value] }) - 1;
  }
  const epilogue: Node[] = accumulators.map((_, index) => ({ op: "acc", type, index }));
  const results = accumulators.length;
  if (type !== "bool") epilogue.push({ op: "neg", type, args: [0] });
  else epilogue.push({ op: "not", type, args: [0] });
  const stores: Store[] = [{ output: 0, value: results, at: "epilogue" }];
  if (results > 1) stores.push({ output: 1, value: results - 1, at: "epilogue" });
  const scan = random.next() < 0.15;
  if (scan) stores.push({ output: stores.length, value: step[0] ?? 0, at: "body" });
  const outputs = stores.map(({ at }) => ({ dtype: type, inner: at === "body" ? ("any" as const) : (0 as const), overwrites: true }));
  const kernel: LoopKernel = {
    kind: "loop", name: "reduction", axes, reduced, inputs, outputs, scalars: [], body, accumulators, step, epilogue, stores,
  };
  const whole = (view: View): View => {
    const limit = type === "bool" ? 1 : 3;
    for (let i = 0; i < view.array.length; i++) assign(view.array, i, random.integer(type === "uint8" || type === "bool" ? 0 : -3, limit));
    return view;
  };
  const outerView = (): View => {
    const view = randomView(random, type, sizes.slice(0, outer), outer > 0 ? "any" : 0, true);
    return { ...view, strides: [...view.strides, ...Array.from({ length: reduced }, () => 0)] };
  };
  const operands = [
    ...inputs.map((input) => whole(randomView(random, type, sizes, input.inner))),
    ...stores.map(({ at }) => (at === "body" ? randomView(random, type, sizes, "any", true) : outerView())),
  ];
  return { kernel, launch: { sizes, operands } };
}

/** A copy of a launch whose arrays are its own (views that share an array still share it). */
export function copyLaunch(launch: LaunchArguments): LaunchArguments {
  const copies = new Map<TypedArray, TypedArray>();
  const operands = launch.operands.map((view) => {
    const array = copies.get(view.array) ?? view.array.slice();
    copies.set(view.array, array);
    return { ...view, array };
  });
  return { ...launch, operands };
}

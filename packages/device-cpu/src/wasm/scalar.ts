/** One IR value as scalar instructions. Bools and uint8 live in i32 locals, as 0 or 1 and as 0 to 255. */
import { InternalError, type DType, type Node } from "@troupe/core/device";
import { type FunctionBuilder, Op, Sat, Type, type ValueType } from "./assembler.ts";
import { mathImport } from "./math-imports.ts";

export function valueType(type: DType): ValueType {
  switch (type) {
    case "float32": return Type.f32;
    case "float64": return Type.f64;
    case "int64": return Type.i64;
    case "int32":
    case "uint8":
    case "bool": return Type.i32;
  }
}

export function emitConstant(f: FunctionBuilder, type: DType, text: string): void {
  switch (type) {
    case "float32": f.f32(Number(text)); break;
    case "float64": f.f64(Number(text)); break;
    case "int64": f.i64(BigInt(text)); break;
    case "int32": f.i32(Number(text)); break;
    case "uint8": f.i32(Number(text) & 0xff); break;
    case "bool": f.i32(text === "0" || text === "false" ? 0 : 1); break;
  }
}

/** Loads an element; the address is on the stack. */
export function emitLoad(f: FunctionBuilder, type: DType, offset = 0): void {
  switch (type) {
    case "float32": f.memory(Op.f32Load, offset); break;
    case "float64": f.memory(Op.f64Load, offset); break;
    case "int64": f.memory(Op.i64Load, offset); break;
    case "int32": f.memory(Op.i32Load, offset); break;
    case "uint8":
    case "bool": f.memory(Op.i32Load8U, offset); break;
  }
}

/** Stores an element; the address and the value are on the stack. */
export function emitStore(f: FunctionBuilder, type: DType): void {
  switch (type) {
    case "float32": f.memory(Op.f32Store); break;
    case "float64": f.memory(Op.f64Store); break;
    case "int64": f.memory(Op.i64Store); break;
    case "int32": f.memory(Op.i32Store); break;
    case "uint8":
    case "bool": f.memory(Op.i32Store8); break;
  }
}

const floatUnary = {
  neg: [Op.f32Neg, Op.f64Neg], abs: [Op.f32Abs, Op.f64Abs], floor: [Op.f32Floor, Op.f64Floor], ceil: [Op.f32Ceil, Op.f64Ceil],
  trunc: [Op.f32Trunc, Op.f64Trunc], round: [Op.f32Nearest, Op.f64Nearest], sqrt: [Op.f32Sqrt, Op.f64Sqrt],
} as const;
const floatBinary = {
  add: [Op.f32Add, Op.f64Add], sub: [Op.f32Sub, Op.f64Sub], mul: [Op.f32Mul, Op.f64Mul], div: [Op.f32Div, Op.f64Div],
  max: [Op.f32Max, Op.f64Max], min: [Op.f32Min, Op.f64Min], copysign: [Op.f32Copysign, Op.f64Copysign],
} as const;
const integerBinary = {
  add: [Op.i32Add, Op.i64Add], sub: [Op.i32Sub, Op.i64Sub], mul: [Op.i32Mul, Op.i64Mul],
  and: [Op.i32And, Op.i64And], or: [Op.i32Or, Op.i64Or], xor: [Op.i32Xor, Op.i64Xor],
  shl: [Op.i32Shl, Op.i64Shl], shr: [Op.i32ShrU, Op.i64ShrU], sar: [Op.i32ShrS, Op.i64ShrS],
} as const;
const boolBinary = {
  and: Op.i32And, mul: Op.i32And, min: Op.i32And, or: Op.i32Or, add: Op.i32Or, max: Op.i32Or, xor: Op.i32Xor, sub: Op.i32Xor,
} as const;
/** Instructions for i32, i64, f32, f64. */
const compares = {
  eq: [Op.i32Eq, Op.i64Eq, Op.f32Eq, Op.f64Eq], ne: [Op.i32Ne, Op.i64Ne, Op.f32Ne, Op.f64Ne],
  lt: [Op.i32LtS, Op.i64LtS, Op.f32Lt, Op.f64Lt], le: [Op.i32LeS, Op.i64LeS, Op.f32Le, Op.f64Le],
  gt: [Op.i32GtS, Op.i64GtS, Op.f32Gt, Op.f64Gt], ge: [Op.i32GeS, Op.i64GeS, Op.f32Ge, Op.f64Ge],
} as const;

function typeIndex(type: DType): 0 | 1 | 2 | 3 {
  switch (type) {
    case "int64": return 1;
    case "float32": return 2;
    case "float64": return 3;
    case "int32":
    case "uint8":
    case "bool": return 0;
  }
}

function has<T extends object>(table: T, key: string): key is Extract<keyof T, string> {
  return Object.hasOwn(table, key);
}

/** How a node's arguments are reached while it is printed. */
export interface ScalarSource {
  readonly nodes: readonly Node[];
  /** Pushes the value of a node. */
  push(id: number): void;
  /** The function index of an imported math function. */
  imported(name: string): number;
  /** The function index of the module's own integer power. */
  integerPower(type: "int32" | "int64"): number;
}

/** Pushes the value of a pure operation (everything but leaves, loads and checks). */
export function emitScalar(f: FunctionBuilder, node: Node, source: ScalarSource): void {
  if (!("args" in node)) throw new InternalError(`no scalar instruction for ${node.op}`);
  const [a, b, c] = node.args as readonly number[];
  const { type } = node;
  const push = (id: number | undefined): void => source.push(id ?? 0);
  const argumentType = source.nodes[a ?? 0]?.type ?? type;

  if (has(compares, node.op)) {
    push(a);
    push(b);
    f.op(compares[node.op][typeIndex(argumentType)]);
    return;
  }
  if (node.op === "select") {
    push(b);
    push(c);
    push(a);
    f.op(Op.select);
    return;
  }
  if (node.op === "cast") {
    push(a);
    emitCast(f, argumentType, type);
    return;
  }
  if (node.op === "bitcast") {
    push(a);
    f.op(type === "int32" ? Op.i32ReinterpretF32 : Op.f32ReinterpretI32);
    return;
  }
  const call = mathImport(node);
  if (call !== undefined) {
    for (const id of node.args) {
      push(id);
      if (type === "float32") f.op(Op.f64PromoteF32);
    }
    f.call(source.imported(call.name));
    if (type === "float32") f.op(Op.f32DemoteF64);
    return;
  }
  if (type === "float32" || type === "float64") emitFloat(f, node, source);
  else if (type === "bool") emitBool(f, node, source);
  else emitInteger(f, node, type, source);
}

/** The constant among the arguments of `max` or `min`, if one of them is (and is no NaN), and the other argument. */
export function extremumOfConstant(node: Node, nodes: readonly Node[]): { value: number; constant: number } | undefined {
  if (node.op !== "max" && node.op !== "min") return undefined;
  const [a, b] = node.args;
  const isConstant = (id: number): boolean => {
    const argument = nodes[id];
    return argument?.op === "const" && argument.value !== "NaN";
  };
  if (isConstant(b)) return { value: a, constant: b };
  return isConstant(a) ? { value: b, constant: a } : undefined;
}

function emitFloat(f: FunctionBuilder, node: Node & { readonly args: readonly number[] }, source: ScalarSource): void {
  const wide = node.type === "float64" ? 1 : 0;
  const [a = 0, b = 0] = node.args;
  const extremum = wide === 0 ? extremumOfConstant(node, source.nodes) : undefined;
  if (extremum !== undefined) {
    // As the vector form (pmax, pmin): cheaper than f32.max, and the value's NaN wins.
    source.push(extremum.constant);
    source.push(extremum.value);
    source.push(extremum.value);
    source.push(extremum.constant);
    f.op(node.op === "max" ? Op.f32Lt : Op.f32Gt);
    f.op(Op.select);
  } else if (has(floatUnary, node.op)) {
    source.push(a);
    f.op(floatUnary[node.op][wide]);
  } else if (has(floatBinary, node.op)) {
    source.push(a);
    source.push(b);
    f.op(floatBinary[node.op][wide]);
  } else if (node.op === "sign") {
    const zero = (): void => (wide === 1 ? f.f64(0) : f.f32(0));
    const convert = wide === 1 ? Op.f64ConvertI32S : Op.f32ConvertI32S;
    source.push(a);
    zero();
    f.op(wide === 1 ? Op.f64Gt : Op.f32Gt);
    source.push(a);
    zero();
    f.op(wide === 1 ? Op.f64Lt : Op.f32Lt);
    f.op(Op.i32Sub);
    f.op(convert);
  } else throw new InternalError(`no instruction for ${node.op} of ${node.type}`);
}

function emitBool(f: FunctionBuilder, node: Node & { readonly args: readonly number[] }, source: ScalarSource): void {
  const [a = 0, b = 0] = node.args;
  source.push(a);
  if (node.op === "not") f.op(Op.i32Eqz);
  else if (has(boolBinary, node.op)) {
    source.push(b);
    f.op(boolBinary[node.op]);
  } else if (node.op !== "abs" && node.op !== "neg" && node.op !== "sign") {
    throw new InternalError(`no instruction for ${node.op} of bool`);
  }
}

function emitInteger(
  f: FunctionBuilder,
  node: Node & { readonly args: readonly number[] },
  type: "int32" | "int64" | "uint8",
  source: ScalarSource,
): void {
  const [a = 0, b = 0] = node.args;
  const wide = type === "int64" ? 1 : 0;
  const number = (value: number): void => (wide === 1 ? f.i64(BigInt(value)) : f.i32(value));
  const pick = <T>(narrow: T, long: T): T => (wide === 1 ? long : narrow);
  const compare = (left: () => void, op: keyof typeof compares, right: () => void): void => {
    left();
    right();
    f.op(compares[op][wide]);
  };
  const pushA = (): void => source.push(a);
  const pushB = (): void => source.push(b);
  const zero = (): void => number(0);
  /** The divisor, with those that trap (0, and -1 under the least integer) replaced by 1. */
  const safeDivisor = (): void => {
    number(1);
    pushB();
    compare(pushB, "eq", zero);
    compare(pushB, "eq", () => number(-1));
    f.op(Op.i32Or);
    f.op(Op.select);
  };
  const op: string = node.op;
  switch (op) {
    case "neg": zero(); pushA(); f.op(pick(Op.i32Sub, Op.i64Sub)); break;
    case "not": pushA(); number(-1); f.op(pick(Op.i32Xor, Op.i64Xor)); break;
    case "abs": {
      zero(); pushA(); f.op(pick(Op.i32Sub, Op.i64Sub)); pushA(); compare(pushA, "lt", zero); f.op(Op.select);
      break;
    }
    case "sign":
      compare(pushA, "gt", zero);
      compare(pushA, "lt", zero);
      f.op(Op.i32Sub);
      if (wide === 1) f.op(Op.i64ExtendI32S);
      break;
    case "floor": case "ceil": case "trunc": case "round": pushA(); break;
    case "max": case "min": pushA(); pushB(); compare(pushA, node.op === "max" ? "gt" : "lt", pushB); f.op(Op.select); break;
    case "div":
      // a / 0 is 0; a / -1 is -a without the trap.
      zero();
      zero(); pushA(); f.op(pick(Op.i32Sub, Op.i64Sub));
      pushA(); safeDivisor(); f.op(pick(Op.i32DivS, Op.i64DivS));
      compare(pushB, "eq", () => number(-1));
      f.op(Op.select);
      compare(pushB, "eq", zero);
      f.op(Op.select);
      break;
    case "fmod": case "mod": {
      const remainder = f.local(valueType(type));
      const push = (): void => f.get(remainder);
      pushA(); safeDivisor(); f.op(pick(Op.i32RemS, Op.i64RemS)); f.set(remainder);
      push();
      if (node.op === "fmod") break;
      pushB(); zero();
      compare(push, "ne", zero);
      compare(push, "lt", zero);
      compare(pushB, "lt", zero);
      f.op(Op.i32Ne);
      f.op(Op.i32And);
      f.op(Op.select);
      f.op(pick(Op.i32Add, Op.i64Add));
      break;
    }
    case "pow": pushA(); pushB(); f.call(source.integerPower(wide === 1 ? "int64" : "int32")); break;
    case "mulhi":
      pushA(); f.op(Op.i64ExtendI32U); pushB(); f.op(Op.i64ExtendI32U);
      f.op(Op.i64Mul); f.i64(32n); f.op(Op.i64ShrU); f.op(Op.i32WrapI64);
      break;
    default:
      if (!has(integerBinary, op)) throw new InternalError(`no instruction for ${op} of ${type}`);
      pushA(); pushB(); f.op(integerBinary[op][wide]);
  }
  if (type === "uint8") {
    f.i32(0xff);
    f.op(Op.i32And);
  }
}

/** Converts the value on the stack. */
function emitCast(f: FunctionBuilder, from: DType, to: DType): void {
  if (from === to) return;
  const source = typeIndex(from);
  if (to === "bool") {
    if (source === 0) f.i32(0);
    else if (source === 1) f.i64(0n);
    else if (source === 2) f.f32(0);
    else f.f64(0);
    f.op(compares.ne[source]);
    return;
  }
  if (to === "float32" || to === "float64") {
    const wide = to === "float64";
    if (source === 0) f.op(wide ? Op.f64ConvertI32S : Op.f32ConvertI32S);
    else if (source === 1) f.op(wide ? Op.f64ConvertI64S : Op.f32ConvertI64S);
    else f.op(wide ? Op.f64PromoteF32 : Op.f32DemoteF64);
    return;
  }
  if (to === "int64") {
    if (source === 0) f.op(from === "int32" ? Op.i64ExtendI32S : Op.i64ExtendI32U);
    else f.sat(source === 2 ? Sat.i64F32S : Sat.i64F64S);
    return;
  }
  if (to === "uint8" && source >= 2) {
    // Saturates: clamped to 0..255 before the conversion (max and min keep NaN, which becomes 0).
    const wide = source === 3;
    if (wide) f.f64(0);
    else f.f32(0);
    f.op(wide ? Op.f64Max : Op.f32Max);
    if (wide) f.f64(255);
    else f.f32(255);
    f.op(wide ? Op.f64Min : Op.f32Min);
    f.sat(wide ? Sat.i32F64S : Sat.i32F32S);
    return;
  }
  if (source === 1) f.op(Op.i32WrapI64);
  else if (source >= 2) f.sat(source === 2 ? Sat.i32F32S : Sat.i32F64S);
  if (to === "uint8") {
    f.i32(0xff);
    f.op(Op.i32And);
  }
}

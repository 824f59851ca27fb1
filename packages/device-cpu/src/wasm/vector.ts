/**
 * One IR value in four 32-bit lanes of a v128: float32 and int32 as they are, uint8 as 0 to 255 in int32 lanes, bools as masks
 * (0 or -1). The results equal those of scalar.ts bit for bit, so that it does not matter which of the two computes an element.
 */
import { InternalError, type DType, type Node } from "@troupe/core/device";
import { type FunctionBuilder, Op, Simd, Type } from "./assembler.ts";
import { mathImport } from "./math-imports.ts";
import { extremumOfConstant } from "./scalar.ts";

const laneTypes: ReadonlySet<DType> = new Set(["float32", "int32", "uint8", "bool"]);

export function fitsLanes(type: DType): boolean {
  return laneTypes.has(type);
}

const floatUnary = {
  neg: Simd.f32x4Neg, abs: Simd.f32x4Abs, floor: Simd.f32x4Floor, ceil: Simd.f32x4Ceil, trunc: Simd.f32x4Trunc,
  round: Simd.f32x4Nearest, sqrt: Simd.f32x4Sqrt,
} as const;
const floatBinary = {
  add: Simd.f32x4Add, sub: Simd.f32x4Sub, mul: Simd.f32x4Mul, div: Simd.f32x4Div, max: Simd.f32x4Max, min: Simd.f32x4Min,
} as const;
const integerBinary = {
  add: Simd.i32x4Add, sub: Simd.i32x4Sub, mul: Simd.i32x4Mul, max: Simd.i32x4MaxS, min: Simd.i32x4MinS,
  and: Simd.and, or: Simd.or, xor: Simd.xor,
} as const;
const shifts = { shl: Simd.i32x4Shl, shr: Simd.i32x4ShrU, sar: Simd.i32x4ShrS } as const;
const maskBinary = {
  and: Simd.and, mul: Simd.and, min: Simd.and, or: Simd.or, add: Simd.or, max: Simd.or, xor: Simd.xor, sub: Simd.xor,
} as const;
/** Instructions for integer and float lanes. */
const compares = {
  eq: [Simd.i32x4Eq, Simd.f32x4Eq], ne: [Simd.i32x4Ne, Simd.f32x4Ne], lt: [Simd.i32x4LtS, Simd.f32x4Lt],
  le: [Simd.i32x4LeS, Simd.f32x4Le], gt: [Simd.i32x4GtS, Simd.f32x4Gt], ge: [Simd.i32x4GeS, Simd.f32x4Ge],
} as const;
const integerUnary: ReadonlySet<string> = new Set(["neg", "abs", "sign", "not", "floor", "ceil", "trunc", "round"]);

function has<T extends object>(table: T, key: string): key is Extract<keyof T, string> {
  return Object.hasOwn(table, key);
}

/** Whether a pure operation can be computed in lanes. `uniform(id)`: the value is the same in all lanes. */
export function vectorizable(node: Node, nodes: readonly Node[], uniform: (id: number) => boolean): boolean {
  if (!fitsLanes(node.type)) return false;
  if (!("args" in node)) return node.op !== "other";
  if (!node.args.every((id) => fitsLanes(nodes[id]?.type ?? "int64"))) return false;
  if (node.op === "check" || mathImport(node) !== undefined) return false;
  if (node.op === "select" || node.op === "bitcast") return true;
  if (node.op === "cast") return nodes[node.args[0]]?.type !== "float32" || node.type !== "uint8";
  if (has(compares, node.op)) return nodes[node.args[0]]?.type !== "bool" || node.op === "eq" || node.op === "ne";
  if (node.type === "bool") return node.op === "not" || has(maskBinary, node.op);
  if (node.type === "float32") {
    return has(floatUnary, node.op) || has(floatBinary, node.op) || node.op === "sign" || node.op === "copysign";
  }
  if (has(shifts, node.op)) return uniform(node.args[1] ?? 0) && (node.type === "int32" || node.op === "shr");
  if (node.op === "mulhi") return node.type === "int32";
  return has(integerBinary, node.op) || integerUnary.has(node.op);
}

export interface VectorSource {
  readonly nodes: readonly Node[];
  /** Pushes the lanes of a value. */
  push(id: number): void;
  /** Pushes a uniform value as a scalar. */
  pushScalar(id: number): void;
  /** Pushes a constant in all lanes (kept in a local: V8 builds a v128.const anew at every use). */
  constant(bits: number): void;
}

/** The bits of float32 1. */
const ONE = 0x3f800000;
const SIGN = 0x80000000 | 0;

/** Pushes the lanes of a pure operation. */
export function emitVector(f: FunctionBuilder, node: Node, source: VectorSource): void {
  if (!("args" in node)) throw new InternalError(`no vector instruction for ${node.op}`);
  const [a = 0, b = 0, c = 0] = node.args as readonly number[];
  const argumentType = source.nodes[a]?.type ?? node.type;
  if (has(compares, node.op)) {
    source.push(a);
    source.push(b);
    f.simd(compares[node.op][argumentType === "float32" ? 1 : 0]);
  } else if (node.op === "select") {
    source.push(b);
    source.push(c);
    source.push(a);
    f.simd(Simd.bitselect);
  } else if (node.op === "bitcast") source.push(a);
  else if (node.op === "cast") emitCast(f, a, argumentType, node.type, source);
  else if (node.type === "float32") emitFloat(f, node, a, b, source);
  else if (node.type === "bool") {
    source.push(a);
    if (node.op === "not") f.simd(Simd.not);
    else if (has(maskBinary, node.op)) {
      source.push(b);
      f.simd(maskBinary[node.op]);
    } else throw new InternalError(`no vector instruction for ${node.op} of bool`);
  } else {
    emitInteger(f, node, a, b, source);
    if (node.type === "uint8") {
      source.constant(0xff);
      f.simd(Simd.and);
    }
  }
}

function emitFloat(f: FunctionBuilder, node: Node, a: number, b: number, source: VectorSource): void {
  const extremum = extremumOfConstant(node, source.nodes);
  if (extremum !== undefined) {
    source.push(extremum.value);
    source.push(extremum.constant);
    f.simd(node.op === "max" ? Simd.f32x4Pmax : Simd.f32x4Pmin);
  } else if (has(floatUnary, node.op)) {
    source.push(a);
    f.simd(floatUnary[node.op]);
  } else if (has(floatBinary, node.op)) {
    source.push(a);
    source.push(b);
    f.simd(floatBinary[node.op]);
  } else if (node.op === "copysign") {
    source.push(b);
    source.push(a);
    source.constant(SIGN);
    f.simd(Simd.bitselect);
  } else if (node.op === "sign") {
    for (const compare of [Simd.f32x4Gt, Simd.f32x4Lt] as const) {
      source.push(a);
      source.constant(0);
      f.simd(compare);
      source.constant(ONE);
      f.simd(Simd.and);
    }
    f.simd(Simd.f32x4Sub);
  } else throw new InternalError(`no vector instruction for ${node.op} of float32`);
}

function emitInteger(f: FunctionBuilder, node: Node, a: number, b: number, source: VectorSource): void {
  if (has(integerBinary, node.op)) {
    source.push(a);
    source.push(b);
    f.simd(integerBinary[node.op]);
    return;
  }
  if (has(shifts, node.op)) {
    source.push(a);
    source.pushScalar(b);
    f.simd(shifts[node.op]);
    return;
  }
  if (node.op === "mulhi") {
    for (const multiply of [Simd.i64x2ExtmulLowI32x4U, Simd.i64x2ExtmulHighI32x4U] as const) {
      source.push(a);
      source.push(b);
      f.simd(multiply);
    }
    f.shuffle32(1, 3, 5, 7);
    return;
  }
  if (node.op === "sign") {
    for (const [left, right] of [["zero", "value"], ["value", "zero"]] as const) {
      for (const side of [left, right]) {
        if (side === "zero") source.constant(0);
        else source.push(a);
      }
      f.simd(Simd.i32x4GtS);
    }
    f.simd(Simd.i32x4Sub);
    return;
  }
  source.push(a);
  if (node.op === "neg") f.simd(Simd.i32x4Neg);
  else if (node.op === "not") f.simd(Simd.not);
  else if (node.op === "abs") {
    if (node.type === "int32") f.simd(Simd.i32x4Abs);
  } else if (!integerUnary.has(node.op)) throw new InternalError(`no vector instruction for ${node.op} of ${node.type}`);
}

function emitCast(f: FunctionBuilder, a: number, from: DType, to: DType, source: VectorSource): void {
  source.push(a);
  if (from === to) return;
  if (to === "bool") {
    source.constant(0);
    f.simd(from === "float32" ? Simd.f32x4Ne : Simd.i32x4Ne);
  } else if (from === "bool") {
    source.constant(to === "float32" ? ONE : 1);
    f.simd(Simd.and);
  } else if (to === "float32") f.simd(Simd.f32x4ConvertI32x4S);
  else if (from === "float32") f.simd(Simd.i32x4TruncSatF32x4S);
  else if (to === "uint8") {
    source.constant(0xff);
    f.simd(Simd.and);
  }
}

/** Pushes four neighbouring elements; the address is on the stack. */
export function emitVectorLoad(f: FunctionBuilder, type: DType, offset: number, source: VectorSource): void {
  if (type === "float32" || type === "int32") {
    f.simdMemory(Simd.load, offset);
    return;
  }
  f.simdMemory(Simd.load32Zero, offset);
  f.simd(Simd.i16x8ExtendLowI8x16U);
  f.simd(Simd.i32x4ExtendLowI16x8U);
  if (type === "bool") {
    source.constant(0);
    f.simd(Simd.i32x4Ne);
  }
}

/** Stores four neighbouring elements; the address and the lanes are on the stack. `lanes` is a free v128 local. */
export function emitVectorStore(f: FunctionBuilder, type: DType, offset: number, source: VectorSource, lanes: number): void {
  if (type === "float32" || type === "int32") {
    f.simdMemory(Simd.store, offset);
    return;
  }
  if (type === "bool") {
    source.constant(1);
    f.simd(Simd.and);
  }
  f.tee(lanes);
  f.get(lanes);
  f.simd(Simd.i16x8NarrowI32x4U);
  f.tee(lanes);
  f.get(lanes);
  f.simd(Simd.i8x16NarrowI16x8U);
  f.simdStoreLane(Simd.store32Lane, offset, 0);
}

/** Turns the scalar on the stack into four equal lanes. */
export function emitSplat(f: FunctionBuilder, type: DType): void {
  if (type === "float32") f.simd(Simd.f32x4Splat);
  else if (type === "bool") {
    // 0 or 1 to 0 or -1.
    const value = f.local(Type.i32);
    f.set(value);
    f.i32(0);
    f.get(value);
    f.op(Op.i32Sub);
    f.simd(Simd.i32x4Splat);
  } else f.simd(Simd.i32x4Splat);
}

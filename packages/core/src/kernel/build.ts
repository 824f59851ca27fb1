/**
 * Writing kernels as expressions: `(a, b) => a.div(b)` builds the IR's nodes. A `Graph` is one list of nodes (a body, an epilogue);
 * an `Expr` is one of its values. Equal nodes are made once.
 */
import type { DType } from "../tensor/dtype.ts";
import { InternalError } from "../errors.ts";
import type { BinaryOp, CompareOp, FaultCode, Node, UnaryOp } from "./ir.ts";

/** A constant's text as the IR wants it. */
function constantText(value: number | bigint): string {
  return Object.is(value, -0) ? "-0" : String(value);
}

export interface LoadOptions {
  /** Adds `value * stride` elements to the address; `stride` is the number of an int32 scalar argument. */
  readonly indirect?: readonly { readonly value: Expr; readonly stride: number }[];
  /** Where false, nothing is read and the value is 0. */
  readonly guard?: Expr;
}

export class Graph {
  readonly nodes: Node[] = [];
  readonly #known = new Map<string, Expr>();

  push(node: Node): Expr {
    const key = keyOf(node);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const made = new Expr(this, this.nodes.length, node.type);
    this.nodes.push(node);
    this.#known.set(key, made);
    return made;
  }

  constant(type: DType, value: number | bigint): Expr {
    return this.push({ op: "const", type, value: constantText(value) });
  }

  scalar(index: number, type: DType): Expr {
    return this.push({ op: "scalar", type, index });
  }

  /** The loop index of an axis (int32). */
  axis(index: number): Expr {
    return this.push({ op: "axis", type: "int32", index });
  }

  /** The size of an axis (int32). */
  size(index: number): Expr {
    return this.push({ op: "size", type: "int32", index });
  }

  accumulator(index: number, type: DType): Expr {
    return this.push({ op: "acc", type, index });
  }

  other(index: number, type: DType): Expr {
    return this.push({ op: "other", type, index });
  }

  /** What an earlier sweep of a row kernel found. */
  result(index: number, type: DType): Expr {
    return this.push({ op: "result", type, index });
  }

  load(index: number, type: DType, { indirect, guard }: LoadOptions = {}): Expr {
    return this.push({
      op: "load",
      type,
      index,
      ...(indirect === undefined ? {} : { indirect: indirect.map(({ value, stride }) => ({ value: value.id, stride })) }),
      ...(guard === undefined ? {} : { guard: guard.id }),
    });
  }

  /** The launch fails with `code` where `condition` is false; `detail` (int32) is reported with it. */
  check(condition: Expr, detail: Expr, code: FaultCode): void {
    this.push({ op: "check", type: "bool", args: [condition.id, detail.id], code });
  }
}

/** A text that equal nodes share. */
function keyOf(node: Node): string {
  if ("args" in node && node.op !== "check") return `${node.op} ${node.type} ${node.args.join()}`;
  if (node.op === "const") return `const ${node.type} ${node.value}`;
  return JSON.stringify(node);
}

type Operand = Expr | number;

/** One value of a graph, with the IR's operations as methods. Numbers become constants of the other operand's type. */
export class Expr {
  readonly graph: Graph;
  readonly id: number;
  readonly type: DType;

  constructor(graph: Graph, id: number, type: DType) {
    this.graph = graph;
    this.id = id;
    this.type = type;
  }

  constant(value: number): Expr {
    return this.graph.constant(this.type, value);
  }

  #same(other: Operand): Expr {
    if (typeof other === "number") return this.constant(other);
    if (other.type !== this.type || other.graph !== this.graph) {
      throw new InternalError(`kernel expression mixes ${this.type} and ${other.type}, or two graphs`);
    }
    return other;
  }

  unary(op: UnaryOp): Expr {
    return this.graph.push({ op, type: this.type, args: [this.id] });
  }

  binary(op: BinaryOp, other: Operand): Expr {
    return this.graph.push({ op, type: this.type, args: [this.id, this.#same(other).id] });
  }

  compare(op: CompareOp, other: Operand): Expr {
    return this.graph.push({ op, type: "bool", args: [this.id, this.#same(other).id] });
  }

  cast(type: DType): Expr {
    return type === this.type ? this : this.graph.push({ op: "cast", type, args: [this.id] });
  }

  bitcast(type: "float32" | "int32"): Expr {
    return type === this.type ? this : this.graph.push({ op: "bitcast", type, args: [this.id] });
  }

  /** On a bool: `yes` where it holds, `no` elsewhere; one of them may be a number. */
  where(yes: Operand, no: Operand): Expr {
    const shape = typeof yes === "number" ? no : yes;
    if (typeof shape === "number") throw new InternalError("where() needs an expression on one side");
    const [a, b] = [yes, no].map((side) => (typeof side === "number" ? shape.constant(side) : side));
    return this.graph.push({ op: "select", type: shape.type, args: [this.id, a.id, b.id] });
  }

  add(other: Operand): Expr { return this.binary("add", other); }
  sub(other: Operand): Expr { return this.binary("sub", other); }
  mul(other: Operand): Expr { return this.binary("mul", other); }
  div(other: Operand): Expr { return this.binary("div", other); }
  mod(other: Operand): Expr { return this.binary("mod", other); }
  fmod(other: Operand): Expr { return this.binary("fmod", other); }
  pow(other: Operand): Expr { return this.binary("pow", other); }
  atan2(other: Operand): Expr { return this.binary("atan2", other); }
  max(other: Operand): Expr { return this.binary("max", other); }
  min(other: Operand): Expr { return this.binary("min", other); }
  and(other: Operand): Expr { return this.binary("and", other); }
  or(other: Operand): Expr { return this.binary("or", other); }
  xor(other: Operand): Expr { return this.binary("xor", other); }
  shl(other: Operand): Expr { return this.binary("shl", other); }
  shr(other: Operand): Expr { return this.binary("shr", other); }
  sar(other: Operand): Expr { return this.binary("sar", other); }
  mulhi(other: Operand): Expr { return this.binary("mulhi", other); }
  copysign(other: Operand): Expr { return this.binary("copysign", other); }
  nextafter(other: Operand): Expr { return this.binary("nextafter", other); }
  eq(other: Operand): Expr { return this.compare("eq", other); }
  ne(other: Operand): Expr { return this.compare("ne", other); }
  lt(other: Operand): Expr { return this.compare("lt", other); }
  le(other: Operand): Expr { return this.compare("le", other); }
  gt(other: Operand): Expr { return this.compare("gt", other); }
  ge(other: Operand): Expr { return this.compare("ge", other); }
  neg(): Expr { return this.unary("neg"); }
  abs(): Expr { return this.unary("abs"); }
  sign(): Expr { return this.unary("sign"); }
  floor(): Expr { return this.unary("floor"); }
  ceil(): Expr { return this.unary("ceil"); }
  trunc(): Expr { return this.unary("trunc"); }
  round(): Expr { return this.unary("round"); }
  sqrt(): Expr { return this.unary("sqrt"); }
  not(): Expr { return this.unary("not"); }
  exp(): Expr { return this.unary("exp"); }
  exp2(): Expr { return this.unary("exp2"); }
  expm1(): Expr { return this.unary("expm1"); }
  log(): Expr { return this.unary("log"); }
  log2(): Expr { return this.unary("log2"); }
  log10(): Expr { return this.unary("log10"); }
  log1p(): Expr { return this.unary("log1p"); }
  sin(): Expr { return this.unary("sin"); }
  cos(): Expr { return this.unary("cos"); }
  tan(): Expr { return this.unary("tan"); }
  asin(): Expr { return this.unary("asin"); }
  acos(): Expr { return this.unary("acos"); }
  atan(): Expr { return this.unary("atan"); }
  sinh(): Expr { return this.unary("sinh"); }
  cosh(): Expr { return this.unary("cosh"); }
  tanh(): Expr { return this.unary("tanh"); }
  asinh(): Expr { return this.unary("asinh"); }
  acosh(): Expr { return this.unary("acosh"); }
  atanh(): Expr { return this.unary("atanh"); }
  erf(): Expr { return this.unary("erf"); }
  erfc(): Expr { return this.unary("erfc"); }
  erfinv(): Expr { return this.unary("erfinv"); }
  lgamma(): Expr { return this.unary("lgamma"); }
  digamma(): Expr { return this.unary("digamma"); }

  square(): Expr { return this.mul(this); }
  reciprocal(): Expr { return this.constant(1).div(this); }
  rsqrt(): Expr { return this.constant(1).div(this.sqrt()); }
  isNaN(): Expr { return this.ne(this); }
  sigmoid(): Expr { return this.constant(1).div(this.neg().exp().add(1)); }
  relu(): Expr { return this.max(0); }
}

/**
 * One value of the IR as a WGSL expression. int32 and uint8 are `i32`, bool is `bool`, float32 is `f32`; int64 and
 * float64 are pairs of words (`vec2u`, low first).
 */
import { InternalError, type DType, type Node } from "@troupe/core/device";

type Name = (id: number) => string;

export function valueType(type: DType): string {
  switch (type) {
    case "float32": return "f32";
    case "int32":
    case "uint8": return "i32";
    case "bool": return "bool";
    case "int64":
    case "float64": return "vec2u";
  }
}

const words = new DataView(new ArrayBuffer(8));

function pair(): string {
  return `vec2u(${words.getUint32(0, true)}u, ${words.getUint32(4, true)}u)`;
}

/** A constant, from the IR's text. */
export function literal(type: DType, text: string): string {
  switch (type) {
    case "float32": {
      const value = Math.fround(Number(text));
      if (Number.isNaN(value)) return "bitcast<f32>(t_nan_bits)";
      if (Math.abs(value) === Infinity) return `${value < 0 ? "-" : ""}bitcast<f32>(t_infinity_bits)`;
      words.setFloat32(0, value);
      const bits = words.getUint32(0);
      if (Object.is(value, -0) || (value !== 0 && Math.abs(value) < 2 ** -126)) return `bitcast<f32>(${bits}u)`;
      const digits = String(value);
      return `${/[.e]/.test(digits) ? digits : `${digits}.0`}f`;
    }
    case "float64":
      words.setFloat64(0, Number(text), true);
      return pair();
    case "int64":
      words.setBigInt64(0, BigInt(text), true);
      return pair();
    case "int32":
    case "uint8": return text === "-2147483648" ? "i32(0x80000000u)" : `${Number(text)}i`;
    case "bool": return text === "0" || text === "false" ? "false" : "true";
  }
}

/** The value of type `type` that `text`, of type `from`, becomes. */
export function cast(from: DType, type: DType, text: string): string {
  if (from === type) return text;
  const wide = (t: DType): boolean => t === "int64" || t === "float64";
  if (type === "bool") {
    if (from === "float32") return `((bitcast<u32>(${text}) << 1u) != 0u)`;
    if (from === "int64") return `any(${text} != vec2u(0u))`;
    if (from === "float64") return `!t_f64_eq(${text}, vec2u(0u))`;
    return `(${text} != 0)`;
  }
  if (from === "bool") {
    if (type === "int64") return `vec2u(select(0u, 1u, ${text}), 0u)`;
    if (type === "float64") return `vec2u(0u, select(0u, 0x3ff00000u, ${text}))`;
    return type === "float32" ? `select(0.0f, 1.0f, ${text})` : `select(0i, 1i, ${text})`;
  }
  const low = type === "uint8" && !wide(from) && from !== "float32" ? `(${text} & 0xff)` : undefined;
  if (low !== undefined) return low;
  if (from === "float32") {
    if (type === "int64") return `t_i64_from_f32(${text})`;
    if (type === "float64") return `t_f64_from_f32(${text})`;
    const whole = `t_f32_to_i32(${text})`;
    return type === "uint8" ? `clamp(${whole}, 0i, 255i)` : whole;
  }
  if (from === "int64") {
    if (type === "float32") return `t_i64_to_f32(${text})`;
    if (type === "float64") return `t_f64_from_i64(${text})`;
    return type === "uint8" ? `i32(${text}.x & 0xffu)` : `i32(${text}.x)`;
  }
  if (from === "float64") {
    if (type === "float32") return `t_f64_to_f32(${text})`;
    if (type === "int64") return `t_f64_to_i64(${text})`;
    return type === "uint8" ? `clamp(t_f64_to_i32(${text}), 0i, 255i)` : `t_f64_to_i32(${text})`;
  }
  if (type === "float32") return `f32(${text})`;
  if (type === "int64") return `t_i64_from_i32(${text})`;
  if (type === "float64") return `t_f64_from_i32(${text})`;
  return text;
}

/** Operators and functions by dtype and op; `a` and `b` are the arguments. */
type Table = Readonly<Record<string, (a: string, b: string) => string>>;

const infix = (operator: string) => (a: string, b: string): string => `(${a} ${operator} ${b})`;
const call = (name: string) => (a: string, b: string): string => `${name}(${b === "" ? a : `${a}, ${b}`})`;
const calls = (prefix: string, names: readonly string[]): Table =>
  Object.fromEntries(names.map((name) => [name, call(`${prefix}${name}`)]));

const compareInfix: Table = {
  eq: infix("=="), ne: infix("!="), lt: infix("<"), le: infix("<="), gt: infix(">"), ge: infix(">="),
};

function compareBy(eq: string, lt: string): Table {
  return {
    eq: call(eq), lt: call(lt),
    ne: (a, b) => `!${eq}(${a}, ${b})`,
    gt: (a, b) => `${lt}(${b}, ${a})`,
  };
}

const float32: Table = {
  ...compareInfix,
  // Denormals count as 0 where floats are compared.
  eq: call("t_eq"), ne: (a, b) => `!t_eq(${a}, ${b})`,
  add: infix("+"), sub: infix("-"), mul: infix("*"), div: infix("/"),
  neg: (a) => `-${a}`,
  ...calls("", ["abs", "floor", "ceil", "trunc", "round"]),
  ...calls("t_", [
    "sign", "sqrt", "max", "min", "fmod", "mod", "pow", "atan2", "copysign", "nextafter",
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan",
    "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc", "erfinv", "lgamma", "digamma",
  ]),
};

const shift = (operator: string, unsigned: boolean) => (a: string, b: string): string =>
  unsigned ? `i32(u32(${a}) ${operator} (u32(${b}) & 31u))` : `(${a} ${operator} (u32(${b}) & 31u))`;

const same = (a: string): string => a;

const int32: Table = {
  ...compareInfix,
  add: infix("+"), sub: infix("-"), mul: infix("*"), and: infix("&"), or: infix("|"), xor: infix("^"),
  shl: shift("<<", false), shr: shift(">>", true), sar: shift(">>", false),
  neg: (a) => `(0i - ${a})`, not: (a) => `~${a}`,
  floor: same, ceil: same, trunc: same, round: same,
  ...calls("", ["abs", "sign", "max", "min"]),
  ...calls("t_i32_", ["div", "mod", "fmod", "pow"]),
  mulhi: call("t_mulhi"),
};

const int64: Table = {
  ...compareBy("t_i64_eq", "t_i64_lt"),
  le: (a, b) => `!t_i64_lt(${b}, ${a})`,
  ge: (a, b) => `!t_i64_lt(${a}, ${b})`,
  ...calls("t_i64_", ["add", "sub", "mul", "div", "mod", "fmod", "pow", "shl", "shr", "sar", "neg", "abs"]),
  and: infix("&"), or: infix("|"), xor: infix("^"), not: (a) => `~${a}`,
  max: (a, b) => `select(${a}, ${b}, t_i64_lt(${a}, ${b}))`,
  min: (a, b) => `select(${a}, ${b}, t_i64_lt(${b}, ${a}))`,
  sign: (a) => `select(vec2u(select(0u, 1u, any(${a} != vec2u(0u))), 0u), vec2u(0xffffffffu), (${a}.y >> 31u) == 1u)`,
  floor: same, ceil: same, trunc: same, round: same,
};

const float64: Table = {
  ...compareBy("t_f64_eq", "t_f64_lt"),
  le: (a, b) => `(t_f64_lt(${a}, ${b}) || t_f64_eq(${a}, ${b}))`,
  ge: (a, b) => `(t_f64_lt(${b}, ${a}) || t_f64_eq(${a}, ${b}))`,
  ...calls("t_f64_", ["add", "sub", "mul", "neg"]),
  abs: (a) => `vec2u(${a}.x, ${a}.y & 0x7fffffffu)`,
};

const bool: Table = {
  eq: infix("=="), ne: infix("!="),
  lt: (a, b) => `(!${a} && ${b})`, gt: (a, b) => `(${a} && !${b})`,
  le: (a, b) => `(!${a} || ${b})`, ge: (a, b) => `(${a} || !${b})`,
  and: infix("&&"), mul: infix("&&"), min: infix("&&"), or: infix("||"), add: infix("||"), max: infix("||"),
  xor: infix("!="), sub: infix("!="),
  not: (a) => `!${a}`, abs: same, neg: same, sign: same,
};

const tables: Readonly<Record<DType, Table>> = { float32, int32, uint8: int32, int64, float64, bool };

/** `op` applied to one or two values of `type`. @throws InternalError where the GPU has no such thing. */
export function operation(op: string, type: DType, a: string, b = ""): string {
  const print = tables[type][op];
  if (print === undefined) {
    throw new InternalError(`the GPU has no ${op} of ${type}`, { op, remedy: "Compute it on a CPU device." });
  }
  return print(a, b);
}

/** A pure value of `nodes` (no load, accumulator or index), its arguments by name. */
export function expression(node: Node, nodes: readonly Node[], name: Name): string {
  if (node.op === "const") return literal(node.type, node.value);
  if (!("args" in node)) throw new InternalError(`no WGSL expression for ${node.op}`);
  const [a = 0, b, c = 0] = node.args as readonly number[];
  const argumentType = nodes[a].type;
  // oxlint-disable-next-line switch-exhaustiveness-check -- all the rest are in the tables
  switch (node.op) {
    case "cast": return cast(argumentType, node.type, name(a));
    case "bitcast": return `bitcast<${valueType(node.type)}>(${name(a)})`;
    case "select": return `select(${name(c)}, ${name(b ?? 0)}, ${name(a)})`;
    case "eq":
    case "ne":
      // Compilers take x != x for false: NaN is looked for in the bits.
      if (a === b && argumentType === "float32") return `${node.op === "eq" ? "!" : ""}t_isnan(${name(a)})`;
      return operation(node.op, argumentType, name(a), name(b ?? 0));
    default: {
      const text = operation(node.op, argumentType, name(a), b === undefined ? "" : name(b));
      return node.type === "uint8" ? `(${text} & 0xff)` : text;
    }
  }
}

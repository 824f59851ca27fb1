/** The functions that printed kernels import from JavaScript: scalar math without a WebAssembly instruction. */
import {
  digamma, erf, erfc, erfinv, lgamma, nextafter32, nextafter64, type BinaryOp, type Node, type UnaryOp,
} from "@troupe/core/device";

type MathOp = UnaryOp | BinaryOp;

const unary: Partial<Record<MathOp, (x: number) => number>> = {
  exp: Math.exp, exp2: (x) => 2 ** x, expm1: Math.expm1,
  log: Math.log, log2: Math.log2, log10: Math.log10, log1p: Math.log1p,
  sin: Math.sin, cos: Math.cos, tan: Math.tan, asin: Math.asin, acos: Math.acos, atan: Math.atan,
  sinh: Math.sinh, cosh: Math.cosh, tanh: Math.tanh, asinh: Math.asinh, acosh: Math.acosh, atanh: Math.atanh,
  erf, erfc, erfinv, lgamma, digamma,
};

/** C's pow: 1 ** NaN and (-1) ** Infinity are 1, unlike in JavaScript. */
function pow(x: number, y: number): number {
  return x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : x ** y;
}

const binary: Partial<Record<MathOp, (x: number, y: number) => number>> = {
  pow, atan2: Math.atan2, fmod: (x, y) => x % y, mod: floatModulo,
};

/** The remainder with the divisor's sign (`torch.remainder`). */
function floatModulo(x: number, y: number): number {
  const remainder = x % y;
  return remainder !== 0 && remainder < 0 !== y < 0 ? remainder + y : remainder;
}

/** All imports, by name. Each takes and gives float64. */
export const mathImports: Readonly<Record<string, (...args: number[]) => number>> = {
  ...(unary as Record<string, (x: number) => number>),
  ...(binary as Record<string, (x: number, y: number) => number>),
  nextafter32, nextafter64,
};

/** The import that computes `node`, or undefined where instructions do. */
export function mathImport(node: Node): { readonly name: string; readonly arguments: 1 | 2 } | undefined {
  if (node.type !== "float32" && node.type !== "float64") return undefined;
  if (node.op === "nextafter") return { name: node.type === "float32" ? "nextafter32" : "nextafter64", arguments: 2 };
  if (node.op in unary) return { name: node.op, arguments: 1 };
  if (node.op in binary) return { name: node.op, arguments: 2 };
  return undefined;
}

/** The functions that printed kernels may call: each is printed with those that it calls, and only when it is called. */
import { expandMath, InternalError, type LoopKernel, type Node } from "@troupe/core/device";
import { float32Functions } from "./float32.ts";
import { float64Functions } from "./float64.ts";
import { int32Functions } from "./int32.ts";
import { int64Functions } from "./int64.ts";
import { expression } from "./scalar.ts";

/** Bits that WGSL does not let constants have; a private variable is no constant. */
const specialBits = `var<private> t_infinity_bits: u32 = 0x7f800000u;
var<private> t_nan_bits: u32 = 0x7fc00000u;`;

/** The float32 functions that core writes out as arithmetic, with how many arguments they take. */
const expanded = {
  exp: 1, exp2: 1, expm1: 1, log: 1, log1p: 1, log2: 1, log10: 1, sin: 1, cos: 1, tanh: 1, erf: 1, pow: 2,
} as const;

const written: Readonly<Record<string, string>> = {
  ...int32Functions, ...int64Functions, ...float32Functions, ...float64Functions,
};

const functions = new Map<string, string>(Object.entries(written));

/** A WGSL function from core's arithmetic for `op`. */
function printExpanded(op: keyof typeof expanded): string {
  const loads: Node[] = Array.from({ length: expanded[op] }, (_, index) => ({ op: "load", type: "float32", index }));
  const operand = { dtype: "float32", inner: "any" } as const;
  const kernel: LoopKernel = {
    kind: "loop", name: op, axes: 0, reduced: 0,
    inputs: loads.map(() => operand), outputs: [{ ...operand, overwrites: true }], scalars: [],
    body: [...loads, { op, type: "float32", args: loads.map((_, i) => i) } as unknown as Node],
    accumulators: [], step: [], epilogue: [],
    stores: [{ output: 0, value: loads.length, at: "body" }],
  };
  const { body, stores } = expandMath(kernel);
  const lines = body.map((node, id) => {
    const value = node.op === "load" ? `x${node.index}` : expression(node, body, (used) => `v${used}`);
    return `  let v${id} = ${value};`;
  });
  const parameters = loads.map((_, i) => `x${i}: f32`).join(", ");
  return `fn t_${op}(${parameters}) -> f32 {\n${lines.join("\n")}\n  return v${stores[0].value};\n}`;
}

function textOf(name: string): string {
  let text = functions.get(name);
  if (text === undefined) {
    const op = name.slice(2);
    if (!Object.hasOwn(expanded, op)) throw new InternalError(`no WGSL function ${name}`);
    text = printExpanded(op as keyof typeof expanded);
    functions.set(name, text);
  }
  return text;
}

/** `code` with the library's functions that it calls in front. */
export function withLibrary(code: string): string {
  const texts: string[] = [];
  const seen = new Set<string>();
  const visit = (text: string): void => {
    for (const [, name] of text.matchAll(/\b(t_\w+)\(/g)) {
      if (seen.has(name)) continue;
      seen.add(name);
      const own = textOf(name);
      visit(own);
      texts.push(own);
    }
  };
  visit(code);
  return [specialBits, ...texts, code].join("\n");
}

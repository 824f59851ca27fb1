/** Loop and row kernels as JavaScript functions: the loop nest as written in kernel/ir.ts, nothing clever. */
import type { Fault } from "../../actor/backend.ts";
import {
  scalarWords, type BinaryOp, type CompareOp, type FaultCode, type LoopKernel, type Node, type RowKernel, type Store,
  type Sweep, type UnaryOp,
} from "../../kernel/ir.ts";
import type { DType } from "../../tensor/dtype.ts";
import { binary, bitcast, cast, compare, constant, floatUnary, unary, type Scalar } from "./scalar.ts";

/** An operand at launch: elements of the whole memory, and the storage's range among them. */
export interface OperandMemory {
  readonly view: Record<number, Scalar>;
  /** The first element's index. */
  readonly offset: number;
  /** The storage's first element, and the one behind its last. */
  readonly low: number;
  readonly high: number;
}

/** @returns the first fault, or undefined. Sizes go by axis, strides by operand and axis. */
export type LoopFunction = (
  operands: readonly OperandMemory[],
  sizes: readonly number[],
  strides: readonly (readonly number[])[],
  scalars: readonly Scalar[],
) => Fault | undefined;

const compares: readonly string[] = ["eq", "ne", "lt", "le", "gt", "ge"] satisfies CompareOp[];
const unaries: readonly string[] = Object.keys(floatUnary);

function isUnary(op: UnaryOp | BinaryOp | CompareOp): op is UnaryOp {
  return unaries.includes(op);
}

function isCompare(op: BinaryOp | CompareOp): op is CompareOp {
  return compares.includes(op);
}

function scalarFunction(op: UnaryOp | BinaryOp | CompareOp, type: DType): unknown {
  if (isUnary(op)) return unary(op, type);
  return isCompare(op) ? compare(op) : binary(op, type);
}

class Printer {
  readonly kernel: LoopKernel | RowKernel;
  /** A loop kernel is its own only sweep. */
  readonly sweeps: readonly (Omit<Sweep, "results"> & Partial<Sweep>)[];
  readonly lines: string[] = [];
  /** Functions and constants that the text names `f0`, `f1`, ... */
  readonly environment: unknown[] = [];
  /** A kernel that checks its indices may meet bad ones before the check. */
  readonly #lenient: boolean;
  #results = 0;

  constructor(kernel: LoopKernel | RowKernel) {
    this.kernel = kernel;
    this.sweeps = kernel.kind === "rows" ? kernel.sweeps : [kernel];
    this.#lenient = this.sweeps.some(({ body, epilogue }) => [...body, ...epilogue].some((node) => node.op === "check"));
  }

  print(): LoopFunction {
    const { kernel } = this;
    const outer = kernel.axes - kernel.reduced;
    for (let axis = 0; axis < outer; axis++) this.#open(axis);
    const results = this.sweeps.flatMap((sweep) => sweep.results ?? []);
    if (results.length > 0) this.lines.push(`let ${results.map((_, i) => `r${i}`).join(", ")};`);
    for (const sweep of this.sweeps) this.#sweep(sweep, outer);
    for (let axis = 0; axis < outer; axis++) this.lines.push("}");
    const operands = [...kernel.inputs, ...kernel.outputs];
    const text = [
      '"use strict";',
      ...this.environment.map((_, i) => `const f${i} = f[${i}];`),
      "return (o, n, s, scalars) => {",
      ...operands.map((_, i) => `const { view: v${i}, offset: o${i}, low: l${i}, high: h${i} } = o[${i}];`),
      ...operands.map((_, i) => `const s${i} = s[${i}];`),
      "let at = 0;",
      ...this.lines,
      "return undefined; };",
    ].join("\n");
    // The text is made of numbers and fixed words only.
    // oxlint-disable-next-line no-implied-eval
    return new Function("f", text)(this.environment) as LoopFunction;
  }

  #sweep({ body, accumulators, step, epilogue, stores, results = [] }: Printer["sweeps"][number], outer: number): void {
    const { axes } = this.kernel;
    this.lines.push("{");
    accumulators.forEach(({ type, init }, i) => {
      this.lines.push(`let acc${i} = ${this.#name(constant(type, init))};`);
    });
    for (let axis = outer; axis < axes; axis++) this.#open(axis);
    this.#nodes(body, "b", axes);
    step.forEach((value, i) => this.lines.push(`acc${i} = b${value};`));
    this.#stores(stores, "body", "b", axes);
    for (let axis = outer; axis < axes; axis++) this.lines.push("}");
    this.#nodes(epilogue, "e", outer);
    this.#stores(stores, "epilogue", "e", outer);
    for (const value of results) this.lines.push(`r${this.#results++} = e${value};`);
    this.lines.push("}");
  }

  #open(axis: number): void {
    this.lines.push(`for (let i${axis} = 0; i${axis} < n[${axis}]; i${axis}++) {`);
  }

  #name(value: unknown): string {
    this.environment.push(value);
    return `f${this.environment.length - 1}`;
  }

  #nodes(nodes: readonly Node[], prefix: string, axes: number): void {
    nodes.forEach((node, i) => {
      const value = this.#value(node, nodes, prefix, axes);
      if (value !== undefined) this.lines.push(`const ${prefix}${i} = ${value};`);
    });
  }

  #value(node: Node, nodes: readonly Node[], prefix: string, axes: number): string | undefined {
    const typeOf = (index: number): DType => (nodes[index]).type;
    // oxlint-disable-next-line switch-exhaustiveness-check -- all the rest are scalar functions
    switch (node.op) {
      case "const":
        return this.#name(constant(node.type, node.value));
      case "scalar":
        return `scalars[${node.index}]`;
      case "axis":
        return node.index < axes ? `i${node.index}` : "0";
      case "size":
        return `n[${node.index}]`;
      case "acc":
        return `acc${node.index}`;
      case "result":
        return `r${node.index}`;
      case "other":
        throw new TypeError("`other` outside of combine");
      case "load": {
        const k = node.index;
        const outside = this.#name(this.#outsideLoad(node.type));
        const inside = `(${this.#seek(k, axes, node.indirect, prefix)})`;
        const access = `${inside} ? v${k}[at] : ${outside}(at - l${k}, h${k} - l${k})`;
        const zero = node.type === "int64" ? "0n" : "0";
        return node.guard === undefined ? access : `${prefix}${node.guard} ? ${access} : ${zero}`;
      }
      case "cast":
        return this.#call(cast(typeOf(node.args[0]), node.type), node.args, prefix);
      case "bitcast":
        return this.#call(bitcast(typeOf(node.args[0]), node.type), node.args, prefix);
      case "select":
        return `${prefix}${node.args[0]} ? ${prefix}${node.args[1]} : ${prefix}${node.args[2]}`;
      case "check": {
        const fault = this.#name((code: FaultCode, detail: Scalar): Fault => ({ code, detail: Number(detail) }));
        const code = this.#name(node.code);
        this.lines.push(`if (!${prefix}${node.args[0]}) return ${fault}(${code}, ${prefix}${node.args[1]});`);
        return undefined;
      }
      default:
        return this.#call(scalarFunction(node.op, node.type), node.args, prefix);
    }
  }

  #call(f: unknown, args: readonly number[], prefix: string): string {
    return `${this.#name(f)}(${args.map((arg) => `${prefix}${arg}`).join(", ")})`;
  }

  /**
   * Sets `at` to the operand's element at the current point; the value says whether it lies in the operand's storage.
   */
  #seek(operand: number, axes: number, indirect: Store["indirect"], prefix: string): string {
    const terms = [`o${operand}`];
    for (let axis = 0; axis < axes; axis++) terms.push(`s${operand}[${axis}] * i${axis}`);
    for (const { value, stride } of indirect ?? []) terms.push(`${prefix}${value} * scalars[${stride}]`);
    return `at = ${terms.join(" + ")}, at >= l${operand} && at < h${operand}`;
  }

  #outsideLoad(type: DType): (element: number, elements: number) => Scalar {
    const zero = type === "int64" ? 0n : 0;
    const lenient = this.#lenient;
    return (element, elements) => {
      if (lenient) return zero;
      throw new RangeError(`a load outside of its storage (element ${element} of ${elements})`);
    };
  }

  #stores(stores: readonly Store[], at: Store["at"], prefix: string, axes: number): void {
    const { inputs, outputs } = this.kernel;
    for (const store of stores) {
      if (store.at !== at) continue;
      const operand = inputs.length + store.output;
      const type = outputs[store.output]?.dtype ?? "float32";
      const value = `${prefix}${store.value}`;
      const combine = store.combine === undefined ? undefined : this.#name(binary(store.combine, type));
      const stored = combine === undefined ? value : `${combine}(v${operand}[at], ${value})`;
      const seek = this.#seek(operand, axes, store.indirect, prefix);
      const outside = `${this.#name(outsideStore)}(at - l${operand}, h${operand} - l${operand})`;
      const guard = store.guard === undefined ? "" : `if (${prefix}${store.guard}) `;
      this.lines.push(`${guard}{ if (${seek}) v${operand}[at] = ${stored}; else ${outside}; }`);
    }
  }
}

function outsideStore(element: number, elements: number): never {
  throw new RangeError(`a store outside of its storage (element ${element} of ${elements})`);
}

export function compileLoop(kernel: LoopKernel | RowKernel): LoopFunction {
  return new Printer(kernel).print();
}

const words32 = new Int32Array(2);
const floats32 = new Float32Array(words32.buffer);
const floats64 = new Float64Array(words32.buffer);
const ints64 = new BigInt64Array(words32.buffer);

/** Reads the scalar arguments at `words[at...]`. */
export function readScalars(types: readonly DType[], words: Int32Array, at: number): Scalar[] {
  let next = at;
  return types.map((type) => {
    words32[0] = words[next];
    if (scalarWords(type) === 2) words32[1] = words[next + 1];
    next += scalarWords(type);
    switch (type) {
      case "float32":
        return floats32[0];
      case "float64":
        return floats64[0];
      case "int64":
        return ints64[0];
      case "int32":
      case "uint8":
      case "bool":
        return words32[0];
    }
  });
}

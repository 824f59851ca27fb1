/** Loop kernels as JavaScript functions: the loop nest as written in kernel/ir.ts, nothing clever. */
import type { Fault } from "../../actor/backend.ts";
import { scalarWords, type FaultCode, type LoopKernel, type Node, type Store } from "../../kernel/ir.ts";
import type { DType } from "../../tensor/dtype.ts";
import { binary, bitcast, cast, compare, constant, unary, type Scalar } from "./scalar.ts";

/** An operand at launch: elements of the whole memory, and the storage's range among them. */
export interface OperandMemory {
  readonly view: Record<number, Scalar>;
  /** The first element's index. */
  readonly offset: number;
  /** The storage's first element, and the one behind its last. */
  readonly low: number;
  readonly high: number;
}

/** @returns the first fault, or undefined. `integers` are axis sizes, then strides by operand and axis. */
export type LoopFunction = (
  operands: readonly OperandMemory[], sizes: readonly number[], strides: readonly (readonly number[])[], scalars: readonly Scalar[],
) => Fault | undefined;

const compares = new Set<string>(["eq", "ne", "lt", "le", "gt", "ge"]);

class Printer {
  readonly kernel: LoopKernel;
  readonly lines: string[] = [];
  /** Functions and constants that the text names `f[0]`, `f[1]`, ... */
  readonly environment: unknown[] = [];
  /** A kernel that checks its indices may meet bad ones before the check. */
  readonly #lenient: boolean;

  constructor(kernel: LoopKernel) {
    this.kernel = kernel;
    this.#lenient = [...kernel.body, ...kernel.epilogue].some((node) => node.op === "check");
  }

  print(): LoopFunction {
    const { kernel } = this;
    const outer = kernel.axes - kernel.reduced;
    for (let axis = 0; axis < outer; axis++) this.#open(axis);
    kernel.accumulators.forEach(({ type, init }, i) => this.lines.push(`let acc${i} = ${this.#name(constant(type, init))};`));
    for (let axis = outer; axis < kernel.axes; axis++) this.#open(axis);
    this.#nodes(kernel.body, "b", kernel.axes);
    kernel.step.forEach((value, i) => this.lines.push(`acc${i} = b${value};`));
    this.#stores("body", "b", kernel.axes);
    for (let axis = outer; axis < kernel.axes; axis++) this.lines.push("}");
    this.#nodes(kernel.epilogue, "e", outer);
    this.#stores("epilogue", "e", outer);
    for (let axis = 0; axis < outer; axis++) this.lines.push("}");
    const text = `"use strict"; return (o, n, s, scalars) => {\n${this.lines.join("\n")}\nreturn undefined; };`;
    // The text is made of numbers and fixed words only.
    return new Function("f", text)(this.environment) as LoopFunction;
  }

  #open(axis: number): void {
    this.lines.push(`for (let i${axis} = 0; i${axis} < n[${axis}]; i${axis}++) {`);
  }

  #name(value: unknown): string {
    this.environment.push(value);
    return `f[${this.environment.length - 1}]`;
  }

  #nodes(nodes: readonly Node[], prefix: string, axes: number): void {
    nodes.forEach((node, i) => {
      const value = this.#value(node, nodes, prefix, axes);
      if (value !== undefined) this.lines.push(`const ${prefix}${i} = ${value};`);
    });
  }

  #value(node: Node, nodes: readonly Node[], prefix: string, axes: number): string | undefined {
    const typeOf = (index: number): DType => (nodes[index] as Node).type;
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
      case "other":
        throw new TypeError("`other` outside of combine");
      case "load": {
        const read = this.#name(node.type === "int64" ? 0n : 0);
        const index = this.#index(node.index, axes, node.indirect, prefix);
        const access = `${this.#name(this.#load(node.type))}(o[${node.index}], ${index})`;
        return node.guard === undefined ? access : `${prefix}${node.guard} ? ${access} : ${read}`;
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
        if (node.args.length === 1) return this.#call(unary(node.op as never, node.type), node.args, prefix);
        if (compares.has(node.op)) return this.#call(compare(node.op as never), node.args, prefix);
        return this.#call(binary(node.op as never, node.type), node.args, prefix);
    }
  }

  #call(f: unknown, args: readonly number[], prefix: string): string {
    return `${this.#name(f)}(${args.map((arg) => `${prefix}${arg}`).join(", ")})`;
  }

  #index(operand: number, axes: number, indirect: Store["indirect"], prefix: string): string {
    const terms = [`o[${operand}].offset`];
    for (let axis = 0; axis < axes; axis++) terms.push(`s[${operand}][${axis}] * i${axis}`);
    for (const { value, stride } of indirect ?? []) terms.push(`${prefix}${value} * scalars[${stride}]`);
    return terms.join(" + ");
  }

  #load(type: DType): (operand: OperandMemory, index: number) => Scalar {
    const zero = type === "int64" ? 0n : 0;
    const lenient = this.#lenient;
    return ({ view, low, high }, index) => {
      if (index >= low && index < high) return view[index] as Scalar;
      if (lenient) return zero;
      throw new RangeError(`a load outside of its storage (element ${index - low} of ${high - low})`);
    };
  }

  #stores(at: Store["at"], prefix: string, axes: number): void {
    const { inputs, outputs } = this.kernel;
    for (const store of this.kernel.stores) {
      if (store.at !== at) continue;
      const operand = inputs.length + store.output;
      const type = outputs[store.output]?.dtype ?? "float32";
      const f = store.combine === undefined ? undefined : binary(store.combine, type);
      const write = this.#name(({ view, low, high }: OperandMemory, index: number, value: Scalar): void => {
        if (!(index >= low && index < high)) {
          throw new RangeError(`a store outside of its storage (element ${index - low} of ${high - low})`);
        }
        view[index] = f === undefined ? value : f(view[index] as Scalar, value);
      });
      const index = this.#index(operand, axes, store.indirect, prefix);
      const guard = store.guard === undefined ? "" : `if (${prefix}${store.guard}) `;
      this.lines.push(`${guard}${write}(o[${operand}], ${index}, ${prefix}${store.value});`);
    }
  }
}

export function compileLoop(kernel: LoopKernel): LoopFunction {
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
    words32[0] = words[next] as number;
    if (scalarWords(type) === 2) words32[1] = words[next + 1] as number;
    next += scalarWords(type);
    switch (type) {
      case "float32":
        return floats32[0] as number;
      case "float64":
        return floats64[0] as number;
      case "int64":
        return ints64[0] as bigint;
      default:
        return words32[0] as number;
    }
  });
}

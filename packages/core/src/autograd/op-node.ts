/** The graph node of a table entry: its gradient rules, and the tensors that they asked to keep. */
import { AutogradError } from "../errors.ts";
import type { InputName, Op, Saved } from "../ops/op.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Meta, Value } from "../tensor/value.ts";
import { sameShape } from "../tensor/shape.ts";
import { AccumulateGrad } from "./accumulate.ts";
import { Node } from "./node.ts";
import type { Edge, Gradients } from "./node.ts";

/** A kept tensor: what it held then, and where its own gradient goes (for gradients of gradients). */
class Kept {
  readonly value: Value;
  readonly version: number;
  readonly edge: Edge | undefined;

  constructor({ value }: Tensor, edge: Edge | undefined) {
    this.value = value;
    this.version = value.version;
    this.edge = edge;
  }
}

/** What gradients need from elsewhere in the op table; set when that loads (autograd sits below the table). */
export interface GradientOps {
  sumToSize(g: Tensor, shape: readonly number[]): Tensor;
  to(g: Tensor, dtype: Meta["dtype"]): Tensor;
  zerosLike(g: Tensor): Tensor;
}

let gradientOps: GradientOps;

export function setGradientOps(ops: GradientOps): void {
  gradientOps = ops;
}

/** What happens to a gradient that is not of the shape and dtype of what it is the gradient of. */
export function fitted(gradient: Tensor, { shape, dtype }: Meta): Tensor {
  const summed = sameShape(gradient.shape, shape) ? gradient : gradientOps.sumToSize(gradient, shape);
  return summed.dtype === dtype ? summed : gradientOps.to(summed, dtype);
}

/** A saved tensor was written to between its op and the gradient that needs it. */
export function modifiedError(value: Value, expected: number, origin: Edge | undefined, op?: string): AutogradError {
  const from = origin === undefined || origin.node instanceof AccumulateGrad ? "" : `, which is output ${origin.slot} of ${origin.node.name},`;
  return new AutogradError(
    "one of the variables needed for gradient computation has been modified by an inplace operation: " +
      `[${value.dtype} [${value.shape.join(", ")}]]${from} is at version ${value.version}; expected version ${expected} instead.`,
    { op, remedy: "Use the out-of-place form of the op that changed it, or clone() before changing it." },
  );
}

/** A second walk through a graph whose saved tensors are gone. */
export function freedError(op?: string): AutogradError {
  return new AutogradError(
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed). " +
      "Saved intermediate values of the graph are freed when you call backward() or grad().",
    { op, remedy: "Specify { retainGraph: true } if you need to backward through the graph a second time." },
  );
}

export class OpNode<A> extends Node implements Saved {
  readonly edges: readonly (Edge | undefined)[];
  readonly inputs: readonly (Meta | undefined)[];
  readonly output: Meta;
  readonly #op: Op<A>;
  readonly #attrs: A;
  /** What was kept, and the letters it was kept under, in step. */
  #letters = "";
  #kept: Kept[] | undefined;
  /** Inputs that were plain numbers; undefined when all are tensors. */
  readonly #numbers: readonly (number | undefined)[] | undefined;
  #released = false;

  constructor(op: Op<A>, attrs: A, edges: readonly (Edge | undefined)[], inputs: readonly (Tensor | number)[], output: Meta) {
    super();
    this.#op = op;
    this.#attrs = attrs;
    this.edges = edges;
    // Metas of their own: the values would keep memory alive that no gradient needs.
    this.output = { shape: output.shape, dtype: output.dtype };
    const metas = new Array<Meta | undefined>(inputs.length);
    let numbers: (number | undefined)[] | undefined;
    for (let i = 0; i < inputs.length; i++) {
      const input = inputs[i];
      if (typeof input === "number") (numbers ??= new Array<number | undefined>(inputs.length))[i] = input;
      else metas[i] = { shape: input.shape, dtype: input.dtype };
    }
    this.inputs = metas;
    this.#numbers = numbers;
  }

  get name(): string {
    return `${this.#op.gradName}Backward${this.#op.overload?.(this.#attrs, this.inputs) ?? 0}`;
  }

  /** The op's attributes, for code that walks the graph. */
  get attrs(): A {
    return this.#attrs;
  }

  keeps(letter: string): boolean {
    return this.#letters.includes(letter);
  }

  /** Keeps an input, whose place in the graph is the one that it has now, whatever happens to the tensor later. */
  keepInput(letter: string, tensor: Tensor): void {
    this.#keep(letter, new Kept(tensor, this.edges[letter.charCodeAt(0) - 97]));
  }

  /** Keeps an output: `edge` leads to it. */
  keepOutput(letter: string, tensor: Tensor, edge: Edge | undefined): void {
    this.#keep(letter, new Kept(tensor, edge));
  }

  #keep(letter: string, kept: Kept): void {
    this.#letters += letter;
    (this.#kept ??= []).push(kept);
  }

  get y(): Tensor { return this.#open("y"); }
  get z(): Tensor { return this.#open("z"); }
  get a(): Tensor { return this.#open("a"); }
  get b(): Tensor { return this.#open("b"); }
  get c(): Tensor { return this.#open("c"); }
  get d(): Tensor { return this.#open("d"); }
  get e(): Tensor { return this.#open("e"); }

  operand(letter: InputName): Tensor | number {
    return this.#numbers?.[letter.charCodeAt(0) - 97] ?? this.#open(letter);
  }

  #open(letter: string): Tensor {
    const kept = this.#kept?.[this.#letters.indexOf(letter)];
    if (kept === undefined) throw new AutogradError(`gradient of ${this.#op.name} reads "${letter}", which it did not save`, { op: this.#op.name });
    const { value, version, edge } = kept;
    if (value.version !== version) throw modifiedError(value, version, edge, this.#op.name);
    const tensor = new Tensor(value);
    if (edge !== undefined) tensor.setHistory(edge.node, edge.slot);
    return tensor;
  }

  override apply([g]: Gradients): (Tensor | undefined)[] {
    if (this.#released) throw freedError(this.#op.name);
    const result = new Array<Tensor | undefined>(this.edges.length);
    if (g === undefined) return result;
    for (let i = 0; i < this.edges.length; i++) {
      const meta = this.inputs[i];
      if (this.edges[i] === undefined || meta === undefined) continue;
      const gradientRule = this.#op.gradientOf(i);
      // An in-place op that has no gradient (a comparison, say) still replaces what its target was.
      const gradient = gradientRule === undefined ? gradientOps.zerosLike(g) : gradientRule.rule(g, this, this.#attrs);
      if (gradient === undefined) continue;
      result[i] = fitted(gradient, meta);
    }
    return result;
  }

  override release(): void {
    // A node that kept nothing can be walked again, as in PyTorch.
    if (this.#kept === undefined) return;
    this.#kept = undefined;
    this.#letters = "";
    this.#released = true;
  }
}

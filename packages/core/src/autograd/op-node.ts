/** The graph node of a table entry: its gradient rules, and the tensors that they asked to keep. */
import { AutogradError } from "../errors.ts";
import type { InputName, Op, Saved } from "../ops/op.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Meta, Value } from "../tensor/value.ts";
import { sameShape } from "../tensor/shape.ts";
import { Node } from "./node.ts";
import type { Edge, Gradients } from "./node.ts";

/** A kept tensor: its value and version then, and where its own gradient goes (for gradients of gradients). */
class Kept {
  readonly value: Value;
  readonly version: number;
  /** Undefined for the node's own output: an edge to the node would be a circle. */
  readonly tensor: Tensor | undefined;

  constructor(tensor: Tensor, isOutput: boolean) {
    this.value = tensor.value;
    this.version = tensor.value.version;
    this.tensor = isOutput ? undefined : tensor;
  }
}

/** What gradients need from elsewhere in the op table; set when that loads (autograd sits below the table). */
export interface GradientOps {
  sumToSize(g: Tensor, shape: readonly number[]): Tensor;
  to(g: Tensor, dtype: Meta["dtype"]): Tensor;
}

let gradientOps: GradientOps;

export function setGradientOps(ops: GradientOps): void {
  gradientOps = ops;
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
    return `${this.#op.gradName}Backward0`;
  }

  /** The op's attributes, for code that walks the graph. */
  get attrs(): A {
    return this.#attrs;
  }

  keep(letter: string, tensor: Tensor, isOutput: boolean): void {
    if (this.#letters.includes(letter)) return;
    this.#letters += letter;
    (this.#kept ??= []).push(new Kept(tensor, isOutput));
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
    if (kept.value.version !== kept.version) throw this.#modified(kept, letter);
    if (kept.tensor !== undefined) return kept.tensor;
    const output = new Tensor(kept.value);
    if (letter === "y") output.setHistory(this, 0);
    return output;
  }

  #modified(kept: Kept, letter: string): AutogradError {
    const origin = letter === "y" ? this.name : (this.edges[letter.charCodeAt(0) - 97]?.node.name ?? "a leaf");
    return new AutogradError(
      "one of the variables needed for gradient computation has been modified by an inplace operation: " +
        `[${kept.value.dtype} [${kept.value.shape.join(", ")}]], which is output 0 of ${origin}, is at version ` +
        `${kept.value.version}; expected version ${kept.version} instead.`,
      { op: this.#op.name, remedy: "Use the out-of-place form of the op that changed it, or clone() before changing it." },
    );
  }

  override apply([g]: Gradients): (Tensor | undefined)[] {
    if (this.#released) {
      throw new AutogradError(
        "Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed). " +
          "Saved intermediate values of the graph are freed when you call backward() or grad().",
        { op: this.#op.name, remedy: "Specify { retainGraph: true } if you need to backward through the graph a second time." },
      );
    }
    const result = new Array<Tensor | undefined>(this.edges.length);
    if (g === undefined) return result;
    for (let i = 0; i < this.edges.length; i++) {
      const meta = this.inputs[i];
      if (this.edges[i] === undefined || meta === undefined) continue;
      let gradient = this.#op.gradientOf(i)?.rule(g, this, this.#attrs);
      if (gradient === undefined) continue;
      if (!sameShape(gradient.shape, meta.shape)) gradient = gradientOps.sumToSize(gradient, meta.shape);
      if (gradient.dtype !== meta.dtype) gradient = gradientOps.to(gradient, meta.dtype);
      result[i] = gradient;
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

/**
 * What an entry of the op table is. A kind (kinds/*.ts) makes an `Op` from what an entry says: name, how indices travel, scalar
 * kernel, gradient. Dispatch, autograd, executors, docs and tests read it and know no single op.
 */
import type { LocalValue, Meta } from "../tensor/value.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What a gradient rule may look at: saved tensors (`y`: the output; `a`, `b`, ...: the inputs), and metas of all of them. */
export interface Saved {
  readonly y: Tensor;
  /** Further outputs (`z`: the second one, such as indices). */
  readonly z: Tensor;
  readonly a: Tensor;
  readonly b: Tensor;
  readonly c: Tensor;
  readonly d: Tensor;
  readonly e: Tensor;
  /** A saved input, or the number that stood in its place. */
  operand(letter: InputName): Tensor | number;
  /** Shape and dtype of each tensor input (undefined for a number) and of the output. */
  readonly inputs: readonly (Meta | undefined)[];
  readonly output: Meta;
}

export type GradientFunction<A> = (g: Tensor, saved: Saved, attrs: A) => Tensor | undefined;

/** The gradient of one input: what it needs saved, and the rule. */
export interface GradientRule<A> {
  readonly saves: string;
  readonly rule: GradientFunction<A>;
}

/** In an entry's `grad` table: a rule that needs saved tensors, named by letter (`from("by", (g, { b, y }) => ...)`). */
export function from<A>(saves: string, rule: GradientFunction<A>): GradientRule<A> {
  return { saves, rule };
}

/** The gradient table of an entry: for each differentiable input, by letter, a rule. A bare function needs nothing saved. */
export type GradientTable<A> = { readonly [input in InputName]?: GradientRule<A> | GradientFunction<A> };
export type InputName = "a" | "b" | "c" | "d" | "e";
const inputNames: readonly InputName[] = ["a", "b", "c", "d", "e"];

export type OpKind = "elementwise" | "generate" | "reduce" | "scan" | "sort" | "view" | "contract" | "index" | "composite";

export interface Op<A = unknown> {
  readonly name: string;
  readonly kind: OpKind;
  /** As autograd prints it, without `Backward0`. */
  readonly gradName: string;
  /** Which of PyTorch's overloads a call is: the number at the end of autograd's name. Default: 0. */
  readonly overload?: (attrs: A, inputs: readonly (Meta | undefined)[]) => number;
  /** A view: outputs share the first input's memory. */
  readonly isView: boolean;
  /**
   * Shapes and dtypes of the outputs, from those of the inputs (a number stands for itself).
   * @throws ShapeError, DTypeError, ValueError
   */
  infer(inputs: readonly (Meta | number)[], attrs: A): Meta[];
  /** Issues the op on one device. With `target` the first result is written there. */
  run(inputs: readonly (LocalValue | number)[], attrs: A, outputs: readonly Meta[], target?: LocalValue): LocalValue[];
  /** The rule of input `index`, if it is differentiable. */
  gradientOf(index: number): GradientRule<A> | undefined;
  /** Differentiable outputs come first; the others (indices, masks) follow. */
  readonly outputs: number;
}

/** A function of the public API that stands for one entry. */
export type OpFunction<F, A> = F & { readonly op: Op<A> };

/** `relu` gives `Relu`, `logSoftmax` gives `LogSoftmax`. */
export function pascal(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}

/** Reads a gradient table by input number. */
export function gradientLookup<A>(table: GradientTable<A> | undefined): (index: number) => GradientRule<A> | undefined {
  const rules = inputNames.map((input): GradientRule<A> | undefined => {
    const entry = table?.[input];
    return typeof entry === "function" ? { saves: "", rule: entry } : entry;
  });
  return (index) => rules[index];
}

/** Einstein summation: any contraction of any number of tensors, pair by pair. */
import { ShapeError, ValueError } from "../errors.ts";
import { promoteTypes } from "../tensor/dtype.ts";
import { normalizeDim } from "../tensor/shape.ts";
import { isTensor } from "../tensor/tensor.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { shown } from "../arguments.ts";
import { apply } from "./dispatch.ts";
import { tensorOperand } from "./elementwise.ts";
import { contraction, plain } from "./kinds/contract.ts";

/** A tensor and one label for each of its dimensions, all different. Labels may be longer than one letter. */
export interface Labelled {
  readonly tensor: Tensor;
  readonly labels: readonly string[];
}

/**
 * Einstein summation (`torch.einsum`): `einsum("bij,bjk->bik", x, y)`. Subscripts are letters; "..." stands for the
 * dimensions that have none, which broadcast; a repeated subscript takes a diagonal; without "->" the result has the
 * subscripts that occur once, in alphabetical order. Operands come one by one or in one list and are contracted from
 * left to right.
 * @throws ShapeError, ValueError, DTypeError
 */
export function einsum(equation: string, ...operands: readonly (Tensor | readonly Tensor[])[]): Tensor {
  if (typeof equation !== "string") throw invalid(`the equation must be a text, got ${shown(equation)}`);
  const tensors = operands.flatMap((operand) => (isTensor(operand) ? [operand] : operand));
  for (const x of tensors) tensorOperand("einsum", x, "operands");
  const { inputs, output } = parse(equation, tensors);
  const terms = tensors.map((tensor, i) => diagonals(tensor, inputs[i], i));
  return contractAll(withoutRepeats(terms), output);
}

/**
 * Contracts labelled tensors from left to right: equal labels run together, those that `output` lacks are summed over.
 */
export function contractAll(terms: readonly Labelled[], output: readonly string[]): Tensor {
  let [result, ...rest] = terms;
  while (rest.length > 0) {
    const [next, ...later] = rest;
    const needed = new Set([...output, ...later.flatMap(({ labels }) => labels)]);
    const x = sumOut(result, (label) => needed.has(label) || next.labels.includes(label));
    const y = sumOut(next, (label) => needed.has(label) || x.labels.includes(label));
    // Sums of integers are int64; the product is then one of int64.
    const dtype = promoteTypes(x.tensor.dtype, y.tensor.dtype);
    const widened = x.tensor.dtype !== result.tensor.dtype || y.tensor.dtype !== next.tensor.dtype;
    const operands = widened ? [x, y].map((term) => ({ ...term, tensor: term.tensor.to(dtype) })) : [x, y];
    const labels =
      later.length === 0 ? output : [...new Set([...x.labels, ...y.labels])].filter((label) => needed.has(label));
    result = { tensor: contractPair(operands[0], operands[1], labels), labels };
    rest = later;
  }
  const { tensor, labels } = sumOut(result, (label) => output.includes(label));
  const order = output.map((label) => labels.indexOf(label));
  return order.every((from, to) => from === to) ? tensor : tensor.permute(order);
}

function contractPair(x: Labelled, y: Labelled, output: readonly string[]): Tensor {
  const letters = new Map<string, string>();
  const spell = (labels: readonly string[]): string =>
    labels
      .map((label) => {
        if (!letters.has(label)) letters.set(label, String.fromCharCode(97 + letters.size));
        return letters.get(label);
      })
      .join("");
  return apply(contraction(`${spell(x.labels)},${spell(y.labels)}->${spell(output)}`), [x.tensor, y.tensor], plain);
}

/** Sums over the dimensions whose label is not kept. */
function sumOut({ tensor, labels }: Labelled, isKept: (label: string) => boolean): Labelled {
  const dims = labels.flatMap((label, dim) => (isKept(label) ? [] : [dim]));
  if (dims.length === 0) return { tensor, labels };
  return { tensor: tensor.sum(dims), labels: labels.filter(isKept) };
}

/**
 * Where a label has size 1 in one tensor and more in another, the first does without it: repeating is multiplying by
 * one number.
 */
function withoutRepeats(terms: readonly Labelled[]): Labelled[] {
  const sizes = new Map<string, number>();
  terms.forEach(({ tensor, labels }, operand) => {
    labels.forEach((label, dim) => {
      const size = tensor.size(dim);
      const known = sizes.get(label);
      if (known === undefined || known === 1) sizes.set(label, size);
      else if (size !== known && size !== 1) {
        throw new ShapeError(
          `einsum(): subscript ${label} has size ${size} for operand ${operand} which does not broadcast with previously seen size ${known}`,
          { op: "einsum" },
        );
      }
    });
  });
  return terms.map(({ tensor, labels }) => {
    const isRepeated = (label: string, dim: number): boolean => tensor.size(dim) === 1 && sizes.get(label) !== 1;
    if (!labels.some(isRepeated)) return { tensor, labels };
    return {
      tensor: tensor.reshape(tensor.shape.filter((_, dim) => !isRepeated(labels[dim], dim))),
      labels: labels.filter((label, dim) => !isRepeated(label, dim)),
    };
  });
}

/** Makes the labels of one operand different: a repeated one takes the diagonal. */
function diagonals(tensor: Tensor, labels: readonly string[], operand: number): Labelled {
  for (const [second, label] of labels.entries()) {
    const first = labels.indexOf(label);
    if (first === second) continue;
    if (tensor.size(first) !== tensor.size(second)) {
      throw new ShapeError(
        `einsum(): subscript ${label} is repeated for operand ${operand} but the sizes don't match, ${tensor.size(second)} != ${tensor.size(first)}`,
        { op: "einsum" },
      );
    }
    const rest = labels.filter((_, dim) => dim !== first && dim !== second);
    return diagonals(tensor.diagonal(0, first, second), [...rest, label], operand);
  }
  return { tensor, labels };
}

// --- the equation ------------------------------------------------------------------------------------------------

interface Equation {
  readonly inputs: readonly (readonly string[])[];
  readonly output: readonly string[];
}

const ellipsis = "...";

function parse(equation: string, operands: readonly Tensor[]): Equation {
  if (operands.length === 0) throw invalid("must provide at least one operand");
  const [left, right, more] = equation.split("->");
  if (more !== undefined) throw invalid('found more than one "->" in the equation');
  const subscripts = left.split(",").map((text) => tokens(text));
  if (subscripts.length > operands.length) throw invalid("fewer operands were provided than specified in the equation");
  if (subscripts.length < operands.length) throw invalid("more operands were provided than specified in the equation");
  let width = 0;
  const inputs = subscripts.map((list, i) => {
    const rank = operands[i].dim();
    const named = list.filter((token) => token !== ellipsis).length;
    const open = list.includes(ellipsis);
    if (open ? named > rank : named !== rank) {
      throw invalid(
        `the number of subscripts in the equation (${named}) ${open ? "is more than" : "does not match"} the number of dimensions (${rank}) for operand ${i}` +
          (open ? "" : " and no ellipsis was given"),
      );
    }
    width = Math.max(width, rank - named);
    return list.flatMap((token) => (token === ellipsis ? ellipsisLabels(rank - named) : [token]));
  });
  const output =
    right === undefined
      ? implicitOutput(inputs, width)
      : tokens(right).flatMap((token) => (token === ellipsis ? ellipsisLabels(width) : [token]));
  for (const [i, label] of output.entries()) {
    if (output.indexOf(label) !== i) throw invalid(`output subscript ${label} appears more than once in the output`);
    if (!inputs.some((labels) => labels.includes(label))) {
      throw invalid(`output subscript ${label} does not appear in the equation for any input operand`);
    }
  }
  return { inputs, output };
}

/** Letters and at most one "..." of one operand. */
function tokens(text: string): string[] {
  const found = text.replaceAll(" ", "").match(/\.\.\.|./g) ?? [];
  for (const token of found) {
    if (token !== ellipsis && !/^[a-zA-Z]$/.test(token)) {
      throw invalid(`invalid subscript given: "${token}"; subscripts must be in [a-zA-Z]`);
    }
  }
  if (found.filter((token) => token === ellipsis).length > 1)
    throw invalid(`found "..." more than once in "${text.trim()}"`);
  return found;
}

/** Labels of the dimensions under "...", which are counted from the last. */
function ellipsisLabels(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${ellipsis}${count - 1 - i}`);
}

function implicitOutput(inputs: readonly (readonly string[])[], width: number): string[] {
  const all = inputs.flat().filter((label) => !label.startsWith(ellipsis));
  const once = all.filter((label) => all.indexOf(label) === all.lastIndexOf(label));
  return [...ellipsisLabels(width), ...once.sort()];
}

function invalid(message: string): ValueError {
  return new ValueError(`einsum(): ${message}`, { op: "einsum" });
}

// --- tensordot ---------------------------------------------------------------------------------------------------

/**
 * Contracts dimensions of two tensors (`torch.tensordot`).
 * @param dims how many of the last dimensions of x and the first of y, or the dimensions of each: `[[1], [0]]`; default
 * 2
 * @throws ShapeError where their sizes differ and neither is 1
 */
export function tensordot(x: Tensor, y: Tensor, dims: TensordotDims | { readonly dims?: TensordotDims } = 2): Tensor {
  const given =
    typeof dims === "number" || Array.isArray(dims)
      ? (dims as TensordotDims)
      : ((dims as { readonly dims?: TensordotDims }).dims ?? 2);
  const count = typeof given === "number" ? given : 0;
  if (count < 0) throw new ValueError(`tensordot expects dims >= 0, but got dims=${count}`, { op: "tensordot" });
  const [first, second] =
    typeof given !== "number"
      ? given
      : [Array.from({ length: count }, (_, i) => i - count), Array.from({ length: count }, (_, i) => i)];
  if (first.length !== second.length)
    throw new ShapeError("both dimension lists should have same length", { op: "tensordot" });
  const labels = { x: x.shape.map((_, dim) => `x${dim}`), y: y.shape.map((_, dim) => `y${dim}`) };
  first.forEach((dim, i) => {
    const [own, other] = [normalizeDim(dim, x.dim(), "tensordot"), normalizeDim(second[i], y.dim(), "tensordot")];
    const [size, otherSize] = [x.size(own), y.size(other)];
    if (size !== otherSize && size !== 1 && otherSize !== 1) {
      throw new ShapeError(
        `contracted dimensions need to match, but first has size ${size} in dim ${dim} and second has size ${otherSize} in dim ${second[i]}`,
        { op: "tensordot" },
      );
    }
    labels.x[own] = labels.y[other] = `k${i}`;
  });
  const output = [...labels.x, ...labels.y].filter((label) => !label.startsWith("k"));
  return contractAll(
    withoutRepeats([
      { tensor: x, labels: labels.x },
      { tensor: y, labels: labels.y },
    ]),
    output,
  );
}

export type TensordotDims = number | readonly [readonly number[], readonly number[]];

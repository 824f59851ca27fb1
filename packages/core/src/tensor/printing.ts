/**
 * Prints tensors character for character as PyTorch 1.13 does (torch/_tensor_str.py). Pure: the caller says which
 * elements will be shown (`edgeSlices`), reads only those from the device, and passes them in.
 */

import { ShapeError, ValueError } from "../errors.ts";
import { formatExponential, formatFixed } from "./decimal.ts";
import { getDefaultDtype, isFloat, type DType } from "./dtype.ts";

/** torch.set_printoptions's settings. */
export interface PrintOptions {
  /** Digits after the decimal point. */
  readonly precision: number;
  /** A tensor of more elements than this is summarised. */
  readonly threshold: number;
  /** Elements shown at each end of a summarised dimension. */
  readonly edgeitems: number;
  /** Characters a line. Rows of a summarised matrix may be longer. */
  readonly linewidth: number;
  /** Scientific notation: always, never, or (null) where the values call for it. */
  readonly sciMode: boolean | null;
}

export type PrintProfile = "default" | "short" | "full";

export interface PrintOptionsUpdate extends Partial<PrintOptions> {
  readonly profile?: PrintProfile;
}

/** What is shown of a tensor. */
export interface PrintableTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** The shown elements, contiguous, of shape `shownShape(shape)`; bool as 0 and 1. */
  readonly data: ArrayLike<number> | ArrayLike<bigint>;
  /** Given where the device is to be shown: "gpu:0" prints `device='gpu:0'`. */
  readonly device?: string;
  /** The name of the gradient function: "MulBackward0" prints `grad_fn=<MulBackward0>`, and hides `requiresGrad`. */
  readonly gradFn?: string;
  readonly requiresGrad?: boolean;
}

/** A half-open range of indices of one dimension. */
export type IndexRange = readonly [start: number, end: number];

const PROFILES: Readonly<Record<PrintProfile, Omit<PrintOptions, "sciMode">>> = {
  default: { precision: 4, threshold: 1000, edgeitems: 3, linewidth: 80 },
  short: { precision: 2, threshold: 1000, edgeitems: 2, linewidth: 80 },
  full: { precision: 4, threshold: Infinity, edgeitems: 3, linewidth: 80 },
};

const PREFIX = "tensor(";

let current: PrintOptions = { ...PROFILES.default, sciMode: null };

/** The options that tensors are printed with. */
export function getPrintOptions(): PrintOptions {
  return current;
}

/**
 * Changes how tensors are printed, as torch.set_printoptions does: what is not named keeps its value, except `sciMode`,
 * which every call without it sets back to automatic.
 *
 * @throws ValueError for a precision, threshold, number of edge items or line width that is out of range
 */
export function setPrintOptions(update: PrintOptionsUpdate): void {
  const { profile, ...settings } = update;
  if (profile !== undefined && !Object.hasOwn(PROFILES, profile)) {
    throw new ValueError(`setPrintOptions(): unknown profile "${profile}"`, {
      remedy: 'Use "default", "short" or "full".',
    });
  }
  const base = profile === undefined ? current : PROFILES[profile];
  const next: PrintOptions = {
    precision: settings.precision ?? base.precision,
    threshold: settings.threshold ?? base.threshold,
    edgeitems: settings.edgeitems ?? base.edgeitems,
    linewidth: settings.linewidth ?? base.linewidth,
    sciMode: settings.sciMode ?? null,
  };
  requireInteger("precision", next.precision, 0);
  requireInteger("edgeitems", next.edgeitems, 1);
  requireInteger("linewidth", next.linewidth, 1);
  if (!(next.threshold >= 0)) {
    throw new ValueError(`setPrintOptions(): threshold must be 0 or more, not ${next.threshold}`);
  }
  current = next;
}

function requireInteger(name: string, value: number, least: number): void {
  if (!Number.isSafeInteger(value) || value < least) {
    throw new ValueError(`setPrintOptions(): ${name} must be an integer of at least ${least}, not ${value}`);
  }
}

/**
 * The ranges of each dimension that are shown: one range that is the whole dimension or, where it is summarised, two.
 * Their product over the dimensions is what `formatTensor` wants as `data`.
 */
export function edgeSlices(shape: readonly number[], options: PrintOptions = current): IndexRange[][] {
  const summarised = isSummarised(shape, options);
  return shape.map((size): IndexRange[] =>
    summarised && size > 2 * options.edgeitems
      ? [[0, options.edgeitems], [size - options.edgeitems, size]]
      : [[0, size]],
  );
}

/** The sizes of what is shown of a tensor of this shape: at most 2 * edgeitems a dimension if it is summarised. */
export function shownShape(shape: readonly number[], options: PrintOptions = current): number[] {
  const summarised = isSummarised(shape, options);
  return shape.map((size) => (summarised ? Math.min(size, 2 * options.edgeitems) : size));
}

function countElements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function isSummarised(shape: readonly number[], options: PrintOptions): boolean {
  return countElements(shape) > options.threshold;
}

/**
 * The text that `print(tensor)` writes in PyTorch.
 *
 * @throws ShapeError if `data` does not hold exactly the elements of `shownShape(tensor.shape, options)`
 */
export function formatTensor(tensor: PrintableTensor, options: PrintOptions = current): string {
  const { shape, dtype, data } = tensor;
  const shown = shownShape(shape, options);
  const count = countElements(shown);
  if (data.length !== count) {
    throw new ShapeError(`formatTensor(): shape [${shape.join(", ")}] shows ${count} elements, not ${data.length}`);
  }
  const elided = shape.map((size, dim) => size > shown[dim]);
  const body = count === 0 ? "[]" : formatBlock({ shown, elided, options, ...formatCells(dtype, data, options) });
  return appendSuffixes(PREFIX + body, suffixesOf(tensor, count === 0), options.linewidth);
}

/** Elements as text: each at least `width` long, some (inf, nan, zeros) longer. */
interface Cells {
  readonly texts: readonly string[];
  readonly width: number;
}

function formatCells(dtype: DType, data: ArrayLike<number> | ArrayLike<bigint>, options: PrintOptions): Cells {
  const values: (number | bigint)[] = Array.from<number | bigint>(data);
  if (isFloat(dtype)) return formatFloats(values.map(Number), options);
  const texts = values.map(dtype === "bool" ? (value) => (value ? "True" : "False") : String);
  return column(texts, widest(texts));
}

/**
 * PyTorch's _Formatter. Notation and width follow from the finite, non-zero values alone, and a forced `sciMode` keeps
 * the width of the notation that it replaces.
 */
function formatFloats(values: readonly number[], options: PrintOptions): Cells {
  const decisive = values.filter((value) => Number.isFinite(value) && value !== 0);
  const integral = decisive.every(Number.isInteger);
  const magnitudes = decisive.map(Math.abs);
  const least = magnitudes.reduce((a, b) => Math.min(a, b), Infinity);
  const greatest = magnitudes.reduce((a, b) => Math.max(a, b), 0);
  const uneven = greatest / least > 1000 || greatest > 1e8 || (!integral && least < 1e-4);

  const scientific = (value: number) => formatExponential(value, options.precision);
  const plain = integral ? formatIntegral : (value: number) => formatFixed(value, options.precision);
  const width = widest(decisive.map(uneven ? scientific : plain));
  const format = decisive.length > 0 && (options.sciMode ?? uneven) ? scientific : plain;
  return column(values.map(format), width);
}

/** A float of whole value: "3.", and "inf" and "nan" without the point. */
function formatIntegral(value: number): string {
  return formatFixed(value, 0) + (Number.isFinite(value) ? "." : "");
}

function widest(texts: readonly string[]): number {
  return texts.reduce((width, text) => Math.max(width, text.length), 1);
}

function column(texts: readonly string[], width: number): Cells {
  return { texts: texts.map((text) => text.padStart(width)), width };
}

/** Formatted elements, to be arranged in nested brackets. */
interface Block extends Cells {
  /** Sizes of what is shown. */
  readonly shown: readonly number[];
  /** The dimensions in which something is left out. */
  readonly elided: readonly boolean[];
  readonly options: PrintOptions;
}

/** The part of `block` from dimension `dim` on that starts at element `offset`, its bracket in column `indent`. */
function formatBlock(block: Block, dim = 0, offset = 0, indent = PREFIX.length): string {
  const { shown, texts } = block;
  if (shown.length === 0) return texts[0];
  const inner = shown.length - 1 - dim;
  if (inner === 0) return formatRow(block, texts.slice(offset, offset + shown[dim]), indent);
  const stride = countElements(shown.slice(dim + 1));
  const parts = Array.from({ length: shown[dim] }, (_, i) =>
    formatBlock(block, dim + 1, offset + i * stride, indent + 1),
  );
  if (block.elided[dim]) parts.splice(block.options.edgeitems, 0, "...");
  return `[${parts.join(`,${"\n".repeat(inner)}${" ".repeat(indent + 1)}`)}]`;
}

/** One innermost row, broken into lines of as many elements as fit. */
function formatRow(block: Block, row: readonly string[], indent: number): string {
  const { edgeitems, linewidth } = block.options;
  const parts = block.elided.at(-1) ? row.toSpliced(edgeitems, 0, " ...") : row;
  const perLine = Math.max(1, Math.floor((linewidth - indent) / (block.width + ", ".length)));
  const lines = [];
  for (let start = 0; start < parts.length; start += perLine) {
    lines.push(parts.slice(start, start + perLine).join(", "));
  }
  return `[${lines.join(`,\n${" ".repeat(indent + 1)}`)}]`;
}

/** What follows the elements: where the tensor lives, what the elements do not show, how it takes part in autograd. */
function suffixesOf(tensor: PrintableTensor, empty: boolean): string[] {
  const { dtype, shape, device, gradFn, requiresGrad } = tensor;
  const suffixes = [];
  if (device !== undefined) suffixes.push(`device='${device}'`);
  if (empty && shape.length !== 1) suffixes.push(`size=(${shape.join(", ")})`);
  // Elements tell float32, int64 and bool apart from the rest; without elements only the default goes unsaid.
  const evident = dtype === getDefaultDtype() || (!empty && (dtype === "int64" || dtype === "bool"));
  if (!evident) suffixes.push(`dtype=torch.${dtype}`);
  if (gradFn !== undefined) suffixes.push(`grad_fn=<${gradFn}>`);
  else if (requiresGrad) suffixes.push("requires_grad=True");
  return suffixes;
}

function appendSuffixes(text: string, suffixes: readonly string[], linewidth: number): string {
  let result = text;
  // PyTorch counts two characters more than the last line has; where lines break follows from it.
  let lineLength = text.length - text.lastIndexOf("\n") + 1;
  for (const suffix of suffixes) {
    if (lineLength + suffix.length + 2 > linewidth) {
      result += `,\n${" ".repeat(PREFIX.length)}${suffix}`;
      lineLength = PREFIX.length + suffix.length;
    } else {
      result += `, ${suffix}`;
      lineLength += suffix.length + 2;
    }
  }
  return `${result})`;
}

/**
 * Sliding windows as strided views. A window reads `x[o * stride + k * dilation - padding]`: once x has zeros around
 * it, all windows together are one view of it, so that taking them apart is one copy and putting them back is one
 * addition per kernel element.
 */
import { numelOf } from "../tensor/shape.ts";
import type { Shape } from "../tensor/shape.ts";
import { allocate, LocalValue } from "../tensor/value.ts";
import { defineElementwise } from "./kinds/elementwise.ts";
import { copyInto, fillWith } from "./moves.ts";

/** Where windows lie, for each spatial dimension. Plain data, so that it can be an op's attribute. */
export interface Windows {
  /** Spatial sizes of x. */
  readonly input: Shape;
  /** Sizes of the window, and how many windows there are. */
  readonly kernel: Shape;
  readonly output: Shape;
  readonly stride: readonly number[];
  readonly dilation: readonly number[];
  /** Zeros before x; what lies behind it counts as zeros too. */
  readonly padding: readonly number[];
}

/** The number of windows along one dimension: PyTorch's formula for convolutions. */
export function windowCount(input: number, kernel: number, stride: number, padding: number, dilation: number): number {
  return Math.floor((input + padding - dilation * (kernel - 1) - 1) / stride) + 1;
}

/** Part of a value along one dimension. */
export function narrowed(value: LocalValue, dim: number, start: number, length: number): LocalValue {
  const shape = value.shape.map((size, d) => (d === dim ? length : size));
  return new LocalValue(value.storage, value.dtype, shape, value.strides, value.offset + start * value.strides[dim]);
}

/** How far the windows reach, from the first element of the first one. */
function reach({ kernel, output, stride, dilation }: Windows): number[] {
  return output.map((count, d) => (count - 1) * stride[d] + (kernel[d] - 1) * dilation[d] + 1);
}

function fitsInside(windows: Windows): boolean {
  return windows.padding.every((zeros) => zeros === 0) && reach(windows).every((size, d) => size <= windows.input[d]);
}

/** The part of a padded x `[n, c, ...reach]` that holds x itself, and the part of x that it holds. */
function interior(
  x: LocalValue,
  padded: LocalValue,
  { padding, input }: Windows,
): [ofX: LocalValue, ofPadded: LocalValue] {
  let [own, inner] = [x, padded];
  padding.forEach((zeros, d) => {
    const length = Math.max(0, Math.min(input[d], padded.shape[d + 2] - zeros));
    own = narrowed(own, d + 2, 0, length);
    inner = narrowed(inner, d + 2, zeros, length);
  });
  return [own, inner];
}

/** All windows `[n, c, ...kernel, ...output]` of a value that they do not leave. */
function windowsIn(x: LocalValue, { kernel, output, stride, dilation }: Windows): LocalValue {
  const spatial = x.strides.slice(2);
  return new LocalValue(
    x.storage,
    x.dtype,
    [...x.shape.slice(0, 2), ...kernel, ...output],
    [
      ...x.strides.slice(0, 2),
      ...spatial.map((step, d) => step * dilation[d]),
      ...spatial.map((step, d) => step * stride[d]),
    ],
    x.offset,
  );
}

/**
 * Calls `use` with all windows of x `[n, c, ...input]`, as a view `[n, c, ...kernel, ...output]` of x or of a padded
 * copy that lives until `use` returns.
 */
export function withWindows(x: LocalValue, windows: Windows, use: (view: LocalValue) => void): void {
  if (fitsInside(windows)) {
    use(windowsIn(x, windows));
    return;
  }
  const padded = allocate(x.device, [...x.shape.slice(0, 2), ...reach(windows)], x.dtype);
  fillWith(padded, 0);
  copyInto(...interior(x, padded, windows));
  use(windowsIn(padded, windows));
  padded.storage.dispose();
}

const accumulate = defineElementwise("add", { kernel: (total, part) => total.add(part) });

/** Adds `part` to `total`, of one shape and no shared elements. */
export function accumulateInto(total: LocalValue, part: LocalValue): void {
  accumulate.run([total, part], [], [total], total);
}

/**
 * The adjoint of taking windows: overwrites `x` with the sums of what the windows `columns` `[n, c, ...kernel,
 * ...output]` hold for it.
 */
export function foldInto(columns: LocalValue, x: LocalValue, windows: Windows): void {
  if (fitsInside(windows)) {
    fillWith(x, 0);
    addWindows(columns, windowsIn(x, windows), windows);
    return;
  }
  const padded = allocate(x.device, [...x.shape.slice(0, 2), ...reach(windows)], x.dtype);
  fillWith(padded, 0);
  addWindows(columns, windowsIn(padded, windows), windows);
  const [own, inner] = interior(x, padded, windows);
  if (numelOf(own.shape) < numelOf(x.shape)) fillWith(x, 0);
  copyInto(inner, own);
  padded.storage.dispose();
}

function addWindows(columns: LocalValue, places: LocalValue, { kernel }: Windows): void {
  const count = numelOf(kernel);
  for (let tap = 0; tap < count; tap++) accumulateInto(atTap(places, kernel, tap), atTap(columns, kernel, tap));
}

/** What all windows hold at one kernel element: `[n, c, ...output]`. */
function atTap(view: LocalValue, kernel: Shape, tap: number): LocalValue {
  let { offset } = view;
  let rest = tap;
  for (let d = kernel.length - 1; d >= 0; d--) {
    offset += (rest % kernel[d]) * view.strides[d + 2];
    rest = Math.floor(rest / kernel[d]);
  }
  const spatial = 2 + kernel.length;
  return new LocalValue(
    view.storage,
    view.dtype,
    [...view.shape.slice(0, 2), ...view.shape.slice(spatial)],
    [...view.strides.slice(0, 2), ...view.strides.slice(spatial)],
    offset,
  );
}

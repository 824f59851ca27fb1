/**
 * The launches of convolutions: the sums over windows that tie x `[n, c, ...input]`, w `[o, c / groups, ...kernel]` and
 * y `[n, o, ...output]` together, each from the two others. Small ones and those of many groups run as one loop over
 * windows, which leaves x by guarded loads; large ones copy the windows apart and go through the matrix product.
 */
import { Graph } from "../kernel/build.ts";
import type { Expr } from "../kernel/build.ts";
import type { DType } from "../tensor/dtype.ts";
import { innerStride } from "../kernel/ir.ts";
import type { LoopKernel } from "../kernel/ir.ts";
import { numelOf } from "../tensor/shape.ts";
import { allocate, LocalValue } from "../tensor/value.ts";
import { Contraction } from "./contraction.ts";
import { KernelCache, launch } from "./launch.ts";
import { copyInto } from "./moves.ts";
import { accumulateInto, foldInto, narrowed, withWindows } from "./windows.ts";
import type { Windows } from "./windows.ts";

/** The geometry of a convolution, whichever of its three tensors is computed. */
export interface Convolution extends Windows {
  readonly groups: number;
}

/** The tensors of a convolution, by their place in it. */
export interface Places {
  readonly x: LocalValue;
  readonly w: LocalValue;
  readonly y: LocalValue;
}

export type Place = keyof Places;

/** Above this many multiplications the windows are copied apart. */
const worthUnfolding = 1 << 15;
/** Elements of windows that are copied apart at a time: a few MiB stay in the cache. */
const columnElements = 1 << 20;
/** Products of fewer channels of a group than this are left to the loop over windows. */
const smallestGroup = 16;

/** Computes `target` from the two other tensors, overwriting it. */
export function convolve(places: Places, target: Place, attrs: Convolution): void {
  const { x, w, y } = places;
  if (numelOf(places[target].shape) === 0) return;
  const perGroup = w.shape[1] * (w.shape[0] / attrs.groups);
  const work = numelOf(y.shape) * w.shape[1] * numelOf(attrs.kernel);
  const isTuned = x.dtype === "float32" && x.device.routines.has(kernelName(target, attrs));
  if (isTuned || work < worthUnfolding || (attrs.groups > 1 && perGroup < smallestGroup)) {
    convolveByLoop(places, target, attrs);
  } else {
    convolveByProduct(places, target, attrs);
  }
}

/** What devices know the loop by: `conv2d`, `conv2dInput`, `conv2dWeight`. */
function kernelName(target: Place, { kernel }: Convolution): string {
  return `conv${kernel.length}d${target === "y" ? "" : target === "x" ? "Input" : "Weight"}`;
}

// --- through the matrix product ----------------------------------------------------------------------------------

/** `convolve` by copying windows apart and multiplying matrices. There must be something to multiply. */
export function convolveByProduct(places: Places, target: Place, attrs: Convolution): void {
  for (let group = 0; group < attrs.groups; group++) {
    const part = attrs.groups === 1 ? places : groupOf(places, group, attrs.groups);
    if (target === "y") unfoldedOutput(part, attrs);
    else if (target === "x") unfoldedInput(part, attrs);
    else unfoldedWeight(part, attrs);
  }
}

function groupOf({ x, w, y }: Places, group: number, groups: number): Places {
  const [channels, features] = [x.shape[1] / groups, w.shape[0] / groups];
  return {
    x: narrowed(x, 1, group * channels, channels),
    w: narrowed(w, 0, group * features, features),
    y: narrowed(y, 1, group * features, features),
  };
}

/** The sums over windows as matrix products: of w and columns, w and y, y and columns. */
interface Products {
  readonly output: Contraction;
  readonly columns: Contraction;
  readonly weight: Contraction;
}

/**
 * Columns are `[n, c, ...kernel, ...output]`; for the weight `[c, ...kernel, n, ...output]`, so that what is summed
 * over is one axis.
 */
function productsOf(rank: number): Products {
  const [kernel, spatial] = ["ijl".slice(0, rank), "pqr".slice(0, rank)];
  const [weight, output, columns] = [`oc${kernel}`, `no${spatial}`, `nc${kernel}${spatial}`];
  return {
    output: new Contraction(weight, columns, output),
    columns: new Contraction(weight, output, columns),
    weight: new Contraction(output, `c${kernel}n${spatial}`, weight),
  };
}

const products = [1, 2, 3].map(productsOf);

/** Calls `use` with successive ranges of images whose windows are few enough to be copied at a time. */
function forChunks({ x }: Places, { kernel, output }: Windows, use: (from: number, count: number) => void): void {
  const images = x.shape[0];
  const chunk = Math.max(1, Math.floor(columnElements / Math.max(1, x.shape[1] * numelOf(kernel) * numelOf(output))));
  for (let from = 0; from < images; from += chunk) use(from, Math.min(chunk, images - from));
}

/** One element a window, next to each other: the windows are x itself. */
function isPointwise({ kernel, stride, padding }: Windows): boolean {
  return (
    kernel.every((size) => size === 1) && stride.every((step) => step === 1) && padding.every((zeros) => zeros === 0)
  );
}

function unfoldedOutput(places: Places, attrs: Convolution): void {
  const { output } = products[attrs.kernel.length - 1];
  forChunks(places, attrs, (from, count) => {
    const y = narrowed(places.y, 0, from, count);
    withColumns(narrowed(places.x, 0, from, count), attrs, (columns) => output.run(places.w, columns, y));
  });
}

/** The windows of x as one dense matrix per image, in a temporary unless they are x itself. */
function withColumns(x: LocalValue, attrs: Windows, use: (columns: LocalValue) => void): void {
  withWindows(x, attrs, (view) => {
    if (isPointwise(attrs)) {
      use(view);
      return;
    }
    const columns = allocate(x.device, view.shape, x.dtype);
    copyInto(view, columns);
    use(columns);
    columns.storage.dispose();
  });
}

function unfoldedInput(places: Places, attrs: Convolution): void {
  const product = products[attrs.kernel.length - 1].columns;
  forChunks(places, attrs, (from, count) => {
    const [x, y] = [narrowed(places.x, 0, from, count), narrowed(places.y, 0, from, count)];
    if (isPointwise(attrs)) {
      withWindows(x, attrs, (columns) => product.run(places.w, y, columns));
      return;
    }
    const columns = allocate(x.device, [...x.shape.slice(0, 2), ...attrs.kernel, ...attrs.output], x.dtype);
    product.run(places.w, y, columns);
    foldInto(columns, x, attrs);
    columns.storage.dispose();
  });
}

function unfoldedWeight(places: Places, attrs: Convolution): void {
  const { x, y, w } = places;
  const product = products[attrs.kernel.length - 1].weight;
  const images = 1 + attrs.kernel.length;
  forChunks(places, attrs, (from, count) => {
    withWindows(narrowed(x, 0, from, count), attrs, (view) => {
      const columns = allocate(x.device, [...view.shape.slice(1, 1 + images), count, ...attrs.output], x.dtype);
      copyInto(view, movedAxis(columns, images, 0));
      const part = from === 0 ? w : allocate(x.device, w.shape, w.dtype);
      product.run(narrowed(y, 0, from, count), columns, part);
      columns.storage.dispose();
      if (part === w) return;
      accumulateInto(w, part);
      part.storage.dispose();
    });
  });
}

function movedAxis(value: LocalValue, from: number, to: number): LocalValue {
  const move = (list: readonly number[]): number[] => {
    const rest = list.toSpliced(from, 1);
    return rest.toSpliced(to, 0, list[from]);
  };
  return new LocalValue(value.storage, value.dtype, move(value.shape), move(value.strides), value.offset);
}

// --- as one loop over windows ------------------------------------------------------------------------------------

/** What a loop needs to know of a value: where it is, and its stride along each axis. */
interface Walk {
  readonly value: LocalValue;
  readonly strides: readonly number[];
  readonly shift: number;
}

/**
 * `convolve` in one launch. Axes of the loops: the group comes before what it divides, the summed axes come last.
 *   y: n, g, o, ...output | c, ...kernel
 *   x: n, g, c, ...input | o, ...kernel
 *   w: g, o, c, ...kernel | n, ...output
 */
export function convolveByLoop({ x, w, y }: Places, target: Place, attrs: Convolution): void {
  const name = kernelName(target, attrs);
  const { input, kernel, output, stride, dilation, padding, groups } = attrs;
  const rank = kernel.length;
  const [n, c, o] = [x.shape[0], x.shape[1] / groups, w.shape[0] / groups];
  const none = kernel.map(() => 0);
  const [xs, ws, ys] = [x.strides.slice(2), w.strides.slice(2), y.strides.slice(2)];
  const [xg, wg, yg] = [x.strides[1] * c, w.strides[0] * o, y.strides[1] * o];
  const stepped = xs.map((step, d) => step * stride[d]);
  const dilated = xs.map((step, d) => step * dilation[d]);
  const before = -xs.reduce((sum, step, d) => sum + step * padding[d], 0);
  // What the windows read stays inside x if there is nothing around it.
  const inside =
    padding.every((zeros) => zeros === 0) &&
    output.every((count, d) => (count - 1) * stride[d] + (kernel[d] - 1) * dilation[d] < input[d]);
  const strided = stride.some((step) => step !== 1);
  const walk = (value: LocalValue, strides: readonly number[], shift = 0): Walk => ({ value, strides, shift });
  let sizes: readonly number[];
  let walks: readonly Walk[];
  let scalars: readonly number[];
  if (target === "y") {
    sizes = [n, groups, o, ...output, c, ...kernel];
    walks = [
      walk(x, [x.strides[0], xg, 0, ...stepped, x.strides[1], ...dilated], before),
      walk(w, [0, wg, w.strides[0], ...none, w.strides[1], ...ws]),
      walk(y, [y.strides[0], yg, y.strides[1], ...ys, 0, ...none]),
    ];
    scalars = spatialScalars(attrs, input);
  } else if (target === "w") {
    sizes = [groups, o, c, ...kernel, n, ...output];
    walks = [
      walk(x, [xg, 0, x.strides[1], ...dilated, x.strides[0], ...stepped], before),
      walk(y, [yg, y.strides[1], 0, ...none, y.strides[0], ...ys]),
      walk(w, [wg, w.strides[0], w.strides[1], ...ws, 0, ...none]),
    ];
    scalars = spatialScalars(attrs, input);
  } else {
    sizes = [n, groups, c, ...input, o, ...kernel];
    walks = [
      walk(y, [y.strides[0], yg, 0, ...none, y.strides[1], ...none]),
      walk(w, [0, wg, w.strides[1], ...none, w.strides[0], ...ws]),
      walk(x, [x.strides[0], xg, x.strides[1], ...xs, 0, ...none]),
    ];
    scalars = [...spatialScalars(attrs, output), ...ys];
  }
  const last = sizes.length - 1;
  const inner = walks.map(({ strides }) => innerStride(strides[last]));
  const variant = target === "x" ? (strided ? "strided" : "dense") : inside ? "inside" : "guarded";
  const built = kernels.get(`${name} ${x.dtype} ${variant} ${inner.join(" ")}`, () => {
    const body = new Graph();
    return {
      kind: "loop",
      name,
      axes: sizes.length,
      reduced: 1 + rank,
      inputs: [
        { dtype: x.dtype, inner: inner[0] },
        { dtype: x.dtype, inner: inner[1] },
      ],
      outputs: [{ dtype: x.dtype, inner: inner[2], overwrites: true }],
      scalars: scalars.map((): DType => "int32"),
      ...sumOfProducts(body, x.dtype, windowLoad(body, x.dtype, target, rank, variant)),
    };
  });
  launch(built, walks, sizes, scalars);
}

const kernels = new KernelCache<string>();

/** For each spatial dimension: stride, dilation, padding, and the size that bounds the load. */
function spatialScalars({ stride, dilation, padding }: Convolution, bound: readonly number[]): number[] {
  return bound.flatMap((size, d) => [stride[d], dilation[d], padding[d], size]);
}

/** The load of the first input, which the geometry may put outside of it. */
function windowLoad(body: Graph, type: DType, target: Place, rank: number, variant: string): Expr {
  if (variant === "inside") return body.load(0, type);
  const [firstOuter, firstSummed] = target === "w" ? [4 + rank, 3] : [3, 4 + rank];
  const indirect: { value: Expr; stride: number }[] = [];
  let guard: Expr | undefined;
  for (let d = 0; d < rank; d++) {
    const [stride, dilation, padding, size] = [0, 1, 2, 3].map((i) => body.scalar(4 * d + i, "int32"));
    const tap = body.axis(firstSummed + d).mul(dilation);
    const place = body.axis(firstOuter + d);
    let at: Expr;
    let valid: Expr;
    if (target === "x") {
      // The window that reads this element of x at this tap, if there is one.
      const ahead = place.add(padding).sub(tap);
      at = variant === "strided" ? ahead.div(stride) : ahead;
      valid = ahead.ge(0).and(at.lt(size));
      if (variant === "strided") valid = valid.and(at.mul(stride).eq(ahead));
      indirect.push({ value: at, stride: 4 * rank + d });
    } else {
      at = place.mul(stride).add(tap).sub(padding);
      valid = at.ge(0).and(at.lt(size));
    }
    guard = guard === undefined ? valid : guard.and(valid);
  }
  return body.load(0, type, target === "x" ? { indirect, guard } : { guard });
}

function sumOfProducts(
  body: Graph,
  type: DType,
  windows: Expr,
): Pick<LoopKernel, "body" | "accumulators" | "step" | "epilogue" | "stores"> {
  const epilogue = new Graph();
  const sum = body.accumulator(0, type).add(windows.mul(body.load(1, type)));
  return {
    body: body.nodes,
    accumulators: [{ type, init: "0" }],
    step: [sum.id],
    epilogue: epilogue.nodes,
    stores: [{ output: 0, value: epilogue.accumulator(0, type).id, at: "epilogue" }],
  };
}

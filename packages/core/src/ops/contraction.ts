/**
 * Contractions of two operands on one device: from index letters and strides to the launch that fits. Transposes, diagonals and
 * repeated (broadcast) operands cost nothing: they are strides. A matrix product, however its letters are called, becomes the kernel
 * "matmul" with axes [batch..., m, n, k], one of them reduced, two inputs and one output, so that a device can bring its own.
 */
import { InternalError } from "../errors.ts";
import { Graph } from "../kernel/build.ts";
import type { InnerStride, LoopKernel } from "../kernel/ir.ts";
import type { DType } from "../tensor/dtype.ts";
import { numelOf } from "../tensor/shape.ts";
import { LocalValue } from "../tensor/value.ts";
import { innerStride } from "./iteration.ts";
import { KernelCache, launch } from "./launch.ts";
import { startFrom } from "./moves.ts";

/** An operand and one letter for each of its dimensions. */
export interface Indexed {
  readonly value: LocalValue;
  readonly index: string;
}

/** A loop axis: its size and the stride of x, y and out along it (0 where an operand has it not). */
interface Axis {
  readonly size: number;
  readonly x: number;
  readonly y: number;
  readonly out: number;
}

interface Letter {
  size: number;
  x: number;
  y: number;
  out: number;
  inX: boolean;
  inY: boolean;
  inOut: boolean;
}

/** The axes of a contraction by the part that they play. */
interface Roles {
  /** In both operands and the result. */
  batch: Axis[];
  /** In x and the result. */
  m: Axis[];
  /** In y and the result. */
  n: Axis[];
  /** Summed over. */
  k: Axis[];
}

/** Above this many multiplications it pays to copy an operand so that the summed dimensions become one. */
const worthPacking = 1 << 15;

/**
 * `out = sum over the letters that out lacks of x * y`, overwriting `out`. Sizes must agree (a size of 1 repeats).
 */
export function contractInto(x: Indexed, y: Indexed, out: Indexed): void {
  if (numelOf(out.value.shape) === 0) return;
  const { batch, m, n, k } = roles(x, y, out);
  let [left, right] = [x.value, y.value];
  if (mergeAxes(k).length > 1 && work(batch, m, n, k) >= worthPacking) {
    const [packX, packY] = [!isOneAxis(k, "x"), !isOneAxis(k, "y")];
    if (packX) left = pack(left, "x", [batch, m, k]);
    if (packY) right = pack(right, "y", [batch, n, k]);
  }
  launchContraction(left, right, out.value, mergeAxes(batch), mergeAxes(m), mergeAxes(n), mergeAxes(k));
  if (left !== x.value) left.storage.dispose();
  if (right !== y.value) right.storage.dispose();
}

/** Sorts the letters by their part. Those of size 1 play none. */
function roles(x: Indexed, y: Indexed, out: Indexed): Roles {
  const letters = new Map<string, Letter>();
  const read = ({ value, index }: Indexed, operand: "x" | "y" | "out", presence: "inX" | "inY" | "inOut"): void => {
    for (let dim = 0; dim < index.length; dim++) {
      const size = value.shape[dim];
      if (size === 1) continue;
      let letter = letters.get(index[dim]);
      if (letter === undefined) letters.set(index[dim], (letter = { size, x: 0, y: 0, out: 0, inX: false, inY: false, inOut: false }));
      if (letter.size !== size) throw new InternalError(`contraction over ${letter.size} and ${size} elements of "${index[dim]}"`);
      letter[operand] += value.strides[dim];
      letter[presence] = true;
    }
  };
  read(out, "out", "inOut");
  read(x, "x", "inX");
  read(y, "y", "inY");
  const result: Roles = { batch: [], m: [], n: [], k: [] };
  for (const letter of letters.values()) {
    const { inX, inY, inOut } = letter;
    if (!inOut) result.k.push(letter);
    else if (inX && inY) result.batch.push(letter);
    else if (inX) result.m.push(letter);
    else result.n.push(letter);
  }
  result.k = summationOrder(result.k);
  return result;
}

/** The order of the summed axes: that of x's memory; that of y's where only y is dense in its own. */
function summationOrder(axes: readonly Axis[]): Axis[] {
  const byX = [...axes].sort((a, b) => b.x - a.x || b.y - a.y);
  if (isOneAxis(byX, "x")) return byX;
  const byY = [...axes].sort((a, b) => b.y - a.y || b.x - a.x);
  return isOneAxis(byY, "y") ? byY : byX;
}

/** Whether one operand runs along all these axes as along one. */
function isOneAxis(axes: readonly Axis[], operand: "x" | "y"): boolean {
  return axes.every((axis, i) => i === 0 || axes[i - 1][operand] === axis[operand] * axis.size);
}

/** Joins neighbours that are one axis for every operand. */
function mergeAxes(axes: readonly Axis[]): Axis[] {
  const merged: Axis[] = [];
  for (const axis of axes) {
    const last = merged.at(-1);
    if (last !== undefined && last.x === axis.x * axis.size && last.y === axis.y * axis.size && last.out === axis.out * axis.size) {
      merged[merged.length - 1] = { ...axis, size: last.size * axis.size };
    } else {
      merged.push(axis);
    }
  }
  return merged;
}

function work(...groups: readonly (readonly Axis[])[]): number {
  return groups.flat().reduce((product, axis) => product * axis.size, 1);
}

/** A temporary copy, dense in the order of these axes; the axes get its strides. */
function pack(value: LocalValue, operand: "x" | "y", groups: readonly Axis[][]): LocalValue {
  const axes = groups.flat();
  const view = new LocalValue(value.storage, value.dtype, axes.map(({ size }) => size), axes.map((axis) => axis[operand]), value.offset);
  const copy = startFrom(view, undefined);
  let position = 0;
  for (const group of groups) group.forEach((axis, i) => (group[i] = { ...axis, [operand]: copy.strides[position++] }));
  return copy;
}

function largest(axes: readonly Axis[]): Axis | undefined {
  return axes.reduce<Axis | undefined>((best, axis) => (best === undefined || axis.size >= best.size ? axis : best), undefined);
}

function launchContraction(
  x: LocalValue,
  y: LocalValue,
  out: LocalValue,
  batch: readonly Axis[],
  m: readonly Axis[],
  n: readonly Axis[],
  k: readonly Axis[],
): void {
  // A vector times a matrix is a row of dot products, where both run along memory.
  const dots = k.length === 1 && (m.length === 0 ? n.length === 0 || dense(k[0]) : n.length === 0 && dense(k[0]));
  if (k.length === 1 && !dots) {
    let rows = largest(m) ?? { size: 1, x: 1, y: 0, out: 1 };
    let columns = largest(n) ?? { size: 1, x: 0, y: 1, out: 1 };
    const repeated = [...m.filter((axis) => axis !== rows), ...n.filter((axis) => axis !== columns)];
    let outer = [...repeated, ...batch];
    let summed = k[0];
    // Products commute: what is contiguous in the result should be its columns.
    if (columns.out !== 1 && rows.out === 1) {
      [rows, columns] = [swapped(columns), swapped(rows)];
      outer = outer.map(swapped);
      summed = swapped(summed);
      [x, y] = [y, x];
    }
    issue("matmul", x, y, out, [...outer, rows, columns, summed], 1);
  } else {
    const outer = [...batch, ...m, ...n].sort((a, b) => b.out - a.out);
    const name = k.length === 0 ? "outer" : k.length > 1 ? "contract" : outer.length === 0 ? "dot" : "mv";
    const axes = [...outer, ...k];
    if (axes.length === 0) axes.push({ size: 1, x: 1, y: 1, out: 1 });
    issue(name, x, y, out, axes, k.length);
  }
}

function dense({ x, y }: Axis): boolean {
  return x === 1 && y === 1;
}

function swapped({ size, x, y, out }: Axis): Axis {
  return { size, x: y, y: x, out };
}

const kernels = new KernelCache<string>();

function issue(name: string, x: LocalValue, y: LocalValue, out: LocalValue, axes: readonly Axis[], reduced: number): void {
  const last = axes[axes.length - 1];
  const inner = [innerStride(last.x), innerStride(last.y), innerStride(last.out)];
  const kernel = kernels.get(`${name} ${x.dtype} ${axes.length} ${reduced} ${inner.join(" ")}`, () =>
    productKernel(name, x.dtype, axes.length, reduced, inner),
  );
  launch(
    kernel,
    [
      { value: x, strides: axes.map((axis) => axis.x) },
      { value: y, strides: axes.map((axis) => axis.y) },
      { value: out, strides: axes.map((axis) => axis.out) },
    ],
    axes.map(({ size }) => size),
  );
}

/** `out = sum of x * y` over the last `reduced` axes. */
function productKernel(name: string, dtype: DType, axes: number, reduced: number, [x, y, out]: readonly InnerStride[]): LoopKernel {
  const body = new Graph();
  const epilogue = new Graph();
  const product = body.load(0, dtype).mul(body.load(1, dtype));
  const sums = reduced > 0;
  return {
    kind: "loop",
    name,
    axes,
    reduced,
    inputs: [
      { dtype, inner: x },
      { dtype, inner: y },
    ],
    outputs: [{ dtype, inner: out, overwrites: true }],
    scalars: [],
    accumulators: sums ? [{ type: dtype, init: "0" }] : [],
    step: sums ? [body.accumulator(0, dtype).add(product).id] : [],
    body: body.nodes,
    stores: [sums ? { output: 0, value: epilogue.accumulator(0, dtype).id, at: "epilogue" } : { output: 0, value: product.id, at: "body" }],
    epilogue: epilogue.nodes,
  };
}

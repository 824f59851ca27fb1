/**
 * Contractions of two operands on one device: from index letters and strides to the launch that fits. Transposes,
 * diagonals and repeated (broadcast) operands cost nothing: they are strides. A matrix product, however its letters are
 * called, becomes the kernel "matmul" with axes [batch..., m, n, k], one of them reduced, two inputs and one output, so
 * that a device can bring its own.
 */
import { InternalError, ShapeError } from "../errors.ts";
import { Graph } from "../kernel/build.ts";
import { innerStride } from "../kernel/ir.ts";
import type { InnerStride, Kernel, LoopKernel } from "../kernel/ir.ts";
import type { DType } from "../tensor/dtype.ts";
import { numelOf, sameShape } from "../tensor/shape.ts";
import type { Shape } from "../tensor/shape.ts";
import { LocalValue } from "../tensor/value.ts";
import { KernelCache, launch } from "./launch.ts";
import { startFrom } from "./moves.ts";

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

/** What a launch of known shapes and strides is, apart from where its operands are. */
interface Plan {
  readonly kernel: Kernel;
  readonly sizes: readonly number[];
  readonly x: readonly number[];
  readonly y: readonly number[];
  readonly out: readonly number[];
  /** Whether the kernel's first input is y. */
  readonly swapped: boolean;
}

/** A plan, and the operands that it was made for. */
interface Known {
  readonly operands: readonly [LocalView, LocalView, LocalView];
  readonly plan: Plan;
}

/** What a plan depends on: the memory itself is not kept. */
type LocalView = Pick<LocalValue, "dtype" | "shape" | "strides">;

const keptPlans = 8;

/**
 * `out = sum over the letters that out lacks of x * y`, for one letter a dimension. Capital letters may repeat a size
 * of 1; every letter of the result is in an operand.
 */
export class Contraction {
  readonly x: string;
  readonly y: string;
  readonly out: string;
  /** For each letter of the result its dimension in x and in y, or -1. */
  readonly #sources: readonly (readonly [x: number, y: number])[];
  /** Dimensions of one letter in x and y. */
  readonly #shared: readonly (readonly [x: number, y: number])[];
  readonly #known: Known[] = [];

  constructor(x: string, y: string, out: string) {
    this.x = x;
    this.y = y;
    this.out = out;
    this.#sources = Array.from(out, (letter) => [x.indexOf(letter), y.indexOf(letter)]);
    if (this.#sources.some(([own, other]) => own < 0 && other < 0))
      throw new InternalError(`no operand of ${String(this)} has all letters of the result`);
    this.#shared = Array.from(x).flatMap((letter, dim) =>
      y.includes(letter) ? [[dim, y.indexOf(letter)] as const] : [],
    );
  }

  toString(): string {
    return `${this.x},${this.y}->${this.out}`;
  }

  /** The result's shape. @throws ShapeError where sizes of one letter differ */
  shape(x: Shape, y: Shape, op: string): Shape {
    for (const [own, other] of this.#shared) {
      if (x[own] === y[other] || (isBroadcast(this.x[own]) && (x[own] === 1 || y[other] === 1))) continue;
      throw new ShapeError(
        `The size of tensor a (${x[own]}) must match the size of tensor b (${y[other]}) along "${this.x[own]}" of ${String(this)}`,
        { op },
      );
    }
    return this.#sources.map(([own, other]) => (own < 0 || (x[own] === 1 && other >= 0) ? y[other] : x[own]));
  }

  /** Issues the launches that overwrite `out`, whose shape is that of the result. */
  run(x: LocalValue, y: LocalValue, out: LocalValue): void {
    if (numelOf(out.shape) === 0) return;
    for (const { operands, plan } of this.#known) {
      if (sameView(operands[0], x) && sameView(operands[1], y) && sameView(operands[2], out)) {
        issue(plan, x, y, out);
        return;
      }
    }
    const axes = this.#roles(x, y, out);
    const { batch, m, n, k } = axes;
    if (mergeAxes(k).length > 1 && work(batch, m, n, k) >= worthPacking) {
      const [packX, packY] = [!isOneAxis(k, "x"), !isOneAxis(k, "y")];
      const left = packX ? pack(x, "x", [batch, m, k]) : x;
      const right = packY ? pack(y, "y", [batch, n, k]) : y;
      issue(planOf(axes, x.dtype), left, right, out);
      if (packX) left.storage.dispose();
      if (packY) right.storage.dispose();
      return;
    }
    const plan = planOf(axes, x.dtype);
    this.#known.unshift({ operands: [viewOf(x), viewOf(y), viewOf(out)], plan });
    if (this.#known.length > keptPlans) this.#known.pop();
    issue(plan, x, y, out);
  }

  /** Sorts the letters by their part. Those of size 1 play none. */
  #roles(x: LocalValue, y: LocalValue, out: LocalValue): Roles {
    const letters = new Map<string, Letter>();
    const read = (
      value: LocalValue,
      index: string,
      operand: "x" | "y" | "out",
      presence: "inX" | "inY" | "inOut",
    ): void => {
      for (let dim = 0; dim < index.length; dim++) {
        const size = value.shape[dim];
        if (size === 1) continue;
        let letter = letters.get(index[dim]);
        if (letter === undefined)
          letters.set(index[dim], (letter = { size, x: 0, y: 0, out: 0, inX: false, inY: false, inOut: false }));
        if (letter.size !== size)
          throw new InternalError(
            `contraction ${String(this)} over ${letter.size} and ${size} elements of "${index[dim]}"`,
          );
        letter[operand] += value.strides[dim];
        letter[presence] = true;
      }
    };
    read(out, this.out, "out", "inOut");
    read(x, this.x, "x", "inX");
    read(y, this.y, "y", "inY");
    const result: Roles = { batch: [], m: [], n: [], k: [] };
    for (const { size, x, y, out, inX, inY, inOut } of letters.values()) {
      const part = !inOut ? result.k : inX && inY ? result.batch : inX ? result.m : result.n;
      part.push({ size, x, y, out });
    }
    result.k = summationOrder(result.k);
    return result;
  }
}

/** Whether sizes of 1 under a letter may be repeated: "..." is spelled with capitals. */
export function isBroadcast(letter: string): boolean {
  return letter < "a";
}

function viewOf({ dtype, shape, strides }: LocalView): LocalView {
  return { dtype, shape, strides };
}

function sameView(a: LocalView, b: LocalView): boolean {
  return a.dtype === b.dtype && sameShape(a.shape, b.shape) && sameShape(a.strides, b.strides);
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
    if (
      last !== undefined &&
      last.x === axis.x * axis.size &&
      last.y === axis.y * axis.size &&
      last.out === axis.out * axis.size
    ) {
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
  const view = new LocalValue(
    value.storage,
    value.dtype,
    axes.map(({ size }) => size),
    axes.map((axis) => axis[operand]),
    value.offset,
  );
  const copy = startFrom(view, undefined);
  let position = 0;
  for (const group of groups) group.forEach((axis, i) => (group[i] = { ...axis, [operand]: copy.strides[position++] }));
  return copy;
}

function largest(axes: readonly Axis[]): Axis | undefined {
  return axes.reduce<Axis | undefined>(
    (best, axis) => (best === undefined || axis.size >= best.size ? axis : best),
    undefined,
  );
}

function planOf(roles: Roles, dtype: DType): Plan {
  const [batch, m, n, k] = [roles.batch, roles.m, roles.n, roles.k].map(mergeAxes);
  // A vector times a matrix is a row of dot products, where both run along memory.
  const dots = k.length === 1 && (m.length === 0 ? n.length === 0 || dense(k[0]) : n.length === 0 && dense(k[0]));
  if (k.length !== 1 || dots) {
    const outer = [...batch, ...m, ...n].sort((a, b) => b.out - a.out);
    const name = k.length === 0 ? "outer" : k.length > 1 ? "contract" : outer.length === 0 ? "dot" : "mv";
    const axes = [...outer, ...k];
    if (axes.length === 0) axes.push({ size: 1, x: 1, y: 1, out: 1 });
    return planFor(name, dtype, axes, k.length, false);
  }
  const rows = largest(m) ?? { size: 1, x: 1, y: 0, out: 1 };
  const columns = largest(n) ?? { size: 1, x: 0, y: 1, out: 1 };
  const outer = [...m.filter((axis) => axis !== rows), ...n.filter((axis) => axis !== columns), ...batch];
  // Products commute: what is contiguous in the result should be its columns.
  return columns.out !== 1 && rows.out === 1
    ? planFor("matmul", dtype, [...outer, columns, rows, k[0]].map(swapped), 1, true)
    : planFor("matmul", dtype, [...outer, rows, columns, k[0]], 1, false);
}

function dense({ x, y }: Axis): boolean {
  return x === 1 && y === 1;
}

function swapped({ size, x, y, out }: Axis): Axis {
  return { size, x: y, y: x, out };
}

const kernels = new KernelCache<string>();

function planFor(name: string, dtype: DType, axes: readonly Axis[], reduced: number, isSwapped: boolean): Plan {
  const last = axes[axes.length - 1];
  const inner = [innerStride(last.x), innerStride(last.y), innerStride(last.out)];
  return {
    kernel: kernels.get(`${name} ${dtype} ${axes.length} ${reduced} ${inner.join(" ")}`, () =>
      productKernel(name, dtype, axes.length, reduced, inner),
    ),
    sizes: axes.map(({ size }) => size),
    x: axes.map((axis) => axis.x),
    y: axes.map((axis) => axis.y),
    out: axes.map((axis) => axis.out),
    swapped: isSwapped,
  };
}

function issue(
  { kernel, sizes, x, y, out, swapped: isSwapped }: Plan,
  left: LocalValue,
  right: LocalValue,
  target: LocalValue,
): void {
  launch(
    kernel,
    [
      { value: isSwapped ? right : left, strides: x },
      { value: isSwapped ? left : right, strides: y },
      { value: target, strides: out },
    ],
    sizes,
  );
}

/** `out = sum of x * y` over the last `reduced` axes. */
function productKernel(
  name: string,
  dtype: DType,
  axes: number,
  reduced: number,
  [x, y, out]: readonly InnerStride[],
): LoopKernel {
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
    stores: [
      sums
        ? { output: 0, value: epilogue.accumulator(0, dtype).id, at: "epilogue" }
        : { output: 0, value: product.id, at: "body" },
    ],
    epilogue: epilogue.nodes,
  };
}

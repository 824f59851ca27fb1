/**
 * The elementwise kind: one scalar expression over broadcast operands. An entry gives the expression, its dtype rule and the
 * gradient; broadcasting, promotion, in-place forms, strided and vectorised kernels follow.
 */
import { DTypeError, ShapeError, ValueError } from "../../errors.ts";
import { Graph } from "../../kernel/build.ts";
import type { Expr } from "../../kernel/build.ts";
import { innerStride } from "../../kernel/ir.ts";
import type { InnerStride, Kernel } from "../../kernel/ir.ts";
import { argumentWords } from "../../kernel/ir.ts";
import { dtypeOfNumber, dtypes, floatingType, getDefaultDtype, resultType } from "../../tensor/dtype.ts";
import type { DType, Promotable } from "../../tensor/dtype.ts";
import { broadcastShapes, broadcastStrides, isContiguous, numelOf, sameShape } from "../../tensor/shape.ts";
import type { Shape } from "../../tensor/shape.ts";
import { allocate, allocateLike } from "../../tensor/value.ts";
import type { LocalValue, Meta } from "../../tensor/value.ts";
import { collapse } from "../iteration.ts";
import { issue, putScalar } from "../launch.ts";
import { gradientLookup, pascal } from "../op.ts";
import type { GradientTable, Op } from "../op.ts";

/** Run-time numbers of an op beside its operands (slopes, bounds): kernel arguments, so that no value makes a new kernel. */
export type Params = readonly number[];

/**
 * How operand dtypes give the dtype computed in, and the result's:
 * - `same`: promotion, result alike (add)
 * - `float`: promotion, whole numbers become float32 (exp, div)
 * - `bool`: promotion, result bool (eq)
 * - a function of the promoted dtype: compute and result dtypes
 */
export type TypeRule = "same" | "float" | "bool" | ((promoted: DType) => { readonly compute: DType; readonly result: DType });

export interface ElementwiseEntry {
  /** The scalar expression over the operands, then the params; all arrive in the dtype computed in. */
  readonly kernel: (...values: Expr[]) => Expr;
  /** How many of the kernel's arguments are operands; default all. */
  readonly operands?: number;
  /** How many leading operands are conditions: they arrive as bools and take no part in promotion. */
  readonly conditions?: number;
  readonly type?: TypeRule;
  /** Promoted dtypes that the op does not take. */
  readonly refuses?: readonly DType[];
  readonly grad?: GradientTable<Params>;
  /** Autograd's name where it is not the op's own. */
  readonly gradName?: string;
  readonly overload?: Op<Params>["overload"];
}

export interface ElementwiseOp extends Op<Params> {
  readonly kind: "elementwise";
  readonly entry: ElementwiseEntry;
}

export function defineElementwise(name: string, entry: ElementwiseEntry): ElementwiseOp {
  const operands = entry.operands ?? entry.kernel.length;
  const paramCount = entry.kernel.length - operands;
  const types = typeRule(name, entry);
  const kernels = new Map<number, Kernel>();

  function kernelFor(inputs: readonly (LocalValue | number)[], compute: DType, out: DType, axes: number, inner: readonly InnerStride[]): Kernel {
    let key = axes;
    for (const input of inputs) key = key * 8 + (typeof input === "number" ? 7 : dtypeCode(input.dtype));
    key = (key * 8 + dtypeCode(compute)) * 8 + dtypeCode(out);
    for (const stride of inner) key = key * 4 + (stride === "any" ? 2 : stride);
    let kernel = kernels.get(key);
    if (kernel === undefined) {
      kernel = build(name, entry, inputs, paramCount, compute, out, axes, inner);
      kernels.set(key, kernel);
    }
    return kernel;
  }

  /** All operands contiguous and of the result's shape: the common case, kept free of intermediate objects. */
  function runFlat(inputs: readonly (LocalValue | number)[], params: Params, compute: DType, target: LocalValue): void {
    const kernel = kernelFor(inputs, compute, target.dtype, 1, contiguousStrides[inputs.length + 1]);
    const { device } = target.storage;
    const id = device.kernel(kernel);
    const { mailbox } = device;
    let at = mailbox.beginRun(id, argumentWords(kernel));
    const { words } = mailbox;
    let tensors = 0;
    for (let i = 0; i < inputs.length; i++) {
      const input = inputs[i];
      if (typeof input === "number") continue;
      words[at++] = input.storage.id;
      words[at++] = input.offset;
      tensors++;
    }
    words[at++] = target.storage.id;
    words[at++] = target.offset;
    words[at++] = numelOf(target.shape);
    for (let i = 0; i <= tensors; i++) words[at++] = 1;
    for (let i = 0; i < inputs.length; i++) {
      const input = inputs[i];
      if (typeof input === "number") at = putScalar(words, at, compute, input);
    }
    for (let i = 0; i < paramCount; i++) at = putScalar(words, at, compute, params[i]);
    mailbox.end();
  }

  /** Broadcast, transposed, sliced operands: a loop nest over what does not merge. */
  function runStrided(inputs: readonly (LocalValue | number)[], params: Params, compute: DType, out: LocalValue): void {
    const values: LocalValue[] = [];
    const views: (readonly number[])[] = [];
    const scalars: number[] = [];
    for (const input of inputs) {
      if (typeof input === "number") {
        scalars.push(input);
      } else {
        values.push(input);
        views.push(sameShape(input.shape, out.shape) ? input.strides : broadcastStrides(input.shape, input.strides, out.shape));
      }
    }
    values.push(out);
    views.push(out.strides);
    for (let i = 0; i < paramCount; i++) scalars.push(params[i]);
    const { sizes, strides } = collapse(out.shape, views);
    const last = sizes.length - 1;
    const inner = new Array<InnerStride>(inputs.length + 1);
    let next = 0;
    for (let i = 0; i < inputs.length; i++) inner[i] = typeof inputs[i] === "number" ? 1 : innerStride(strides[next++][last]);
    inner[inputs.length] = innerStride(strides[next][last]);
    issue(kernelFor(inputs, compute, out.dtype, sizes.length, inner), values, strides, sizes, scalars);
  }

  const op: ElementwiseOp = {
    name,
    kind: "elementwise",
    gradName: entry.gradName ?? pascal(name),
    overload: entry.overload,
    isView: false,
    outputs: 1,
    entry,
    gradientOf: gradientLookup(entry.grad),

    infer(inputs: readonly (Meta | number)[]): Meta[] {
      return [{ shape: commonShape(inputs, name), dtype: types(inputs).result }];
    },

    run(inputs, params, [meta], target): LocalValue[] {
      const { compute } = types(inputs);
      const out = target ?? fresh(inputs, meta);
      if (target !== undefined) assertNoOverlap(target, inputs, name);
      if (numelOf(out.shape) === 0) return [out];
      if (isFlat(inputs, out)) {
        runFlat(inputs, params, compute, out);
        return [out];
      }
      runStrided(inputs, params, compute, out);
      return [out];
    },
  };
  return op;
}

/** Memory for the result; its geometry is that of the first operand, where that has the result's shape. */
function fresh(inputs: readonly (LocalValue | number)[], { shape, dtype }: Meta): LocalValue {
  const first = inputs[0];
  if (typeof first !== "number" && first.contiguous && sameShape(first.shape, shape)) return allocateLike(first, dtype);
  return allocate(deviceOf(inputs), shape, dtype);
}

/** Whether all operands lie in memory as the result does: one loop over all elements. */
function isFlat(inputs: readonly (LocalValue | number)[], out: LocalValue): boolean {
  if (!out.contiguous) return false;
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i];
    if (typeof input !== "number" && !(input.contiguous && sameShape(input.shape, out.shape))) return false;
  }
  return true;
}

const contiguousStrides: readonly (readonly InnerStride[])[] = [0, 1, 2, 3, 4, 5, 6].map((count) => new Array<InnerStride>(count).fill(1));

const codes = Object.fromEntries(dtypes.map((dtype, code) => [dtype, code])) as Readonly<Record<DType, number>>;

function dtypeCode(dtype: DType): number {
  return codes[dtype];
}

function build(
  name: string,
  { kernel: expression, conditions = 0 }: ElementwiseEntry,
  inputs: readonly (LocalValue | number)[],
  paramCount: number,
  compute: DType,
  out: DType,
  axes: number,
  inner: readonly InnerStride[],
): Kernel {
  const body = new Graph();
  const scalars: DType[] = [];
  const operands: { dtype: DType; inner: InnerStride }[] = [];
  const args = inputs.map((input, i) => {
    if (typeof input === "number") {
      scalars.push(compute);
      return body.scalar(scalars.length - 1, compute);
    }
    operands.push({ dtype: input.dtype, inner: inner[i] });
    return body.load(operands.length - 1, input.dtype).cast(i < conditions ? "bool" : compute);
  });
  for (let i = 0; i < paramCount; i++) {
    scalars.push(compute);
    args.push(body.scalar(scalars.length - 1, compute));
  }
  const value = expression(...args).cast(out);
  return {
    kind: "loop",
    name,
    axes,
    reduced: 0,
    inputs: operands,
    outputs: [{ dtype: out, inner: inner[inner.length - 1], overwrites: true }],
    scalars,
    body: body.nodes,
    accumulators: [],
    step: [],
    epilogue: [],
    stores: [{ output: 0, value: value.id, at: "body" }],
  };
}

interface Types {
  readonly compute: DType;
  readonly result: DType;
}

/** The entry's dtype rule as a function of operands, remembered by their dtypes and weights. */
function typeRule(name: string, { type = "same", refuses = [], conditions = 0 }: ElementwiseEntry): (inputs: readonly (Meta | number)[]) => Types {
  const rule = (promoted: DType): Types => {
    if (refuses.includes(promoted)) {
      throw new DTypeError(`${name}() does not take ${promoted}`, { op: name, remedy: "Convert with .to(dtype) first." });
    }
    switch (type) {
      case "same": return { compute: promoted, result: promoted };
      case "float": return { compute: floatingType(promoted), result: floatingType(promoted) };
      case "bool": return { compute: promoted, result: "bool" };
      default: return type(promoted);
    }
  };
  const known = new Map<number, Types>();
  return (inputs) => {
    // Numbers, and fractions of whole numbers, are of the default dtype.
    let key = getDefaultDtype() === "float64" ? 2 : 1;
    for (let i = conditions; i < inputs.length; i++) {
      const input = inputs[i];
      if (typeof input === "number") key = key * 32 + 24 + (Number.isInteger(input) && !Object.is(input, -0) ? 1 : 0);
      else key = key * 32 + dtypeCode(input.dtype) + (input.shape.length === 0 ? 8 : 0);
    }
    let types = known.get(key);
    if (types === undefined) known.set(key, (types = rule(promote(conditions === 0 ? inputs : inputs.slice(conditions)))));
    return types;
  };
}

/** The promoted dtype of operands. */
export function promote(inputs: readonly (Meta | number)[]): DType {
  const first = inputs[0];
  if (typeof first !== "number" && inputs.every((input) => typeof input !== "number" && input.dtype === first.dtype)) return first.dtype;
  return resultType(inputs.map(promotable));
}

function promotable(input: Meta | number): Promotable {
  if (typeof input === "number") return { dtype: dtypeOfNumber(input), weight: "number" };
  return { dtype: input.dtype, weight: input.shape.length === 0 ? "scalar" : "tensor" };
}

function commonShape(inputs: readonly (Meta | number)[], op: string): Shape {
  let shape: Shape | undefined;
  for (const input of inputs) {
    if (typeof input === "number") continue;
    if (shape === undefined) shape = input.shape;
    else if (!sameShape(shape, input.shape)) shape = broadcastShapes([shape, input.shape], op);
  }
  if (shape === undefined) throw new ValueError(`${op}() needs a tensor operand`, { op });
  return shape;
}

export function deviceOf(inputs: readonly (LocalValue | number)[]): LocalValue["device"] {
  for (const input of inputs) if (typeof input !== "number") return input.device;
  throw new ValueError("an op needs a tensor operand");
}

/**
 * Refuses a write whose result would depend on the order of elements: a target that holds one element twice, or an input that
 * shares part of the target's memory without being the same view of it.
 */
export function assertNoOverlap(target: LocalValue, inputs: readonly (LocalValue | number)[], op: string): void {
  if (target.strides.some((stride, axis) => stride === 0 && target.shape[axis] > 1)) {
    throw new ShapeError(
      "unsupported operation: more than one element of the written-to tensor refers to a single memory location. Please clone() the tensor before performing the operation.",
      { op },
    );
  }
  for (const input of inputs) {
    if (typeof input === "number" || input.storage !== target.storage) continue;
    if (input.offset === target.offset && sameShape(input.shape, target.shape) && sameShape(input.strides, target.strides)) continue;
    if (overlaps(input, target)) {
      throw new ShapeError(
        "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory location. Please clone() the tensor before performing the operation.",
        { op },
      );
    }
  }
}

/** Whether two views of one storage may share an element (exact for dense views, careful for others). */
export function overlaps(a: LocalValue, b: LocalValue): boolean {
  const [aFrom, aTo] = span(a);
  const [bFrom, bTo] = span(b);
  if (aTo <= bFrom || bTo <= aFrom) return false;
  if (isContiguous(a.shape, a.strides) || isContiguous(b.shape, b.strides)) return true;
  return !disjointColumns(a, b);
}

function span(value: LocalValue): [number, number] {
  if (numelOf(value.shape) === 0) return [0, 0];
  let from = value.offset;
  let to = value.offset;
  value.strides.forEach((stride, axis) => {
    const reach = stride * (value.shape[axis] - 1);
    if (reach > 0) to += reach;
    else from += reach;
  });
  return [from, to + 1];
}

/** Column blocks of one matrix: equal outer strides, inner ranges that do not meet. */
function disjointColumns(a: LocalValue, b: LocalValue): boolean {
  const pitch = Math.max(...a.strides, 0);
  if (pitch !== Math.max(...b.strides, 0) || pitch === 0) return false;
  const range = ({ shape, strides, offset }: LocalValue): [number, number] => {
    let length = 1;
    strides.forEach((stride, axis) => (length += stride < pitch ? Math.abs(stride) * (shape[axis] - 1) : 0));
    return [offset % pitch, (offset % pitch) + length];
  };
  const [aFrom, aTo] = range(a);
  const [bFrom, bTo] = range(b);
  return aTo <= pitch && bTo <= pitch && (aTo <= bFrom || bTo <= aFrom);
}

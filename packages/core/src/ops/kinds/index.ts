/**
 * The index kind: elements moved from or to places that index tensors name. An entry says what its one or two movements
 * are; the kernels, the check of every index on the device, and negative indices follow. An index out of range poisons
 * the result.
 */
import { Graph } from "../../kernel/build.ts";
import type { Expr } from "../../kernel/build.ts";
import type { LoopKernel, Operand, Store } from "../../kernel/ir.ts";
import type { DType } from "../../tensor/dtype.ts";
import { DTypeError } from "../../errors.ts";
import { numelOf } from "../../tensor/shape.ts";
import type { Shape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { allocate } from "../../tensor/value.ts";
import type { LocalValue, Meta } from "../../tensor/value.ts";
import { collapse } from "../iteration.ts";
import { KernelCache, launch } from "../launch.ts";
import type { Bound } from "../launch.ts";
import { fillWith, lastStride, startFrom } from "../moves.ts";
import { gradientLookup, pascal } from "../op.ts";
import type { GradientRule, GradientTable, Op, Saved } from "../op.ts";
import { deviceOf } from "./elementwise.ts";
import { viewOf } from "./view.ts";

/** An index tensor over the loop space, and the dimension that its values count in. */
export interface Lookup extends Bound {
  /** The dimension's size: indices reach up to it. */
  readonly size: number;
  /** The dimension's stride. */
  readonly step: number;
}

export type Combine = NonNullable<Store["combine"]>;

/** For every point of `space`: one element of the source goes to one element of the target. */
export interface Movement {
  readonly space: Shape;
  readonly lookups: readonly Lookup[];
  /** Which side the indices are looked up in. */
  readonly side: "source" | "target";
  /** A tensor, or one number for all points. */
  readonly source: Bound | number;
  readonly target: Bound;
  /** Negative indices count from the end. */
  readonly wraps?: boolean;
  readonly combine?: Combine;
  /** A factor of the source. */
  readonly scale?: number;
  /** An index that stands for nothing: reading there gives 0, writing there does nothing. */
  readonly ignored?: number;
}

export interface IndexEntry<A> {
  /** @throws ShapeError, DTypeError */
  readonly infer: (inputs: readonly (Meta | number)[], attrs: A) => Meta;
  /** What the result is before the movements: fresh memory that they fill, zeros, or a copy of the first input. */
  readonly startsFrom: "nothing" | "zeros" | "input";
  readonly moves: (inputs: readonly (LocalValue | number)[], attrs: A, out: LocalValue) => readonly Movement[];
  /** The dimensions of the first input that indices are looked up in: the others pass through (for sharding rules). */
  readonly lookedUp: (input: Shape, attrs: A) => readonly number[];
  readonly grad?: GradientTable<A>;
  /** For entries with any number of inputs, in place of `grad`. */
  readonly gradientOf?: (input: number) => GradientRule<A> | undefined;
  readonly gradName?: string;
}

export interface IndexOp<A> extends Op<A> {
  readonly kind: "index";
  readonly entry: IndexEntry<A>;
}

export function defineIndex<A>(name: string, entry: IndexEntry<A>): IndexOp<A> {
  return {
    name,
    kind: "index",
    gradName: entry.gradName ?? pascal(name),
    isView: false,
    outputs: 1,
    entry,
    gradientOf: entry.gradientOf ?? gradientLookup(entry.grad),
    infer: (inputs, attrs) => [entry.infer(inputs, attrs)],

    run(inputs, attrs, [meta], target): LocalValue[] {
      const out =
        entry.startsFrom === "input"
          ? startFrom(inputs[0] as LocalValue, target)
          : (target ?? allocate(deviceOf(inputs), meta.shape, meta.dtype));
      if (entry.startsFrom === "zeros") fillWith(out, 0);
      for (const movement of entry.moves(inputs, attrs, out)) move(name, movement);
      return [out];
    },
  };
}

const kernels = new KernelCache<string>();

function move(name: string, movement: Movement): void {
  const { space, lookups, source, target, scale, ignored } = movement;
  if (numelOf(space) === 0) return;
  const operands: Bound[] = [...lookups, ...(typeof source === "number" ? [] : [source]), target];
  const { sizes, strides } = collapse(
    space,
    operands.map((operand) => operand.strides),
  );
  const described = operands.map(({ value }, k): Operand => ({ dtype: value.dtype, inner: lastStride(strides[k]) }));
  const key = [
    name,
    sizes.length,
    lookups.length,
    movement.side,
    typeof source,
    movement.wraps === true,
    movement.combine,
    scale === undefined,
    ignored === undefined,
    ...described.map(({ dtype, inner }) => `${dtype}/${inner}`),
  ].join(" ");
  launch(
    kernels.get(key, () => build(name, movement, described, sizes.length)),
    operands.map(({ value, shift }, k) => ({ value, shift, strides: strides[k] })),
    sizes,
    [
      ...lookups.flatMap(({ size, step }) => [size, step]),
      ...(typeof source === "number" ? [source] : []),
      ...(scale === undefined ? [] : [scale]),
      ...(ignored === undefined ? [] : [ignored]),
    ],
  );
}

function build(name: string, movement: Movement, operands: readonly Operand[], axes: number): LoopKernel {
  const { lookups, side, source, wraps = false, scale, ignored } = movement;
  const inputs = operands.slice(0, -1);
  const result = operands[operands.length - 1];
  const body = new Graph();
  const scalars: DType[] = lookups.flatMap((): DType[] => ["int32", "int32"]);
  const argument = (type: DType): Expr => body.scalar(scalars.push(type) - 1, type);
  const number = typeof source === "number" ? argument(result.dtype) : undefined;
  const factor = scale === undefined ? undefined : argument(result.dtype);
  const nothing = ignored === undefined ? undefined : argument("int32");

  const places: { value: Expr; stride: number }[] = [];
  let guard: Expr | undefined;
  lookups.forEach((_, k) => {
    const index = body.load(k, inputs[k].dtype).cast(inputs[k].dtype === "int64" ? "int64" : "int32");
    const size = body.scalar(2 * k, "int32").cast(index.type);
    const valid = index.ge(wraps ? size.neg() : 0).and(index.lt(size));
    body.check(valid, index.cast("int32"), "index-out-of-range");
    const place = (wraps ? index.lt(0).where(index.add(size), index) : index).cast("int32");
    places.push({ value: place, stride: 2 * k + 1 });
    guard = guard === undefined ? valid : guard.and(valid);
    if (nothing !== undefined) guard = guard.and(place.ne(nothing));
  });

  const moved =
    number ??
    body.load(lookups.length, inputs[lookups.length].dtype, side === "source" ? { indirect: places, guard } : {});
  const converted = moved.cast(result.dtype);
  const value =
    factor === undefined ? converted : result.dtype === "bool" ? converted.and(factor) : converted.mul(factor);
  const written =
    side === "target"
      ? { indirect: places.map((place) => ({ value: place.value.id, stride: place.stride })), guard: guard?.id }
      : {};
  const combine = movement.combine === undefined ? {} : { combine: combineOf(movement.combine, result.dtype) };
  return {
    kind: "loop",
    name,
    axes,
    reduced: 0,
    inputs,
    outputs: [{ ...result, overwrites: side === "source" }],
    scalars,
    body: body.nodes,
    accumulators: [],
    step: [],
    epilogue: [],
    stores: [{ output: 0, value: value.id, at: "body", ...written, ...combine }],
  };
}

/** Sums of bools are "or", products "and". */
function combineOf(combine: Combine, dtype: DType): Combine {
  if (dtype !== "bool") return combine;
  return combine === "add" ? "max" : combine === "mul" ? "min" : combine;
}

// --- for entries -----------------------------------------------------------------------------------------------------

/** The attrs of entries along one dimension. */
export interface Along {
  readonly dim: number;
}

export const atLeast1d = (shape: Shape): Shape => (shape.length === 0 ? [1] : shape);

export const shapeOfInput = ({ inputs: [input] }: Saved): Shape => (input as Meta).shape;

/** Zeros for the gradient of the first input. */
export function zerosFor(g: Tensor, saved: Saved): Tensor {
  return g.newZeros(shapeOfInput(saved));
}

/** A 0-dim value as a vector of one element: indexed ops take it so. */
export function lifted(value: LocalValue): LocalValue {
  return value.shape.length > 0 ? value : viewOf(value, { shape: [1], strides: [1], offset: value.offset });
}

/** A 1-dim index along one axis of a space. */
export function alongAxis(index: LocalValue, rank: number, axis: number, looked: LocalValue): Lookup {
  const strides = Array.from({ length: rank }, () => 0);
  strides[axis] = lifted(index).strides[0];
  return { value: index, strides, size: looked.shape[axis], step: looked.strides[axis] };
}

export function assertIndexType(op: string, { dtype }: Meta, also?: DType): void {
  if (dtype === "int64" || dtype === also) return;
  throw new DTypeError(`${op}(): Expected dtype ${also === undefined ? "int64" : `${also} or int64`} for index`, {
    op,
    remedy: `The index is ${dtype}: convert it with .to("int64").`,
  });
}

export function assertSameType(op: string, self: Meta, source: Meta | number, name = "src"): void {
  if (typeof source === "number" || source.dtype === self.dtype) return;
  throw new DTypeError(
    `${op}(): self and ${name} expected to have the same dtype, but got (self) ${self.dtype} and (${name}) ` +
      `${source.dtype}`,
    { op },
  );
}

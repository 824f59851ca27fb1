/**
 * The sort kind: one dimension is put in order by the `sort` routine that every device brings, and an entry takes of
 * the sorted values and their places what it is about (all, the first few, one).
 */
import type { RoutineKernel } from "../../kernel/ir.ts";
import type { DType } from "../../tensor/dtype.ts";
import { contiguousStrides, numelOf } from "../../tensor/shape.ts";
import type { Shape } from "../../tensor/shape.ts";
import { allocate, LocalValue } from "../../tensor/value.ts";
import type { Meta } from "../../tensor/value.ts";
import { collapse } from "../iteration.ts";
import { KernelCache, launch } from "../launch.ts";
import { copyInto } from "../moves.ts";
import { from, pascal } from "../op.ts";
import type { GradientRule, Op } from "../op.ts";

export interface SortAttrs {
  /** Counted from the front; 0 for a 0-dim operand. */
  readonly dim: number;
  readonly descending: boolean;
  /** Which of the sorted elements are the result: `count` from `start` on. */
  readonly start: number;
  readonly count: number;
  /** Whether the dimension stays; it can only go where `count` is 1. */
  readonly keepdim: boolean;
}

export interface SortOp extends Op<SortAttrs> {
  readonly kind: "sort";
}

const kernels = new KernelCache<string>();

/** Always stable, so that equal elements have a known order. NaN counts as the greatest value. */
function sortKernel(dtype: DType, descending: boolean, axes: number): RoutineKernel {
  return {
    kind: "routine",
    name: "sort",
    axes,
    inputs: [{ dtype, inner: "any" }],
    outputs: [
      { dtype, inner: "any", overwrites: true },
      { dtype: "int64", inner: "any", overwrites: true },
    ],
    scalars: [],
    options: { descending, stable: true },
  };
}

/** Sorts `x` along `dim` into fresh values and places. */
function launchSort(
  x: LocalValue,
  dim: number,
  descending: boolean,
): readonly [values: LocalValue, places: LocalValue] {
  const values = allocate(x.device, x.shape, x.dtype);
  const places = allocate(x.device, x.shape, "int64");
  if (numelOf(x.shape) === 0) return [values, places];
  const operands = [x, values, places];
  const around = x.shape.map((_, axis) => axis).filter((axis) => axis !== dim);
  const outer = collapse(
    around.map((axis) => x.shape[axis]),
    operands.map(({ strides }) => around.map((axis) => strides[axis])),
  );
  const axes = outer.sizes.length + 1;
  launch(
    kernels.get(`${x.dtype} ${descending} ${axes}`, () => sortKernel(x.dtype, descending, axes)),
    operands.map((value, k) => ({ value, strides: [...outer.strides[k], value.strides[dim] ?? 1] })),
    [...outer.sizes, x.shape[dim] ?? 1],
  );
  return [values, places];
}

/** An entry that gives values and places (int64). The gradient goes to where the values came from. */
export function defineSort(name: string): SortOp {
  const rule: GradientRule<SortAttrs> = from("z", (g, { z, inputs: [x] }, { dim, keepdim }) => {
    if (x === undefined || x.shape.length === 0) return g;
    const [gradient, places] = keepdim ? [g, z] : [g.unsqueeze(dim), z.unsqueeze(dim)];
    return g.newZeros(x.shape).scatter(dim, places, gradient);
  });

  return {
    name,
    kind: "sort",
    gradName: pascal(name),
    isView: false,
    outputs: 2,
    gradientOf: (index) => (index === 0 ? rule : undefined),

    infer([x], { dim, count, keepdim }): Meta[] {
      const { shape, dtype } = x as Meta;
      const remaining = keepdim
        ? shape.map((size, axis) => (axis === dim ? count : size))
        : shape.filter((_, axis) => axis !== dim);
      return [
        { shape: remaining, dtype },
        { shape: remaining, dtype: "int64" },
      ];
    },

    run([input], attrs, metas, target): LocalValue[] {
      const x = input as LocalValue;
      const [values, places] = launchSort(x, attrs.dim, attrs.descending).map((sorted, i) =>
        taken(sorted, attrs, metas[i].shape),
      );
      if (target === undefined) return [values, places];
      copyInto(values, target);
      values.storage.dispose();
      return [target, places];
    },
  };
}

/** The part of what was sorted that is asked for, in memory of its own (the rest is given back), as `shape`. */
function taken(sorted: LocalValue, { dim, start, count }: SortAttrs, shape: Shape): LocalValue {
  const own = sorted.shape.length === 0 || count === sorted.shape[dim] ? sorted : copyOfPart(sorted, dim, start, count);
  return new LocalValue(own.storage, own.dtype, shape, contiguousStrides(shape), 0, true);
}

function copyOfPart(sorted: LocalValue, dim: number, start: number, count: number): LocalValue {
  const shape = sorted.shape.map((size, axis) => (axis === dim ? count : size));
  const part = new LocalValue(
    sorted.storage,
    sorted.dtype,
    shape,
    sorted.strides,
    sorted.offset + start * sorted.strides[dim],
  );
  const own = allocate(sorted.device, shape, sorted.dtype);
  copyInto(part, own);
  sorted.storage.dispose();
  return own;
}

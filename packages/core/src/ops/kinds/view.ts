/**
 * The view kind: ops that never move data. An entry says how each dimension of the result runs along dimensions of the
 * input; its shape, strides and offset, the adjoint (`selectBackward`), the out-of-place write (`selectScatter`) and
 * what sharding needs to know follow. `view` and `asStrided`, which are no such maps, give their geometry themselves.
 */
import { InternalError, ShapeError } from "../../errors.ts";
import { contiguousStrides, sameShape } from "../../tensor/shape.ts";
import type { Shape } from "../../tensor/shape.ts";
import { allocate, LocalValue } from "../../tensor/value.ts";
import type { Meta } from "../../tensor/value.ts";
import { apply } from "../dispatch.ts";
import { addInto, copyInto, fillWith, startFrom } from "../moves.ts";
import { gradientLookup, pascal } from "../op.ts";
import type { GradientTable, Op } from "../op.ts";

/** How far one step along an output dimension goes along an input dimension. */
export interface ViewStep {
  readonly dim: number;
  readonly step: number;
}

/**
 * One output dimension: its size, and the input dimensions that it runs along (none: every index sees the same
 * elements).
 */
export interface ViewDim {
  readonly size: number;
  readonly along: readonly ViewStep[];
}

/**
 * The whole view: index of input dimension `d` = `start[d]` + the sum of step * index over the output dimensions along
 * `d`.
 */
export interface ViewMap {
  readonly dims: readonly ViewDim[];
  readonly start?: readonly number[];
}

export interface Geometry {
  readonly shape: Shape;
  readonly strides: readonly number[];
  readonly offset: number;
}

export interface MappedView<A> {
  /** @throws ShapeError where the attrs do not fit the shape */
  readonly map: (shape: Shape, attrs: A) => ViewMap;
}

export interface FreeView<A> {
  /** The result's shape, from the input's. */
  readonly shape: (shape: Shape, attrs: A) => Shape;
  /** Where its elements lie. @throws ShapeError where they cannot be had without a copy */
  readonly geometry: (input: Geometry, attrs: A) => Geometry;
}

export type ViewEntry<A> = (MappedView<A> | FreeView<A>) & {
  readonly grad: GradientTable<A>;
  /** Autograd's name where it is not the op's own. */
  readonly gradName?: string;
  readonly overload?: Op<A>["overload"];
};

export interface ViewOp<A> extends Op<A> {
  readonly kind: "view";
  readonly entry: ViewEntry<A>;
  /** The view's place in memory, given its input's. */
  geometry(input: Geometry, attrs: A): Geometry;
}

export function defineView<A>(name: string, entry: ViewEntry<A>): ViewOp<A> {
  const geometry = "map" in entry ? mappedGeometry(entry.map) : entry.geometry;
  return {
    name,
    kind: "view",
    gradName: entry.gradName ?? pascal(name),
    overload: entry.overload,
    isView: true,
    outputs: 1,
    entry,
    geometry,
    gradientOf: gradientLookup(entry.grad),

    infer([input], attrs): Meta[] {
      const { shape, dtype } = meta(input, name);
      return [{ shape: "map" in entry ? geometry(dense(shape), attrs).shape : entry.shape(shape, attrs), dtype }];
    },

    run(inputs, attrs, _, target): LocalValue[] {
      const view = viewOf(inputs[0] as LocalValue, geometry(inputs[0] as LocalValue, attrs));
      if (target === undefined) return [view];
      copyInto(view, target);
      return [target];
    },
  };
}

/** Attrs of an adjoint: the shape that the view was taken of, and the view's own attrs. */
export interface AdjointAttrs<A> {
  readonly shape: Shape;
  readonly of: A;
}

/**
 * The adjoint of a view: zeros of the input's shape with the gradient in the view's place, added up where the view
 * names one element several times. Its own gradient is the view.
 */
export function defineAdjoint<A>(view: ViewOp<A>, overlapping = false): Op<AdjointAttrs<A>> {
  const name = `${view.name}Backward`;
  return {
    name,
    kind: "view",
    gradName: `${view.gradName}Backward`,
    isView: false,
    outputs: 1,
    gradientOf: gradientLookup<AdjointAttrs<A>>({ a: (g, _, { of }) => apply(view, [g], of) }),

    infer([gradient], { shape }): Meta[] {
      return [{ shape, dtype: meta(gradient, name).dtype }];
    },

    run([gradient], { of }, [output], target): LocalValue[] {
      const from = gradient as LocalValue;
      const out = target ?? allocate(from.device, output.shape, output.dtype);
      fillWith(out, 0);
      const part = viewOf(out, view.geometry(out, of));
      if (overlapping) addInto(from, part);
      else copyInto(from, part);
      return [out];
    },
  };
}

/**
 * A copy of the first operand in which the view's place holds the second one, or a number (`torch.select_scatter` and
 * its kin).
 */
export function defineScatter<A>(view: ViewOp<A>): Op<A> {
  const name = `${view.name}Scatter`;
  const op: Op<A> = {
    name,
    kind: "view",
    gradName: pascal(name),
    isView: false,
    outputs: 1,
    gradientOf: gradientLookup<A>({
      a: (g, _, attrs) => apply(op, [g, 0], attrs),
      b: (g, _, attrs) => apply(view, [g], attrs),
    }),

    infer([input, source], attrs): Meta[] {
      const { shape, dtype } = meta(input, name);
      const place = view.geometry(dense(shape), attrs).shape;
      if (typeof source !== "number" && !sameShape(place, source.shape)) {
        throw new ShapeError(
          `expected src to have a size equal to the slice of self. src size = [${source.shape.join(", ")}], slice ` +
            `size = [${place.join(", ")}]`,
          { op: name },
        );
      }
      return [{ shape, dtype }];
    },

    run([input, source], attrs, _, target): LocalValue[] {
      const out = startFrom(input as LocalValue, target);
      const part = viewOf(out, view.geometry(out, attrs));
      if (typeof source === "number") fillWith(part, source);
      else copyInto(source, part);
      return [out];
    },
  };
  return op;
}

/** Another look at a value's memory. @throws ShapeError for fractions and NaN, which would look beside it */
export function viewOf(value: LocalValue, { shape, strides, offset }: Geometry): LocalValue {
  if (!Number.isInteger(offset) || !shape.every(Number.isInteger) || !strides.every(Number.isInteger)) {
    throw new ShapeError(`a view's sizes and places must be whole numbers, got a view of shape [${shape.join(", ")}]`);
  }
  return new LocalValue(value.storage, value.dtype, shape, strides, offset);
}

function mappedGeometry<A>(map: (shape: Shape, attrs: A) => ViewMap): (input: Geometry, attrs: A) => Geometry {
  // Inference and the run that follows it ask for the same map.
  let known: { readonly shape: Shape; readonly attrs: A; readonly map: ViewMap } | undefined;
  return ({ shape, strides, offset }, attrs) => {
    if (known === undefined || known.shape !== shape || known.attrs !== attrs)
      known = { shape, attrs, map: map(shape, attrs) };
    const { dims, start } = known.map;
    let at = offset;
    start?.forEach((index, dim) => {
      // Times a stride a fraction may come out whole, and beside the tensor.
      if (!Number.isInteger(index)) throw new ShapeError(`an index must be a whole number, got ${index}`);
      at += index * strides[dim];
    });
    return {
      shape: dims.map(({ size }) => size),
      strides: dims.map(({ along }) => {
        let stride = 0;
        for (const { dim, step } of along) stride += strides[dim] * step;
        return stride;
      }),
      offset: at,
    };
  };
}

function dense(shape: Shape): Geometry {
  return { shape, strides: contiguousStrides(shape), offset: 0 };
}

function meta(input: Meta | number, op: string): Meta {
  if (typeof input === "number") throw new InternalError(`${op} got a number for a tensor`, { op });
  return input;
}

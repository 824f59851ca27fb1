/** Where window ops read: as kernel expressions of an output place and a tap, along one spatial dimension. */
import type { Expr } from "../../kernel/build.ts";
import type { DType } from "../../tensor/dtype.ts";

/** Loop indices (int32) along one dimension, and their sizes. */
export interface Spot {
  readonly place: Expr;
  readonly tap: Expr;
  readonly places: Expr;
  readonly taps: Expr;
}

export interface Sample {
  /** The element of x (int32). */
  readonly at: Expr;
  /** Whether it counts; always, if undefined. */
  readonly inside?: Expr;
  /** By how much it counts; then sums are not divided. */
  readonly weight?: Expr;
}

export interface Sampler {
  /** The dtypes of its numbers for one dimension, of which the first is the size of x. */
  readonly params: readonly (DType | "result")[];
  readonly locate: (spot: Spot, params: readonly Expr[], dtype: DType) => Sample;
  /** How many elements the window at a place counts (int32). */
  readonly count?: (spot: Omit<Spot, "tap">, params: readonly Expr[]) => Expr;
}

const windowParams: readonly DType[] = ["int32", "int32", "int32", "int32"];

/** Windows of one size, `stride` apart: numbers are x's size, stride, dilation, padding. */
const slide = ({ place, tap }: Spot, [size, stride, dilation, padding]: readonly Expr[]): Sample => {
  const at = place.mul(stride).add(tap.mul(dilation)).sub(padding);
  return { at, inside: at.ge(0).and(at.lt(size)) };
};

/**
 * Windows that divide x as evenly as whole elements allow: from `floor(place * size / places)` to `ceil((place + 1) *
 * size / places)`.
 */
const divide = ({ place, places }: Omit<Spot, "tap">, size: Expr): { start: Expr; end: Expr } => ({
  start: place.mul(size).div(places),
  end: place.add(1).mul(size).add(places).sub(1).div(places),
});

/** Numbers are x's size and the scale from places to elements of x. */
const nearest = (shift: number): Sampler => ({
  params: ["int32", "float32"],
  locate: ({ place }, [size, scale]) => {
    const center = shift === 0 ? place.cast("float32") : place.cast("float32").add(shift);
    return { at: center.mul(scale).floor().cast("int32").min(size.sub(1)), weight: undefined };
  },
});

/** Two neighbours, weighted by nearness. Numbers are x's size and the scale from places to elements of x. */
const linear = (aligned: boolean): Sampler => ({
  params: ["int32", "result"],
  locate: ({ place, tap }, [size, scale], dtype) => {
    const position = aligned ? place.cast(dtype).mul(scale) : place.cast(dtype).add(0.5).mul(scale).sub(0.5).max(0);
    const first = position.floor().cast("int32").min(size.sub(1));
    const ahead = position.sub(first.cast(dtype));
    return { at: first.add(tap).min(size.sub(1)), weight: tap.eq(0).where(ahead.neg().add(1), ahead) };
  },
});

export const samplers = {
  /** Sums are divided by one number for all. */
  window: { params: windowParams, locate: slide },
  /** Sums are divided by the window's size, with the padding but without what lies behind it. */
  windowPadded: {
    params: windowParams,
    locate: slide,
    count: ({ place, taps }, [size, stride, , padding]) => {
      const start = place.mul(stride).sub(padding);
      return start.add(taps).min(size.add(padding)).sub(start);
    },
  },
  /** Sums are divided by the number of elements inside x. */
  windowInside: {
    params: windowParams,
    locate: slide,
    count: ({ place, taps }, [size, stride, , padding]) => {
      const start = place.mul(stride).sub(padding);
      return start.add(taps).min(size).sub(start.max(0));
    },
  },
  adaptive: {
    params: ["int32"],
    locate: (spot, [size]) => {
      const { start, end } = divide(spot, size);
      const at = start.add(spot.tap);
      return { at, inside: at.lt(end) };
    },
    count: (spot, [size]) => {
      const { start, end } = divide(spot, size);
      return end.sub(start);
    },
  },
  nearest: nearest(0),
  nearestExact: nearest(0.5),
  linear: linear(false),
  linearAligned: linear(true),
} as const satisfies Readonly<Record<string, Sampler>>;

export type SamplerName = keyof typeof samplers;

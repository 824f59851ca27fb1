/**
 * One reduction launch: any number of operands of one shape, some of whose dimensions go. It is what the reduce kind is
 * made of, and what fused forwards (variance, softmax, layer norm) issue by themselves.
 */
import { Graph } from "../../kernel/build.ts";
import type { Expr } from "../../kernel/build.ts";
import { innerStride } from "../../kernel/ir.ts";
import type { Accumulator, InnerStride, LoopKernel } from "../../kernel/ir.ts";
import type { DType } from "../../tensor/dtype.ts";
import { broadcastStrides, numelOf } from "../../tensor/shape.ts";
import type { Shape } from "../../tensor/shape.ts";
import type { LocalValue } from "../../tensor/value.ts";
import { collapse } from "../iteration.ts";
import { KernelCache, launch } from "../launch.ts";

/** What the scalar expressions of a reduction may ask about the launch. */
export interface Place {
  /** The row-major number, among the elements that are reduced to one, of the current one (int32). Needs `ordered`. */
  readonly index: () => Expr;
  /** How many elements are reduced to one (int32). */
  readonly count: () => Expr;
  /** Run-time number `i` of the launch, in the dtype computed in. */
  readonly param: (i: number) => Expr;
}

export interface Reduction {
  readonly name: string;
  /** The accumulators, for the dtype computed in. */
  readonly accumulators: (compute: DType) => readonly Accumulator[];
  /** The accumulators after one more element of each operand. */
  readonly step: (state: readonly Expr[], values: readonly Expr[], place: Place) => readonly Expr[];
  /** How two partial results join; not needed where each step is one add, mul, max, min, and, or. */
  readonly combine?: (left: readonly Expr[], right: readonly Expr[]) => readonly Expr[];
  /** The results; default: the accumulators. */
  readonly finish?: (state: readonly Expr[], place: Place) => readonly Expr[];
  /** `index()` is used: reduced dimensions keep their row-major order. */
  readonly ordered?: boolean;
  /** How many run-time numbers there are. */
  readonly params?: number;
}

const caches = new WeakMap<Reduction, KernelCache<string>>();

/**
 * Issues a reduction of `inputs`, each repeated to `shape`, over `dims` (ascending). Each of `outputs` has the shape
 * that remains, with or without the reduced dimensions as 1.
 */
export function launchReduction(
  reduction: Reduction,
  compute: DType,
  inputs: readonly LocalValue[],
  shape: Shape,
  dims: readonly number[],
  outputs: readonly LocalValue[],
  params: readonly number[] = [],
): void {
  if (numelOf(outputs[0].shape) === 0) return;
  const kept = shape.map((_, dim) => dim).filter((dim) => !dims.includes(dim));
  const inputStrides = inputs.map((input) => broadcastStrides(input.shape, input.strides, shape));
  const outputStrides = outputs.map((output) => stridesOfKept(output, dims, kept));

  const outerOrder = byStride(kept, inputStrides);
  const place = new Map(kept.map((dim, i) => [dim, i]));
  const outer = collapse(
    outerOrder.map((dim) => shape[dim]),
    [
      ...inputStrides.map((strides) => outerOrder.map((dim) => strides[dim])),
      ...outputStrides.map((strides) => outerOrder.map((dim) => strides[place.get(dim) ?? 0])),
    ],
  );
  const reducedOrder = reduction.ordered === true ? dims : byStride(dims, inputStrides);
  const reduced = collapse(
    reducedOrder.map((dim) => shape[dim]),
    inputStrides.map((strides) => reducedOrder.map((dim) => strides[dim])),
  );

  const inner = inputs.map((_, k) => innerStride(reduced.strides[k][reduced.sizes.length - 1]));
  const key = [
    compute,
    outer.sizes.length,
    reduced.sizes.length,
    ...inputs.map(({ dtype }) => dtype),
    ...inner,
    ...outputs.map(({ dtype }) => dtype),
  ];
  let cache = caches.get(reduction);
  if (cache === undefined) caches.set(reduction, (cache = new KernelCache()));
  const kernel = cache.get(key.join(" "), () =>
    build(
      reduction,
      compute,
      inputs.map(({ dtype }, k) => ({ dtype, inner: inner[k] })),
      outputs.map(({ dtype }) => dtype),
      outer.sizes.length,
      reduced.sizes.length,
    ),
  );
  const still = reduced.sizes.map(() => 0);
  launch(
    kernel,
    [
      ...inputs.map((value, k) => ({ value, strides: [...outer.strides[k], ...reduced.strides[k]] })),
      ...outputs.map((value, k) => ({ value, strides: [...outer.strides[inputs.length + k], ...still] })),
    ],
    [...outer.sizes, ...reduced.sizes],
    params,
  );
}

/** Strides of an output along the dimensions that stay, whether or not it kept the others as 1. */
export function stridesOfKept(
  { shape, strides }: LocalValue,
  dims: readonly number[],
  kept: readonly number[],
): readonly number[] {
  return shape.length === kept.length && dims.length > 0 ? strides : kept.map((dim) => strides[dim]);
}

/**
 * Dimensions with the greatest steps in memory first, so that the innermost loop is the densest. Repeated ones go
 * first.
 */
export function byStride(dims: readonly number[], strides: readonly (readonly number[])[]): readonly number[] {
  if (dims.length < 2) return dims;
  const step = (dim: number): number => Math.abs(strides[0][dim]) || Infinity;
  // The sort is stable: equal steps (dimensions of size 1) keep their order. Infinity minus itself is NaN, hence the
  // comparison.
  return [...dims].sort((a, b) => (step(a) === step(b) ? 0 : step(b) - step(a)));
}

function build(
  { name, accumulators, step, combine, finish, params = 0 }: Reduction,
  compute: DType,
  inputs: readonly { readonly dtype: DType; readonly inner: InnerStride }[],
  outputs: readonly DType[],
  outer: number,
  reduced: number,
): LoopKernel {
  const states = accumulators(compute);
  const stateOf = (graph: Graph): Expr[] => states.map(({ type }, i) => graph.accumulator(i, type));

  const body = new Graph();
  const values = inputs.map(({ dtype }, i) => body.load(i, dtype).cast(compute));
  const next = step(stateOf(body), values, placeIn(body, compute, outer, reduced));

  const epilogue = new Graph();
  const state = stateOf(epilogue);
  const results = (finish?.(state, placeIn(epilogue, compute, outer, reduced)) ?? state).map((result, i) =>
    result.cast(outputs[i]),
  );

  return {
    kind: "loop",
    name,
    axes: outer + reduced,
    reduced,
    inputs,
    outputs: outputs.map((dtype) => ({ dtype, inner: 0, overwrites: true })),
    scalars: new Array<DType>(params).fill(compute),
    body: body.nodes,
    accumulators: states,
    step: next.map(({ id }) => id),
    ...(combine === undefined ? {} : { combine: join(states, combine) }),
    epilogue: epilogue.nodes,
    stores: outputs.map((_, output) => ({ output, value: results[output].id, at: "epilogue" as const })),
  };
}

function join(
  states: readonly Accumulator[],
  combine: NonNullable<Reduction["combine"]>,
): NonNullable<LoopKernel["combine"]> {
  const graph = new Graph();
  const left = states.map(({ type }, i) => graph.accumulator(i, type));
  const right = states.map(({ type }, i) => graph.other(i, type));
  const out = combine(left, right).map(({ id }) => id);
  return { body: graph.nodes, out };
}

function placeIn(graph: Graph, compute: DType, outer: number, reduced: number): Place {
  return {
    index() {
      let index = graph.axis(outer);
      for (let axis = 1; axis < reduced; axis++)
        index = index.mul(graph.size(outer + axis)).add(graph.axis(outer + axis));
      return index;
    },
    count() {
      let count = graph.size(outer);
      for (let axis = 1; axis < reduced; axis++) count = count.mul(graph.size(outer + axis));
      return count;
    },
    param: (i) => graph.scalar(i, compute),
  };
}

/**
 * Ops over windows of the spatial dimensions of `[n, c, ...input]`: weighted sums (average pooling, interpolation) and
 * their adjoints; maxima are in window-max.ts. Where an output element reads is a *sampler*: a function of its place and
 * of the tap along each dimension.
 */
import { InternalError } from "../../errors.ts";
import { Graph } from "../../kernel/build.ts";
import type { Expr } from "../../kernel/build.ts";
import type { DType } from "../../tensor/dtype.ts";
import type { LoopKernel } from "../../kernel/ir.ts";
import { numelOf } from "../../tensor/shape.ts";
import type { Shape } from "../../tensor/shape.ts";
import { allocate } from "../../tensor/value.ts";
import type { LocalValue, Meta } from "../../tensor/value.ts";
import { apply } from "../dispatch.ts";
import { KernelCache, launch } from "../launch.ts";
import { fillWith } from "../moves.ts";
import { gradientLookup } from "../op.ts";
import type { GradientTable, Op } from "../op.ts";
import { samplers } from "./samplers.ts";
import type { Sampler, SamplerName } from "./samplers.ts";

/** The geometry of a window op, for each spatial dimension: plain data. */
export interface WindowAttrs {
  readonly sampler: SamplerName;
  readonly input: Shape;
  readonly output: Shape;
  /** How many elements of x an output element reads at most. */
  readonly taps: Shape;
  /** The sampler's numbers, dimension by dimension. */
  readonly params: readonly (readonly number[])[];
  /** What sums are divided by, where the sampler does not say. */
  readonly divisor?: number;
}

export interface WindowOp extends Op<WindowAttrs> {
  readonly kind: "index";
  /** Leading dimensions that pass through one by one. */
  readonly leading: 2;
}

interface Samples {
  /** For each spatial dimension, where x is read. */
  readonly at: readonly Expr[];
  readonly inside: Expr | undefined;
  /** What the element read counts. */
  readonly weight: Expr | undefined;
}

/** Axes: n, c, ...output, ...taps. Scalars: the sampler's, dimension by dimension; x's spatial strides; the divisor. */
export class Layout {
  readonly rank: number;
  readonly dtype: DType;
  readonly sampler: Sampler;
  readonly scalars: DType[];
  readonly #perDimension: number;

  constructor(rank: number, dtype: DType, sampler: Sampler) {
    this.rank = rank;
    this.dtype = dtype;
    this.sampler = sampler;
    const params = sampler.params.map((type) => (type === "result" ? dtype : type));
    this.#perDimension = params.length;
    this.scalars = [
      ...Array.from({ length: rank }, () => params).flat(),
      ...Array.from({ length: rank }, (): DType => "int32"),
      dtype,
    ];
  }

  params(graph: Graph, d: number): Expr[] {
    return Array.from({ length: this.#perDimension }, (_, i) =>
      graph.scalar(d * this.#perDimension + i, this.scalars[d * this.#perDimension + i]),
    );
  }

  stride(d: number): number {
    return this.rank * this.#perDimension + d;
  }

  samples(graph: Graph): Samples {
    const at: Expr[] = [];
    let inside: Expr | undefined;
    let weight: Expr | undefined;
    for (let d = 0; d < this.rank; d++) {
      const place = graph.axis(2 + d);
      const tap = graph.axis(2 + this.rank + d);
      const sample = this.sampler.locate(
        { place, tap, places: graph.size(2 + d), taps: graph.size(2 + this.rank + d) },
        this.params(graph, d),
        this.dtype,
      );
      at.push(sample.at);
      if (sample.inside !== undefined) inside = inside === undefined ? sample.inside : inside.and(sample.inside);
      if (sample.weight !== undefined) weight = weight === undefined ? sample.weight : weight.mul(sample.weight);
    }
    return { at, inside, weight };
  }

  indirect(at: readonly Expr[]): { value: Expr; stride: number }[] {
    return at.map((value, d) => ({ value, stride: this.stride(d) }));
  }

  /** What the sum at a place is divided by. */
  divisor(graph: Graph): Expr {
    const { count } = this.sampler;
    if (count === undefined) return graph.scalar(this.scalars.length - 1, this.dtype);
    let product: Expr | undefined;
    for (let d = 0; d < this.rank; d++) {
      const place = graph.axis(2 + d);
      const own = count(
        { place, places: graph.size(2 + d), taps: graph.size(2 + this.rank + d) },
        this.params(graph, d),
      );
      product = product === undefined ? own : product.mul(own);
    }
    return (product ?? graph.constant("int32", 1)).cast(this.dtype);
  }
}

const kernels = new KernelCache<string>();

export function launchWindows(
  name: string,
  attrs: WindowAttrs,
  x: LocalValue,
  operands: readonly LocalValue[],
  build: (layout: Layout) => Omit<LoopKernel, "kind" | "name" | "axes" | "scalars">,
): void {
  const rank = attrs.input.length;
  const [n, c] = x.shape;
  const none = attrs.taps.map(() => 0);
  const kernel = kernels.get(`${name} ${attrs.sampler} ${operands.map(({ dtype }) => dtype).join(" ")} ${rank}`, () => {
    const layout = new Layout(rank, x.dtype, samplers[attrs.sampler]);
    return { kind: "loop", name, axes: 2 + 2 * rank, scalars: layout.scalars, ...build(layout) };
  });
  launch(
    kernel,
    operands.map((value) => ({
      value,
      strides: [value.strides[0], value.strides[1], ...(value === x ? none : value.strides.slice(2)), ...none],
    })),
    [n, c, ...attrs.output, ...attrs.taps],
    [...attrs.params.flat(), ...x.strides.slice(2), attrs.divisor ?? 1],
  );
}

export function any(dtype: DType): { dtype: DType; inner: "any" } {
  return { dtype, inner: "any" };
}

// --- weighted sums -----------------------------------------------------------------------------------------------

function sumKernel(layout: Layout): Omit<LoopKernel, "kind" | "name" | "axes" | "scalars"> {
  const { dtype } = layout;
  const body = new Graph();
  const epilogue = new Graph();
  const { at, inside, weight } = layout.samples(body);
  const value = body.load(0, dtype, { indirect: layout.indirect(at), guard: inside });
  const sum = body.accumulator(0, dtype).add(weight === undefined ? value : value.mul(weight));
  const total = epilogue.accumulator(0, dtype);
  return {
    reduced: layout.rank,
    inputs: [any(dtype)],
    outputs: [{ ...any(dtype), overwrites: true }],
    body: body.nodes,
    accumulators: [{ type: dtype, init: "0" }],
    step: [sum.id],
    stores: [
      { output: 0, value: (weight === undefined ? total.div(layout.divisor(epilogue)) : total).id, at: "epilogue" },
    ],
    epilogue: epilogue.nodes,
  };
}

function spreadKernel(layout: Layout): Omit<LoopKernel, "kind" | "name" | "axes" | "scalars"> {
  const { dtype } = layout;
  const body = new Graph();
  const { at, inside, weight } = layout.samples(body);
  const g = body.load(0, dtype);
  const share = weight === undefined ? g.div(layout.divisor(body)) : g.mul(weight);
  const indirect = layout.indirect(at).map(({ value, stride }) => ({ value: value.id, stride }));
  return {
    reduced: 0,
    inputs: [any(dtype)],
    outputs: [{ ...any(dtype), overwrites: false }],
    body: body.nodes,
    accumulators: [],
    step: [],
    epilogue: [],
    stores: [
      {
        output: 0,
        value: share.id,
        at: "body",
        indirect,
        ...(inside === undefined ? {} : { guard: inside.id }),
        combine: "add",
      },
    ],
  };
}

/**
 * A weighted sum over windows, linear in x; its gradient spreads each output's over what it read, and the other way
 * round.
 */
export function defineWindowSum(name: string, gradName: string): WindowOp {
  const sum: WindowOp = {
    ...windowOp(name, gradName, { a: (g, _saved, attrs) => apply(spread, [g], attrs) }),
    outputs: 1,
    infer: ([x], { output }) => [resized(x, output, name)],

    run([input], attrs, [meta], target): LocalValue[] {
      const x = input as LocalValue;
      const out = target ?? allocate(x.device, meta.shape, meta.dtype);
      if (numelOf(out.shape) > 0) launchWindows(name, attrs, x, [x, out], sumKernel);
      return [out];
    },
  };
  const spreadName = `${name}Input`;
  const spread: WindowOp = {
    ...windowOp(spreadName, `${gradName}Backward`, { a: (g, _saved, attrs) => apply(sum, [g], attrs) }),
    outputs: 1,
    infer: ([g], { input }) => [resized(g, input, spreadName)],

    run([gradient], attrs, [meta], target): LocalValue[] {
      const g = gradient as LocalValue;
      const out = target ?? allocate(g.device, meta.shape, meta.dtype);
      fillWith(out, 0);
      if (numelOf(g.shape) > 0 && numelOf(out.shape) > 0) launchWindows(spreadName, attrs, out, [g, out], spreadKernel);
      return [out];
    },
  };
  return sum;
}

// --- what they have in common ------------------------------------------------------------------------------------

export function windowOp(
  name: string,
  gradName: string,
  grad: GradientTable<WindowAttrs>,
): Pick<WindowOp, "name" | "kind" | "leading" | "gradName" | "isView" | "gradientOf"> {
  return { name, kind: "index", leading: 2, gradName, isView: false, gradientOf: gradientLookup(grad) };
}

export function resized(x: Meta | number, spatial: Shape, op: string): Meta {
  if (typeof x === "number") throw new InternalError(`${op} got a number for a tensor`, { op });
  return { shape: [x.shape[0], x.shape[1], ...spatial], dtype: x.dtype };
}

/** Maxima over windows, with the place of each, and the adjoint: each gradient goes to where its maximum was. */
import { DTypeError } from "../../errors.ts";
import { Graph } from "../../kernel/build.ts";
import type { Expr } from "../../kernel/build.ts";
import type { LoopKernel } from "../../kernel/ir.ts";
import { isFloat } from "../../tensor/dtype.ts";
import type { DType } from "../../tensor/dtype.ts";
import { numelOf } from "../../tensor/shape.ts";
import { allocate } from "../../tensor/value.ts";
import type { LocalValue, Meta } from "../../tensor/value.ts";
import { apply } from "../dispatch.ts";
import { KernelCache, launch } from "../launch.ts";
import { fillWith } from "../moves.ts";
import { any, launchWindows, resized, windowOp } from "./window.ts";
import type { Layout, WindowOp } from "./window.ts";

function maxKernel(layout: Layout): Omit<LoopKernel, "kind" | "name" | "axes" | "scalars"> {
  const { dtype, rank } = layout;
  const body = new Graph();
  const { at, inside } = layout.samples(body);
  const value = body.load(0, dtype, { indirect: layout.indirect(at), guard: inside });
  // The element's number in its plane; a sampler's first number is x's size.
  const position = at.slice(1).reduce((sum, own, d) => sum.mul(layout.params(body, d + 1)[0]).add(own), at[0]);
  const better = beats(value, body.accumulator(0, dtype), body.accumulator(1, "int32"));
  const wins = inside === undefined ? better : better.and(inside);
  const combine = new Graph();
  const [right, rightPosition] = [combine.other(0, dtype), combine.other(1, "int32")];
  const [left, leftPosition] = [combine.accumulator(0, dtype), combine.accumulator(1, "int32")];
  const rightWins = beats(right, left, leftPosition).and(rightPosition.ge(0));
  const epilogue = new Graph();
  return {
    reduced: rank,
    inputs: [any(dtype)],
    outputs: [
      { ...any(dtype), overwrites: true },
      { ...any("int64"), overwrites: true },
    ],
    accumulators: [
      { type: dtype, init: "-Infinity" },
      { type: "int32", init: "-1" },
    ],
    step: [wins.where(value, body.accumulator(0, dtype)).id, wins.where(position, body.accumulator(1, "int32")).id],
    body: body.nodes,
    combine: {
      out: [rightWins.where(right, left).id, rightWins.where(rightPosition, leftPosition).id],
      body: combine.nodes,
    },
    stores: [
      { output: 0, value: epilogue.accumulator(0, dtype).id, at: "epilogue" },
      { output: 1, value: epilogue.accumulator(1, "int32").cast("int64").id, at: "epilogue" },
    ],
    epilogue: epilogue.nodes,
  };
}

/** The first of equal values stays; NaN beats all; anything beats nothing (position -1). */
function beats(value: Expr, best: Expr, position: Expr): Expr {
  return value.gt(best).or(value.ne(value)).or(position.lt(0));
}

/** Maxima over windows, and the number of each maximum's element in its plane (int64). */
export function defineWindowMax(name: string, gradName: string): WindowOp {
  const spread = definePlacement(`${name}Input`, `${gradName}Backward`);
  return {
    ...windowOp(name, gradName, {
      a: { saves: "z", rule: (g, { z }, attrs) => apply(spread, [g, z], attrs) },
    }),
    outputs: 2,

    infer([x], { output }): Meta[] {
      const values = resized(x, output, name);
      if (!isFloat(values.dtype))
        throw new DTypeError(`"${name}" not implemented for ${values.dtype}`, {
          op: name,
          remedy: "Convert with .to(dtype) first.",
        });
      return [values, { shape: values.shape, dtype: "int64" }];
    },

    run([input], attrs, [meta], target): LocalValue[] {
      const x = input as LocalValue;
      const values = target ?? allocate(x.device, meta.shape, meta.dtype);
      const indices = allocate(x.device, meta.shape, "int64");
      if (numelOf(values.shape) > 0) launchWindows(name, attrs, x, [x, values, indices], maxKernel);
      return [values, indices];
    },
  };
}

/** The adjoint of picking an element a window: adds each at the place in its plane that the second operand says. */
function definePlacement(name: string, gradName: string): WindowOp {
  return {
    ...windowOp(name, gradName, {
      a: { saves: "b", rule: (g, { b }) => g.flatten(2).gather(2, b.flatten(2)).view(b.shape) },
    }),
    outputs: 1,
    infer: ([g], { input }) => [resized(g, input, name)],

    run([gradient, indices], _attrs, [meta], target): LocalValue[] {
      const [g, places] = [gradient as LocalValue, indices as LocalValue];
      const out = target ?? allocate(g.device, meta.shape, meta.dtype);
      fillWith(out, 0);
      if (numelOf(g.shape) > 0 && numelOf(out.shape) > 0) launchPlacement(name, g, places, out);
      return [out];
    },
  };
}

const placements = new KernelCache<string>();

/**
 * Axes: n, c, ...output. Scalars: the strides of the result's spatial dimensions, then their sizes but the first; a plane
 * in one piece is one dimension, in which places are what they are.
 */
function launchPlacement(name: string, g: LocalValue, places: LocalValue, out: LocalValue): void {
  const spatial = out.shape.slice(2);
  const strides = out.strides.slice(2);
  const inOnePiece = strides.every((stride, d) => stride === numelOf(spatial.slice(d + 1)));
  const [planeStrides, planeSizes] = inOnePiece ? [[1], []] : [strides, spatial.slice(1)];
  const dimensions = planeStrides.length;
  const kernel = placements.get(`${name} ${g.dtype} ${dimensions}`, () =>
    placementKernel(name, g.dtype, spatial.length, dimensions));
  launch(
    kernel,
    [
      { value: g, strides: g.strides },
      { value: places, strides: places.strides },
      { value: out, strides: [out.strides[0], out.strides[1], ...spatial.map(() => 0)] },
    ],
    g.shape,
    [...planeStrides, ...planeSizes],
  );
}

function placementKernel(name: string, dtype: DType, rank: number, dimensions: number): LoopKernel {
  const body = new Graph();
  const g = body.load(0, dtype);
  let rest = body.load(1, "int64").cast("int32");
  const indirect: { value: number; stride: number }[] = [];
  // A place in a plane is (i0 * size1 + i1) * size2 + i2.
  for (let d = dimensions - 1; d > 0; d--) {
    const size = body.scalar(dimensions + d - 1, "int32");
    const outer = rest.div(size);
    indirect.push({ value: rest.sub(outer.mul(size)).id, stride: d });
    rest = outer;
  }
  indirect.push({ value: rest.id, stride: 0 });
  return {
    kind: "loop",
    name,
    axes: 2 + rank,
    reduced: 0,
    inputs: [any(dtype), any("int64")],
    outputs: [{ ...any(dtype), overwrites: false }],
    scalars: Array.from({ length: 2 * dimensions - 1 }, (): DType => "int32"),
    body: body.nodes,
    accumulators: [],
    step: [],
    stores: [{ output: 0, value: g.id, at: "body", indirect, combine: "add" }],
    epilogue: [],
  };
}

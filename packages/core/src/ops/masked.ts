/**
 * Ops that a mask steers. Those whose shape depends on the mask's contents read how many elements it takes: they wait.
 */
import { DTypeError, ValueError } from "../errors.ts";
import { Graph } from "../kernel/build.ts";
import type { InnerStride, LoopKernel } from "../kernel/ir.ts";
import type { DType } from "../tensor/dtype.ts";
import { broadcastShapes, numelOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { allocate } from "../tensor/value.ts";
import type { LocalValue, Meta } from "../tensor/value.ts";
import { parameters } from "../arguments.ts";
import { apply } from "./dispatch.ts";
import { where as choose } from "./selection.ts";
import { tensorOperand } from "./elementwise.ts";
import type { Operand } from "./elementwise.ts";
import { indexOp } from "./places.ts";
import { KernelCache, launch } from "./launch.ts";
import { lastStride } from "./moves.ts";
import type { Op } from "./op.ts";
import type { Optional } from "./signatures.ts";

function assertMask(op: string, mask: Tensor): void {
  tensorOperand(op, mask, "mask");
  if (mask.dtype !== "bool") throw new DTypeError(`${op}: expected BoolTensor for mask, but got ${mask.dtype}`, { op });
}

/** `x` with successive elements of `source` where `mask` holds (`torch.masked_scatter`). */
export function maskedScatter(x: Tensor, mask: Tensor, source: Tensor): Tensor {
  assertMask("maskedScatter", mask);
  if (x.dtype !== source.dtype) {
    throw new DTypeError(
      `masked_scatter: expected self and source to have same dtypes but got ${x.dtype} and ${source.dtype}`,
      { op: "maskedScatter" },
    );
  }
  const shape = broadcastShapes([x.shape, mask.shape], "maskedScatter");
  const taken = mask.expand(shape);
  if (numelOf(shape) === 0 || source.numel() === 0) return x.expand(shape).clone();
  // The n-th true place takes element n; elsewhere any element will do, as it is not used.
  const numbers = taken.reshape(-1).to("int64").cumsum(0).sub(1).clampMin(0).reshape(shape);
  return where(taken, source.take(numbers), x);
}

interface PositionsAttrs {
  /** How many elements are not zero. */
  readonly count: number;
}

const kernels = new KernelCache<string>();

/** Indices of the elements that are not zero, [count, rank]; `b` counts them up to and including each element. */
const positionsOp: Op<PositionsAttrs> = {
  name: "nonzero",
  kind: "index",
  gradName: "Nonzero",
  isView: false,
  outputs: 1,
  gradientOf: () => undefined,
  infer: ([a], { count }) => [{ shape: [count, (a as Meta).shape.length], dtype: "int64" }],

  run([a, b], _, [meta], target): LocalValue[] {
    const [mask, counts] = [a as LocalValue, b as LocalValue];
    const out = target ?? allocate(mask.device, meta.shape, meta.dtype);
    const rank = mask.shape.length;
    if (numelOf(out.shape) === 0) return [out];
    // The last axis runs over the columns; dimensions stay apart, since their indices are what is stored.
    const still = mask.shape.map(() => 0);
    const strides = [
      [...mask.strides, 0],
      [...counts.strides, 0],
      [...still, out.strides[1]],
    ];
    const inner = lastStride(strides[2]);
    launch(
      kernels.get(`${mask.dtype} ${counts.dtype} ${rank} ${inner}`, () =>
        positionsKernel(mask.dtype, counts.dtype, rank, inner),
      ),
      [mask, counts, out].map((value, k) => ({ value, strides: strides[k] })),
      [...mask.shape, rank],
      [out.strides[0]],
    );
    return [out];
  },
};

function positionsKernel(mask: DType, counts: DType, rank: number, inner: InnerStride): LoopKernel {
  const body = new Graph();
  const taken = body.load(0, mask).ne(0);
  const row = body.load(1, counts).sub(1).cast("int32");
  const column = body.axis(rank);
  let index = body.axis(0);
  for (let dim = 1; dim < rank; dim++) index = column.eq(dim).where(body.axis(dim), index);
  const value = index.cast("int64");
  return {
    kind: "loop",
    name: "nonzero",
    axes: rank + 1,
    reduced: 0,
    inputs: [
      { dtype: mask, inner: 0 },
      { dtype: counts, inner: 0 },
    ],
    outputs: [{ dtype: "int64", inner, overwrites: true }],
    scalars: ["int32"],
    body: body.nodes,
    accumulators: [],
    step: [],
    epilogue: [],
    stores: [{ output: 0, value: value.id, at: "body", indirect: [{ value: row.id, stride: 0 }], guard: taken.id }],
  };
}

/**
 * Indices of the elements that are not zero, one row each, in row-major order: int64 [count, rank] (`torch.nonzero`).
 * With `asTuple` one vector for each dimension. Waits for `x`.
 */
export function nonzero(x: Tensor, options: { readonly asTuple: true }): Tensor[];
export function nonzero(x: Tensor, ...args: Optional<[asTuple: false]>): Tensor;
export function nonzero(x: Tensor, ...args: readonly unknown[]): Tensor | Tensor[] {
  const { asTuple = false } = parameters<{ asTuple?: boolean }>("nonzero", ["asTuple"], args);
  return asTuple ? placesOf(x) : argwhere(x);
}

/** As `nonzero`: one row for each element that is not zero (`torch.argwhere`). Waits for `x`. */
export function argwhere(x: Tensor): Tensor {
  const rows = x.dim() === 0 ? 1 : x.numel();
  const counts = x.ne(0).to("int64").reshape(-1).cumsum(0);
  const count = rows === 0 ? 0 : counts.select(0, rows - 1).itemSync();
  if (x.dim() === 0) return counts.newZeros([count, 0]);
  return apply(positionsOp, [x.detach(), counts.reshape(x.shape)], { count });
}

/**
 * For each dimension the indices of the elements that are not zero: what a mask stands for as an index. Waits for `x`.
 */
export function placesOf(x: Tensor): Tensor[] {
  return argwhere(x.dim() === 0 ? x.unsqueeze(0) : x).unbind(1);
}

/** The elements where `mask` (bool, broadcast) holds, as a vector (`torch.masked_select`). Waits for the mask. */
export function maskedSelect(x: Tensor, mask: Tensor): Tensor {
  assertMask("maskedSelect", mask);
  const shape = broadcastShapes([x.shape, mask.shape], "maskedSelect");
  const places = argwhere(mask.expand(shape).reshape(-1)).t();
  return apply(indexOp, [x.expand(shape).reshape(-1), places], { dims: [0] });
}

/**
 * `x` where the condition holds, `y` elsewhere; the condition alone gives the places where it holds, one vector a
 * dimension.
 */
export function where(condition: Tensor): Tensor[];
export function where(condition: Tensor, x: Operand, y: Operand): Tensor;
export function where(condition: Tensor, x?: Operand, y?: Operand): Tensor | Tensor[] {
  if (x === undefined && y === undefined) return placesOf(tensorOperand("where", condition, "condition"));
  if (x === undefined || y === undefined)
    throw new ValueError("where() takes a condition alone, or with both values to choose from", { op: "where" });
  return choose(condition, x, y);
}

export const methods = {
  /** This tensor where the condition holds, `other` elsewhere. */
  where: (x: Tensor, condition: Tensor, other: Operand): Tensor => choose(condition, x, other),
  maskedScatter, maskedSelect, nonzero, argwhere,
};

export const inPlaceMethods = {
  maskedScatter_: (x: Tensor, mask: Tensor, source: Tensor): Tensor => x.copy_(maskedScatter(x, mask, source)),
};

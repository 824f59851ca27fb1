/** Ops that put tensors together or rearrange one: each writes parts of its operands into slices of fresh memory. */
import { DTypeError, ShapeError, ValueError } from "../errors.ts";
import { Graph } from "../kernel/build.ts";
import type { LoopKernel } from "../kernel/ir.ts";
import { tensor } from "../tensor/creation.ts";
import type { TensorOptions } from "../tensor/creation.ts";
import { broadcastShapes as commonShape, normalizeDim, normalizeDims, numelOf, sameShape, sizesOf } from "../tensor/shape.ts";
import type { Shape } from "../tensor/shape.ts";
import { isTensor } from "../tensor/tensor.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { allocate } from "../tensor/value.ts";
import type { LocalValue, Meta } from "../tensor/value.ts";
import { parameters } from "./arguments.ts";
import { apply } from "./dispatch.ts";
import { deviceOf, promote } from "./kinds/elementwise.ts";
import { viewOf } from "./kinds/view.ts";
import { KernelCache, launch } from "./launch.ts";
import { copyInto, lastStride } from "./moves.ts";
import { gradientLookup, pascal } from "./op.ts";
import type { GradientRule, Op } from "./op.ts";
import { constantPad } from "./pad.ts";
import type { Optional } from "./signatures.ts";
import { diagonalBackward } from "./view.ts";

const listed = (shape: Shape): string => `[${shape.join(", ")}]`;

/** The part of `value` from `start` on, `length` places along `dim`. */
function part(value: LocalValue, dim: number, start: number, length: number): LocalValue {
  const { shape, strides, offset } = value;
  return viewOf(value, { shape: shape.with(dim, length), strides, offset: offset + start * strides[dim] });
}

/** An op of this file: it moves elements, and is no view. */
function rearrangement<A>(name: string, op: Pick<Op<A>, "infer" | "run" | "gradientOf">): Op<A> {
  return { name, kind: "composite", gradName: pascal(name), isView: false, outputs: 1, ...op };
}

// --- joining ------------------------------------------------------------------------------------------------------------------

interface JoinAttrs {
  readonly dim: number;
}

function metas(inputs: readonly (Meta | number)[], op: string): Meta[] {
  if (inputs.length === 0) throw new ValueError(`torch.${op}(): expected a non-empty list of Tensors`, { op });
  return inputs as Meta[];
}

/** As PyTorch, `cat` passes over empty vectors, whatever the others' rank. */
const isNothing = ({ shape }: Meta): boolean => shape.length === 1 && shape[0] === 0;

export const catOp: Op<JoinAttrs> = rearrangement<JoinAttrs>("cat", {
  infer(inputs, attrs) {
    const all = metas(inputs, "cat");
    all.forEach(({ shape }, i) => {
      if (shape.length === 0) throw new ShapeError(`zero-dimensional tensor (at position ${i}) cannot be concatenated`, { op: "cat" });
    });
    const first = all.find((meta) => !isNothing(meta)) ?? all[0];
    const dim = normalizeDim(attrs.dim, first.shape.length, "cat");
    let length = 0;
    all.forEach((meta, i) => {
      if (isNothing(meta)) return;
      const { shape } = meta;
      if (shape.length !== first.shape.length) {
        throw new ShapeError(`Tensors must have same number of dimensions: got ${first.shape.length} and ${shape.length}`, { op: "cat" });
      }
      shape.forEach((size, d) => {
        if (d === dim || size === first.shape[d]) return;
        throw new ShapeError(
          `Sizes of tensors must match except in dimension ${dim}. Expected size ${first.shape[d]} but got size ${size} for tensor number ${i} in the list.`,
          { op: "cat" },
        );
      });
      length += shape[dim];
    });
    return [{ shape: first.shape.with(dim, length), dtype: promote(all) }];
  },

  run(inputs, attrs, [meta], target) {
    const out = target ?? allocate(deviceOf(inputs), meta.shape, meta.dtype);
    const dim = normalizeDim(attrs.dim, meta.shape.length);
    let start = 0;
    for (const input of inputs as LocalValue[]) {
      if (isNothing(input)) continue;
      copyInto(input, part(out, dim, start, input.shape[dim]));
      start += input.shape[dim];
    }
    return [out];
  },

  gradientOf: (index): GradientRule<JoinAttrs> => ({
    saves: "",
    rule: (g, { inputs }, attrs) => {
      const own = inputs[index] as Meta;
      if (isNothing(own)) return g.newZeros([0]);
      const dim = normalizeDim(attrs.dim, g.dim());
      let start = 0;
      for (const before of inputs.slice(0, index) as Meta[]) if (!isNothing(before)) start += before.shape[dim];
      return g.narrow(dim, start, own.shape[dim]);
    },
  }),
});

export const stackOp: Op<JoinAttrs> = rearrangement<JoinAttrs>("stack", {
  infer(inputs, attrs) {
    const all = metas(inputs, "stack");
    const { shape } = all[0];
    all.forEach((meta, i) => {
      if (sameShape(meta.shape, shape)) return;
      throw new ShapeError(`stack expects each tensor to be equal size, but got ${listed(shape)} at entry 0 and ${listed(meta.shape)} at entry ${i}`, {
        op: "stack",
      });
    });
    const dim = normalizeDim(attrs.dim, shape.length + 1, "stack");
    return [{ shape: shape.toSpliced(dim, 0, all.length), dtype: promote(all) }];
  },

  run(inputs, attrs, [meta], target) {
    const out = target ?? allocate(deviceOf(inputs), meta.shape, meta.dtype);
    const dim = normalizeDim(attrs.dim, meta.shape.length);
    const [shape, strides] = [out.shape.toSpliced(dim, 1), out.strides.toSpliced(dim, 1)];
    (inputs as LocalValue[]).forEach((input, i) => {
      copyInto(input, viewOf(out, { shape, strides, offset: out.offset + i * out.strides[dim] }));
    });
    return [out];
  },

  gradientOf: (index): GradientRule<JoinAttrs> => ({ saves: "", rule: (g, _, { dim }) => g.select(dim, index) }),
});

/** Tensors one after another along `dim` (`torch.cat`). @throws ShapeError where other sizes differ */
export function cat(tensors: readonly Tensor[], ...args: Optional<[dim: number]>): Tensor {
  const { dim = 0 } = parameters<{ dim?: number }>("cat", ["dim"], args);
  return apply(catOp, tensors, { dim });
}

/** Tensors of one shape side by side along a new dimension (`torch.stack`). */
export function stack(tensors: readonly Tensor[], ...args: Optional<[dim: number]>): Tensor {
  const { dim = 0 } = parameters<{ dim?: number }>("stack", ["dim"], args);
  return apply(stackOp, tensors, { dim });
}

/** Tensors, of rank `rank` at least, for one of the functions below. */
function stackable(name: string, tensors: readonly Tensor[], rank: 1 | 2 | 3): Tensor[] {
  if (tensors.length === 0) throw new ValueError(`${name} expects a non-empty TensorList`, { op: name });
  return tensors.map((x) => atLeast(x, rank));
}

/** Tensors side by side: along the second dimension, vectors along their only one (`torch.hstack`). */
export function hstack(tensors: readonly Tensor[]): Tensor {
  const parts = stackable("hstack", tensors, 1);
  return cat(parts, parts[0].dim() === 1 ? 0 : 1);
}

/** Tensors below each other: vectors become rows (`torch.vstack`). */
export function vstack(tensors: readonly Tensor[]): Tensor {
  return cat(stackable("vstack", tensors, 2), 0);
}

/** Tensors one behind the other: along the third dimension (`torch.dstack`). */
export function dstack(tensors: readonly Tensor[]): Tensor {
  return cat(stackable("dstack", tensors, 3), 2);
}

/** Vectors become columns (`torch.column_stack`). */
export function columnStack(tensors: readonly Tensor[]): Tensor {
  return cat(tensors.map((x) => (x.dim() <= 1 ? x.reshape(-1, 1) : x)), 1);
}

/** The tensors along the diagonal of a matrix of zeros (`torch.block_diag`). */
export function blockDiag(...tensors: readonly Tensor[]): Tensor {
  const blocks = tensors.map((x, i) => {
    if (x.dim() > 2) throw new ShapeError(`torch.block_diag: Input tensors must have 2 or fewer dimensions. Input ${i} has ${x.dim()} dimensions`, { op: "blockDiag" });
    return atLeast(x, 2);
  });
  const width = blocks.reduce((sum, block) => sum + block.shape[1], 0);
  let left = 0;
  return cat(
    blocks.map((block) => {
      left += block.shape[1];
      return constantPad(block, [left - block.shape[1], width - left], 0);
    }),
  );
}

// --- shapes -------------------------------------------------------------------------------------------------------------------

/** Sizes of 1 in front, as NumPy's atleast functions: a vector becomes a row, and a matrix gets a last dimension in 3. */
function atLeast(x: Tensor, rank: 1 | 2 | 3): Tensor {
  if (x.dim() >= rank) return x;
  if (rank === 3) return x.dim() === 2 ? x.unsqueeze(-1) : x.dim() === 1 ? x.unsqueeze(0).unsqueeze(-1) : x.reshape(1, 1, 1);
  return x.dim() === 0 ? x.reshape(new Array<number>(rank).fill(1)) : x.unsqueeze(0);
}

type OneOrMore = Tensor | readonly Tensor[];

function atLeastFunction(rank: 1 | 2 | 3): (x: OneOrMore, ...more: Tensor[]) => Tensor | Tensor[] {
  return (x, ...more) => {
    if (isTensor(x)) return more.length === 0 ? atLeast(x, rank) : [x, ...more].map((each) => atLeast(each, rank));
    return x.map((each) => atLeast(each, rank));
  };
}

export const atleast1d = atLeastFunction(1);
export const atleast2d = atLeastFunction(2);
export const atleast3d = atLeastFunction(3);

/** The shape to which all broadcast (`torch.broadcast_shapes`). @throws ShapeError */
export function broadcastShapes(...shapes: readonly (Shape | number)[]): Shape {
  return commonShape(shapes.map((shape) => (typeof shape === "number" ? [shape] : shape)));
}

/** Views of the tensors, all repeated to their common shape (`torch.broadcast_tensors`). */
export function broadcastTensors(...tensors: readonly Tensor[]): Tensor[] {
  const shape = commonShape(tensors.map((x) => x.shape));
  return tensors.map((x) => x.expand(shape));
}

/** Copies of the tensor side by side, `sizes` times along each dimension (`torch.Tensor.repeat`). */
export function repeat(x: Tensor, ...sizes: (number | readonly number[])[]): Tensor {
  const counts = sizesOf(sizes);
  const lead = counts.length - x.dim();
  if (lead < 0) {
    throw new ShapeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor", { op: "repeat" });
  }
  if (counts.some((count) => count < 0)) throw new ShapeError(`Trying to create tensor with negative dimension: ${listed(counts)}`, { op: "repeat" });
  const own = counts.map((_, d) => (d < lead ? 1 : x.shape[d - lead]));
  if (counts.every((count) => count === 1)) return x.reshape(own).clone();
  return x
    .reshape(own.flatMap((size) => [1, size]))
    .expand(own.flatMap((size, d) => [counts[d], size]))
    .reshape(own.map((size, d) => size * counts[d]));
}

/** As `repeat`, where missing counts in front are 1 (`torch.tile`). */
export function tile(x: Tensor, ...dims: (number | readonly number[])[]): Tensor {
  const counts = sizesOf(dims);
  return repeat(x, [...new Array<number>(Math.max(x.dim() - counts.length, 0)).fill(1), ...counts]);
}

/**
 * Every element (or, with `dim`, every slice) `repeats` times in a row (`torch.repeat_interleave`). Repeats that are a tensor count
 * for each slice; they are read unless `outputSize` says their sum, and reading waits.
 */
export function repeatInterleave(
  x: Tensor,
  ...args: Optional<[repeats: number | Tensor, dim: number, outputSize: number]>
): Tensor {
  type Given = { repeats?: number | Tensor; dim?: number; outputSize?: number };
  const { repeats, dim, outputSize } = parameters<Given>("repeatInterleave", ["repeats", "dim", "outputSize"], args);
  if (repeats === undefined) return repeatedNumbers(x, outputSize);
  const source = dim === undefined ? x.reshape(-1) : x;
  const at = normalizeDim(dim ?? 0, source.dim(), "repeatInterleave");
  const size = source.shape[at] ?? 1;
  if (typeof repeats === "number" || repeats.numel() === 1) {
    const count = typeof repeats === "number" ? repeats : repeats.itemSync();
    if (count < 0) throw new ValueError("Repeats must be non-negative", { op: "repeatInterleave" });
    const whole = atLeast(source, 1);
    return whole.unsqueeze(at + 1).expand(whole.shape.toSpliced(at + 1, 0, count)).reshape(whole.shape.with(at, size * count));
  }
  if (repeats.dim() > 1) throw new ShapeError("repeats must be 0-dim or 1-dim tensor", { op: "repeatInterleave" });
  if (repeats.shape[0] !== size) {
    throw new ShapeError("repeats must have the same size as input along dim", { op: "repeatInterleave" });
  }
  return source.indexSelect(at, repeatedNumbers(repeats, outputSize));
}

/** 0 `repeats[0]` times, 1 `repeats[1]` times, ... */
function repeatedNumbers(repeats: Tensor, outputSize: number | undefined): Tensor {
  if (repeats.dtype !== "int64" && repeats.dtype !== "int32") {
    throw new DTypeError("repeats has to be Long or Int tensor", { op: "repeatInterleave" });
  }
  const total = outputSize ?? (repeats.numel() === 0 ? 0 : repeats.sum().itemSync());
  // A step up wherever the next slice begins; slices that end at the very end step past it.
  const ends = repeats.to("int64").cumsum(0);
  const steps = ends.newZeros([total + 1]).indexAdd(0, ends, ends.newOnes(ends.shape));
  return steps.narrow(0, 0, total).cumsum(0);
}

/** A tensor of coordinates for each vector, over the grid of them all (`torch.meshgrid`); "xy" exchanges the first two. */
export function meshgrid(...args: readonly (Tensor | readonly Tensor[] | { readonly indexing?: "ij" | "xy" })[]): Tensor[] {
  const tensors = args.flatMap((arg): readonly Tensor[] => (isTensor(arg) ? [arg] : Array.isArray(arg) ? (arg as readonly Tensor[]) : []));
  const last = args[args.length - 1];
  const { indexing = "ij" } = (isTensor(last) || Array.isArray(last) ? {} : last) as { readonly indexing?: "ij" | "xy" };
  if (tensors.length === 0) throw new ValueError("meshgrid expects a non-empty TensorList", { op: "meshgrid" });
  if (indexing !== "ij" && indexing !== "xy") {
    throw new ValueError(`torch.meshgrid: indexing must be one of "xy" or "ij", but received: ${String(indexing)}`, { op: "meshgrid" });
  }
  tensors.forEach((x) => {
    if (x.dim() > 1) throw new ShapeError(`torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: ${listed(x.shape)}`, { op: "meshgrid" });
    if (x.dtype !== tensors[0].dtype) throw new DTypeError("torch.meshgrid expects all tensors to have the same dtype", { op: "meshgrid" });
  });
  const swaps = indexing === "xy" && tensors.length >= 2;
  const ordered = swaps ? [tensors[1], tensors[0], ...tensors.slice(2)] : tensors;
  const shape = ordered.map((x) => x.numel());
  const grids = ordered.map((x, d) => x.reshape(shape.map((_, axis) => (axis === d ? -1 : 1))).expand(shape));
  if (!swaps) return grids;
  const [second, first, ...rest] = grids.map((grid) => grid.transpose(0, 1));
  return [first, second, ...rest].map((grid) => grid.transpose(0, 1));
}

/** All tuples of elements of the vectors, one row each (`torch.cartesian_prod`). */
export function cartesianProd(...tensors: readonly Tensor[]): Tensor {
  for (const x of tensors) {
    if (x.dim() !== 1) throw new ShapeError(`Expect a 1D vector, but got shape ${listed(x.shape)}`, { op: "cartesianProd" });
  }
  return tensors.length === 1 ? tensors[0] : stack(meshgrid(tensors), -1).reshape(-1, tensors.length);
}

// --- order of elements --------------------------------------------------------------------------------------------------------

const flipOp: Op<{ readonly dims: readonly number[] }> = rearrangement<{ readonly dims: readonly number[] }>("flip", {
  infer: ([input]) => [input as Meta],
  run([a], { dims }, [meta], target) {
    const input = a as LocalValue;
    const out = target ?? allocate(input.device, meta.shape, meta.dtype);
    if (numelOf(meta.shape) === 0) return [out];
    let { offset } = input;
    for (const dim of dims) offset += (input.shape[dim] - 1) * input.strides[dim];
    const strides = input.strides.map((stride, dim) => (dims.includes(dim) ? -stride : stride));
    copyInto(viewOf(input, { shape: input.shape, strides, offset }), out);
    return [out];
  },
  gradientOf: gradientLookup<{ readonly dims: readonly number[] }>({ a: (g, _, { dims }) => flip(g, dims) }),
});

/** A copy with the order along `dims` reversed (`torch.flip`). */
export function flip(x: Tensor, ...dims: (number | readonly number[])[]): Tensor {
  const list = sizesOf(dims);
  return apply(flipOp, [x], { dims: list.length === 0 ? [] : normalizeDims(list, x.dim(), "flip") });
}

export function fliplr(x: Tensor): Tensor {
  if (x.dim() < 2) throw new ShapeError("Input must be >= 2-d.", { op: "fliplr" });
  return flip(x, 1);
}

export function flipud(x: Tensor): Tensor {
  if (x.dim() < 1) throw new ShapeError("Input must be >= 1-d.", { op: "flipud" });
  return flip(x, 0);
}

/** The plane of two dimensions turned by 90 degrees, `k` times (`torch.rot90`). */
export function rot90(x: Tensor, ...args: Optional<[k: number, dims: readonly number[]]>): Tensor {
  const { k = 1, dims = [0, 1] } = parameters<{ k?: number; dims?: readonly number[] }>("rot90", ["k", "dims"], args);
  const fail = (message: string): ShapeError => new ShapeError(message, { op: "rot90" });
  if (dims.length !== 2) throw fail(`expected total rotation dims == 2, but got dims = ${dims.length}`);
  if (x.dim() < 2) throw fail(`expected total dims >= 2, but got total dims = ${x.dim()}`);
  if (dims[0] === dims[1] || Math.abs(dims[0] - dims[1]) === x.dim()) {
    throw fail(`expected rotation dims to be different, but got dim0 = ${dims[0]} and dim1 = ${dims[1]}`);
  }
  for (const dim of dims) if (dim >= x.dim() || dim < -x.dim()) throw fail(`Rotation dim${dims.indexOf(dim)} out of range, dim${dims.indexOf(dim)} = ${dim}`);
  switch (((k % 4) + 4) % 4) {
    case 1: return flip(x, dims[1]).transpose(dims[0], dims[1]);
    case 2: return flip(x, dims);
    case 3: return flip(x, dims[0]).transpose(dims[0], dims[1]);
    default: return x.clone();
  }
}

interface RollAttrs {
  readonly shifts: readonly number[];
  readonly dims: readonly number[];
}

const rollOp: Op<RollAttrs> = rearrangement<RollAttrs>("roll", {
  infer: ([input]) => [input as Meta],
  run([a], { shifts, dims }, [meta], target) {
    const input = a as LocalValue;
    const out = target ?? allocate(input.device, meta.shape, meta.dtype);
    if (numelOf(meta.shape) > 0) rollInto(input, out, shifts, dims);
    return [out];
  },
  gradientOf: gradientLookup<RollAttrs>({ a: (g, _, { shifts, dims }) => apply(rollOp, [g], { shifts: shifts.map((shift) => -shift), dims }) }),
});

/** The first of the dimensions splits both sides in two parts that change places; the rest roll within them. */
function rollInto(from: LocalValue, to: LocalValue, [shift, ...shifts]: readonly number[], [dim, ...dims]: readonly number[]): void {
  if (dim === undefined || shift === undefined) {
    copyInto(from, to);
    return;
  }
  const size = from.shape[dim];
  const moved = ((shift % size) + size) % size;
  rollInto(part(from, dim, 0, size - moved), part(to, dim, moved, size - moved), shifts, dims);
  if (moved > 0) rollInto(part(from, dim, size - moved, moved), part(to, dim, 0, moved), shifts, dims);
}

/** Elements moved along dimensions; what leaves at an end enters at the other. Without `dims`, as if flat (`torch.roll`). */
export function roll(x: Tensor, ...args: Optional<[shifts: number | readonly number[], dims: number | readonly number[]]>): Tensor {
  type Given = { shifts?: number | readonly number[]; dims?: number | readonly number[] };
  const given = parameters<Given>("roll", ["shifts", "dims"], args);
  const shifts = asList(given.shifts);
  const dims = asList(given.dims);
  if (shifts.length === 0) throw new ValueError("`shifts` required", { op: "roll" });
  if (dims.length === 0 && shifts.length === 1) return apply(rollOp, [x.reshape(-1)], { shifts, dims: [0] }).view(x.shape);
  if (shifts.length !== dims.length) {
    throw new ShapeError(`shifts and dimensions must align. shifts: ${shifts.length}, dims:${dims.length}`, { op: "roll" });
  }
  return apply(rollOp, [x], { shifts, dims: dims.map((dim) => normalizeDim(dim, x.dim(), "roll")) });
}

function asList(numbers: number | readonly number[] | undefined): readonly number[] {
  return numbers === undefined ? [] : typeof numbers === "number" ? [numbers] : numbers;
}

// --- triangles and diagonals --------------------------------------------------------------------------------------------------

interface TriangleAttrs {
  readonly diagonal: number;
}

const triangleKernels = new KernelCache<string>();

function triangle(name: "tril" | "triu"): (x: Tensor, ...args: Optional<[diagonal: number]>) => Tensor {
  const op: Op<TriangleAttrs> = rearrangement<TriangleAttrs>(name, {
    infer([input]) {
      const { shape, dtype } = input as Meta;
      if (shape.length < 2) throw new ShapeError(`${name}: input tensor must have at least 2 dimensions`, { op: name });
      return [{ shape, dtype }];
    },
    run([a], { diagonal }, [meta], target) {
      const input = a as LocalValue;
      const out = target ?? allocate(input.device, meta.shape, meta.dtype);
      if (numelOf(meta.shape) === 0) return [out];
      const operands = [input, out];
      const inner = operands.map(({ strides }) => lastStride(strides));
      const key = `${name} ${meta.dtype} ${meta.shape.length} ${inner.join("/")}`;
      launch(
        triangleKernels.get(key, () => triangleKernel(name, meta, inner)),
        operands.map((value) => ({ value, strides: value.strides })),
        meta.shape,
        [diagonal],
      );
      return [out];
    },
    gradientOf: gradientLookup<TriangleAttrs>({ a: (g, _, attrs) => apply(op, [g], attrs) }),
  });
  return (x, ...args) => {
    const { diagonal = 0 } = parameters<{ diagonal?: number }>(name, ["diagonal"], args);
    return apply(op, [x], { diagonal });
  };
}

function triangleKernel(name: "tril" | "triu", { dtype, shape }: Meta, inner: readonly LoopKernel["inputs"][number]["inner"][]): LoopKernel {
  const body = new Graph();
  const rank = shape.length;
  const above = body.axis(rank - 1).sub(body.axis(rank - 2));
  const diagonal = body.scalar(0, "int32");
  const kept = name === "tril" ? above.le(diagonal) : above.ge(diagonal);
  const value = kept.where(body.load(0, dtype), 0);
  return {
    kind: "loop", name, axes: rank, reduced: 0,
    inputs: [{ dtype, inner: inner[0] }],
    outputs: [{ dtype, inner: inner[1], overwrites: true }],
    scalars: ["int32"],
    body: body.nodes, accumulators: [], step: [], epilogue: [],
    stores: [{ output: 0, value: value.id, at: "body" }],
  };
}

/** Matrices with zeros above the given diagonal (`torch.tril`). */
export const tril = triangle("tril");
/** Matrices with zeros below the given diagonal (`torch.triu`). */
export const triu = triangle("triu");

/** Matrices that hold the last dimension on a diagonal (`torch.diag_embed`). */
export function diagEmbed(x: Tensor, ...args: Optional<[offset: number, dim1: number, dim2: number]>): Tensor {
  type Given = { offset?: number; dim1?: number; dim2?: number };
  const { offset = 0, dim1 = -2, dim2 = -1 } = parameters<Given>("diagEmbed", ["offset", "dim1", "dim2"], args);
  const rank = x.dim() + 1;
  const [a, b] = [normalizeDim(dim1, rank, "diagEmbed"), normalizeDim(dim2, rank, "diagEmbed")];
  if (a === b) throw new ShapeError(`diagonal dimensions cannot be identical ${dim1}, ${dim2}`, { op: "diagEmbed" });
  const size = (x.shape.at(-1) ?? 1) + Math.abs(offset);
  const shape = x.shape.slice(0, -1).toSpliced(Math.min(a, b), 0, size).toSpliced(Math.max(a, b), 0, size);
  return apply(diagonalBackward, [x], { shape, of: { offset, dim1: a, dim2: b } });
}

/** A matrix with the vector on its diagonal, or the diagonal of a matrix (`torch.diag`). */
export function diag(x: Tensor, ...args: Optional<[diagonal: number]>): Tensor {
  const { diagonal = 0 } = parameters<{ diagonal?: number }>("diag", ["diagonal"], args);
  if (x.dim() === 1) return diagEmbed(x, diagonal);
  if (x.dim() === 2) return x.diagonal(diagonal).clone();
  throw new ShapeError(`matrix or a vector expected`, { op: "diag" });
}

export function diagflat(x: Tensor, ...args: Optional<[offset: number]>): Tensor {
  const { offset = 0 } = parameters<{ offset?: number }>("diagflat", ["offset"], args);
  return diagEmbed(x.reshape(-1), offset);
}

/** Rows and columns of the lower triangle of a row x col matrix: int64 [2, n] (`torch.tril_indices`). */
export function trilIndices(row: number, col: number, offset = 0, options: Pick<TensorOptions, "dtype" | "device"> = {}): Tensor {
  return triangleIndices(row, col, (i, j) => j - i <= offset, options);
}

/** Rows and columns of the upper triangle (`torch.triu_indices`). */
export function triuIndices(row: number, col: number, offset = 0, options: Pick<TensorOptions, "dtype" | "device"> = {}): Tensor {
  return triangleIndices(row, col, (i, j) => j - i >= offset, options);
}

function triangleIndices(row: number, col: number, holds: (i: number, j: number) => boolean, options: TensorOptions): Tensor {
  const places: [number[], number[]] = [[], []];
  for (let i = 0; i < row; i++) {
    for (let j = 0; j < col; j++) {
      if (!holds(i, j)) continue;
      places[0].push(i);
      places[1].push(j);
    }
  }
  return tensor(places, { dtype: "int64", ...options });
}

// --- products that are arrangements -------------------------------------------------------------------------------------------

/** Kronecker product (`torch.kron`). */
export function kron(x: Tensor, y: Tensor): Tensor {
  const rank = Math.max(x.dim(), y.dim());
  const padded = ({ shape }: Tensor): number[] => [...new Array<number>(rank - shape.length).fill(1), ...shape];
  const [a, b] = [padded(x), padded(y)];
  return x.reshape(a.flatMap((size) => [size, 1])).mul(y.reshape(b.flatMap((size) => [1, size]))).reshape(a.map((size, d) => size * b[d]));
}

/** Vector product along a dimension of size 3: the last one, or `dim` (`torch.linalg.cross`). */
export function linalgCross(x: Tensor, y: Tensor, ...args: Optional<[dim: number]>): Tensor {
  const { dim = -1 } = parameters<{ dim?: number }>("cross", ["dim"], args);
  if (x.dim() !== y.dim()) throw new ShapeError("linalg.cross: inputs must have the same number of dimensions.", { op: "cross" });
  const at = normalizeDim(dim, x.dim(), "cross");
  if (x.shape[at] !== 3 || y.shape[at] !== 3) {
    throw new ShapeError(`linalg.cross: inputs dimension ${dim} must have length 3. Got ${x.shape[at]} and ${y.shape[at]}`, { op: "cross" });
  }
  const [a, b] = broadcastTensors(x, y);
  const after = (v: Tensor, places: number): Tensor => roll(v, -places, at);
  return after(a, 1).mul(after(b, 2)).sub(after(a, 2).mul(after(b, 1)));
}

/** As `linalg.cross`, along the first dimension of size 3 unless `dim` says which (`torch.cross`). */
export function cross(x: Tensor, y: Tensor, ...args: Optional<[dim: number]>): Tensor {
  const { dim } = parameters<{ dim?: number }>("cross", ["dim"], args);
  if (dim !== undefined) return linalgCross(x, y, dim);
  const at = broadcastShapes(x.shape, y.shape).indexOf(3);
  if (at < 0) throw new ShapeError("no dimension of size 3 in input", { op: "cross" });
  return linalgCross(x, y, at);
}

export const methods = {
  /** This tensor and others, one after another. */
  cat: (x: Tensor, others: readonly Tensor[], ...args: Optional<[dim: number]>): Tensor => cat([x, ...others], ...args),
  /** This tensor and others, side by side along a new dimension. */
  stack: (x: Tensor, others: readonly Tensor[], ...args: Optional<[dim: number]>): Tensor => stack([x, ...others], ...args),
  repeat, tile, repeatInterleave, flip, fliplr, flipud, rot90, roll, tril, triu, diag, diagEmbed, diagflat, kron, cross,
};

export const inPlaceMethods = {
  tril_: (x: Tensor, ...args: Optional<[diagonal: number]>): Tensor => x.copy_(tril(x, ...args)),
  triu_: (x: Tensor, ...args: Optional<[diagonal: number]>): Tensor => x.copy_(triu(x, ...args)),
};

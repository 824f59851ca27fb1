/**
 * Ops that put tensors together: each writes its operands into slices of fresh memory. And the shapes that go with
 * them.
 */
import { DTypeError, ShapeError, ValueError } from "../errors.ts";
import { broadcastShapes as commonShape, normalizeDim, sameShape, sizesOf } from "../tensor/shape.ts";
import type { Shape } from "../tensor/shape.ts";
import { isTensor } from "../tensor/tensor.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { allocate } from "../tensor/value.ts";
import type { LocalValue, Meta } from "../tensor/value.ts";
import { assertList, parameters } from "../arguments.ts";
import { apply } from "./dispatch.ts";
import { tensorOperand } from "./elementwise.ts";
import { deviceOf, promote } from "./kinds/elementwise.ts";
import { viewOf } from "./kinds/view.ts";
import { copyInto } from "./moves.ts";
import type { GradientRule, Op } from "./op.ts";
import { constantPad } from "./pad.ts";
import { part, rearrangement } from "./rearrangement.ts";
import type { Optional } from "./signatures.ts";

const listed = (shape: Shape): string => `[${shape.join(", ")}]`;

// --- joining ---------------------------------------------------------------------------------------------------------

interface JoinAttrs {
  readonly dim: number;
}

function metas(inputs: readonly (Meta | number)[], op: string): Meta[] {
  if (inputs.length === 0) throw new ValueError(`torch.${op}(): expected a non-empty list of Tensors`, { op });
  return inputs as Meta[];
}

/** As PyTorch, `cat` passes over empty vectors, whatever the others' rank. */
const isNothing = ({ shape }: Meta): boolean => shape.length === 1 && shape[0] === 0;

const catOp: Op<JoinAttrs> = rearrangement<JoinAttrs>("cat", {
  infer(inputs, attrs) {
    const all = metas(inputs, "cat");
    all.forEach(({ shape }, i) => {
      if (shape.length === 0)
        throw new ShapeError(`zero-dimensional tensor (at position ${i}) cannot be concatenated`, { op: "cat" });
    });
    const first = all.find((meta) => !isNothing(meta)) ?? all[0];
    const dim = normalizeDim(attrs.dim, first.shape.length, "cat");
    let length = 0;
    all.forEach((meta, i) => {
      if (isNothing(meta)) return;
      const { shape } = meta;
      if (shape.length !== first.shape.length) {
        throw new ShapeError(
          `Tensors must have same number of dimensions: got ${first.shape.length} and ${shape.length}`,
          { op: "cat" },
        );
      }
      shape.forEach((size, d) => {
        if (d === dim || size === first.shape[d]) return;
        throw new ShapeError(
          `Sizes of tensors must match except in dimension ${dim}. Expected size ${first.shape[d]} but got size ` +
            `${size} for tensor number ${i} in the list.`,
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

const stackOp: Op<JoinAttrs> = rearrangement<JoinAttrs>("stack", {
  infer(inputs, attrs) {
    const all = metas(inputs, "stack");
    const { shape } = all[0];
    all.forEach((meta, i) => {
      if (sameShape(meta.shape, shape)) return;
      throw new ShapeError(
        `stack expects each tensor to be equal size, but got ${listed(shape)} at entry 0 and ${listed(meta.shape)} ` +
          `at entry ${i}`,
        {
          op: "stack",
        },
      );
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

/** @throws ValueError for what is no list, DTypeError for what is no tensor in it */
function assertTensors(op: string, tensors: readonly Tensor[]): void {
  assertList(op, "tensors", tensors, "tensors");
  for (const x of tensors) tensorOperand(op, x, "tensors");
}

/** Tensors one after another along `dim` (`torch.cat`). @throws ShapeError where other sizes differ */
export function cat(tensors: readonly Tensor[], ...args: Optional<[dim: number]>): Tensor {
  const { dim = 0 } = parameters<{ dim?: number }>("cat", ["dim"], args);
  assertTensors("cat", tensors);
  return apply(catOp, tensors, { dim });
}

/** Tensors of one shape side by side along a new dimension (`torch.stack`). */
export function stack(tensors: readonly Tensor[], ...args: Optional<[dim: number]>): Tensor {
  const { dim = 0 } = parameters<{ dim?: number }>("stack", ["dim"], args);
  assertTensors("stack", tensors);
  return apply(stackOp, tensors, { dim });
}

/** Tensors, of rank `rank` at least, for one of the functions below. */
function stackable(name: string, tensors: readonly Tensor[], rank: 1 | 2 | 3): Tensor[] {
  assertTensors(name, tensors);
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
  return cat(
    tensors.map((x) => (x.dim() <= 1 ? x.reshape(-1, 1) : x)),
    1,
  );
}

/** The tensors along the diagonal of a matrix of zeros (`torch.block_diag`). */
export function blockDiag(...tensors: readonly Tensor[]): Tensor {
  const blocks = tensors.map((x, i) => {
    if (x.dim() > 2)
      throw new ShapeError(
        `torch.block_diag: Input tensors must have 2 or fewer dimensions. Input ${i} has ${x.dim()} dimensions`,
        { op: "blockDiag" },
      );
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

// --- shapes ----------------------------------------------------------------------------------------------------------

/**
 * Sizes of 1 in front, as NumPy's atleast functions: a vector becomes a row, and a matrix gets a last dimension in 3.
 */
function atLeast(x: Tensor, rank: 1 | 2 | 3): Tensor {
  if (x.dim() >= rank) return x;
  if (rank === 3)
    return x.dim() === 2 ? x.unsqueeze(-1) : x.dim() === 1 ? x.unsqueeze(0).unsqueeze(-1) : x.reshape(1, 1, 1);
  return x.dim() === 0 ? x.reshape(Array.from({ length: rank }, () => 1)) : x.unsqueeze(0);
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
    throw new ShapeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor", {
      op: "repeat",
    });
  }
  if (counts.some((count) => count < 0))
    throw new ShapeError(`Trying to create tensor with negative dimension: ${listed(counts)}`, { op: "repeat" });
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
  return repeat(x, [...Array.from({ length: Math.max(x.dim() - counts.length, 0) }, () => 1), ...counts]);
}

/**
 * Every element (or, with `dim`, every slice) `repeats` times in a row (`torch.repeat_interleave`). Repeats that are a
 * tensor count for each slice; they are read unless `outputSize` says their sum, and reading waits.
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
    return whole
      .unsqueeze(at + 1)
      .expand(whole.shape.toSpliced(at + 1, 0, count))
      .reshape(whole.shape.with(at, size * count));
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

/**
 * A tensor of coordinates for each vector, over the grid of them all (`torch.meshgrid`); "xy" exchanges the first two.
 */
export function meshgrid(
  ...args: readonly (Tensor | readonly Tensor[] | { readonly indexing?: "ij" | "xy" })[]
): Tensor[] {
  const tensors = args.flatMap((arg): readonly Tensor[] =>
    isTensor(arg) ? [arg] : Array.isArray(arg) ? (arg as readonly Tensor[]) : [],
  );
  const last = args[args.length - 1];
  const { indexing = "ij" } = (isTensor(last) || Array.isArray(last) ? {} : last) as {
    readonly indexing?: "ij" | "xy";
  };
  if (tensors.length === 0) throw new ValueError("meshgrid expects a non-empty TensorList", { op: "meshgrid" });
  if (indexing !== "ij" && indexing !== "xy") {
    throw new ValueError(`torch.meshgrid: indexing must be one of "xy" or "ij", but received: ${String(indexing)}`, {
      op: "meshgrid",
    });
  }
  tensors.forEach((x) => {
    if (x.dim() > 1)
      throw new ShapeError(`torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: ${listed(x.shape)}`, {
        op: "meshgrid",
      });
    if (x.dtype !== tensors[0].dtype)
      throw new DTypeError("torch.meshgrid expects all tensors to have the same dtype", { op: "meshgrid" });
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
    if (x.dim() !== 1)
      throw new ShapeError(`Expect a 1D vector, but got shape ${listed(x.shape)}`, { op: "cartesianProd" });
  }
  return tensors.length === 1 ? tensors[0] : stack(meshgrid(tensors), -1).reshape(-1, tensors.length);
}

export const methods = {
  /** This tensor and others, one after another. */
  cat: (x: Tensor, others: readonly Tensor[], ...args: Optional<[dim: number]>): Tensor => cat([x, ...others], ...args),
  /** This tensor and others, side by side along a new dimension. */
  stack: (x: Tensor, others: readonly Tensor[], ...args: Optional<[dim: number]>): Tensor =>
    stack([x, ...others], ...args),
  repeat, tile, repeatInterleave,
};

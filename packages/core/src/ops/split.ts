/** A tensor as several views of it: pieces along one dimension. */
import { ShapeError, ValueError } from "../errors.ts";
import { normalizeDim } from "../tensor/shape.ts";
import type { Shape } from "../tensor/shape.ts";
import { isTensor } from "../tensor/tensor.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { assertList, assertWhole, parameters } from "../arguments.ts";
import type { Optional } from "./signatures.ts";
import { narrow, select, sliceAlong } from "./parts.ts";
import { dimOf } from "./view.ts";

const listed = (shape: Shape): string => `[${shape.join(", ")}]`;

/** The views along `dim`, one for each index (`torch.unbind`). */
export function unbind(x: Tensor, ...args: Optional<[dim: number]>): Tensor[] {
  const { dim = 0 } = parameters<{ dim?: number }>("unbind", ["dim"], args);
  if (x.dim() === 0) throw new ShapeError("Dimension specified as 0 but tensor has no dimensions", { op: "unbind" });
  const at = normalizeDim(dim, x.dim(), "unbind");
  return Array.from({ length: x.shape[at] }, (_, index) => select(x, at, index));
}

/** Views of the given sizes along `dim`, which they must fill. */
function splitWithSizes(x: Tensor, splitSizes: readonly number[], ...args: Optional<[dim: number]>): Tensor[] {
  assertList("split", "split_sizes", splitSizes, "whole numbers");
  for (const size of splitSizes) assertWhole("split", "a size", size);
  const { dim = 0 } = parameters<{ dim?: number }>("splitWithSizes", ["dim"], args);
  const at = dimOf(x.shape, dim, "split");
  const total = splitSizes.reduce((sum, size) => sum + size, 0);
  if (total !== x.shape[at] || splitSizes.some((size) => size < 0)) {
    throw new ShapeError(
      `split_with_sizes expects split_sizes to sum exactly to ${x.shape[at]} (input tensor's size at dimension ` +
        `${at}), ` +
        `but got split_sizes=${listed(splitSizes)}`,
      { op: "split" },
    );
  }
  let start = 0;
  return splitSizes.map((size) => narrow(x, at, (start += size) - size, size));
}

/** Views of `size` places along `dim` (the last may be smaller), or of the listed sizes (`torch.split`). */
export function split(x: Tensor, size: number | readonly number[], ...args: Optional<[dim: number]>): Tensor[] {
  if (Array.isArray(size)) return splitWithSizes(x, size as readonly number[], ...args);
  assertWhole("split", "the size of parts", size);
  const { dim = 0 } = parameters<{ dim?: number }>("split", ["dim"], args);
  const at = dimOf(x.shape, dim, "split");
  const whole = x.shape[at];
  if (size < 0 || (size === 0 && whole !== 0)) {
    throw new ValueError(`split expects split_size be non-negative, but got split_size=${size}`, { op: "split" });
  }
  const count = size === 0 ? 1 : Math.max(Math.ceil(whole / size), 1);
  return Array.from({ length: count }, (_, i) => narrow(x, at, i * size, Math.min(size, whole - i * size)));
}

/** At most `chunks` views of equal size along `dim` (`torch.chunk`). */
export function chunk(x: Tensor, chunks: number, ...args: Optional<[dim: number]>): Tensor[] {
  const { dim = 0 } = parameters<{ dim?: number }>("chunk", ["dim"], args);
  const at = dimOf(x.shape, dim, "chunk");
  assertWhole("chunk", "the number of chunks", chunks);
  if (chunks <= 0)
    throw new ValueError(`chunk expects \`chunks\` to be greater than 0, got: ${chunks}`, { op: "chunk" });
  const size = Math.ceil(x.shape[at] / chunks);
  return size === 0 ? Array.from({ length: chunks }, () => narrow(x, at, 0, 0)) : split(x, size, at);
}

/**
 * Exactly that many views, or views that end at the listed indices (`torch.tensor_split`). An index tensor is read,
 * which waits.
 */
export function tensorSplit(
  x: Tensor,
  indicesOrSections: number | readonly number[] | Tensor,
  ...args: Optional<[dim: number]>
): Tensor[] {
  const { dim = 0 } = parameters<{ dim?: number }>("tensorSplit", ["dim"], args);
  if (x.dim() === 0) {
    throw new ShapeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims", {
      op: "tensorSplit",
    });
  }
  const at = normalizeDim(dim, x.dim(), "tensorSplit");
  const given = isTensor(indicesOrSections) ? numbersOf(indicesOrSections) : indicesOrSections;
  const whole = x.shape[at];
  if (Array.isArray(given)) {
    for (const index of given as readonly unknown[]) assertWhole("tensorSplit", "an index", index);
    const bounds = [0, ...given, whole];
    return bounds.slice(1).map((end, i) => sliceAlong(x, at, bounds[i], i === given.length ? undefined : end));
  }
  assertWhole("tensorSplit", "the number of sections", given);
  if (given <= 0) throw new ValueError(`number of sections must be larger than 0, got ${given}`, { op: "tensorSplit" });
  const small = Math.floor(whole / given);
  const larger = whole % given;
  let start = 0;
  return Array.from({ length: given }, (_, i) => {
    const size = small + (i < larger ? 1 : 0);
    return narrow(x, at, (start += size) - size, size);
  });
}

function numbersOf(indices: Tensor): number | number[] {
  if (indices.dtype !== "int64") {
    throw new ValueError(
      `tensor_split expected tensor_indices_or_sections to have dtype of long, but got ${indices.dtype}`,
      { op: "tensorSplit" },
    );
  }
  if (indices.dim() > 1) {
    throw new ShapeError(
      "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or one-dimensional tensor, but got " +
        `a tensor with ${indices.dim()} dims`,
      { op: "tensorSplit" },
    );
  }
  const list = indices.tolistSync();
  return Array.isArray(list) ? list.map(Number) : Number(list);
}

/** A function that splits as `tensorSplit` does, along a fixed dimension. */
function splitter(name: string, least: number, dimOfRank: (rank: number) => number) {
  return (x: Tensor, indicesOrSections: number | readonly number[]): Tensor[] => {
    const op = `torch.${name}`;
    if (typeof indicesOrSections !== "number" && !Array.isArray(indicesOrSections)) {
      throw new ValueError(`${name}() received an invalid combination of arguments.`, {
        op: name,
        remedy: "Give a number of parts or a list of indices.",
      });
    }
    if (x.dim() < least) {
      throw new ShapeError(
        `${op} requires a tensor with at least ${least} dimension, but got a tensor with ${x.dim()} dimensions!`,
        {
          op: name,
        },
      );
    }
    const dim = dimOfRank(x.dim());
    if (typeof indicesOrSections === "number" && (indicesOrSections <= 0 || x.shape[dim] % indicesOrSections !== 0)) {
      throw new ShapeError(
        `${op} attempted to split along dimension ${dim}, but the size of the dimension ${x.shape[dim]} is not ` +
          `divisible by the split_size ${indicesOrSections}!`,
        { op: name },
      );
    }
    return tensorSplit(x, indicesOrSections, dim);
  };
}

export const hsplit = splitter("hsplit", 1, (rank) => (rank === 1 ? 0 : 1));
export const vsplit = splitter("vsplit", 2, () => 0);
export const dsplit = splitter("dsplit", 3, () => 2);

export const methods = { unbind, split, splitWithSizes, chunk, tensorSplit, hsplit, vsplit, dsplit };

/**
 * Indexing by tensors (NumPy's "advanced" indexing): integers pick places, bools stand for the places where they hold.
 */
import { DTypeError, ShapeError } from "../errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { apply, applyTo } from "./dispatch.ts";
import { indexOp, indexPutOp } from "./places.ts";
import type { Accumulate } from "./places.ts";
import { broadcastTensors, stack } from "./join.ts";
import { placesOf } from "./masked.ts";

/**
 * One index for each dimension from the first on; undefined takes all of a dimension, a mask covers as many as it has.
 */
export type TensorIndices = readonly (Tensor | undefined)[];

interface Prepared {
  readonly dims: readonly number[];
  /** The indices of those dimensions, broadcast against each other, one slice each. */
  readonly index: Tensor;
}

const isMask = ({ dtype }: Tensor): boolean => dtype === "bool" || dtype === "uint8";

function prepare(x: Tensor, indices: TensorIndices): Prepared {
  const dims: number[] = [];
  const places: Tensor[] = [];
  let dim = 0;
  for (const index of indices) {
    if (index === undefined) {
      dim++;
    } else if (isMask(index)) {
      assertCovers(x, index, dim);
      for (const place of placesOf(index)) {
        places.push(place);
        dims.push(dim++);
      }
    } else {
      places.push(asPlaces(index));
      dims.push(dim++);
    }
  }
  if (dim > x.dim())
    throw new ShapeError(`too many indices for tensor of dimension ${x.dim()} (got ${dim})`, { op: "index" });
  if (dims.length === 0) throw new ShapeError("indexing by tensors needs at least one index", { op: "index" });
  return { dims, index: places.length === 1 ? places[0].unsqueeze(0) : stack(aligned(places)) };
}

function asPlaces(index: Tensor): Tensor {
  if (index.dtype === "int64") return index;
  if (index.dtype === "int32" || index.numel() === 0) return index.to("int64");
  throw new DTypeError("tensors used as indices must be long, byte or bool tensors", {
    op: "index",
    remedy: `The index is ${index.dtype}.`,
  });
}

function assertCovers(x: Tensor, mask: Tensor, dim: number): void {
  mask.shape.forEach((size, d) => {
    if (size === x.shape[dim + d]) return;
    throw new ShapeError(
      `The shape of the mask [${mask.shape.join(", ")}] at index ${d} does not match the shape of the indexed ` +
        `tensor [${x.shape.join(", ")}] at index ${dim + d}`,
      { op: "index" },
    );
  });
}

function aligned(places: readonly Tensor[]): Tensor[] {
  try {
    return broadcastTensors(...places);
  } catch (cause) {
    const shapes = places.map(({ shape }) => `[${shape.join(", ")}]`).join(", ");
    throw new ShapeError(
      `shape mismatch: indexing tensors could not be broadcast together with shapes ${shapes}`,
      { op: "index" },
      { cause },
    );
  }
}

/** `x[indices]` as a copy (`torch.Tensor.index`). With masks it waits for them. */
export function index(x: Tensor, indices: TensorIndices): Tensor {
  const { dims, index: stacked } = prepare(x, indices);
  return apply(indexOp, [x, stacked], { dims });
}

/** `x` with `values` (broadcast) at `indices`, or added there (`torch.index_put`). */
export function indexPut(
  x: Tensor,
  indices: TensorIndices,
  values: Tensor | number,
  accumulate: Accumulate = false,
): Tensor {
  const { dims, index: stacked } = prepare(x, indices);
  return apply(indexPutOp, [x, stacked, values], { dims, accumulate: flag(accumulate) });
}

/** As `indexPut`, written to `x` itself. */
export function indexPut_(
  x: Tensor,
  indices: TensorIndices,
  values: Tensor | number,
  accumulate: Accumulate = false,
): Tensor {
  const { dims, index: stacked } = prepare(x, indices);
  return applyTo(indexPutOp, x, [x, stacked, values], { dims, accumulate: flag(accumulate) });
}

function flag(accumulate: Accumulate): boolean {
  return typeof accumulate === "boolean" ? accumulate : (accumulate.accumulate ?? false);
}

export const methods = { index, indexPut };
export const inPlaceMethods = { indexPut_ };

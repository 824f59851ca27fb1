/**
 * Python's `x[...]` and `x[...] = value`: integers, slices, ellipsis, new axes, integer and boolean tensors, combined
 * as in PyTorch. With basic indices only the result is a view.
 */
import { DTypeError, ShapeError, ValueError } from "../errors.ts";
import { index as indexBy, indexPut_ } from "../ops/advanced.ts";
import type { TensorIndices } from "../ops/advanced.ts";
import { shown } from "../arguments.ts";
import { sliceAlong } from "../ops/parts.ts";
import { tensor } from "./creation.ts";
import type { NestedData } from "./creation.ts";
import { isTensor } from "./tensor.ts";
import type { Tensor } from "./tensor.ts";

/** `start:stop:step`; made by `slice()`. */
export class Slice {
  readonly start: number | undefined;
  readonly stop: number | undefined;
  readonly step: number;

  constructor(start: number | undefined, stop: number | undefined, step: number) {
    this.start = start;
    this.stop = stop;
    this.step = step;
  }
}

/**
 * Python's `start:stop:step`; what is left out (or null) reaches to the ends, and negative bounds count from the end.
 * @throws ValueError unless the step is positive
 */
export function slice(start?: number | null, stop?: number | null, step?: number | null): Slice {
  const by = step ?? 1;
  if (!Number.isInteger(by) || by <= 0) throw new ValueError("step must be greater than zero", { op: "slice" });
  return new Slice(start ?? undefined, stop ?? undefined, by);
}

/** What may stand between the brackets: `null` makes a new axis, `"..."` takes all dimensions that are left. */
export type Index = number | bigint | boolean | null | "..." | Slice | Tensor | readonly NestedData[];

/** How many of the tensor's dimensions an index takes. */
function taken(index: Index | Tensor): number {
  if (index === null || index === "..." || typeof index === "boolean") return 0;
  return isTensor(index) && isMask(index) ? index.dim() : 1;
}

const isMask = ({ dtype }: Tensor): boolean => dtype === "bool" || dtype === "uint8";

/** The part that basic indices name, as a view, and the tensors that index it further. */
interface Parts {
  readonly part: Tensor;
  readonly tensors: TensorIndices;
}

function parts(x: Tensor, given: readonly Index[], picks: boolean): Parts {
  const indices = given.map((index): Exclude<Index, readonly NestedData[] | bigint> => {
    if (Array.isArray(index)) return tensor(index as readonly NestedData[], { device: x.device });
    if (typeof index === "bigint") return Number(index);
    assertIndex(index);
    return index;
  });
  const count = indices.reduce<number>((sum, index) => sum + taken(index), 0);
  if (count > x.dim()) throw new ShapeError(`too many indices for tensor of dimension ${x.dim()}`, { op: "at" });
  if (indices.filter((index) => index === "...").length > 1)
    throw new ShapeError("an index can only have a single ellipsis ('...')", { op: "at" });
  let part = x;
  let dim = 0;
  const tensors: (Tensor | undefined)[] = [];
  const indexBefore = (mask: Tensor): void => {
    part = part.unsqueeze(dim);
    tensors[dim++] = mask;
  };
  for (const index of indices) {
    if (index === null) part = part.unsqueeze(dim++);
    else if (index === "...") dim += x.dim() - count;
    else if (index instanceof Slice) part = sliceAlong(part, dim++, index.start, index.stop, index.step);
    else if (typeof index === "boolean") indexBefore(tensor([index], { device: x.device }));
    else if (typeof index === "number") part = selectAt(part, dim, index);
    else if (isMask(index) && index.dim() === 0) indexBefore(index.unsqueeze(0));
    else if (picks && index.dim() === 0) part = indexBy(part, [...new Array<undefined>(dim), index]);
    else {
      tensors[dim] = index;
      dim += isMask(index) ? index.dim() : 1;
    }
  }
  return { part, tensors: masksApart(tensors) };
}

function assertIndex(index: unknown): asserts index is Exclude<Index, readonly NestedData[] | bigint> {
  if (index === null || index === "..." || typeof index === "number" || typeof index === "boolean") return;
  if (index instanceof Slice || isTensor(index)) return;
  throw new DTypeError(`an index must be a number, slice(), "...", null, an array or a tensor, not ${shown(index)}`, {
    op: "at",
  });
}

function selectAt(x: Tensor, dim: number, index: number): Tensor {
  const size = x.shape[dim];
  if (!Number.isInteger(index) || index < -size || index >= size) {
    throw new ShapeError(`index ${index} is out of bounds for dimension ${dim} with size ${size}`, { op: "at" });
  }
  return x.select(dim, index);
}

/** One entry for each dimension, in which a mask of several stands once. */
function masksApart(byDim: readonly (Tensor | undefined)[]): TensorIndices {
  const list: (Tensor | undefined)[] = [];
  for (let dim = 0; dim < byDim.length; dim++) {
    const index = byDim[dim];
    list.push(index);
    if (index !== undefined && isMask(index)) dim += index.dim() - 1;
  }
  return list;
}

const hasTensors = (tensors: TensorIndices): boolean => tensors.some((index) => index !== undefined);

/**
 * `x[indices]`: `x.at(0, slice(1, 3), null, "...", rows)`. A view where no tensor indexes, else a copy; differentiable.
 * A boolean tensor is waited for, since the result's shape depends on it.
 * @throws ShapeError for an index out of range or too many; a tensor's indices are checked on the device
 */
export function at(x: Tensor, ...indices: Index[]): Tensor {
  const { part, tensors } = parts(x, indices, true);
  if (hasTensors(tensors)) return indexBy(part, tensors);
  return part === x ? x.expand(x.shape) : part;
}

/**
 * `x[indices] = value`: a number, nested arrays or a tensor that broadcasts. Writes to `x`'s memory; differentiable.
 * @throws ShapeError as `at`, or where the value does not fit; DTypeError for a value that is none
 */
export function setAt(
  x: Tensor,
  indices: Index | readonly Index[],
  value: Tensor | NestedData,
  ...more: readonly never[]
): Tensor {
  if (more.length > 0)
    throw new ValueError("setAt(indices, value) takes several indices as one array", {
      op: "setAt",
      remedy: "Write setAt([0, 1], value).",
    });
  const list = Array.isArray(indices) ? (indices as readonly Index[]) : [indices as Index];
  const { part, tensors } = parts(x, list, false);
  const number = typeof value === "number" || typeof value === "boolean" ? Number(value) : undefined;
  const source = isTensor(value)
    ? value
    : number === undefined
      ? tensor(value, { dtype: x.dtype, device: x.device })
      : undefined;
  if (hasTensors(tensors)) {
    const [mask, ...others] = tensors;
    // One mask and one value: nobody needs to know how many places there are.
    const single = source === undefined ? number : source.dim() === 0 ? source : undefined;
    if (mask !== undefined && mask.dtype === "bool" && others.length === 0 && single !== undefined) {
      part.maskedFill_(wholeMask(mask, part), single);
    } else {
      indexPut_(part, tensors, source === undefined ? (number ?? 0) : source);
    }
  } else if (source === undefined) {
    part.fill_(number ?? 0);
  } else {
    part.copy_(withoutLeadingOnes(source, part.dim()));
  }
  return x;
}

/** A mask of the first dimensions, for all dimensions. */
function wholeMask(mask: Tensor, x: Tensor): Tensor {
  mask.shape.forEach((size, dim) => {
    if (size === x.shape[dim]) return;
    throw new ShapeError(
      `The shape of the mask [${mask.shape.join(", ")}] at index ${dim} does not match the shape of the indexed ` +
        `tensor [${x.shape.join(", ")}] at index ${dim}`,
      { op: "setAt" },
    );
  });
  return mask.reshape([...mask.shape, ...new Array<number>(x.dim() - mask.dim()).fill(1)]);
}

function withoutLeadingOnes(source: Tensor, rank: number): Tensor {
  let result = source;
  while (result.dim() > rank && result.shape[0] === 1) result = result.squeeze(0);
  return result;
}

export const methods = { at, setAt };

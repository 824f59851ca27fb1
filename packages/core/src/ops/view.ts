/**
 * Views: the same elements in another shape or order of dimensions (views of a part are in parts.ts). Writes through a view
 * reach its base, and back.
 */
import { AutogradError, ShapeError } from "../errors.ts";
import { isGradEnabled } from "../autograd/mode.ts";
import { inferSize, normalizeDim, normalizeDims, numelOf, sameShape, sizesOf, viewStrides } from "../tensor/shape.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { LocalValue } from "../tensor/value.ts";
import type { Meta } from "../tensor/value.ts";
import { assertList, parameters } from "../arguments.ts";
import { apply, assertWritable, hasHistory } from "./dispatch.ts";
import { defineView } from "./kinds/view.ts";
import type { ViewDim } from "./kinds/view.ts";
import type { Saved } from "./op.ts";
import type { Optional } from "./signatures.ts";

const keep = (shape: Shape, dim: number): ViewDim => ({ size: shape[dim], along: [{ dim, step: 1 }] });

/** All dimensions as they are: what a view starts from. */
export const keepAll = (shape: Shape): ViewDim[] => shape.map((_, dim) => keep(shape, dim));

/** A shape, for messages. */
export const listed = (shape: Shape): string => `[${shape.join(", ")}]`;

/** The shape that a gradient must have again. */
export const inputShape = ({ inputs: [input] }: Saved): Shape => (input as Meta).shape;

/** `dim` in a tensor that has at least one dimension. */
export function dimOf(shape: Shape, dim: number, op: string): number {
  if (shape.length === 0) throw new ShapeError(`${op}() cannot be applied to a 0-dim tensor.`, { op });
  return normalizeDim(dim, shape.length, op);
}

// --- entries ---------------------------------------------------------------------------------------------------------

const viewOp = defineView<{ readonly shape: Shape }>("view", {
  shape: (shape, { shape: target }) => inferSize(target, numelOf(shape)),
  geometry: ({ shape, strides, offset }, attrs) => {
    const target = inferSize(attrs.shape, numelOf(shape));
    const result = viewStrides(shape, strides, target);
    if (result === undefined) {
      throw new ShapeError(
        "view size is not compatible with input tensor's size and stride (at least one dimension spans across two " +
          "contiguous subspaces). " +
          "Use .reshape(...) instead.",
        { op: "view" },
      );
    }
    return { shape: target, strides: result, offset };
  },
  grad: { a: (g, saved) => reshape(g, inputShape(saved)) },
});

const expandOp = defineView<{ readonly size: Shape }>("expand", {
  map: (shape, { size }) => {
    const lead = size.length - shape.length;
    if (lead < 0) {
      throw new ShapeError(
        `expand(${listed(shape)}, size=${listed(size)}): the number of sizes provided (${size.length}) must be ` +
          "greater or equal to the " +
          `number of dimensions in the tensor (${shape.length})`,
        { op: "expand" },
      );
    }
    return { dims: size.map((wanted, i) => expandedDim(shape, size, i - lead, wanted)) };
  },
  grad: { a: (g) => g },
});

function expandedDim(shape: Shape, size: Shape, dim: number, wanted: number): ViewDim {
  if (dim < 0) {
    if (wanted >= 0) return { size: wanted, along: [] };
    throw new ShapeError(
      `The expanded size of the tensor (${wanted}) isn't allowed in a leading, non-existing dimension ` +
        `${dim + size.length - shape.length}`,
      { op: "expand" },
    );
  }
  if (wanted === -1 || wanted === shape[dim]) return keep(shape, dim);
  if (shape[dim] === 1 && wanted >= 0) return { size: wanted, along: [] };
  throw new ShapeError(
    `The expanded size of the tensor (${wanted}) must match the existing size (${shape[dim]}) at non-singleton ` +
      "dimension " +
      `${dim + size.length - shape.length}.  Target sizes: ${listed(size)}.  Tensor sizes: ${listed(shape)}`,
    { op: "expand", remedy: "Only dimensions of size 1 repeat; use repeat() to make copies." },
  );
}

const permuteOp = defineView<{ readonly dims: readonly number[] }>("permute", {
  map: (shape, { dims }) => {
    if (dims.length !== shape.length) {
      throw new ShapeError(
        "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired " +
          "ordering of dimensions " +
          `i.e. input.dim() = ${shape.length} is not equal to len(dims) = ${dims.length}`,
        { op: "permute" },
      );
    }
    const order = dims.map((dim) => normalizeDim(dim, shape.length, "permute"));
    if (new Set(order).size !== order.length)
      throw new ShapeError("permute(): duplicate dims are not allowed.", { op: "permute" });
    return { dims: order.map((dim) => keep(shape, dim)) };
  },
  grad: {
    a: (g, _, { dims }) => {
      const inverse: number[] = [];
      dims.forEach((dim, i) => (inverse[dim < 0 ? dim + dims.length : dim] = i));
      return permute(g, inverse);
    },
  },
});

const transposeOp = defineView<{ readonly dim0: number; readonly dim1: number }>("transpose", {
  map: (shape, { dim0, dim1 }) => {
    const dims = keepAll(shape);
    const [a, b] = [normalizeDim(dim0, shape.length, "transpose"), normalizeDim(dim1, shape.length, "transpose")];
    if (a !== b) [dims[a], dims[b]] = [dims[b], dims[a]];
    return { dims };
  },
  grad: { a: (g, _, { dim0, dim1 }) => transpose(g, dim0, dim1) },
});

const tOp = defineView<Record<string, never>>("t", {
  map: (shape) => {
    if (shape.length > 2)
      throw new ShapeError(`t() expects a tensor with <= 2 dimensions, but self is ${shape.length}D`, { op: "t" });
    return { dims: keepAll(shape).reverse() };
  },
  grad: { a: (g) => t(g) },
});

/** `dims`: which dimensions go where their size is 1; `named`: whether the call said which. */
const squeezeOp = defineView<{ readonly dims: readonly number[]; readonly named: boolean }>("squeeze", {
  overload: ({ named }) => (named ? 1 : 0),
  map: (shape, { dims }) => ({ dims: keepAll(shape).filter(({ size }, dim) => size !== 1 || !dims.includes(dim)) }),
  grad: { a: (g, saved) => reshape(g, inputShape(saved)) },
});

const unsqueezeOp = defineView<{ readonly dim: number }>("unsqueeze", {
  map: (shape, { dim }) => ({
    dims: keepAll(shape).toSpliced(normalizeDim(dim, shape.length + 1, "unsqueeze"), 0, { size: 1, along: [] }),
  }),
  grad: { a: (g, saved) => reshape(g, inputShape(saved)) },
});

// --- shapes ----------------------------------------------------------------------------------------------------------

/**
 * The same elements in another shape, without a copy; one size may be -1 (`torch.Tensor.view`).
 * @throws ShapeError where the strides do not allow it, or the sizes do not fit
 */
export function view(x: Tensor, ...shape: (number | readonly number[])[]): Tensor {
  return apply(viewOp, [x], { shape: sizesOf(shape) });
}

/** A view where the strides allow it, else a copy (`torch.reshape`). @throws ShapeError where the sizes do not fit */
export function reshape(x: Tensor, ...shape: (number | readonly number[])[]): Tensor {
  const target = inferSize(sizesOf(shape), x.numel(), "reshape");
  const { value } = x;
  const fits = !(value instanceof LocalValue) || viewStrides(value.shape, value.strides, target) !== undefined;
  return apply(viewOp, [fits ? x : x.contiguous()], { shape: target });
}

export function viewAs(x: Tensor, other: Tensor): Tensor {
  return view(x, other.shape);
}

export function reshapeAs(x: Tensor, other: Tensor): Tensor {
  return reshape(x, other.shape);
}

/** Joins the dimensions from `startDim` to `endDim` (default: all) into one (`torch.flatten`). */
export function flatten(x: Tensor, ...args: Optional<[startDim: number, endDim: number]>): Tensor {
  const { startDim = 0, endDim = -1 } = parameters<{ startDim?: number; endDim?: number }>(
    "flatten",
    ["startDim", "endDim"],
    args,
  );
  const rank = x.dim();
  const start = normalizeDim(startDim, rank, "flatten");
  const end = normalizeDim(endDim, rank, "flatten");
  if (start > end)
    throw new ShapeError("flatten() has invalid args: start_dim cannot come after end_dim", { op: "flatten" });
  if (rank === 0) return reshape(x, [1]);
  if (start === end) return x;
  return reshape(x, [...x.shape.slice(0, start), numelOf(x.shape.slice(start, end + 1)), ...x.shape.slice(end + 1)]);
}

/** Splits one dimension into `sizes`, of which one may be -1 (`torch.unflatten`). */
export function unflatten(x: Tensor, dim: number, sizes: readonly number[]): Tensor {
  const at = normalizeDim(dim, x.dim(), "unflatten");
  assertList("unflatten", "sizes", sizes, "sizes");
  if (sizes.length === 0) throw new ShapeError("unflatten: sizes must be non-empty", { op: "unflatten" });
  return view(x, x.shape.toSpliced(at, 1, ...inferSize(sizes, x.shape[at] ?? 1, "unflatten")));
}

/** One dimension with all elements (`torch.ravel`). */
export function ravel(x: Tensor): Tensor {
  return reshape(x.contiguous(), [-1]);
}

/** Repeats dimensions of size 1 without copying; -1 keeps a size (`torch.Tensor.expand`). */
export function expand(x: Tensor, ...size: (number | readonly number[])[]): Tensor {
  return apply(expandOp, [x], { size: sizesOf(size) });
}

export function expandAs(x: Tensor, other: Tensor): Tensor {
  return expand(x, other.shape);
}

export function broadcastTo(x: Tensor, ...size: (number | readonly number[])[]): Tensor {
  return expand(x, ...size);
}

/** Without dimensions of size 1: all of them, or those among `dim` (`torch.squeeze`). */
export function squeeze(x: Tensor, ...args: Optional<[dim: number | readonly number[]]>): Tensor {
  const { dim } = parameters<{ dim?: number | readonly number[] }>("squeeze", ["dim"], args);
  // An empty list names no dimension here, unlike in reductions.
  const dims = Array.isArray(dim) && dim.length === 0 ? [] : normalizeDims(dim, x.dim(), "squeeze");
  return apply(squeezeOp, [x], { dims, named: dim !== undefined });
}

/** With a new dimension of size 1 at `dim` (`torch.unsqueeze`). */
export function unsqueeze(x: Tensor, ...args: [dim: number] | [options: { dim: number }]): Tensor {
  const { dim } = parameters<{ dim: number }>("unsqueeze", ["dim"], args);
  return apply(unsqueezeOp, [x], { dim });
}

// --- order of dimensions ---------------------------------------------------------------------------------------------

/** Dimensions in another order (`torch.permute`). */
export function permute(x: Tensor, ...dims: (number | readonly number[])[]): Tensor {
  return apply(permuteOp, [x], { dims: sizesOf(dims) });
}

/** Two dimensions exchanged (`torch.transpose`). */
export function transpose(
  x: Tensor,
  ...args: [dim0: number, dim1: number] | [options: { dim0: number; dim1: number }]
): Tensor {
  const { dim0, dim1 } = parameters<{ dim0: number; dim1: number }>("transpose", ["dim0", "dim1"], args);
  return apply(transposeOp, [x], { dim0, dim1 });
}

/** A matrix transposed; vectors and 0-dim tensors as they are (`torch.t`). */
export function t(x: Tensor): Tensor {
  return apply(tOp, [x], {});
}

/** Dimensions `source` moved to the places `destination`; the others keep their order (`torch.movedim`). */
export function movedim(
  x: Tensor,
  source: number | readonly number[],
  destination: number | readonly number[],
): Tensor {
  const [sources, destinations] = [source, destination].map((dims) => (Array.isArray(dims) ? dims : [dims]) as number[]);
  if (sources.length !== destinations.length) {
    throw new ShapeError(
      `movedim: Invalid source or destination dims: source (${listed(sources)} dims) should contain the same number ` +
        `of dims as destination (${listed(destinations)} dims)`,
      { op: "movedim" },
    );
  }
  const places = (dims: readonly number[], name: string): number[] => {
    const list = dims.map((dim) => normalizeDim(dim, x.dim(), "movedim"));
    if (new Set(list).size !== list.length)
      throw new ShapeError(`movedim: repeated dim in \`${name}\` (${listed(dims)})`, { op: "movedim" });
    return list;
  };
  const from = places(sources, "source");
  const to = places(destinations, "destination");
  if (x.dim() === 0) return x;
  const rest = x.shape.map((_, dim) => dim).filter((dim) => !from.includes(dim));
  const order = x.shape.map((_, place) => (to.includes(place) ? from[to.indexOf(place)] : (rest.shift() ?? 0)));
  return permute(x, order);
}

// --- in place --------------------------------------------------------------------------------------------------------

/**
 * Makes `x` itself the view that `look` takes of it. @throws AutogradError on a leaf that requires a gradient, or a
 * view
 */
function become(x: Tensor, op: string, look: (x: Tensor) => Tensor): Tensor {
  if (isGradEnabled() && hasHistory(x)) assertWritable(x, op);
  if (x.view$ !== undefined) {
    throw new AutogradError(`${op}() cannot change the shape of a tensor that is a view of another one`, {
      op,
      remedy: `Use the out-of-place form, without the underscore.`,
    });
  }
  const fresh = look(x);
  const { edge } = fresh;
  x.setHistory(undefined, 0);
  x.replaceValue(fresh.value);
  if (edge !== undefined) x.setHistory(edge.node, edge.slot);
  return x;
}

export const inPlaceMethods = {
  squeeze_: (x: Tensor, ...args: Optional<[dim: number | readonly number[]]>): Tensor =>
    become(x, "squeeze_", () => squeeze(x, ...args)),
  unsqueeze_: (x: Tensor, dim: number): Tensor => become(x, "unsqueeze_", () => unsqueeze(x, dim)),
  t_: (x: Tensor): Tensor => become(x, "t_", () => t(x)),
  transpose_: (x: Tensor, dim0: number, dim1: number): Tensor =>
    become(x, "transpose_", () => transpose(x, dim0, dim1)),
  swapaxes_: (x: Tensor, dim0: number, dim1: number): Tensor => become(x, "swapaxes_", () => transpose(x, dim0, dim1)),
};

/** Whether two tensors have the same shape. */
export function isSameSize(x: Tensor, other: Tensor): boolean {
  return sameShape(x.shape, other.shape);
}

export const methods = {
  view, viewAs, reshape, reshapeAs, flatten, unflatten, ravel, expand, expandAs, broadcastTo, squeeze, unsqueeze,
  permute, transpose, swapaxes: transpose, swapdims: transpose, t, movedim, moveaxis: movedim, isSameSize,
};

/** Fields of `Tensor` that are views. */
export const getters = {
  /** Dimensions in reverse order. */
  T: (x: Tensor): Tensor =>
    permute(
      x,
      x.shape.map((_, dim) => x.dim() - 1 - dim),
    ),
  /** The last two dimensions exchanged. */
  mT: (x: Tensor): Tensor => {
    if (x.dim() === 0) return x;
    if (x.dim() < 2) {
      throw new ShapeError(`tensor.mT is only supported on matrices or batches of matrices. Got ${x.dim()}-D tensor.`, {
        op: "mT",
      });
    }
    return transpose(x, -2, -1);
  },
};

/** Views of a part of a tensor (one place, a slice, a diagonal, windows), and copies with such a part replaced. */
import { ShapeError, ValueError } from "../errors.ts";
import { assertWhole, parameters } from "../arguments.ts";
import { normalizeDim } from "../tensor/shape.ts";
import { isTensor } from "../tensor/tensor.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { apply } from "./dispatch.ts";
import { defineAdjoint, defineScatter, defineView } from "./kinds/view.ts";
import type { ViewOp } from "./kinds/view.ts";
import type { Optional } from "./signatures.ts";
import { dimOf, inputShape, keepAll, listed } from "./view.ts";

// --- entries ---------------------------------------------------------------------------------------------------------

export interface SelectAttrs {
  readonly dim: number;
  readonly index: number;
}

export const selectOp: ViewOp<SelectAttrs> = defineView("select", {
  map: (shape, attrs) => {
    const dim = dimOf(shape, attrs.dim, "select");
    const index = attrs.index < 0 ? attrs.index + shape[dim] : attrs.index;
    if (!Number.isInteger(index) || index < 0 || index >= shape[dim]) {
      throw new ShapeError(
        `select(): index ${attrs.index} out of range for tensor of size ${listed(shape)} at dimension ${dim}`,
        {
          op: "select",
        },
      );
    }
    return { dims: keepAll(shape).toSpliced(dim, 1), start: shape.map((_, d) => (d === dim ? index : 0)) };
  },
  grad: { a: (g, saved, of) => apply(selectBackward, [g], { shape: inputShape(saved), of }) },
});

export interface SliceAttrs {
  readonly dim: number;
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

/** `x[..., start:end:step]` along one dimension; bounds are clamped as in Python. */
export const sliceOp: ViewOp<SliceAttrs> = defineView("slice", {
  map: (shape, { dim: given, start, end, step }) => {
    const dim = dimOf(shape, given, "slice");
    if (!Number.isInteger(step) || step <= 0) throw new ValueError("slice step must be positive", { op: "slice" });
    const size = shape[dim];
    const clamped = (index: number, least: number): number =>
      Math.min(Math.max(index < 0 ? index + size : index, least), size);
    const from = clamped(start, 0);
    const to = clamped(end, from);
    return {
      dims: keepAll(shape).with(dim, { size: Math.ceil((to - from) / step), along: [{ dim, step }] }),
      start: shape.map((_, d) => (d === dim ? from : 0)),
    };
  },
  grad: { a: (g, saved, of) => apply(sliceBackward, [g], { shape: inputShape(saved), of }) },
});

export interface DiagonalAttrs {
  readonly offset: number;
  readonly dim1: number;
  readonly dim2: number;
}

export const diagonalOp: ViewOp<DiagonalAttrs> = defineView("diagonal", {
  map: (shape, { offset, dim1: given1, dim2: given2 }) => {
    const dim1 = normalizeDim(given1, shape.length, "diagonal");
    const dim2 = normalizeDim(given2, shape.length, "diagonal");
    if (dim1 === dim2)
      throw new ShapeError(`diagonal dimensions cannot be identical ${given1}, ${given2}`, { op: "diagonal" });
    const length =
      offset >= 0 ? Math.min(shape[dim1], shape[dim2] - offset) : Math.min(shape[dim1] + offset, shape[dim2]);
    const along = [
      { dim: dim1, step: 1 },
      { dim: dim2, step: 1 },
    ];
    return {
      dims: [...keepAll(shape).filter((_, dim) => dim !== dim1 && dim !== dim2), { size: Math.max(length, 0), along }],
      start:
        length <= 0
          ? undefined
          : shape.map((_, d) => (d === dim1 ? Math.max(-offset, 0) : d === dim2 ? Math.max(offset, 0) : 0)),
    };
  },
  grad: { a: (g, saved, of) => apply(diagonalBackward, [g], { shape: inputShape(saved), of }) },
});

export interface UnfoldAttrs {
  readonly dim: number;
  readonly size: number;
  readonly step: number;
}

export const unfoldOp: ViewOp<UnfoldAttrs> = defineView("unfold", {
  map: (shape, { dim: given, size, step }) => {
    const dim = normalizeDim(given, shape.length, "unfold");
    const whole = shape[dim] ?? 1;
    if (size < 0) throw new ValueError(`size is ${size} but must be >= 0`, { op: "unfold" });
    if (size > whole)
      throw new ShapeError(`maximum size for tensor at dimension ${dim} is ${whole} but size is ${size}`, {
        op: "unfold",
      });
    if (step <= 0) throw new ValueError(`step is ${step} but must be > 0`, { op: "unfold" });
    if (shape.length === 0) return { dims: [{ size, along: [] }] };
    const windows = { size: Math.floor((whole - size) / step) + 1, along: [{ dim, step }] };
    return { dims: [...keepAll(shape).with(dim, windows), { size, along: [{ dim, step: 1 }] }] };
  },
  grad: { a: (g, saved, of) => apply(unfoldBackward, [g], { shape: inputShape(saved), of }) },
});

const selectBackward = defineAdjoint(selectOp);
const sliceBackward = defineAdjoint(sliceOp);
export const diagonalBackward = defineAdjoint(diagonalOp);
const unfoldBackward = defineAdjoint(unfoldOp, true);
const selectScatterOp = defineScatter(selectOp);
const sliceScatterOp = defineScatter(sliceOp);
const diagonalScatterOp = defineScatter(diagonalOp);

// --- parts -----------------------------------------------------------------------------------------------------------

/** The part at `index` of `dim`, without that dimension (`torch.select`). */
export function select(x: Tensor, dim: number, index: number): Tensor {
  return apply(selectOp, [x], { dim, index });
}

/** `x[start:end:step]` along `dim` as a view; undefined bounds reach to the ends. */
export function sliceAlong(x: Tensor, dim: number, start?: number, end?: number, step = 1): Tensor {
  return apply(sliceOp, [x], sliceAttrs(dim, start, end, step));
}

function sliceAttrs(dim: number, start = 0, end = Number.MAX_SAFE_INTEGER, step = 1): SliceAttrs {
  return { dim, start, end, step };
}

/** `length` places of `dim` from `start` on (`torch.narrow`). A start that is a tensor is read, which waits. */
export function narrow(x: Tensor, dim: number, start: number | Tensor, length: number): Tensor {
  if (x.dim() === 0) throw new ShapeError("narrow() cannot be applied to a 0-dim tensor.", { op: "narrow" });
  assertWhole("narrow", "length", length);
  if (length < 0) throw new ValueError("narrow(): length must be non-negative.", { op: "narrow" });
  const at = normalizeDim(dim, x.dim(), "narrow");
  const size = x.shape[at];
  const given = isTensor(start) ? Number(start.itemSync()) : start;
  assertWhole("narrow", "start", given);
  if (given < -size || given > size) {
    throw new ShapeError(`Dimension out of range (expected to be in range of [${-size}, ${size}], but got ${given})`, {
      op: "narrow",
    });
  }
  const from = given < 0 ? given + size : given;
  if (from + length > size)
    throw new ShapeError(`start (${from}) + length (${length}) exceeds dimension size (${size}).`, { op: "narrow" });
  return apply(sliceOp, [x], { dim: at, start: from, end: from + length, step: 1 });
}

export function narrowCopy(x: Tensor, dim: number, start: number, length: number): Tensor {
  return narrow(x, dim, start, length).clone();
}

/** The diagonal over two dimensions, as the last dimension (`torch.diagonal`). */
export function diagonal(x: Tensor, ...args: Optional<[offset: number, dim1: number, dim2: number]>): Tensor {
  return apply(diagonalOp, [x], diagonalAttrs(args));
}

function diagonalAttrs(args: readonly unknown[]): DiagonalAttrs {
  const {
    offset = 0,
    dim1 = 0,
    dim2 = 1,
  } = parameters<Partial<DiagonalAttrs>>("diagonal", ["offset", "dim1", "dim2"], args);
  return { offset, dim1, dim2 };
}

/**
 * Windows of `size` places, `step` apart, along `dimension`; the window is the last dimension (`torch.Tensor.unfold`).
 */
export function unfold(x: Tensor, dimension: number, size: number, step: number): Tensor {
  return apply(unfoldOp, [x], { dim: dimension, size, step });
}

// --- copies with a part replaced -------------------------------------------------------------------------------------

/** A copy of `x` with `src` at `index` of `dim` (`torch.select_scatter`). */
export function selectScatter(x: Tensor, src: Tensor, dim: number, index: number): Tensor {
  return apply(selectScatterOp, [x, src], { dim, index });
}

/** A copy of `x` with `src` in `start:end:step` of `dim` (`torch.slice_scatter`). */
export function sliceScatter(
  x: Tensor,
  src: Tensor,
  ...args: Optional<[dim: number, start: number, end: number, step: number]>
): Tensor {
  const names = ["dim", "start", "end", "step"] as const;
  const { dim = 0, start, end, step } = parameters<Partial<SliceAttrs>>("sliceScatter", names, args);
  return apply(sliceScatterOp, [x, src], sliceAttrs(dim, start, end, step));
}

/** A copy of `x` with `src` on a diagonal (`torch.diagonal_scatter`). */
export function diagonalScatter(
  x: Tensor,
  src: Tensor,
  ...args: Optional<[offset: number, dim1: number, dim2: number]>
): Tensor {
  return apply(diagonalScatterOp, [x, src], diagonalAttrs(args));
}

export const methods = {
  select, narrow, narrowCopy, diagonal, unfold, selectScatter, sliceScatter, diagonalScatter,
};

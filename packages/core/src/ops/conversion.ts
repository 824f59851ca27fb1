/** Copies: into another dtype, into memory of their own, over another tensor. */
import { DTypeError, ShapeError } from "../errors.ts";
import { shown } from "../arguments.ts";
import { isTensor } from "../tensor/tensor.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { apply, applyTo } from "./dispatch.ts";
import { none, tensorOperand } from "./elementwise.ts";
import { fillOp } from "./generate.ts";
import { defineElementwise } from "./kinds/elementwise.ts";
import type { ElementwiseOp } from "./kinds/elementwise.ts";
import type { Op } from "./op.ts";

function conversion(dtype: DType): ElementwiseOp {
  return defineElementwise(`to ${dtype}`, {
    gradName: "ToCopy",
    kernel: (a) => a,
    type: (promoted) => ({ compute: promoted, result: dtype }),
    grad: { a: (g) => g },
  });
}

const conversions: Readonly<Record<DType, ElementwiseOp>> = {
  float32: conversion("float32"),
  float64: conversion("float64"),
  int32: conversion("int32"),
  int64: conversion("int64"),
  uint8: conversion("uint8"),
  bool: conversion("bool"),
};

/** The tensor in another dtype; the tensor itself when it has that dtype. */
export function toDType(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : apply(conversions[dtype], [x], none);
}

export const cloneOp = defineElementwise("clone", { kernel: (a) => a, grad: { a: (g) => g } });

/** A copy with memory of its own, contiguous. Differentiable. */
export function clone(x: Tensor): Tensor {
  return apply(cloneOp, [x], none);
}

/** The tensor itself if it is contiguous, else a contiguous copy. */
export function contiguous(x: Tensor): Tensor {
  return x.isContiguous() ? x : clone(x);
}

/** The gradient of what was overwritten. */
function cleared(g: Tensor): Tensor {
  return apply(fillInPlaceOp, [g], [0]);
}

const overwrite = defineElementwise("copy", { kernel: (_a, b) => b, gradName: "Copy", grad: { a: cleared, b: (g) => g } });

/** Writes `b` over `a` (`copy_`). `a` lends only its shape and its place in the graph: its contents are not read. */
const copyOp: Op<readonly number[]> = {
  ...overwrite,
  run: (inputs, params, outputs, target) => cloneOp.run([inputs[1]], params, outputs, target),
};

const constantOver = defineElementwise("fill", {
  operands: 1,
  kernel: (_a, value) => value,
  overload: () => 2,
  grad: { a: cleared },
});

/** Writes one number over `a` (`fill_`); as in `copyOp`, the contents of `a` are not read. */
const fillInPlaceOp: Op<readonly number[]> = {
  ...constantOver,
  run([x], [value], [meta], target) {
    return fillOp.run([x], { shape: meta.shape, dtype: meta.dtype, params: [value] }, [meta], target);
  },
};

/** `fill_(0)`, which autograd knows by a name of its own. */
const zeroInPlaceOp: Op<readonly number[]> = { ...fillInPlaceOp, gradName: "Zero", overload: undefined };

/** @throws DTypeError for what is no number */
function filler(op: string, value: unknown): number {
  if (typeof value === "number" || typeof value === "boolean" || typeof value === "bigint") return Number(value);
  throw new DTypeError(`${op}(): argument 'value' must be Tensor or number, not ${shown(value)}`, { op });
}

/** A tensor like `x` with every element one number, given as such or as a 0-dim tensor (`torch.fill`). */
export function fill(x: Tensor, value: number | boolean | Tensor): Tensor {
  if (!isTensor(value)) return apply(fillInPlaceOp, [x], [filler("fill", value)]);
  if (value.dim() !== 0) {
    throw new ShapeError(`fill only supports 0-dimension value tensor but got tensor with ${value.dim()} dimensions.`, { op: "fill" });
  }
  return clone(toDType(value, x.dtype).expand(x.shape));
}

// --- methods --------------------------------------------------------------------------------------------------------------------

export const methods = { clone, contiguous };

/** Methods that write to their tensor. */
export const inPlaceMethods = {
  /** Overwrites with `source`, broadcast, converted and brought from its device. */
  copy_(x: Tensor, source: Tensor): Tensor {
    tensorOperand("copy_", source, "src");
    const moved = source.device === x.device ? source : source.to(x.device);
    return applyTo(copyOp, x, [x, toDType(moved, x.dtype)], none);
  },
  /** Overwrites every element with one number. */
  fill_(x: Tensor, value: number | boolean | Tensor): Tensor {
    return isTensor(value) ? x.copy_(value) : applyTo(fillInPlaceOp, x, [x], [filler("fill_", value)]);
  },
  zero_(x: Tensor): Tensor {
    return applyTo(zeroInPlaceOp, x, [x], [0]);
  },
};

/**
 * `asStrided`: any look at a storage; its gradient; and what autograd needs for writes through views, which is made of
 * it.
 */
import { setViewOps } from "../autograd/views.ts";
import { InternalError, ShapeError, ValueError } from "../errors.ts";
import { itemSize } from "../tensor/dtype.ts";
import type { DType } from "../tensor/dtype.ts";
import { contiguousStrides, sameShape } from "../tensor/shape.ts";
import type { Shape } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { LocalValue, Storage } from "../tensor/value.ts";
import type { Meta, Value } from "../tensor/value.ts";
import { apply } from "./dispatch.ts";
import { defineView, viewOf } from "./kinds/view.ts";
import { addInto, fillWith } from "./moves.ts";
import { gradientLookup } from "./op.ts";
import type { Op } from "./op.ts";

/** How the elements of a tensor lie in its storage. */
interface Layout {
  readonly strides: readonly number[];
  readonly offset: number;
}

export interface StridedAttrs {
  readonly size: Shape;
  readonly stride: readonly number[];
  /** Elements from the start of the storage. */
  readonly offset: number;
  /** The input's own layout: the gradient needs to know which of its elements a place in the storage is. */
  readonly input: Layout;
}

const asStridedOp = defineView<StridedAttrs>("asStrided", {
  shape: (_, { size, stride, offset }) => {
    if (size.length !== stride.length)
      throw new ShapeError("mismatch in length of strides and shape", { op: "asStrided" });
    if (stride.some((step) => step < 0)) {
      throw new ShapeError(
        `as_strided: Negative strides are not supported at the moment, got strides: [${stride.join(", ")}]`,
        { op: "asStrided" },
      );
    }
    if (offset < 0) throw new ValueError(`Tensor: invalid storage offset ${offset}`, { op: "asStrided" });
    return size;
  },
  geometry: (_, { size, stride, offset }) => ({ shape: size, strides: stride, offset }),
  grad: { a: (g, { inputs: [input] }, of) => apply(asStridedBackward, [g], { shape: (input as Meta).shape, of }) },
});

interface AdjointAttrs {
  readonly shape: Shape;
  readonly of: StridedAttrs;
}

/** Adds the gradient up in a storage laid out as the input's was. */
const asStridedBackward: Op<AdjointAttrs> = {
  name: "asStridedBackward",
  kind: "view",
  gradName: "AsStridedBackward",
  isView: false,
  outputs: 1,
  gradientOf: gradientLookup<AdjointAttrs>({
    a: (g, _, { of }) =>
      apply(asStridedOp, [inLayout(g, of.input.strides)], { ...of, offset: of.offset - of.input.offset }),
  }),
  infer: ([g], { shape }) => [{ shape, dtype: (g as Meta).dtype }],

  run([g], { shape, of }): LocalValue[] {
    const from = g as LocalValue;
    const whole = allocateIn(from, from.dtype, shape, of.input.strides);
    fillWith(whole, 0);
    addInto(from, viewOf(whole, { shape: of.size, strides: of.stride, offset: of.offset - of.input.offset }));
    return [whole];
  },
};

/** Memory for a tensor of this shape with these strides, from the start of a storage of its own. */
function allocateIn({ device }: Value, dtype: DType, shape: Shape, strides: readonly number[]): LocalValue {
  let span = 1;
  strides.forEach((stride, dim) => (span += stride * Math.max(shape[dim] - 1, 0)));
  return new LocalValue(new Storage(device, span * itemSize(dtype)), dtype, shape, strides, 0);
}

/** A differentiable copy of `g` with these strides. */
function inLayout(g: Tensor, strides: readonly number[]): Tensor {
  const whole = new Tensor(allocateIn(g.value, g.dtype, g.shape, strides));
  return whole.copy_(g);
}

function localOf(x: Tensor): LocalValue {
  if (x.value instanceof LocalValue) return x.value;
  throw new InternalError(`asStrided() takes local tensors only, not ${x.value.executor.name} ones`, {
    op: "asStrided",
  });
}

/** Any sizes and strides over the tensor's storage, in elements (`torch.as_strided`). */
export function asStrided(
  x: Tensor,
  size: readonly number[],
  stride: readonly number[],
  storageOffset?: number,
): Tensor {
  const { strides, offset } = localOf(x);
  return apply(asStridedOp, [x], { size, stride, offset: storageOffset ?? offset, input: { strides, offset } });
}

/** A copy of `x` with `src` in the place that `size` and `stride` name (`torch.as_strided_scatter`). */
export function asStridedScatter(
  x: Tensor,
  src: Tensor,
  size: readonly number[],
  stride: readonly number[],
  storageOffset = 0,
): Tensor {
  if (!sameShape(src.shape, size)) {
    throw new ShapeError(
      `expected src to have a size equal to the slice of self. src size = [${src.shape.join(", ")}], slice size = ` +
        `[${size.join(", ")}]`,
      { op: "asStridedScatter" },
    );
  }
  const whole = inLayout(x, contiguousStrides(x.shape));
  asStrided(whole, size, stride, storageOffset).copy_(src);
  return whole;
}

setViewOps({
  sliceOf(g, base, view) {
    if (!(base instanceof LocalValue) || !(view instanceof LocalValue)) return { whole: g.clone(), part: undefined };
    const whole = inLayout(g, base.strides);
    return { whole, part: asStrided(whole, view.shape, view.strides, view.offset - base.offset) };
  },

  copyInto(part, source) {
    if (source === undefined) part.zero_();
    else part.copy_(source);
  },
});

export const methods = { asStrided, asStridedScatter };

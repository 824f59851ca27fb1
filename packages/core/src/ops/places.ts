/** Several dimensions at once, by index tensors that are broadcast and stacked (advanced.ts does that); flat places. */
import { DTypeError, ShapeError } from "../errors.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { LocalValue, Meta } from "../tensor/value.ts";
import { apply, applyTo } from "./dispatch.ts";
import { assertIndexType, assertSameType, defineIndex, zerosFor } from "./kinds/index.ts";
import type { IndexOp, Lookup } from "./kinds/index.ts";
import { from } from "./op.ts";

const listed = (shape: Shape): string => `[${shape.join(", ")}]`;

interface Several {
  /** The indexed dimensions, ascending; the index operand has one slice (along its first dimension) for each. */
  readonly dims: readonly number[];
}

/** Where the dimensions of the indices stand in the result: in the place of neighbours, else in front. */
function placeOf(dims: readonly number[]): number {
  return dims.every((dim, i) => dim === dims[0] + i) ? dims[0] : 0;
}

function indexedShape(self: Shape, index: Shape, dims: readonly number[]): Shape {
  return self.filter((_, dim) => !dims.includes(dim)).toSpliced(placeOf(dims), 0, ...index.slice(1));
}

/** Strides of `looked` and of the index slices over the space of the result. */
function severalLookups(
  looked: LocalValue,
  index: LocalValue,
  dims: readonly number[],
): { free: number[]; lookups: Lookup[] } {
  const place = placeOf(dims);
  const own = index.strides.slice(1);
  const free = looked.strides.filter((_, dim) => !dims.includes(dim));
  const still = free.map(() => 0);
  return {
    free: free.toSpliced(place, 0, ...own.map(() => 0)),
    lookups: dims.map((dim, i) => ({
      value: index,
      shift: i * index.strides[0],
      strides: still.toSpliced(place, 0, ...own),
      size: looked.shape[dim],
      step: looked.strides[dim],
    })),
  };
}

/** `x[i, :, j]` with index tensors; `b` holds all of them, stacked. */
export const indexOp: IndexOp<Several> = defineIndex("index", {
  startsFrom: "nothing",
  infer: ([a, b], { dims }) => ({
    shape: indexedShape((a as Meta).shape, (b as Meta).shape, dims),
    dtype: (a as Meta).dtype,
  }),
  moves: ([a, b], { dims }, out) => {
    const { free, lookups } = severalLookups(a as LocalValue, b as LocalValue, dims);
    return [
      {
        space: out.shape,
        lookups,
        side: "source",
        source: { value: a as LocalValue, strides: free },
        target: { value: out, strides: out.strides },
        wraps: true,
      },
    ];
  },
  lookedUp: (_, { dims }) => dims,
  grad: {
    a: from("b", (g, saved, { dims }) => {
      const zeros = zerosFor(g, saved);
      return applyTo(indexPutOp, zeros, [zeros, saved.b, g], { dims, accumulate: true });
    }),
  },
});

interface PutAttrs extends Several {
  readonly accumulate: boolean;
}

/** `x[i, :, j] = value` with index tensors, or `+=`. */
export const indexPutOp: IndexOp<PutAttrs> = defineIndex("indexPut", {
  startsFrom: "input",
  infer: ([a, b, values], { dims }) => {
    const self = a as Meta;
    const place = indexedShape(self.shape, (b as Meta).shape, dims);
    if (typeof values !== "number" && values.dtype !== self.dtype) {
      throw new DTypeError(
        `Index put requires the source and destination dtypes match, got ${self.dtype} for the destination and ` +
          `${values.dtype} for the source.`,
        { op: "indexPut" },
      );
    }
    if (typeof values !== "number" && !broadcastsTo(values.shape, place)) {
      throw new ShapeError(
        `shape mismatch: value tensor of shape ${listed(values.shape)} cannot be broadcast to indexing result of ` +
          `shape ${listed(place)}`,
        {
          op: "indexPut",
        },
      );
    }
    return self;
  },
  moves: ([, b, values], { dims, accumulate }, out) => {
    const index = b as LocalValue;
    const space = indexedShape(out.shape, index.shape, dims);
    const { free, lookups } = severalLookups(out, index, dims);
    return [
      {
        space,
        lookups,
        side: "target",
        source: typeof values === "number" ? values : { value: values, strides: repeated(values, space) },
        target: { value: out, strides: free },
        wraps: true,
        combine: accumulate ? "add" : undefined,
      },
    ];
  },
  lookedUp: (_, { dims }) => dims,
  grad: {
    a: from("b", (g, { b }, { dims, accumulate }) =>
      accumulate ? g : apply(indexPutOp, [g, b, 0], { dims, accumulate: false }),
    ),
    c: from("b", (g, { b }, { dims }) => apply(indexOp, [g, b], { dims })),
  },
});

function broadcastsTo(shape: Shape, target: Shape): boolean {
  const lead = target.length - shape.length;
  return lead >= 0 && shape.every((size, d) => size === 1 || size === target[lead + d]);
}

function repeated({ shape, strides }: LocalValue, target: Shape): number[] {
  const lead = target.length - shape.length;
  return target.map((_, d) => (d < lead || shape[d - lead] === 1 ? 0 : strides[d - lead]));
}

/** Elements of `x`, as if flat, in the shape of `index` (`torch.take`). Negative indices count from the end. */
export function take(x: Tensor, index: Tensor): Tensor {
  assertIndexType("take", index.value);
  return apply(indexOp, [x.reshape(-1), index.unsqueeze(0)], { dims: [0] });
}

/** Whether what is written is added: a flag, or an option by name. */
export type Accumulate = boolean | { readonly accumulate?: boolean };

/** `x` with `source` where `index` says, as if flat; `accumulate` adds (`torch.put`). */
export function put(
  x: Tensor,
  index: Tensor,
  source: Tensor,
  accumulate: Accumulate = false,
): Tensor {
  assertIndexType("put_", index.value);
  assertSameType("put_", x.value, source.value, "source");
  if (index.numel() !== source.numel()) {
    throw new ShapeError(
      "put_(): Expected source and index to have the same number of elements, but got source.numel() = " +
        `${source.numel()}, index.numel() = ${index.numel()}`,
      {
        op: "put",
      },
    );
  }
  const adds = typeof accumulate === "boolean" ? accumulate : (accumulate.accumulate ?? false);
  return apply(indexPutOp, [x.reshape(-1), index.reshape(1, -1), source.reshape(-1)], {
    dims: [0],
    accumulate: adds,
  }).view(x.shape);
}

export const methods = { take, put };

export const inPlaceMethods = {
  put_: (x: Tensor, index: Tensor, source: Tensor, accumulate: Accumulate = false): Tensor =>
    x.copy_(put(x, index, source, accumulate)),
};

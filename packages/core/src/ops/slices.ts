/**
 * Along one dimension, with an index for each slice: selections, and writes to the slices that a vector of indices
 * names.
 */
import { ShapeError } from "../errors.ts";
import type { DType } from "../tensor/dtype.ts";
import { normalizeDim, sameShape } from "../tensor/shape.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { LocalValue, Meta } from "../tensor/value.ts";
import { apply, applyTo } from "./dispatch.ts";
import { alongAxis, assertIndexType, assertSameType, atLeast1d, defineIndex, lifted, zerosFor } from "./kinds/index.ts";
import type { Along, Combine, IndexEntry, IndexOp } from "./kinds/index.ts";
import { from } from "./op.ts";
import { scatterReduce } from "./scatter.ts";
import type { ScatterReduction } from "./scatter.ts";

const listed = (shape: Shape): string => `[${shape.join(", ")}]`;

const indexSelectOp: IndexOp<Along> = defineIndex("indexSelect", {
  startsFrom: "nothing",
  infer: ([a, b], attrs) => {
    const [self, index] = [a as Meta, b as Meta];
    if (index.shape.length > 1)
      throw new ShapeError("index_select(): Index is supposed to be a vector", { op: "indexSelect" });
    assertIndexType("indexSelect", index, "int32");
    const dim = normalizeDim(attrs.dim, self.shape.length, "indexSelect");
    return { shape: self.shape.length === 0 ? [] : self.shape.with(dim, atLeast1d(index.shape)[0]), dtype: self.dtype };
  },
  moves: ([a, b], attrs, out) => {
    const [source, target] = [lifted(a as LocalValue), lifted(out)];
    const dim = normalizeDim(attrs.dim, source.shape.length);
    return [
      {
        space: target.shape,
        lookups: [alongAxis(b as LocalValue, target.shape.length, dim, source)],
        side: "source",
        source: { value: source, strides: source.strides.with(dim, 0) },
        target: { value: target, strides: target.strides },
      },
    ];
  },
  lookedUp: (shape, { dim }) => [normalizeDim(dim, shape.length)],
  grad: { a: from("b", (g, saved, { dim }) => zerosFor(g, saved).indexAdd_(dim, saved.b, g)) },
});

interface AddAttrs extends Along {
  readonly alpha: number;
}

const indexAddOp: IndexOp<AddAttrs> = defineIndex("indexAdd", {
  ...slicesEntry<AddAttrs>("indexAdd", "int32", ({ alpha }) =>
    alpha === 1 ? { combine: "add" } : { combine: "add", scale: alpha },
  ),
  grad: {
    a: (g) => g,
    c: from("b", (g, saved, { dim, alpha }) => {
      const read = g.indexSelect(dim, saved.b).reshape((saved.inputs[2] as Meta).shape);
      return alpha === 1 ? read : read.mul(alpha);
    }),
  },
});

const indexCopyOp: IndexOp<Along> = defineIndex("indexCopy", {
  ...slicesEntry<Along>("indexCopy", undefined, () => ({})),
  grad: {
    a: from("b", (g, { b }, { dim }) => g.indexFill(dim, b, 0)),
    c: from("b", (g, saved, { dim }) => g.indexSelect(dim, saved.b).reshape((saved.inputs[2] as Meta).shape)),
  },
});

/** Slices of a source, each written to the slice that the index names. */
function slicesEntry<A extends Along>(
  name: "indexAdd" | "indexCopy",
  also: DType | undefined,
  how: (attrs: A) => { readonly combine?: Combine; readonly scale?: number },
): Omit<IndexEntry<A>, "grad"> {
  return {
    startsFrom: "input",
    infer: ([a, b, c], attrs) => {
      const [self, index, source] = [a as Meta, b as Meta, c as Meta];
      const dim = normalizeDim(attrs.dim, self.shape.length, name);
      assertSlices(name, self, index, source, dim);
      assertIndexType(`${name}_`, index, also);
      assertSameType(`${name}_`, self, source, "source");
      return self;
    },
    moves: ([, b, c], attrs, out) => {
      const [source, target] = [lifted(c as LocalValue), lifted(out)];
      const dim = normalizeDim(attrs.dim, target.shape.length);
      return [
        {
          space: source.shape,
          lookups: [alongAxis(b as LocalValue, source.shape.length, dim, target)],
          side: "target",
          source: { value: source, strides: source.strides },
          target: { value: target, strides: target.strides.with(dim, 0) },
          ...how(attrs),
        },
      ];
    },
    lookedUp: (shape, { dim }) => [normalizeDim(dim, shape.length)],
  };
}

function assertSlices(
  name: "indexAdd" | "indexCopy" | "indexReduce",
  self: Meta,
  index: Meta,
  source: Meta,
  dim: number,
): void {
  const fail = (message: string): ShapeError => new ShapeError(`${name}_(): ${message}`, { op: name });
  const [own, given, [count]] = [atLeast1d(self.shape), atLeast1d(source.shape), atLeast1d(index.shape)];
  if (index.shape.length > 1) {
    throw fail(
      name === "indexAdd"
        ? `Index is supposed to be a vector, but got dim: ${index.shape.length}`
        : `Index should have dimension 1 or 0 (got ${index.shape.length})`,
    );
  }
  if (own.length !== given.length) {
    throw fail(
      "When source and destination are not scalars, their dimensionality must match. Source dimensionality " +
        `(${source.shape.length}), ` +
        `destination dimensionality (${self.shape.length})`,
    );
  }
  if (count !== given[dim]) {
    throw fail(
      source.shape.length === 0
        ? `When source is scalar, index should have one element (got ${count})`
        : `Number of indices (${count}) should be equal to source.size(dim): (${given[dim]})`,
    );
  }
  if (!sameShape(own.toSpliced(dim, 1), given.toSpliced(dim, 1))) {
    throw fail(
      "Source/destination tensor must have same slice shapes, excluding the specified dimension. Destination shape: " +
        `${listed(self.shape)} ` +
        `source shape: ${listed(source.shape)}`,
    );
  }
}

const indexFillOp: IndexOp<Along> = defineIndex("indexFill", {
  startsFrom: "input",
  infer: ([a, b, value], { dim }) => {
    const [self, index] = [a as Meta, b as Meta];
    assertIndexType("indexFill_", index);
    if (index.shape.length > 1) throw new ShapeError("Index has to be a vector/scalar", { op: "indexFill" });
    if (typeof value !== "number" && value.shape.length > 0) {
      throw new ShapeError(
        `index_fill_ only supports a 0-dimensional value tensor, but got tensor with ${value.shape.length} ` +
          "dimension(s).",
        { op: "indexFill" },
      );
    }
    normalizeDim(dim, self.shape.length, "indexFill");
    return self;
  },
  moves: ([, b, value], attrs, out) => {
    const [index, target] = [b as LocalValue, lifted(out)];
    const dim = normalizeDim(attrs.dim, target.shape.length);
    const space = target.shape.with(dim, atLeast1d(index.shape)[0]);
    return [
      {
        space,
        lookups: [alongAxis(index, space.length, dim, target)],
        side: "target",
        source: typeof value === "number" ? value : { value, strides: space.map(() => 0) },
        target: { value: target, strides: target.strides.with(dim, 0) },
        wraps: true,
      },
    ];
  },
  lookedUp: (shape, { dim }) => [normalizeDim(dim, shape.length)],
  grad: {
    a: from("b", (g, { b }, { dim }) => g.indexFill(dim, b, 0)),
    c: from("b", (g, { b }, { dim }) => g.indexSelect(dim, b).sum()),
  },
});

/** Booleans count as 0 and 1. */
function plain(value: Tensor | number | boolean): Tensor | number {
  return typeof value === "boolean" ? Number(value) : value;
}

export interface AddOptions {
  readonly alpha?: number | boolean;
}

/** Slices of `x` along `dim` in the order of a vector of indices (`torch.index_select`). */
export function indexSelect(x: Tensor, dim: number, index: Tensor): Tensor {
  return apply(indexSelectOp, [x, index], { dim });
}

/** `x` with slices of `source` times `alpha` added to the slices that `index` names (`torch.index_add`). */
export function indexAdd(x: Tensor, dim: number, index: Tensor, source: Tensor, options: AddOptions = {}): Tensor {
  return apply(indexAddOp, [x, index, source], { dim, alpha: Number(options.alpha ?? 1) });
}

/** `x` with slices of `source` in place of those that `index` names (`torch.index_copy`). */
export function indexCopy(x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor {
  return apply(indexCopyOp, [x, index, source], { dim });
}

/** `x` with one value (a number or a 0-dim tensor) in the slices that `index` names (`torch.index_fill`). */
export function indexFill(x: Tensor, dim: number, index: Tensor, value: Tensor | number | boolean): Tensor {
  return apply(indexFillOp, [x, index, plain(value)], { dim });
}

/** As `scatterReduce`, by slices (`torch.index_reduce`). */
export function indexReduce(
  x: Tensor,
  dim: number,
  index: Tensor,
  source: Tensor,
  reduce: Exclude<ScatterReduction, "sum">,
  options: { readonly includeSelf?: boolean } = {},
): Tensor {
  const at = normalizeDim(dim, x.dim(), "indexReduce");
  assertSlices("indexReduce", x.value, index.value, source.value, at);
  assertSameType("indexReduce_", x.value, source.value, "source");
  const places = index
    .reshape(source.shape.map((_, d) => (d === at ? -1 : 1)))
    .to("int64")
    .expand(source.shape);
  return scatterReduce(x, at, places, source, reduce, options);
}

export const methods = { indexSelect, indexAdd, indexCopy, indexFill, indexReduce };

type ReduceArguments = [
  dim: number,
  index: Tensor,
  source: Tensor,
  reduce: "prod" | "mean" | "amax" | "amin",
  options?: { readonly includeSelf?: boolean },
];

export const inPlaceMethods = {
  indexAdd_: (x: Tensor, dim: number, index: Tensor, source: Tensor, options: AddOptions = {}): Tensor =>
    applyTo(indexAddOp, x, [x, index, source], { dim, alpha: Number(options.alpha ?? 1) }),
  indexCopy_: (x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor =>
    applyTo(indexCopyOp, x, [x, index, source], { dim }),
  indexFill_: (x: Tensor, dim: number, index: Tensor, value: Tensor | number | boolean): Tensor =>
    applyTo(indexFillOp, x, [x, index, plain(value)], { dim }),
  indexReduce_: (x: Tensor, ...args: ReduceArguments): Tensor => x.copy_(indexReduce(x.clone(), ...args)),
};

/** Ops that read or write where index tensors say: gather, scatter, selections by index, embeddings. */
import { noGrad } from "../autograd/mode.ts";
import { DTypeError, ShapeError, ValueError } from "../errors.ts";
import { normalizeDim, sameShape } from "../tensor/shape.ts";
import type { Shape } from "../tensor/shape.ts";
import { isFloat } from "../tensor/dtype.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { LocalValue, Meta } from "../tensor/value.ts";
import { parameters } from "./arguments.ts";
import { apply, applyTo } from "./dispatch.ts";
import { defineIndex } from "./kinds/index.ts";
import type { Combine, IndexEntry, IndexOp, Lookup } from "./kinds/index.ts";
import { viewOf } from "./kinds/view.ts";
import { from } from "./op.ts";
import type { Saved } from "./op.ts";
import type { Optional } from "./signatures.ts";

const listed = (shape: Shape): string => `[${shape.join(", ")}]`;
const shapeOfInput = ({ inputs: [input] }: Saved): Shape => (input as Meta).shape;
const atLeast1d = (shape: Shape): Shape => (shape.length === 0 ? [1] : shape);

/** A 0-dim value as a vector of one element: indexed ops take it so. */
function lifted(value: LocalValue): LocalValue {
  return value.shape.length > 0 ? value : viewOf(value, { shape: [1], strides: [1], offset: value.offset });
}

/** A 1-dim index along one axis of a space. */
function alongAxis(index: LocalValue, rank: number, axis: number, looked: LocalValue): Lookup {
  const strides = new Array<number>(rank).fill(0);
  strides[axis] = lifted(index).strides[0];
  return { value: index, strides, size: looked.shape[axis], step: looked.strides[axis] };
}

function assertIndexType(op: string, { dtype }: Meta, also?: DType): void {
  if (dtype === "int64" || dtype === also) return;
  throw new DTypeError(`${op}(): Expected dtype ${also === undefined ? "int64" : `${also} or int64`} for index`, {
    op,
    remedy: `The index is ${dtype}: convert it with .to("int64").`,
  });
}

function assertSameType(op: string, self: Meta, source: Meta | number, name = "src"): void {
  if (typeof source === "number" || source.dtype === self.dtype) return;
  throw new DTypeError(`${op}(): self and ${name} expected to have the same dtype, but got (self) ${self.dtype} and (${name}) ${source.dtype}`, { op });
}

// --- along one dimension, one index for each element --------------------------------------------------------------------------

interface Along {
  readonly dim: number;
}

export const gatherOp: IndexOp<Along> = defineIndex("gather", {
  startsFrom: "nothing",
  infer: ([a, index], attrs) => {
    const [self, at] = [a as Meta, index as Meta];
    if (!at.shape.includes(0)) assertIndexType("gather", at);
    const dim = normalizeDim(attrs.dim, self.shape.length, "gather");
    const [own, wanted] = [atLeast1d(self.shape), atLeast1d(at.shape)];
    if (!wanted.includes(0)) {
      if (own.length !== wanted.length) throw new ShapeError("Index tensor must have the same number of dimensions as input tensor", { op: "gather" });
      wanted.forEach((size, d) => {
        if (d === dim || size <= own[d]) return;
        throw new ShapeError(
          `Size does not match at dimension ${d} expected index ${listed(at.shape)} to be smaller than self ${listed(self.shape)} apart from dimension ${dim}`,
          { op: "gather" },
        );
      });
    }
    return { shape: at.shape, dtype: self.dtype };
  },
  moves: ([a, b], attrs, out) => {
    const [source, index, target] = [lifted(a as LocalValue), lifted(b as LocalValue), lifted(out)];
    const dim = normalizeDim(attrs.dim, source.shape.length);
    return [
      {
        space: index.shape,
        lookups: [{ value: index, strides: index.strides, size: source.shape[dim], step: source.strides[dim] }],
        side: "source",
        source: { value: source, strides: source.strides.with(dim, 0) },
        target: { value: target, strides: target.strides },
      },
    ];
  },
  lookedUp: (shape, { dim }) => [normalizeDim(dim, shape.length)],
  grad: { a: from("b", (g, saved, { dim }) => zerosFor(g, saved).scatterAdd_(dim, saved.b, g)) },
});

function zerosFor(g: Tensor, saved: Saved): Tensor {
  return g.newZeros(shapeOfInput(saved));
}

/** The scatters differ in how what arrives joins what is there. */
function scatterEntry(name: string, combine?: Combine): Omit<IndexEntry<Along>, "grad"> {
  return {
    startsFrom: "input",
    infer: ([a, index, src], { dim }) => {
      const [self, at] = [a as Meta, index as Meta];
      if (typeof src !== "number" && src.dtype !== self.dtype) {
        throw new DTypeError(`${name}(): Expected self.dtype to be equal to src.dtype`, { op: name });
      }
      if (!at.shape.includes(0)) assertIndexType(name, at);
      assertScatters(name, self, at, src, normalizeDim(dim, self.shape.length, name));
      return self;
    },
    moves: ([, b, c], attrs, out) => {
      const [index, target] = [lifted(b as LocalValue), lifted(out)];
      const dim = normalizeDim(attrs.dim, target.shape.length);
      const source = typeof c === "number" ? c : lifted(c);
      return [
        {
          space: index.shape,
          lookups: [{ value: index, strides: index.strides, size: target.shape[dim], step: target.strides[dim] }],
          side: "target",
          source: typeof source === "number" ? source : { value: source, strides: source.strides },
          target: { value: target, strides: target.strides.with(dim, 0) },
          combine,
        },
      ];
    },
    lookedUp: (shape, { dim }) => [normalizeDim(dim, shape.length)],
  };
}

function assertScatters(op: string, self: Meta, index: Meta, src: Meta | number, dim: number): void {
  const [own, at] = [atLeast1d(self.shape), atLeast1d(index.shape)];
  if (at.includes(0)) return;
  if (own.length !== at.length) throw new ShapeError("Index tensor must have the same number of dimensions as self tensor", { op });
  const given = typeof src === "number" ? undefined : atLeast1d(src.shape);
  const fits = at.every((size, d) => (d === dim || size <= own[d]) && (given === undefined || size <= given[d]));
  if (given !== undefined && given.length !== at.length) {
    throw new ShapeError("Index tensor must have the same number of dimensions as src tensor", { op });
  }
  if (fits) return;
  const bound = given === undefined ? "" : ` and to be smaller size than src ${listed(given)}`;
  throw new ShapeError(`Expected index ${listed(index.shape)} to be smaller than self ${listed(self.shape)} apart from dimension ${dim}${bound}`, { op });
}

export const scatterOp: IndexOp<Along> = defineIndex("scatter", {
  ...scatterEntry("scatter"),
  grad: {
    a: from("b", (g, { b }, { dim }) => g.scatter(dim, b, 0)),
    c: from("b", (g, saved, { dim }) => fitted(g.gather(dim, saved.b), saved)),
  },
});

export const scatterAddOp: IndexOp<Along> = defineIndex("scatterAdd", {
  ...scatterEntry("scatterAdd", "add"),
  grad: { a: (g) => g, c: from("b", (g, saved, { dim }) => fitted(g.gather(dim, saved.b), saved)) },
});

/** A source may be larger than the index that reads it: what was not read has gradient 0. */
function fitted(gradient: Tensor, { inputs }: Saved): Tensor {
  const { shape } = inputs[2] as Meta;
  if (sameShape(gradient.shape, shape)) return gradient;
  const whole = gradient.newZeros(shape);
  let part = whole;
  gradient.shape.forEach((size, dim) => (part = part.narrow(dim, 0, size)));
  part.copy_(gradient);
  return whole;
}

function scatterExtreme(name: string, combine: "max" | "min"): IndexOp<Along> {
  return defineIndex(name, {
    ...scatterEntry(name, combine),
    gradName: "ScatterReduce",
    grad: {
      a: from("aby", (g, { a, b, c, y }, { dim }) => shareOfExtreme(g, a, b, c, y, dim).mul(a.eq(y).to(g.dtype))),
      c: from("abcy", (g, saved, { dim }) => {
        const { a, b, c, y } = saved;
        const read = readPart(c, b);
        const mine = read.eq(y.gather(dim, b)).to(g.dtype);
        return fitted(shareOfExtreme(g, a, b, c, y, dim).gather(dim, b).mul(mine), saved);
      }),
    },
  });
}

/** The part of a source that an index of this shape reads. */
function readPart(source: Tensor, index: Tensor): Tensor {
  let part = source;
  index.shape.forEach((size, dim) => {
    if (size !== source.shape[dim]) part = part.narrow(dim, 0, size);
  });
  return part;
}

/** The gradient, shared among all that are the greatest (or least). */
function shareOfExtreme(g: Tensor, self: Tensor, index: Tensor, src: Tensor, result: Tensor, dim: number): Tensor {
  const winners = readPart(src, index).eq(result.gather(dim, index)).to(g.dtype);
  return g.div(self.eq(result).to(g.dtype).scatterAdd(dim, index, winners));
}

const scatterMaxOp = scatterExtreme("scatterMax", "max");
const scatterMinOp = scatterExtreme("scatterMin", "min");

export const scatterMultiplyOp: IndexOp<Along> = defineIndex("scatterMultiply", {
  ...scatterEntry("scatterMultiply", "mul"),
  gradName: "ScatterReduce",
  grad: {
    // A factor of 0 is left out of the product instead of being divided by.
    a: from("abc", (g, { a, b, c }, { dim }) => {
      const nonzero = a.maskedFill(a.eq(0), 1);
      return g.mul(apply(scatterMultiplyOp, [nonzero, b, c], { dim })).div(nonzero);
    }),
    c: from("abcy", (g, saved, { dim }) => {
      const { a, b, y } = saved;
      const src = readPart(saved.c, b);
      const zero = src.eq(0);
      const zeros = g.newZeros(a.shape).scatterAdd(dim, b, zero.to(g.dtype)).gather(dim, b);
      const onlyZero = zero.logicalAnd(zeros.eq(1));
      const without = apply(scatterMultiplyOp, [a, b, src.maskedFill(onlyZero, 1)], { dim });
      const others = g.mul(y).gather(dim, b).div(src.maskedFill(zero, 1));
      return fitted(others.where(onlyZero.logicalNot(), g.mul(without).gather(dim, b)), saved);
    }),
  },
});

// --- along one dimension, one index for each slice ----------------------------------------------------------------------------

export const indexSelectOp: IndexOp<Along> = defineIndex("indexSelect", {
  startsFrom: "nothing",
  infer: ([a, b], attrs) => {
    const [self, index] = [a as Meta, b as Meta];
    if (index.shape.length > 1) throw new ShapeError("index_select(): Index is supposed to be a vector", { op: "indexSelect" });
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

export const indexAddOp: IndexOp<AddAttrs> = defineIndex("indexAdd", {
  ...slicesEntry<AddAttrs>("indexAdd", "int32", ({ alpha }) => (alpha === 1 ? { combine: "add" } : { combine: "add", scale: alpha })),
  grad: {
    a: (g) => g,
    c: from("b", (g, saved, { dim, alpha }) => {
      const read = g.indexSelect(dim, saved.b).reshape((saved.inputs[2] as Meta).shape);
      return alpha === 1 ? read : read.mul(alpha);
    }),
  },
});

export const indexCopyOp: IndexOp<Along> = defineIndex("indexCopy", {
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

function assertSlices(name: "indexAdd" | "indexCopy" | "indexReduce", self: Meta, index: Meta, source: Meta, dim: number): void {
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
      `When source and destination are not scalars, their dimensionality must match. Source dimensionality (${source.shape.length}), ` +
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
      `Source/destination tensor must have same slice shapes, excluding the specified dimension. Destination shape: ${listed(self.shape)} ` +
        `source shape: ${listed(source.shape)}`,
    );
  }
}

export const indexFillOp: IndexOp<Along> = defineIndex("indexFill", {
  startsFrom: "input",
  infer: ([a, b, value], { dim }) => {
    const [self, index] = [a as Meta, b as Meta];
    assertIndexType("indexFill_", index);
    if (index.shape.length > 1) throw new ShapeError("Index has to be a vector/scalar", { op: "indexFill" });
    if (typeof value !== "number" && value.shape.length > 0) {
      throw new ShapeError(
        `index_fill_ only supports a 0-dimensional value tensor, but got tensor with ${value.shape.length} dimension(s).`,
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

// --- several dimensions at once -----------------------------------------------------------------------------------------------

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
function severalLookups(looked: LocalValue, index: LocalValue, dims: readonly number[]): { free: number[]; lookups: Lookup[] } {
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
  infer: ([a, b], { dims }) => ({ shape: indexedShape((a as Meta).shape, (b as Meta).shape, dims), dtype: (a as Meta).dtype }),
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
        `Index put requires the source and destination dtypes match, got ${self.dtype} for the destination and ${values.dtype} for the source.`,
        { op: "indexPut" },
      );
    }
    if (typeof values !== "number" && !broadcastsTo(values.shape, place)) {
      throw new ShapeError(`shape mismatch: value tensor of shape ${listed(values.shape)} cannot be broadcast to indexing result of shape ${listed(place)}`, {
        op: "indexPut",
      });
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
    a: from("b", (g, { b }, { dims, accumulate }) => (accumulate ? g : apply(indexPutOp, [g, b, 0], { dims, accumulate: false }))),
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

// --- embedding ----------------------------------------------------------------------------------------------------------------

interface EmbeddingAttrs {
  /** A row that gets no gradient. */
  readonly paddingIdx?: number;
  /** Divide gradients by how often a row was used. */
  readonly scaleGradByFreq?: boolean;
}

export const embeddingOp: IndexOp<EmbeddingAttrs> = defineIndex("embedding", {
  startsFrom: "nothing",
  infer: ([a, b]) => {
    const [weight, index] = [a as Meta, b as Meta];
    if (weight.shape.length !== 2) throw new ShapeError("'weight' must be 2-D", { op: "embedding" });
    assertIndexType("embedding", index, "int32");
    return { shape: [...index.shape, weight.shape[1]], dtype: weight.dtype };
  },
  moves: ([a, b], _, out) => embeddingRows(a as LocalValue, b as LocalValue, out),
  lookedUp: () => [0],
  grad: {
    a: from("b", (g, saved, { paddingIdx, scaleGradByFreq }) => {
      const [rows] = shapeOfInput(saved);
      const gradient = scaleGradByFreq === true ? g.div(frequencies(saved.b, rows, g).unsqueeze(-1)) : g;
      return apply(embeddingBackward, [gradient, saved.b], { rows, paddingIdx });
    }),
  },
});

/** For each index how often it occurs, as numbers of `like`'s dtype. */
function frequencies(index: Tensor, rows: number, like: Tensor): Tensor {
  const flat = index.reshape(-1);
  return like.newZeros([rows]).indexAdd(0, flat, like.newOnes(flat.shape)).indexSelect(0, flat).reshape(index.shape);
}

/** Rows of `weight` by index; rows at `ignored` are 0. */
function embeddingRows(weight: LocalValue, index: LocalValue, out: LocalValue, ignored?: number): ReturnType<IndexEntry<unknown>["moves"]> {
  return [
    {
      space: out.shape,
      lookups: [{ value: index, strides: [...index.strides, 0], size: weight.shape[0], step: weight.strides[0] }],
      side: "source",
      source: { value: weight, strides: [...index.strides.map(() => 0), weight.strides[1]] },
      target: { value: out, strides: out.strides },
      ignored,
    },
  ];
}

interface EmbeddingBackwardAttrs extends EmbeddingAttrs {
  readonly rows: number;
}

const embeddingBackward: IndexOp<EmbeddingBackwardAttrs> = defineIndex("embeddingBackward", {
  startsFrom: "zeros",
  infer: ([g], { rows }) => ({ shape: [rows, (g as Meta).shape.at(-1) ?? 1], dtype: (g as Meta).dtype }),
  moves: ([g, b], { paddingIdx }, out) => {
    const [gradient, index] = [g as LocalValue, b as LocalValue];
    return [
      {
        space: gradient.shape,
        lookups: [{ value: index, strides: [...index.strides, 0], size: out.shape[0], step: out.strides[0] }],
        side: "target",
        source: { value: gradient, strides: gradient.strides },
        target: { value: out, strides: [...index.strides.map(() => 0), out.strides[1]] },
        combine: "add",
        ignored: paddingIdx,
      },
    ];
  },
  lookedUp: () => [],
  grad: { a: from("b", (g, { b }, { paddingIdx }) => apply(embeddingBackwardBackward, [g, b], { paddingIdx })) },
});

/** As the embedding, with zeros at the padding. */
const embeddingBackwardBackward: IndexOp<EmbeddingAttrs> = defineIndex("embeddingBackwardBackward", {
  ...embeddingOp.entry,
  moves: ([a, b], { paddingIdx }, out) => embeddingRows(a as LocalValue, b as LocalValue, out, paddingIdx),
});

// --- functions ----------------------------------------------------------------------------------------------------------------

/** `out[i][j] = x[index[i][j]][j]` for `dim` 0, and alike for others (`torch.gather`). `index` is int64. */
export function gather(x: Tensor, dim: number, index: Tensor): Tensor {
  return apply(gatherOp, [x, index], { dim });
}

/** Booleans count as 0 and 1. */
function plain(value: Tensor | number | boolean): Tensor | number {
  return typeof value === "boolean" ? Number(value) : value;
}

type ScatterArguments = Optional<[src: Tensor | number | boolean, reduce: "add" | "multiply"]>;

/** A copy of `x` with `src` (a tensor or a number) written where `index` says (`torch.scatter`); `reduce` adds or multiplies instead. */
export function scatter(x: Tensor, dim: number, index: Tensor, ...args: ScatterArguments): Tensor {
  const { src, reduce } = scatterSource(args);
  if (reduce === undefined) return apply(scatterOp, [x, index, src], { dim });
  return apply(reduce === "add" ? scatterAddOp : scatterMultiplyOp, [x, index, src], { dim });
}

function scatter_(x: Tensor, dim: number, index: Tensor, ...args: ScatterArguments): Tensor {
  const { src, reduce } = scatterSource(args);
  const op = reduce === undefined ? scatterOp : reduce === "add" ? scatterAddOp : scatterMultiplyOp;
  return applyTo(op, x, [x, index, src], { dim });
}

function scatterSource(args: ScatterArguments): { src: Tensor | number; reduce?: "add" | "multiply" } {
  type Given = { src?: Tensor | number | boolean; reduce?: "add" | "multiply"; value?: Tensor | number | boolean };
  const { src, value, reduce } = parameters<Given>("scatter", ["src", "reduce", "value"], args);
  const given = src ?? value;
  if (given === undefined) throw new ValueError("scatter() needs a source: a tensor or a number", { op: "scatter" });
  if (reduce !== undefined && reduce !== "add" && reduce !== "multiply") {
    throw new ValueError("reduce argument must be either add or multiply.", { op: "scatter" });
  }
  return { src: plain(given), reduce };
}

/** As `scatter`, adding to what is there (`torch.scatter_add`). */
export function scatterAdd(x: Tensor, dim: number, index: Tensor, src: Tensor): Tensor {
  return apply(scatterAddOp, [x, index, src], { dim });
}

export type ScatterReduction = "sum" | "prod" | "mean" | "amax" | "amin";

/** As `scatter`, joining all that meets in one place, with what was there unless `includeSelf` is false (`torch.scatter_reduce`). */
export function scatterReduce(
  x: Tensor,
  dim: number,
  index: Tensor,
  src: Tensor,
  reduce: ScatterReduction,
  options: { readonly includeSelf?: boolean } = {},
): Tensor {
  const { includeSelf = true } = options;
  const op = reductions[reduce];
  if (op === undefined) throw new ValueError("reduce argument must be either sum, prod, mean, amax or amin.", { op: "scatterReduce" });
  const start = includeSelf ? x : startOfReduction(x, dim, index, src, reduce);
  const result = apply(op, [start, index, src], { dim });
  if (reduce !== "mean") return result;
  const untouched = includeSelf ? x.newOnes(x.shape) : x.newZeros(x.shape);
  const counts = untouched.scatterAdd(dim, index, src.newOnes(src.shape)).clampMin(1);
  return isFloat(x.dtype) ? result.div(counts) : result.floorDivide(counts);
}

const reductions: Readonly<Record<ScatterReduction, IndexOp<Along>>> = {
  sum: scatterAddOp,
  mean: scatterAddOp,
  prod: scatterMultiplyOp,
  amax: scatterMaxOp,
  amin: scatterMinOp,
};

/** `x` with places that the index names holding what does not change the reduction. */
function startOfReduction(x: Tensor, dim: number, index: Tensor, src: Tensor, reduce: ScatterReduction): Tensor {
  if (reduce === "sum" || reduce === "mean") return scatter(x, dim, index, 0);
  if (reduce === "prod") return scatter(x, dim, index, 1);
  // Whole numbers have no infinity; one of the candidates will do.
  return scatter(x, dim, index, isFloat(x.dtype) ? (reduce === "amax" ? -Infinity : Infinity) : src);
}

/** Slices of `x` along `dim` in the order of a vector of indices (`torch.index_select`). */
export function indexSelect(x: Tensor, dim: number, index: Tensor): Tensor {
  return apply(indexSelectOp, [x, index], { dim });
}

/** `x` with slices of `source` times `alpha` added to the slices that `index` names (`torch.index_add`). */
export function indexAdd(x: Tensor, dim: number, index: Tensor, source: Tensor, options: { readonly alpha?: number | boolean } = {}): Tensor {
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
  const places = index.reshape(source.shape.map((_, d) => (d === at ? -1 : 1))).to("int64").expand(source.shape);
  return scatterReduce(x, at, places, source, reduce, options);
}

/** Elements of `x`, as if flat, in the shape of `index` (`torch.take`). Negative indices count from the end. */
export function take(x: Tensor, index: Tensor): Tensor {
  assertIndexType("take", index.value);
  return apply(indexOp, [x.reshape(-1), index.unsqueeze(0)], { dims: [0] });
}

/** `x` with `source` where `index` says, as if flat; `accumulate` adds (`torch.put`). */
export function put(x: Tensor, index: Tensor, source: Tensor, accumulate: boolean | { readonly accumulate?: boolean } = false): Tensor {
  assertIndexType("put_", index.value);
  assertSameType("put_", x.value, source.value, "source");
  if (index.numel() !== source.numel()) {
    throw new ShapeError(`put_(): Expected source and index to have the same number of elements, but got source.numel() = ${source.numel()}, index.numel() = ${index.numel()}`, {
      op: "put",
    });
  }
  const adds = typeof accumulate === "boolean" ? accumulate : (accumulate.accumulate ?? false);
  return apply(indexPutOp, [x.reshape(-1), index.reshape(1, -1), source.reshape(-1)], { dims: [0], accumulate: adds }).view(x.shape);
}

/** `gather` in which the other dimensions broadcast; without `dim`, as if both were flat (`torch.take_along_dim`). */
export function takeAlongDim(x: Tensor, indices: Tensor, ...args: Optional<[dim: number]>): Tensor {
  const { dim } = parameters<{ dim?: number }>("takeAlongDim", ["dim"], args);
  if (indices.dtype !== "int64") throw new DTypeError(`torch.take_along_dim(): dtype of indices should be Long but got ${indices.dtype}`, { op: "takeAlongDim" });
  if (dim === undefined) return x.reshape(-1).gather(0, indices.reshape(-1));
  if (x.dim() !== indices.dim()) {
    throw new ShapeError(
      `torch.take_along_dim(): input and indices should have the same number of dimensions, but got ${x.dim()} dimensions for input, and ${indices.dim()} dimensions for indices`,
      { op: "takeAlongDim" },
    );
  }
  const at = normalizeDim(dim, x.dim(), "takeAlongDim");
  const common = x.shape.map((size, d) => (size === 1 ? indices.shape[d] : size));
  return gather(x.expand(common.with(at, x.shape[at])), at, indices.expand(common.with(at, indices.shape[at])));
}

export interface EmbeddingOptions {
  /** A row that gets no gradient; negative counts from the end. */
  readonly paddingIdx?: number;
  /** Rows in use with a greater norm are scaled down to it, in place. */
  readonly maxNorm?: number;
  /** The p of that norm; default 2. */
  readonly normType?: number;
  /** Divide gradients by how often a row is used. */
  readonly scaleGradByFreq?: boolean;
}

/**
 * Rows of `weight` [rows, features] by index: [...input.shape, features] (`F.embedding`).
 * @throws ValueError for a paddingIdx out of range
 */
export function embedding(input: Tensor, weight: Tensor, ...args: Optional<[paddingIdx: number, maxNorm: number, normType: number, scaleGradByFreq: boolean]>): Tensor {
  const names = ["paddingIdx", "maxNorm", "normType", "scaleGradByFreq"] as const;
  const { paddingIdx, maxNorm, normType = 2, scaleGradByFreq } = parameters<EmbeddingOptions>("embedding", names, args);
  const rows = weight.shape[0] ?? 0;
  if (paddingIdx !== undefined && (paddingIdx >= rows || paddingIdx < -rows)) {
    throw new ValueError("Padding_idx must be within num_embeddings", { op: "embedding" });
  }
  if (maxNorm !== undefined) noGrad(() => renormalize(weight, input, maxNorm, normType));
  const padding = paddingIdx !== undefined && paddingIdx < 0 ? paddingIdx + rows : paddingIdx;
  return apply(embeddingOp, [weight, input], { paddingIdx: padding, scaleGradByFreq });
}

/** Scales rows of `weight` that `index` names down to a norm of at most `maxNorm`. */
function renormalize(weight: Tensor, index: Tensor, maxNorm: number, normType: number): void {
  const norms = weight.abs().pow(normType).sum(1).pow(1 / normType);
  const used = norms.newZeros(norms.shape).indexFill(0, index.reshape(-1).to("int64"), 1);
  const factors = norms.add(1e-7).reciprocal().mul(maxNorm).sub(1).mul(norms.gt(maxNorm).to(norms.dtype)).mul(used).add(1);
  weight.mul_(factors.unsqueeze(1));
}

export const methods = {
  gather, scatter, scatterAdd, scatterReduce, indexSelect, indexAdd, indexCopy, indexFill, indexReduce, take, put, takeAlongDim,
};

export const inPlaceMethods = {
  scatter_,
  scatterAdd_: (x: Tensor, dim: number, index: Tensor, src: Tensor): Tensor => applyTo(scatterAddOp, x, [x, index, src], { dim }),
  scatterReduce_: (x: Tensor, ...args: Rest<typeof scatterReduce>): Tensor => x.copy_(scatterReduce(x, ...args)),
  indexAdd_: (x: Tensor, dim: number, index: Tensor, source: Tensor, options: { readonly alpha?: number | boolean } = {}): Tensor =>
    applyTo(indexAddOp, x, [x, index, source], { dim, alpha: Number(options.alpha ?? 1) }),
  indexCopy_: (x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor => applyTo(indexCopyOp, x, [x, index, source], { dim }),
  indexFill_: (x: Tensor, dim: number, index: Tensor, value: Tensor | number | boolean): Tensor =>
    applyTo(indexFillOp, x, [x, index, plain(value)], { dim }),
  indexReduce_: (x: Tensor, ...args: Rest<typeof indexReduce>): Tensor => x.copy_(indexReduce(x, ...args)),
  put_: (x: Tensor, ...args: Rest<typeof put>): Tensor => x.copy_(put(x, ...args)),
};

type Rest<F extends (x: Tensor, ...args: never[]) => Tensor> = F extends (x: Tensor, ...args: infer A) => Tensor ? A : never;

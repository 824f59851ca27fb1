/**
 * Along one dimension, with an index for each element: gather, and the scatters, which differ in how what meets is
 * joined.
 */
import { DTypeError, ShapeError, ValueError } from "../errors.ts";
import { isFloat } from "../tensor/dtype.ts";
import { normalizeDim, sameShape } from "../tensor/shape.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { LocalValue, Meta } from "../tensor/value.ts";
import { parameters } from "../arguments.ts";
import { apply, applyTo } from "./dispatch.ts";
import { assertIndexType, atLeast1d, defineIndex, lifted, zerosFor } from "./kinds/index.ts";
import type { Along, Combine, IndexEntry, IndexOp } from "./kinds/index.ts";
import { from } from "./op.ts";
import type { Saved } from "./op.ts";
import type { Optional } from "./signatures.ts";

const listed = (shape: Shape): string => `[${shape.join(", ")}]`;

const gatherOp: IndexOp<Along> = defineIndex("gather", {
  startsFrom: "nothing",
  infer: ([a, index], attrs) => {
    const [self, at] = [a as Meta, index as Meta];
    if (!at.shape.includes(0)) assertIndexType("gather", at);
    const dim = normalizeDim(attrs.dim, self.shape.length, "gather");
    const [own, wanted] = [atLeast1d(self.shape), atLeast1d(at.shape)];
    if (!wanted.includes(0)) {
      if (own.length !== wanted.length)
        throw new ShapeError("Index tensor must have the same number of dimensions as input tensor", { op: "gather" });
      wanted.forEach((size, d) => {
        if (d === dim || size <= own[d]) return;
        throw new ShapeError(
          `Size does not match at dimension ${d} expected index ${listed(at.shape)} to be smaller than self ` +
            `${listed(self.shape)} apart from dimension ${dim}`,
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
  if (own.length !== at.length)
    throw new ShapeError("Index tensor must have the same number of dimensions as self tensor", { op });
  const given = typeof src === "number" ? undefined : atLeast1d(src.shape);
  const fits = at.every((size, d) => (d === dim || size <= own[d]) && (given === undefined || size <= given[d]));
  if (given !== undefined && given.length !== at.length) {
    throw new ShapeError("Index tensor must have the same number of dimensions as src tensor", { op });
  }
  if (fits) return;
  const bound = given === undefined ? "" : ` and to be smaller size than src ${listed(given)}`;
  throw new ShapeError(
    `Expected index ${listed(index.shape)} to be smaller than self ${listed(self.shape)} apart from dimension ` +
      `${dim}${bound}`,
    { op },
  );
}

const scatterOp: IndexOp<Along> = defineIndex("scatter", {
  ...scatterEntry("scatter"),
  grad: {
    a: from("b", (g, { b }, { dim }) => g.scatter(dim, b, 0)),
    c: from("b", (g, saved, { dim }) => fitted(g.gather(dim, saved.b), saved)),
  },
});

const scatterAddOp: IndexOp<Along> = defineIndex("scatterAdd", {
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
      a: from("abcy", (g, { a, b, c, y }, { dim }) => shareOfExtreme(g, a, b, c, y, dim).mul(a.eq(y).to(g.dtype))),
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

const scatterMultiplyOp: IndexOp<Along> = defineIndex("scatterMultiply", {
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

/** `out[i][j] = x[index[i][j]][j]` for `dim` 0, and alike for others (`torch.gather`). `index` is int64. */
export function gather(x: Tensor, dim: number, index: Tensor): Tensor {
  return apply(gatherOp, [x, index], { dim });
}

type ScatterArguments = Optional<[src: Tensor | number | boolean, reduce: "add" | "multiply"]>;

/**
 * A copy of `x` with `src` (a tensor or a number) written where `index` says (`torch.scatter`); `reduce` adds or
 * multiplies instead.
 */
export function scatter(x: Tensor, dim: number, index: Tensor, ...args: ScatterArguments): Tensor {
  const { src, reduce } = scatterSource(args);
  if (reduce === undefined) return apply(scatterOp, [x, index, src], { dim });
  return apply(reduce === "add" ? scatterAddOp : scatterMultiplyOp, [x, index, src], { dim });
}

function scatter_(x: Tensor, dim: number, index: Tensor, ...args: ScatterArguments): Tensor {
  const { src, reduce } = scatterSource(args);
  // The gradient of a product needs the factors as they were.
  if (reduce === "multiply") return x.copy_(apply(scatterMultiplyOp, [x.clone(), index, src], { dim }));
  return applyTo(reduce === "add" ? scatterAddOp : scatterOp, x, [x, index, src], { dim });
}

function scatterSource(args: ScatterArguments): { src: Tensor | number; reduce?: "add" | "multiply" } {
  type Given = { src?: Tensor | number | boolean; reduce?: "add" | "multiply"; value?: Tensor | number | boolean };
  const { src, value, reduce } = parameters<Given>("scatter", ["src", "reduce", "value"], args);
  const given = src ?? value;
  if (given === undefined) throw new ValueError("scatter() needs a source: a tensor or a number", { op: "scatter" });
  if (reduce !== undefined && reduce !== "add" && reduce !== "multiply") {
    throw new ValueError("reduce argument must be either add or multiply.", { op: "scatter" });
  }
  return { src: typeof given === "boolean" ? Number(given) : given, reduce };
}

/** As `scatter`, adding to what is there (`torch.scatter_add`). */
export function scatterAdd(x: Tensor, dim: number, index: Tensor, src: Tensor): Tensor {
  return apply(scatterAddOp, [x, index, src], { dim });
}

export type ScatterReduction = "sum" | "prod" | "mean" | "amax" | "amin";

/**
 * As `scatter`, joining all that meets in one place, with what was there unless `includeSelf` is false
 * (`torch.scatter_reduce`).
 */
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
  if (op === undefined)
    throw new ValueError("reduce argument must be either sum, prod, mean, amax or amin.", { op: "scatterReduce" });
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

/** `gather` in which the other dimensions broadcast; without `dim`, as if both were flat (`torch.take_along_dim`). */
export function takeAlongDim(x: Tensor, indices: Tensor, ...args: Optional<[dim: number]>): Tensor {
  const { dim } = parameters<{ dim?: number }>("takeAlongDim", ["dim"], args);
  if (indices.dtype !== "int64")
    throw new DTypeError(`torch.take_along_dim(): dtype of indices should be Long but got ${indices.dtype}`, {
      op: "takeAlongDim",
    });
  if (dim === undefined) return x.reshape(-1).gather(0, indices.reshape(-1));
  if (x.dim() !== indices.dim()) {
    throw new ShapeError(
      `torch.take_along_dim(): input and indices should have the same number of dimensions, but got ${x.dim()} ` +
        `dimensions for input, and ${indices.dim()} dimensions for indices`,
      { op: "takeAlongDim" },
    );
  }
  const at = normalizeDim(dim, x.dim(), "takeAlongDim");
  const common = x.shape.map((size, d) => (size === 1 ? indices.shape[d] : size));
  return gather(x.expand(common.with(at, x.shape[at])), at, indices.expand(common.with(at, indices.shape[at])));
}

export const methods = { gather, scatter, scatterAdd, scatterReduce, takeAlongDim };

type ReduceArguments = [
  dim: number,
  index: Tensor,
  src: Tensor,
  reduce: ScatterReduction,
  options?: { readonly includeSelf?: boolean },
];

export const inPlaceMethods = {
  scatter_,
  scatterAdd_: (x: Tensor, dim: number, index: Tensor, src: Tensor): Tensor =>
    applyTo(scatterAddOp, x, [x, index, src], { dim }),
  scatterReduce_: (x: Tensor, ...args: ReduceArguments): Tensor => x.copy_(scatterReduce(x.clone(), ...args)),
};

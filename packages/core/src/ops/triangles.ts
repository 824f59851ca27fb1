/** Triangles and diagonals of matrices. */
import { ShapeError } from "../errors.ts";
import { Graph } from "../kernel/build.ts";
import type { LoopKernel } from "../kernel/ir.ts";
import { tensor } from "../tensor/creation.ts";
import type { TensorOptions } from "../tensor/creation.ts";
import { normalizeDim, numelOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { allocate } from "../tensor/value.ts";
import type { LocalValue, Meta } from "../tensor/value.ts";
import { parameters } from "../arguments.ts";
import { apply } from "./dispatch.ts";
import { KernelCache, launch } from "./launch.ts";
import { lastStride } from "./moves.ts";
import { gradientLookup } from "./op.ts";
import type { Op } from "./op.ts";
import { rearrangement } from "./rearrangement.ts";
import type { Optional } from "./signatures.ts";
import { diagonalBackward } from "./parts.ts";

interface TriangleAttrs {
  readonly diagonal: number;
}

const triangleKernels = new KernelCache<string>();

function triangle(name: "tril" | "triu"): (x: Tensor, ...args: Optional<[diagonal: number]>) => Tensor {
  const op: Op<TriangleAttrs> = rearrangement<TriangleAttrs>(name, {
    infer([input]) {
      const { shape, dtype } = input as Meta;
      if (shape.length < 2) throw new ShapeError(`${name}: input tensor must have at least 2 dimensions`, { op: name });
      return [{ shape, dtype }];
    },
    run([a], { diagonal }, [meta], target) {
      const input = a as LocalValue;
      const out = target ?? allocate(input.device, meta.shape, meta.dtype);
      if (numelOf(meta.shape) === 0) return [out];
      const operands = [input, out];
      const inner = operands.map(({ strides }) => lastStride(strides));
      const key = `${name} ${meta.dtype} ${meta.shape.length} ${inner.join("/")}`;
      launch(
        triangleKernels.get(key, () => triangleKernel(name, meta, inner)),
        operands.map((value) => ({ value, strides: value.strides })),
        meta.shape,
        [diagonal],
      );
      return [out];
    },
    gradientOf: gradientLookup<TriangleAttrs>({ a: (g, _, attrs) => apply(op, [g], attrs) }),
  });
  return (x, ...args) => {
    const { diagonal = 0 } = parameters<{ diagonal?: number }>(name, ["diagonal"], args);
    return apply(op, [x], { diagonal });
  };
}

function triangleKernel(
  name: "tril" | "triu",
  { dtype, shape }: Meta,
  inner: readonly LoopKernel["inputs"][number]["inner"][],
): LoopKernel {
  const body = new Graph();
  const rank = shape.length;
  const above = body.axis(rank - 1).sub(body.axis(rank - 2));
  const diagonal = body.scalar(0, "int32");
  const kept = name === "tril" ? above.le(diagonal) : above.ge(diagonal);
  const value = kept.where(body.load(0, dtype), 0);
  return {
    kind: "loop",
    name,
    axes: rank,
    reduced: 0,
    inputs: [{ dtype, inner: inner[0] }],
    outputs: [{ dtype, inner: inner[1], overwrites: true }],
    scalars: ["int32"],
    body: body.nodes,
    accumulators: [],
    step: [],
    epilogue: [],
    stores: [{ output: 0, value: value.id, at: "body" }],
  };
}

/** Matrices with zeros above the given diagonal (`torch.tril`). */
export const tril = triangle("tril");
/** Matrices with zeros below the given diagonal (`torch.triu`). */
export const triu = triangle("triu");

/** Matrices that hold the last dimension on a diagonal (`torch.diag_embed`). */
export function diagEmbed(x: Tensor, ...args: Optional<[offset: number, dim1: number, dim2: number]>): Tensor {
  type Given = { offset?: number; dim1?: number; dim2?: number };
  const { offset = 0, dim1 = -2, dim2 = -1 } = parameters<Given>("diagEmbed", ["offset", "dim1", "dim2"], args);
  const rank = x.dim() + 1;
  const [a, b] = [normalizeDim(dim1, rank, "diagEmbed"), normalizeDim(dim2, rank, "diagEmbed")];
  if (a === b) throw new ShapeError(`diagonal dimensions cannot be identical ${dim1}, ${dim2}`, { op: "diagEmbed" });
  const size = (x.shape.at(-1) ?? 1) + Math.abs(offset);
  const shape = x.shape.slice(0, -1).toSpliced(Math.min(a, b), 0, size).toSpliced(Math.max(a, b), 0, size);
  return apply(diagonalBackward, [x], { shape, of: { offset, dim1: a, dim2: b } });
}

/** A matrix with the vector on its diagonal, or the diagonal of a matrix (`torch.diag`). */
export function diag(x: Tensor, ...args: Optional<[diagonal: number]>): Tensor {
  const { diagonal = 0 } = parameters<{ diagonal?: number }>("diag", ["diagonal"], args);
  if (x.dim() === 1) return diagEmbed(x, diagonal);
  if (x.dim() === 2) return x.diagonal(diagonal).clone();
  throw new ShapeError(`matrix or a vector expected`, { op: "diag" });
}

export function diagflat(x: Tensor, ...args: Optional<[offset: number]>): Tensor {
  const { offset = 0 } = parameters<{ offset?: number }>("diagflat", ["offset"], args);
  return diagEmbed(x.reshape(-1), offset);
}

/** Rows and columns of the lower triangle of a row x col matrix: int64 [2, n] (`torch.tril_indices`). */
export function trilIndices(
  row: number,
  col: number,
  offset = 0,
  options: Pick<TensorOptions, "dtype" | "device"> = {},
): Tensor {
  return triangleIndices(row, col, (i, j) => j - i <= offset, options);
}

/** Rows and columns of the upper triangle (`torch.triu_indices`). */
export function triuIndices(
  row: number,
  col: number,
  offset = 0,
  options: Pick<TensorOptions, "dtype" | "device"> = {},
): Tensor {
  return triangleIndices(row, col, (i, j) => j - i >= offset, options);
}

function triangleIndices(
  row: number,
  col: number,
  holds: (i: number, j: number) => boolean,
  options: TensorOptions,
): Tensor {
  const places: [number[], number[]] = [[], []];
  for (let i = 0; i < row; i++) {
    for (let j = 0; j < col; j++) {
      if (!holds(i, j)) continue;
      places[0].push(i);
      places[1].push(j);
    }
  }
  return tensor(places, { dtype: "int64", ...options });
}

export const methods = { tril, triu, diag, diagEmbed, diagflat };

export const inPlaceMethods = {
  tril_: (x: Tensor, ...args: Optional<[diagonal: number]>): Tensor => x.copy_(tril(x, ...args)),
  triu_: (x: Tensor, ...args: Optional<[diagonal: number]>): Tensor => x.copy_(triu(x, ...args)),
};

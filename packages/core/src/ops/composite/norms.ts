/**
 * Norms of matrices, and of whatever `torch.linalg.norm` is given. Orders that need singular values are not available.
 */
import { DTypeError, ShapeError, ValueError } from "../../errors.ts";
import { isFloat } from "../../tensor/dtype.ts";
import type { DType } from "../../tensor/dtype.ts";
import { normalizeDim } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { parameters } from "../../arguments.ts";
import { amax, amin } from "../extrema.ts";
import { linalgVectorNorm } from "../norm.ts";
import type { NormOrder } from "../norm.ts";
import type { Optional } from "../signatures.ts";

interface Given {
  readonly ord?: NormOrder | null;
  readonly dim?: number | readonly number[] | null;
  readonly keepdim?: boolean;
  readonly dtype?: DType;
}

const names = ["ord", "dim", "keepdim", "dtype"] as const;

/**
 * The norm of matrices in the two dimensions `dim` (`torch.linalg.matrix_norm`): "fro", 1 and -1 (greatest and least
 * column sum of magnitudes), Infinity and -Infinity (row sums).
 * @throws ValueError for other orders
 */
export function linalgMatrixNorm(
  x: Tensor,
  ...args: Optional<[ord: NormOrder, dim: readonly number[], keepdim: boolean, dtype: DType]>
): Tensor {
  const op = "linalgMatrixNorm";
  const { ord = "fro", dim = [-2, -1], keepdim = false, dtype } = parameters<Given>(op, names, args);
  if (!isFloat(x.dtype))
    throw new DTypeError(
      `linalg.matrix_norm: Expected a floating point or complex tensor as input, but got ${x.dtype}`,
      { op },
    );
  if (x.dim() < 2)
    throw new ShapeError(`linalg.matrix_norm: The input tensor A must have at least 2 dimensions.`, { op });
  if (dim === null || typeof dim === "number" || dim.length !== 2)
    throw new ShapeError("linalg.matrix_norm: dim must be a 2-tuple.", { op });
  const [rows, columns] = dim.map((one) => normalizeDim(one, x.dim(), op));
  if (rows === columns) throw new ShapeError("linalg.matrix_norm: dims must be different.", { op });
  if (ord === "fro") return linalgVectorNorm(x, 2, [rows, columns], keepdim, dtype);
  if (ord !== null && Math.abs(Number(ord)) !== 1 && Math.abs(Number(ord)) !== Infinity) throw unavailable(ord, op);
  const [summed, compared] = Math.abs(Number(ord)) === 1 ? [rows, columns] : [columns, rows];
  const sums = linalgVectorNorm(x, 1, summed, true, dtype);
  const result = (Number(ord) > 0 ? amax : amin)(sums, compared, true);
  return keepdim ? result : result.squeeze([rows, columns]);
}

function unavailable(ord: NormOrder, op: string): ValueError {
  const known = ord === "nuc" || Math.abs(Number(ord)) === 2;
  return new ValueError(
    known
      ? `linalg.matrix_norm: order ${ord} needs singular values, which are not available`
      : `linalg.matrix_norm: Order ${ord} not supported.`,
    { op, remedy: 'Use "fro", 1, -1, Infinity or -Infinity.' },
  );
}

/**
 * A vector norm over one dimension, a matrix norm over two, by default the 2-norm of all elements
 * (`torch.linalg.norm`).
 * @throws ShapeError, ValueError
 */
export function linalgNorm(
  x: Tensor,
  ...args: Optional<[ord: NormOrder, dim: number | readonly number[], keepdim: boolean, dtype: DType]>
): Tensor {
  const op = "linalgNorm";
  const { ord, dim, keepdim = false, dtype } = parameters<Given>(op, names, args);
  if (ord === undefined || ord === null) return linalgVectorNorm(x, 2, dim ?? null, keepdim, dtype);
  if ((dim === undefined || dim === null) && x.dim() !== 1 && x.dim() !== 2) {
    throw new ShapeError("linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D.", { op });
  }
  const dims = typeof dim === "number" ? [dim] : (dim ?? x.shape.map((_, axis) => axis));
  if (dims.length === 2) return linalgMatrixNorm(x, ord, dims, keepdim, dtype);
  if (typeof ord === "string")
    throw new ValueError(`linalg.norm: order ${ord} is a matrix norm: it needs two dimensions`, { op });
  return linalgVectorNorm(x, ord, dims, keepdim, dtype);
}

/** Keeps a norm that is just above the greatest one from staying so by rounding. */
const renormEpsilon = 1e-7;

/**
 * Slices along `dim` whose `p`-norm exceeds `maxnorm`, scaled to that norm; others stay (`torch.renorm`).
 * @throws ShapeError on fewer than 2 dimensions, ValueError where `p` is not positive or `maxnorm` is negative
 */
export function renorm(x: Tensor, p: number, dim: number, maxnorm: number): Tensor {
  const op = "renorm";
  if (!(p > 0)) throw new ValueError("renorm: non-positive-norm not supported", { op });
  if (!(maxnorm >= 0)) throw new ValueError(`renorm: expected maxnorm to be >= 0 but got ${maxnorm}`, { op });
  if (x.dim() < 2)
    throw new ShapeError(`renorm: input needs at least 2 dimensions, got ${x.dim()} dimensions`, { op });
  const along = normalizeDim(dim, x.dim(), op);
  const norms = linalgVectorNorm(
    x,
    p,
    x.shape.map((_, axis) => axis).filter((axis) => axis !== along),
    true,
  );
  return x.mul(norms.add(renormEpsilon).reciprocal().mul(maxnorm).where(norms.gt(maxnorm), 1));
}

export const methods = { renorm };

/** Quantiles: order statistics and what lies between them. */
import { DTypeError, ShapeError, ValueError } from "../../errors.ts";
import { isFloat } from "../../tensor/dtype.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { normalizeDim } from "../../tensor/shape.ts";
import { parameters } from "../../arguments.ts";
import type { Optional } from "../signatures.ts";
import { sort } from "../sort.ts";

/** What to take where the quantile lies between two elements. */
export type Interpolation = "linear" | "lower" | "higher" | "midpoint" | "nearest";

interface Given {
  readonly dim?: number | null;
  readonly keepdim?: boolean;
  readonly interpolation?: Interpolation;
}

/** Places among sorted elements, from a fractional one. */
const places: Readonly<Record<Exclude<Interpolation, "linear" | "midpoint">, (rank: Tensor) => Tensor>> = {
  lower: (rank) => rank.floor(),
  higher: (rank) => rank.ceil(),
  nearest: (rank) => rank.round(),
};

/**
 * The `q`-quantiles along `dim`, or of all elements (`torch.quantile`). A tensor `q` [k] gives a result with a first
 * dimension k. NaN where there is one.
 * @throws ValueError for a number outside of [0, 1], DTypeError on whole numbers, ShapeError without elements
 */
export function quantile(
  x: Tensor,
  q: Tensor | number,
  ...args: Optional<[dim: number | null, keepdim: boolean, interpolation: Interpolation]>
): Tensor {
  const op = "quantile";
  const {
    dim,
    keepdim = false,
    interpolation = "linear",
  } = parameters<Given>(op, ["dim", "keepdim", "interpolation"], args);
  if (!isFloat(x.dtype)) throw new DTypeError("quantile() input tensor must be either float or double dtype", { op });
  if (x.numel() === 0) throw new ShapeError("quantile() input tensor must be non-empty", { op });
  if (typeof q === "number" && !(q >= 0 && q <= 1))
    throw new ValueError(`quantile() q must be in the range [0, 1] but got ${q}`, { op });
  const wanted = typeof q === "number" ? x.newFull([], q) : q;
  if (wanted.dim() > 1) throw new ShapeError("quantile() q must be a scalar or 1D tensor", { op });

  const whole = dim === undefined || dim === null;
  const rows = whole ? x.reshape([-1]) : x.dim() === 0 ? x.reshape([1]) : x.movedim(normalizeDim(dim, x.dim(), op), -1);
  const sorted = sort(rows, -1).values;
  const rank = wanted.reshape([-1]).mul(sorted.shape[sorted.dim() - 1] - 1);
  const between = interpolated(sorted, rank, interpolation);
  const result = between.maskedFill(rows.isnan().any(-1, true), NaN).movedim(-1, 0);
  const kept = !keepdim ? result : result.reshape([result.shape[0], ...keptShape(x, dim)]);
  return wanted.dim() === 0 ? kept.squeeze(0) : kept;
}

function interpolated(sorted: Tensor, rank: Tensor, interpolation: Interpolation): Tensor {
  const at = (place: Tensor): Tensor => sorted.indexSelect(-1, place.to("int64"));
  if (interpolation === "linear") return at(rank.floor()).lerp(at(rank.ceil()), rank.sub(rank.floor()));
  if (interpolation === "midpoint") return at(rank.floor()).lerp(at(rank.ceil()), 0.5);
  const place = places[interpolation];
  if (place === undefined) {
    throw new ValueError(
      `quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, but got ${String(interpolation)}`,
      { op: "quantile" },
    );
  }
  return at(place(rank));
}

function keptShape(x: Tensor, dim: number | null | undefined): number[] {
  if (dim === undefined || dim === null) return x.shape.map(() => 1);
  const along = normalizeDim(dim, x.dim(), "quantile");
  return x.shape.map((size, axis) => (axis === along ? 1 : size));
}

export const methods = { quantile };

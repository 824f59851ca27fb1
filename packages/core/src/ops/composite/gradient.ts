/** The slope of a sampled function, by differences of second order. */
import { DTypeError, ShapeError, ValueError } from "../../errors.ts";
import { normalizeDim, normalizeDims } from "../../tensor/shape.ts";
import { isTensor } from "../../tensor/tensor.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { parameters } from "../../arguments.ts";
import { cat } from "../join.ts";
import type { Optional } from "../signatures.ts";

/** One distance between samples for all dimensions; or for each of them a distance, or the samples' places [n]. */
type Spacing = number | readonly number[] | readonly Tensor[];

interface Given {
  readonly spacing?: Spacing | null;
  readonly dim?: number | readonly number[] | null;
  readonly edgeOrder?: number;
}

const op = "gradient";

/**
 * The derivative of `x`, samples of a function, along each dimension of `dim` (all), each of the shape of `x`
 * (`torch.gradient`): within by central differences, at both ends by one-sided ones of order `edgeOrder` (1 or 2).
 * @throws ShapeError, ValueError, DTypeError on bytes
 */
export function gradient(
  x: Tensor,
  ...args: Optional<[spacing: Spacing | null, dim: number | readonly number[] | null, edgeOrder: number]>
): Tensor[] {
  const { spacing, dim, edgeOrder = 1 } = parameters<Given>(op, ["spacing", "dim", "edgeOrder"], args);
  if (x.dtype === "uint8") throw new DTypeError("torch.gradient does not support uint8 input.", { op });
  if (edgeOrder !== 1 && edgeOrder !== 2)
    throw new ValueError("torch.gradient only supports edge_order=1 and edge_order=2.", { op });
  const dims = dimsOf(x, dim);
  const spacings = spacingsOf(spacing ?? 1, dims.length, dim);
  if (dims.some((along) => x.shape[along] < edgeOrder + 1))
    throw new ShapeError("torch.gradient expected each dimension size to be at least edge_order+1", { op });
  return dims.map((along, i) => {
    const between = spacings[i];
    return typeof between === "number"
      ? evenSlope(x, along, between, edgeOrder)
      : unevenSlope(x, along, between, edgeOrder);
  });
}

/** In the order given. */
function dimsOf(x: Tensor, dim: number | readonly number[] | null | undefined): readonly number[] {
  if (dim === undefined || dim === null) return x.shape.map((_, axis) => axis);
  const given = typeof dim === "number" ? [dim] : dim;
  normalizeDims(given, x.dim(), op);
  return given.map((one) => normalizeDim(one, x.dim(), op));
}

function spacingsOf(spacing: Spacing, count: number, dim: Given["dim"]): readonly (number | Tensor)[] {
  if (typeof spacing === "number") return new Array<number>(count).fill(spacing);
  if (spacing.length === count) return spacing;
  throw new ValueError(
    "torch.gradient expected spacing to be unspecified, a scalar " +
      (dim === undefined || dim === null
        ? `or a list of length ${count} but got a list of length ${spacing.length}`
        : "or it's spacing and dim arguments to have the same length, but got a spacing argument of length " +
          `${spacing.length} and a dim argument of length ${count}.`),
    { op },
  );
}

/** The weighted sums of neighbours along `dim`: `length` of them, the first from `start` on (-1: the last). */
function weighted(
  x: Tensor,
  dim: number,
  start: number,
  length: number,
  weights: readonly (Tensor | number)[],
): Tensor {
  const first = start < 0 ? x.shape[dim] + start : start;
  return weights
    .map((weight, i) => x.narrow(dim, first + i, length).mul(weight))
    .reduce((sum, term) => sum.add(term));
}

function evenSlope(x: Tensor, dim: number, distance: number, edgeOrder: 1 | 2): Tensor {
  const inner = x.shape[dim] - 2;
  const center = x.narrow(dim, 2, inner).sub(x.narrow(dim, 0, inner)).div(distance).div(2);
  const [first, last] =
    edgeOrder === 1
      ? [weighted(x, dim, 0, 1, [-1, 1]), weighted(x, dim, -2, 1, [-1, 1])]
      : [weighted(x, dim, 0, 1, [-1.5, 2, -0.5]), weighted(x, dim, -3, 1, [0.5, -2, 1.5])];
  return cat([first.div(distance), center, last.div(distance)], dim);
}

function unevenSlope(x: Tensor, dim: number, places: Tensor, edgeOrder: 1 | 2): Tensor {
  if (!isTensor(places) || places.dim() !== 1)
    throw new ShapeError("torch.gradient expected each element of spacing to have one dimension", { op });
  if (places.shape[0] !== x.shape[dim])
    throw new ShapeError(
      `torch.gradient expected ${x.shape[dim]} places along dimension ${dim}, but got ${places.shape[0]}`,
      { op },
    );
  const steps = places.diff();
  const count = steps.shape[0];
  const step = (i: number): Tensor => steps.select(0, i < 0 ? count + i : i);
  const [before, after] = [steps.narrow(0, 0, count - 1), steps.narrow(0, 1, count - 1)];
  const both = before.add(after);
  const column = x.shape.map((_, axis) => (axis === dim ? -1 : 1));
  const center = weighted(
    x,
    dim,
    0,
    count - 1,
    [
      after.neg().div(before.mul(both)),
      after.sub(before).div(before.mul(after)),
      before.div(after.mul(both)),
    ].map((weight) => weight.reshape(column)),
  );
  const [first, last] =
    edgeOrder === 1
      ? [weighted(x, dim, 0, 1, [-1, 1]).div(step(0)), weighted(x, dim, -2, 1, [-1, 1]).div(step(-1))]
      : [
          weighted(x, dim, 0, 1, edgeWeights(step(0), step(1))),
          weighted(x, dim, -3, 1, edgeWeights(step(-1), step(-2)).map((weight) => weight.neg()).toReversed()),
        ];
  return cat([first, center, last], dim);
}

/** Weights of the first three samples in the slope at the first, for the two distances between them. */
function edgeWeights(near: Tensor, far: Tensor): readonly Tensor[] {
  const both = near.add(far);
  return [
    near.mul(2).add(far).neg().div(near.mul(both)),
    both.div(near.mul(far)),
    near.neg().div(far.mul(both)),
  ];
}

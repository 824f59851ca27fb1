/** The most frequent value. */
import { noGrad } from "../autograd/mode.ts";
import { ShapeError } from "../errors.ts";
import { parameters } from "../arguments.ts";
import { onesLike } from "../tensor/creation.ts";
import { normalizeDim } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { ValuesIndices } from "./extrema.ts";
import { cat } from "./join.ts";
import { namedTuple } from "./results.ts";
import { cummax } from "./scan.ts";
import type { Optional } from "./signatures.ts";
import { sort } from "./sort.ts";

/**
 * The value that is most frequent along `dim` (the last), the least of several, and the place of its last occurrence
 * (`torch.mode`). The gradient goes to that place.
 * @throws ShapeError where the dimension has no elements
 */
export function mode(
  x: Tensor,
  ...args: Optional<[dim: number, keepdim: boolean], { dim: number; keepdim: boolean }>
): ValuesIndices {
  const names = ["dim", "keepdim"] as const;
  const { dim = -1, keepdim = false } = parameters<{ dim?: number; keepdim?: boolean }>("mode", names, args);
  const along = normalizeDim(dim, x.dim(), "mode");
  const from = x.dim() === 0 ? x.unsqueeze(0) : x;
  if (from.shape[along] === 0)
    throw new ShapeError(`mode(): Expected reduction dim ${along} to have non-zero size.`, { op: "mode" });
  const places = noGrad(() => placesOfMode(from, along));
  const results = [from.gather(along, places), places];
  const given = keepdim && x.dim() > 0 ? results : results.map((one) => one.squeeze(along));
  return namedTuple(["values", "indices"] as const, given);
}

/** Among sorted elements, the end of the first of the longest runs of equal ones. */
function placesOfMode(x: Tensor, dim: number): Tensor {
  const { values, indices } = sort(x, { dim, stable: true });
  const length = x.shape[dim];
  const first = values.narrow(dim, 0, 1);
  const changes = values.narrow(dim, 1, length - 1).ne(values.narrow(dim, 0, length - 1));
  const isStart = cat([onesLike(first, { dtype: "bool" }), changes], dim);
  const place = onesLike(indices).cumsum(dim);
  const start = cummax(place.mul(isStart), dim).values;
  return indices.gather(dim, place.sub(start).argmax(dim, true));
}

export const methods = { mode };

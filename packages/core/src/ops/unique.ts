/** Distinct elements. How many there are depends on the data: these functions wait for the device. */
import { noGrad } from "../autograd/mode.ts";
import { ShapeError } from "../errors.ts";
import { normalizeDim } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { parameters } from "../arguments.ts";
import type { Optional } from "./signatures.ts";
import { argsort } from "./sort.ts";

interface Given {
  readonly sorted?: boolean;
  readonly returnInverse?: boolean;
  readonly returnCounts?: boolean;
  readonly dim?: number | null;
}

/** Equal neighbours as groups: the group of each element, and where each group starts. */
interface Groups {
  readonly ids: Tensor;
  readonly starts: Tensor;
  readonly length: number;
}

/**
 * Groups of `length` elements of which `differs` tells, for each but the first, whether it differs from the one before.
 */
function groupsOf(differs: Tensor, length: number): Groups {
  const first = differs.newOnes([length]);
  if (length > 1) first.narrow(0, 1, length - 1).copy_(differs);
  return { ids: first.cumsum(0).sub(1), starts: first.nonzero().squeeze(1), length };
}

function countsOf({ starts, length }: Groups): Tensor {
  const groups = starts.numel();
  const ends = starts.newFull([groups], length);
  if (groups > 1) ends.narrow(0, 0, groups - 1).copy_(starts.narrow(0, 1, groups - 1));
  return ends.sub(starts);
}

function differences(rows: Tensor): Tensor {
  const length = rows.shape[0];
  const neighbours = rows.narrow(0, 1, Math.max(length - 1, 0)).ne(rows.narrow(0, 0, Math.max(length - 1, 0)));
  return rows.dim() === 1 ? neighbours : neighbours.any(1);
}

/**
 * The order in which rows ascend, the first column deciding first: one stable sort for each column, the last column
 * first.
 */
function lexicographicOrder(rows: Tensor): Tensor {
  const [, columns] = rows.shape;
  let order = argsort(rows.select(1, columns - 1), 0);
  for (let column = columns - 2; column >= 0; column--) {
    order = order.indexSelect(0, argsort(rows.select(1, column).indexSelect(0, order), 0));
  }
  return order;
}

/** The distinct rows (or elements) of `rows`, the group of each of them, and the size of each group. */
function distinct(rows: Tensor, consecutive: boolean): { values: Tensor; inverse: Tensor; counts: () => Tensor } {
  const [length] = rows.shape;
  if (length === 0) {
    const none = rows.newZeros([0], { dtype: "int64" });
    return { values: rows, inverse: none, counts: () => none };
  }
  const order = consecutive ? undefined : rows.dim() === 1 ? argsort(rows, 0) : lexicographicOrder(rows);
  const ordered = order === undefined ? rows : rows.indexSelect(0, order);
  const groups = groupsOf(length === 1 ? rows.newOnes([1], { dtype: "bool" }) : differences(ordered), length);
  return {
    values: ordered.indexSelect(0, groups.starts),
    inverse: order === undefined ? groups.ids : groups.ids.newZeros([length]).scatter(0, order, groups.ids),
    counts: () => countsOf(groups),
  };
}

function uniqueOf(
  op: string,
  x: Tensor,
  { returnInverse = false, returnCounts = false, dim }: Given,
  consecutive: boolean,
): Tensor | Tensor[] {
  return noGrad(() => {
    const whole = dim === undefined || dim === null;
    const along = whole ? 0 : normalizeDim(dim, x.dim(), op);
    const front = whole ? x.reshape([-1]) : x.movedim(along, 0);
    if (!whole && front.numel() === 0 && front.shape[0] !== 0) {
      throw new ShapeError("There are 0 sized dimensions, and they aren't selected, so unique cannot be applied", {
        op,
      });
    }
    const flat = front.dim() === 1 || front.shape[0] === 0 ? front : front.reshape([front.shape[0], -1]);
    const { values, inverse, counts } = distinct(flat, consecutive);
    const output = whole || flat === front ? values : values.reshape([values.shape[0], ...front.shape.slice(1)]);
    const results = [whole ? output : output.movedim(0, along)];
    if (returnInverse) results.push(whole ? inverse.reshape(x.shape) : inverse);
    if (returnCounts) results.push(counts());
    return results.length === 1 ? results[0] : results;
  });
}

/**
 * The distinct elements, or slices along `dim`, in ascending order (`torch.unique`); with `returnInverse` and
 * `returnCounts` also, in that order, the number of each element's value and how often each value occurs. NaN equals
 * nothing. Waits for the device.
 */
export function unique(
  x: Tensor,
  ...args: Optional<[sorted: boolean, returnInverse: boolean, returnCounts: boolean, dim: number | null]>
): Tensor | Tensor[] {
  return uniqueOf(
    "unique",
    x,
    parameters<Given>("unique", ["sorted", "returnInverse", "returnCounts", "dim"], args),
    false,
  );
}

/** As `unique`, but only equal neighbours become one (`torch.unique_consecutive`). Waits for the device. */
export function uniqueConsecutive(
  x: Tensor,
  ...args: Optional<[returnInverse: boolean, returnCounts: boolean, dim: number | null]>
): Tensor | Tensor[] {
  return uniqueOf(
    "uniqueConsecutive",
    x,
    parameters<Given>("uniqueConsecutive", ["returnInverse", "returnCounts", "dim"], args),
    true,
  );
}

export const methods = { unique, uniqueConsecutive };

/** Differences of neighbours and integrals over samples. */
import { ShapeError, ValueError } from "../../errors.ts";
import { normalizeDim } from "../../tensor/shape.ts";
import { isTensor } from "../../tensor/tensor.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { isOptions, parameters } from "../../arguments.ts";
import { cat } from "../join.ts";
import type { Optional } from "../signatures.ts";

interface DiffGiven {
  readonly n?: number;
  readonly dim?: number;
  readonly prepend?: Tensor | null;
  readonly append?: Tensor | null;
}

/**
 * The `n`-th difference of neighbours along `dim` (`torch.diff`), after joining `prepend` and `append` to the ends;
 * bools differ by exclusive or.
 * @throws ShapeError, ValueError
 */
export function diff(
  x: Tensor,
  ...args: Optional<[n: number, dim: number, prepend: Tensor | null, append: Tensor | null]>
): Tensor {
  const op = "diff";
  const { n = 1, dim = -1, prepend, append } = parameters<DiffGiven>(op, ["n", "dim", "prepend", "append"], args);
  if (x.dim() === 0) throw new ShapeError("diff expects input to be at least one-dimensional", { op });
  if (!Number.isInteger(n) || n < 0) throw new ValueError(`order must be non-negative but got ${n}`, { op });
  const along = normalizeDim(dim, x.dim(), op);
  for (const end of [prepend, append]) if (end) assertJoins(x, end, along);
  if (n === 0) return x.clone();
  const parts = [prepend, x, append].filter((part) => isTensor(part));
  let result = parts.length === 1 ? x : cat(parts, along);
  for (let order = Math.min(n, result.shape[along]); order > 0; order--) {
    const [left, right] = neighbours(result, along);
    result = result.dtype === "bool" ? right.logicalXor(left) : right.sub(left);
  }
  return result;
}

function assertJoins(x: Tensor, end: Tensor, along: number): void {
  if (end.dim() !== x.dim())
    throw new ShapeError("diff expects prepend or append to be the same dimension as input", { op: "diff" });
  const odd = end.shape.findIndex((size, dim) => dim !== along && size !== x.shape[dim]);
  if (odd < 0) return;
  throw new ShapeError(
    "diff expects the shape of tensor to prepend or append to match that of input except along the differencing " +
      `dimension; input.size(${odd}) = ${x.shape[odd]}, but got tensor.size(${odd}) = ${end.shape[odd]}`,
    { op: "diff" },
  );
}

/** All but the last and all but the first along `dim`. */
function neighbours(x: Tensor, dim: number): [left: Tensor, right: Tensor] {
  const pairs = Math.max(x.shape[dim] - 1, 0);
  return [x.narrow(dim, 0, pairs), x.narrow(dim, x.shape[dim] - pairs, pairs)];
}

interface SamplesGiven {
  readonly x?: Tensor;
  /** The distance between samples where `x` does not give their places. */
  readonly dx?: number;
  readonly dim?: number;
}

type SampleArguments = [
  x?: Tensor | { readonly dx?: number; readonly dim?: number },
  options?: { readonly dim?: number },
];

interface Samples {
  readonly along: number;
  /** Distances that multiply sums of neighbours: a number, or a tensor that broadcasts to them. */
  readonly steps: Tensor | number;
}

function samplesOf(op: string, y: Tensor, args: SampleArguments): Samples {
  const [first] = args;
  const placed = isTensor(first) || (args.length > 0 && !isOptions(first));
  const { x, dx = 1, dim = -1 } = parameters<SamplesGiven>(op, placed ? ["x", "dim"] : ["dx", "dim"], args);
  if (y.dim() === 0) throw new ShapeError(`Dimension specified as ${dim} but tensor has no dimensions`, { op });
  const along = normalizeDim(dim, y.dim(), op);
  if (x === undefined) return { along, steps: dx };
  if (x.dim() === 0 || (x.dim() === 1 && x.shape[0] !== y.shape[along])) {
    throw new ShapeError(`${op}: There must be one \`x\` value for each sample point`, { op });
  }
  const lead = new Array<number>(Math.max(y.dim() - x.dim(), 0)).fill(1);
  const places =
    x.dim() === 1
      ? x.reshape(y.shape.map((size, axis) => (axis === along ? size : 1)))
      : x.reshape([...lead, ...x.shape]);
  const [left, right] = neighbours(places, along);
  return { along, steps: right.sub(left) };
}

/**
 * The area under each two neighbours. As in PyTorch, whole numbers are multiplied by tensors before they become
 * fractions.
 */
function areas(y: Tensor, along: number, steps: Tensor | number): Tensor {
  const [left, right] = neighbours(y, along);
  const sums = left.add(right);
  return typeof steps === "number" ? sums.div(2).mul(steps) : sums.mul(steps).div(2);
}

/**
 * The integral of samples `y` along `dim` (the last) by the trapezoidal rule (`torch.trapezoid`): `trapezoid(y, x)` at
 * places `x`, `trapezoid(y, { dx })` at equal distances.
 * @throws ShapeError
 */
export function trapezoid(y: Tensor, ...args: SampleArguments): Tensor {
  const { along, steps } = samplesOf("trapezoid", y, args);
  return areas(y, along, steps).sum(along);
}

/** Another name of `trapezoid` (`torch.trapz`). */
export const trapz = trapezoid;

/**
 * Running integrals by the trapezoidal rule (`torch.cumulative_trapezoid`): one fewer than samples. @throws ShapeError
 */
export function cumulativeTrapezoid(y: Tensor, ...args: SampleArguments): Tensor {
  const { along, steps } = samplesOf("cumulativeTrapezoid", y, args);
  return areas(y, along, steps).cumsum(along);
}

export const methods = { diff };

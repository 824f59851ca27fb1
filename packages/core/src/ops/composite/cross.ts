/** Products that are elementwise once the operands are rearranged. */
import { ShapeError } from "../../errors.ts";
import { normalizeDim } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { parameters } from "../../arguments.ts";
import { broadcastShapes, broadcastTensors } from "../join.ts";
import type { Optional } from "../signatures.ts";

/** Kronecker product (`torch.kron`). */
export function kron(x: Tensor, y: Tensor): Tensor {
  const rank = Math.max(x.dim(), y.dim());
  const padded = ({ shape }: Tensor): number[] => [...Array.from({ length: rank - shape.length }, () => 1), ...shape];
  const [a, b] = [padded(x), padded(y)];
  return x
    .reshape(a.flatMap((size) => [size, 1]))
    .mul(y.reshape(b.flatMap((size) => [1, size])))
    .reshape(a.map((size, d) => size * b[d]));
}

/** Vector product along a dimension of size 3: the last one, or `dim` (`torch.linalg.cross`). */
export function linalgCross(x: Tensor, y: Tensor, ...args: Optional<[dim: number]>): Tensor {
  const { dim = -1 } = parameters<{ dim?: number }>("cross", ["dim"], args);
  if (x.dim() !== y.dim())
    throw new ShapeError("linalg.cross: inputs must have the same number of dimensions.", { op: "cross" });
  const at = normalizeDim(dim, x.dim(), "cross");
  if (x.shape[at] !== 3 || y.shape[at] !== 3) {
    throw new ShapeError(
      `linalg.cross: inputs dimension ${dim} must have length 3. Got ${x.shape[at]} and ${y.shape[at]}`,
      { op: "cross" },
    );
  }
  const [a, b] = broadcastTensors(x, y);
  const after = (v: Tensor, places: number): Tensor => v.roll(-places, at);
  return after(a, 1)
    .mul(after(b, 2))
    .sub(after(a, 2).mul(after(b, 1)));
}

/** As `linalg.cross`, along the first dimension of size 3 unless `dim` says which (`torch.cross`). */
export function cross(x: Tensor, y: Tensor, ...args: Optional<[dim: number]>): Tensor {
  const { dim } = parameters<{ dim?: number }>("cross", ["dim"], args);
  if (dim !== undefined) return linalgCross(x, y, dim);
  const at = broadcastShapes(x.shape, y.shape).indexOf(3);
  if (at < 0) throw new ShapeError("no dimension of size 3 in input", { op: "cross" });
  return linalgCross(x, y, at);
}

export const methods = { kron, cross };

/** The order of elements along dimensions: flips, turns, rolls. Each is one copy. */
import { ShapeError, ValueError } from "../errors.ts";
import { normalizeDim, normalizeDims, numelOf, sizesOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { allocate } from "../tensor/value.ts";
import type { LocalValue, Meta } from "../tensor/value.ts";
import { parameters } from "../arguments.ts";
import { apply } from "./dispatch.ts";
import { viewOf } from "./kinds/view.ts";
import { copyInto } from "./moves.ts";
import { gradientLookup } from "./op.ts";
import type { Op } from "./op.ts";
import { part, rearrangement } from "./rearrangement.ts";
import type { Optional } from "./signatures.ts";

const flipOp: Op<{ readonly dims: readonly number[] }> = rearrangement<{ readonly dims: readonly number[] }>("flip", {
  infer: ([input]) => [input as Meta],
  run([a], { dims }, [meta], target) {
    const input = a as LocalValue;
    const out = target ?? allocate(input.device, meta.shape, meta.dtype);
    if (numelOf(meta.shape) === 0) return [out];
    let { offset } = input;
    for (const dim of dims) offset += (input.shape[dim] - 1) * input.strides[dim];
    const strides = input.strides.map((stride, dim) => (dims.includes(dim) ? -stride : stride));
    copyInto(viewOf(input, { shape: input.shape, strides, offset }), out);
    return [out];
  },
  gradientOf: gradientLookup<{ readonly dims: readonly number[] }>({ a: (g, _, { dims }) => flip(g, dims) }),
});

/** A copy with the order along `dims` reversed (`torch.flip`). */
export function flip(x: Tensor, ...dims: (number | readonly number[])[]): Tensor {
  const list = sizesOf(dims);
  return apply(flipOp, [x], { dims: list.length === 0 ? [] : normalizeDims(list, x.dim(), "flip") });
}

export function fliplr(x: Tensor): Tensor {
  if (x.dim() < 2) throw new ShapeError("Input must be >= 2-d.", { op: "fliplr" });
  return flip(x, 1);
}

export function flipud(x: Tensor): Tensor {
  if (x.dim() < 1) throw new ShapeError("Input must be >= 1-d.", { op: "flipud" });
  return flip(x, 0);
}

/** The plane of two dimensions turned by 90 degrees, `k` times (`torch.rot90`). */
export function rot90(x: Tensor, ...args: Optional<[k: number, dims: readonly number[]]>): Tensor {
  const { k = 1, dims = [0, 1] } = parameters<{ k?: number; dims?: readonly number[] }>("rot90", ["k", "dims"], args);
  const fail = (message: string): ShapeError => new ShapeError(message, { op: "rot90" });
  if (dims.length !== 2) throw fail(`expected total rotation dims == 2, but got dims = ${dims.length}`);
  if (x.dim() < 2) throw fail(`expected total dims >= 2, but got total dims = ${x.dim()}`);
  if (dims[0] === dims[1] || Math.abs(dims[0] - dims[1]) === x.dim()) {
    throw fail(`expected rotation dims to be different, but got dim0 = ${dims[0]} and dim1 = ${dims[1]}`);
  }
  for (const dim of dims)
    if (dim >= x.dim() || dim < -x.dim())
      throw fail(`Rotation dim${dims.indexOf(dim)} out of range, dim${dims.indexOf(dim)} = ${dim}`);
  switch (((k % 4) + 4) % 4) {
    case 1: return flip(x, dims[1]).transpose(dims[0], dims[1]);
    case 2: return flip(x, dims);
    case 3: return flip(x, dims[0]).transpose(dims[0], dims[1]);
    default:
      return x.clone();
  }
}

interface RollAttrs {
  readonly shifts: readonly number[];
  readonly dims: readonly number[];
}

const rollOp: Op<RollAttrs> = rearrangement<RollAttrs>("roll", {
  infer: ([input]) => [input as Meta],
  run([a], { shifts, dims }, [meta], target) {
    const input = a as LocalValue;
    const out = target ?? allocate(input.device, meta.shape, meta.dtype);
    if (numelOf(meta.shape) > 0) rollInto(input, out, shifts, dims);
    return [out];
  },
  gradientOf: gradientLookup<RollAttrs>({
    a: (g, _, { shifts, dims }) => apply(rollOp, [g], { shifts: shifts.map((shift) => -shift), dims }),
  }),
});

/** The first of the dimensions splits both sides in two parts that change places; the rest roll within them. */
function rollInto(
  from: LocalValue,
  to: LocalValue,
  [shift, ...shifts]: readonly number[],
  [dim, ...dims]: readonly number[],
): void {
  if (dim === undefined || shift === undefined) {
    copyInto(from, to);
    return;
  }
  const size = from.shape[dim];
  const moved = ((shift % size) + size) % size;
  rollInto(part(from, dim, 0, size - moved), part(to, dim, moved, size - moved), shifts, dims);
  if (moved > 0) rollInto(part(from, dim, size - moved, moved), part(to, dim, 0, moved), shifts, dims);
}

/**
 * Elements moved along dimensions; what leaves at an end enters at the other. Without `dims`, as if flat
 * (`torch.roll`).
 */
export function roll(
  x: Tensor,
  ...args: Optional<[shifts: number | readonly number[], dims: number | readonly number[]]>
): Tensor {
  type Given = { shifts?: number | readonly number[]; dims?: number | readonly number[] };
  const given = parameters<Given>("roll", ["shifts", "dims"], args);
  const shifts = asList(given.shifts);
  const dims = asList(given.dims);
  if (shifts.length === 0) throw new ValueError("`shifts` required", { op: "roll" });
  if (!shifts.every(Number.isInteger))
    throw new ValueError(`shifts must be whole numbers, got ${shifts.join(", ")}`, { op: "roll" });
  if (dims.length === 0 && shifts.length === 1)
    return apply(rollOp, [x.reshape(-1)], { shifts, dims: [0] }).view(x.shape);
  if (shifts.length !== dims.length) {
    throw new ShapeError(`shifts and dimensions must align. shifts: ${shifts.length}, dims:${dims.length}`, {
      op: "roll",
    });
  }
  return apply(rollOp, [x], { shifts, dims: dims.map((dim) => normalizeDim(dim, x.dim(), "roll")) });
}

function asList(numbers: number | readonly number[] | undefined): readonly number[] {
  return numbers === undefined ? [] : typeof numbers === "number" ? [numbers] : numbers;
}

export const methods = { flip, fliplr, flipud, rot90, roll };

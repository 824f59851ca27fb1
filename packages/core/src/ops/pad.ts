/** Padding: with a constant, or with the tensor's own elements mirrored, repeated or continued. */
import { ShapeError, ValueError } from "../errors.ts";
import { tensor } from "../tensor/creation.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { allocate } from "../tensor/value.ts";
import type { LocalValue, Meta } from "../tensor/value.ts";
import { assertList, assertWhole, parameters } from "../arguments.ts";
import { apply } from "./dispatch.ts";
import { tensorOperand } from "./elementwise.ts";
import { viewOf } from "./kinds/view.ts";
import { copyInto, fillWith } from "./moves.ts";
import { gradientLookup } from "./op.ts";
import type { Op } from "./op.ts";
import type { Optional } from "./signatures.ts";

interface PadAttrs {
  /** Places added before and after each dimension, the last dimension first; negative ones take away. */
  readonly pad: readonly number[];
  readonly value: number;
}

/** [before, after] of dimension `dim`. */
function edges(pad: readonly number[], rank: number, dim: number): [number, number] {
  const at = 2 * (rank - 1 - dim);
  return [pad[at] ?? 0, pad[at + 1] ?? 0];
}

const constantPadOp: Op<PadAttrs> = {
  name: "constantPad",
  kind: "composite",
  gradName: "ConstantPadNd",
  isView: false,
  outputs: 1,
  gradientOf: gradientLookup<PadAttrs>({
    a: (g, _, { pad }) => apply(constantPadOp, [g], { pad: pad.map((places) => -places), value: 0 }),
  }),

  infer([input], { pad }) {
    const { shape, dtype } = input as Meta;
    const rank = shape.length;
    if (pad.length % 2 !== 0)
      throw new ShapeError(`Length of pad must be even but instead it equals ${pad.length}`, { op: "pad" });
    if (pad.length > 2 * rank) {
      throw new ShapeError(
        "Length of pad should be no more than twice the number of dimensions of the input. Pad length is " +
          `${pad.length} while the input has ${rank} dimensions.`,
        { op: "pad" },
      );
    }
    const padded = shape.map((size, dim) => {
      const [before, after] = edges(pad, rank, dim);
      if (size + before + after >= 0) return size + before + after;
      throw new ShapeError(
        `The input size ${size}, plus negative padding ${before} and ${after} resulted in a negative output size, ` +
          `which is invalid. Check dimension ${dim} of your input.`,
        { op: "pad" },
      );
    });
    return [{ shape: padded, dtype }];
  },

  run([a], { pad, value }, [meta], target) {
    const input = a as LocalValue;
    const out = target ?? allocate(input.device, meta.shape, meta.dtype);
    fillWith(out, value);
    // The part of each side that the other has too.
    const shape: number[] = [];
    let [source, place] = [input.offset, out.offset];
    input.shape.forEach((size, dim) => {
      const [before, after] = edges(pad, input.shape.length, dim);
      shape.push(Math.max(size + Math.min(before, 0) + Math.min(after, 0), 0));
      source += Math.max(-before, 0) * input.strides[dim];
      place += Math.max(before, 0) * out.strides[dim];
    });
    if (!shape.includes(0)) {
      copyInto(
        viewOf(input, { shape, strides: input.strides, offset: source }),
        viewOf(out, { shape, strides: out.strides, offset: place }),
      );
    }
    return [out];
  },
};

/**
 * `pad[0]` and `pad[1]` places of `value` before and after the last dimension, the next two for the one before, and so
 * on.
 */
export function constantPad(x: Tensor, padding: readonly number[], value = 0): Tensor {
  return apply(constantPadOp, [x], { pad: padding, value });
}

export function constantPadNd(x: Tensor, padding: readonly number[], ...args: Optional<[value: number]>): Tensor {
  const { value = 0 } = parameters<{ value?: number }>("constantPadNd", ["value"], args);
  return constantPad(x, padding, value);
}

export type PaddingMode = "constant" | "reflect" | "replicate" | "circular";

/**
 * Padding of the last dimensions, in pairs from the last one back (`F.pad`).
 * @throws ShapeError where there are too many, or a mode needs more elements than a dimension has
 */
export function pad(
  x: Tensor,
  padding: readonly number[],
  ...args: Optional<[mode: PaddingMode, value: number]>
): Tensor {
  const { mode = "constant", value = 0 } = parameters<{ mode?: PaddingMode; value?: number }>(
    "pad",
    ["mode", "value"],
    args,
  );
  tensorOperand("pad", x);
  assertList("pad", "the padding", padding, "whole numbers");
  for (const places of padding) assertWhole("pad", "the padding", places);
  if (mode === "constant") return constantPad(x, padding, value);
  const rank = x.dim();
  if (padding.length % 2 !== 0 || padding.length / 2 > rank || rank - padding.length / 2 > 2) {
    throw new ShapeError(
      `Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now: input of ${rank} dimensions, ` +
        `pad [${padding.join(", ")}]`,
      { op: "pad" },
    );
  }
  let result = x;
  for (let dim = rank - padding.length / 2; dim < rank; dim++) {
    const [before, after] = edges(padding, rank, dim);
    if (before === 0 && after === 0) continue;
    const sources = paddedIndices(mode, x.shape, dim, before, after);
    result = result.indexSelect(dim, tensor(sources, { dtype: "int64", device: x.device }));
  }
  return result === x ? x.clone() : result;
}

/** For each place of the padded dimension the place that its element comes from. */
function paddedIndices(
  mode: Exclude<PaddingMode, "constant">,
  shape: readonly number[],
  dim: number,
  before: number,
  after: number,
): number[] {
  const size = shape[dim];
  // What negative padding takes away is gone before the rest is continued.
  const from = Math.max(-before, 0);
  const length = size - from - Math.max(-after, 0);
  const most = mode === "reflect" ? size - 1 : mode === "circular" ? size : Infinity;
  if (before > most || after > most) {
    throw new ShapeError(
      mode === "circular"
        ? "Padding value causes wrapping around more than once."
        : `Padding size should be less than the corresponding input dimension, but got: padding (${before}, ` +
            `${after}) at dimension ${dim} of input [${shape.join(", ")}]`,
      { op: "pad" },
    );
  }
  const source: Record<typeof mode, (i: number) => number> = {
    reflect: (i) => (i < 0 ? -i : i >= size ? 2 * (size - 1) - i : i),
    replicate: (i) => Math.min(Math.max(i, 0), size - 1),
    circular: (i) => from + ((i - from + size * length) % length),
  };
  const of = source[mode];
  if (of === undefined) throw new ValueError(`Unrecognised padding mode ${String(mode)}`, { op: "pad" });
  return Array.from({ length: Math.max(size + before + after, 0) }, (_, i) => of(i - before));
}

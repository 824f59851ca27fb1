/** Rows of a table by index, and their gradient. */
import { noGrad } from "../autograd/mode.ts";
import { ShapeError, ValueError } from "../errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { LocalValue, Meta } from "../tensor/value.ts";
import { parameters } from "../arguments.ts";
import { apply } from "./dispatch.ts";
import { tensorOperand } from "./elementwise.ts";
import { assertIndexType, defineIndex, shapeOfInput } from "./kinds/index.ts";
import type { IndexOp, Movement } from "./kinds/index.ts";
import { from } from "./op.ts";
import type { Optional } from "./signatures.ts";

interface EmbeddingAttrs {
  /** A row that gets no gradient. */
  readonly paddingIdx?: number;
  /** Divide gradients by how often a row was used. */
  readonly scaleGradByFreq?: boolean;
}

export const embeddingOp: IndexOp<EmbeddingAttrs> = defineIndex("embedding", {
  startsFrom: "nothing",
  infer: ([a, b]) => {
    const [weight, index] = [a as Meta, b as Meta];
    if (weight.shape.length !== 2) throw new ShapeError("'weight' must be 2-D", { op: "embedding" });
    assertIndexType("embedding", index, "int32");
    return { shape: [...index.shape, weight.shape[1]], dtype: weight.dtype };
  },
  moves: ([a, b], _, out) => embeddingRows(a as LocalValue, b as LocalValue, out),
  lookedUp: () => [0],
  grad: {
    a: from("b", (g, saved, { paddingIdx, scaleGradByFreq }) => {
      const [rows] = shapeOfInput(saved);
      const gradient = scaleGradByFreq === true ? g.div(frequencies(saved.b, rows, g).unsqueeze(-1)) : g;
      return apply(embeddingBackward, [gradient, saved.b], { rows, paddingIdx });
    }),
  },
});

/** For each index how often it occurs, as numbers of `like`'s dtype. */
function frequencies(index: Tensor, rows: number, like: Tensor): Tensor {
  const flat = index.reshape(-1);
  return like.newZeros([rows]).indexAdd(0, flat, like.newOnes(flat.shape)).indexSelect(0, flat).reshape(index.shape);
}

/** Rows of `weight` by index; rows at `ignored` are 0. */
function embeddingRows(weight: LocalValue, index: LocalValue, out: LocalValue, ignored?: number): Movement[] {
  return [
    {
      space: out.shape,
      lookups: [{ value: index, strides: [...index.strides, 0], size: weight.shape[0], step: weight.strides[0] }],
      side: "source",
      source: { value: weight, strides: [...index.strides.map(() => 0), weight.strides[1]] },
      target: { value: out, strides: out.strides },
      ignored,
    },
  ];
}

interface EmbeddingBackwardAttrs extends EmbeddingAttrs {
  readonly rows: number;
}

const embeddingBackward: IndexOp<EmbeddingBackwardAttrs> = defineIndex("embeddingBackward", {
  startsFrom: "zeros",
  infer: ([g], { rows }) => ({ shape: [rows, (g as Meta).shape.at(-1) ?? 1], dtype: (g as Meta).dtype }),
  moves: ([g, b], { paddingIdx }, out) => {
    const [gradient, index] = [g as LocalValue, b as LocalValue];
    return [
      {
        space: gradient.shape,
        lookups: [{ value: index, strides: [...index.strides, 0], size: out.shape[0], step: out.strides[0] }],
        side: "target",
        source: { value: gradient, strides: gradient.strides },
        target: { value: out, strides: [...index.strides.map(() => 0), out.strides[1]] },
        combine: "add",
        ignored: paddingIdx,
      },
    ];
  },
  lookedUp: () => [],
  grad: { a: from("b", (g, { b }, { paddingIdx }) => apply(embeddingBackwardBackward, [g, b], { paddingIdx })) },
});

/** As the embedding, with zeros at the padding. */
const embeddingBackwardBackward: IndexOp<EmbeddingAttrs> = defineIndex("embeddingBackwardBackward", {
  ...embeddingOp.entry,
  moves: ([a, b], { paddingIdx }, out) => embeddingRows(a as LocalValue, b as LocalValue, out, paddingIdx),
});

export interface EmbeddingOptions {
  /** A row that gets no gradient; negative counts from the end. */
  readonly paddingIdx?: number;
  /** Rows in use with a greater norm are scaled down to it, in place. */
  readonly maxNorm?: number;
  /** The p of that norm; default 2. */
  readonly normType?: number;
  /** Divide gradients by how often a row is used. */
  readonly scaleGradByFreq?: boolean;
}

/**
 * Rows of `weight` [rows, features] by index: [...input.shape, features] (`F.embedding`).
 * @throws ValueError for a paddingIdx out of range
 */
export function embedding(
  input: Tensor,
  weight: Tensor,
  ...args: Optional<[paddingIdx: number, maxNorm: number, normType: number, scaleGradByFreq: boolean]>
): Tensor {
  const names = ["paddingIdx", "maxNorm", "normType", "scaleGradByFreq"] as const;
  const { paddingIdx, maxNorm, normType = 2, scaleGradByFreq } = parameters<EmbeddingOptions>("embedding", names, args);
  tensorOperand("embedding", input);
  tensorOperand("embedding", weight, "weight");
  const rows = weight.shape[0] ?? 0;
  if (paddingIdx !== undefined && (paddingIdx >= rows || paddingIdx < -rows)) {
    throw new ValueError("Padding_idx must be within num_embeddings", { op: "embedding" });
  }
  if (maxNorm !== undefined) noGrad(() => renormalize(weight, input, maxNorm, normType));
  const padding = paddingIdx !== undefined && paddingIdx < 0 ? paddingIdx + rows : paddingIdx;
  return apply(embeddingOp, [weight, input], { paddingIdx: padding, scaleGradByFreq });
}

/** Scales rows of `weight` that `index` names down to a norm of at most `maxNorm`. */
function renormalize(weight: Tensor, index: Tensor, maxNorm: number, normType: number): void {
  const norms = weight
    .abs()
    .pow(normType)
    .sum(1)
    .pow(1 / normType);
  const used = norms.newZeros(norms.shape).indexFill(0, index.reshape(-1).to("int64"), 1);
  const factors = norms
    .add(1e-7)
    .reciprocal()
    .mul(maxNorm)
    .sub(1)
    .mul(norms.gt(maxNorm).to(norms.dtype))
    .mul(used)
    .add(1);
  weight.mul_(factors.unsqueeze(1));
}

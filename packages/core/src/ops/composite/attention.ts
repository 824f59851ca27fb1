/** Attention as a function. */
import { ValueError } from "../../errors.ts";
import { ones } from "../../tensor/creation.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { parameters } from "../../arguments.ts";
import { tensorOperand } from "../elementwise.ts";
import type { Optional } from "../signatures.ts";
import { softmax } from "../softmax.ts";
import { tril } from "../triangles.ts";
import { dropout } from "./dropout.ts";

interface AttentionOptions {
  readonly attnMask?: Tensor | null;
  readonly dropoutP?: number;
  readonly isCausal?: boolean;
  readonly scale?: number;
}

type AttentionArguments = Optional<
  [attnMask: Tensor | null, dropoutP: number, isCausal: boolean, scale: number],
  { attnMask: Tensor | null; dropoutP: number; isCausal: boolean; scale: number }
>;

/**
 * softmax(query key^T * scale + mask) value (`torch.nn.functional.scaled_dot_product_attention`; Vaswani et al. 2017).
 * @param query [..., L, E]; key [..., S, E]; value [..., S, V]; the result is [..., L, V]
 * @param attnMask bool (true takes part) or numbers that are added to the scores, broadcast to [..., L, S]
 * @param scale default 1 / sqrt(E)
 * @throws ValueError for a mask beside `isCausal`
 */
export function scaledDotProductAttention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  ...args: AttentionArguments
): Tensor {
  return scaledDotProductAttentionWithWeights(query, key, value, ...args)[0];
}

/** As `scaledDotProductAttention`; also gives the weights [..., L, S]. */
export function scaledDotProductAttentionWithWeights(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  ...args: AttentionArguments
): [output: Tensor, weights: Tensor] {
  const op = "scaledDotProductAttention";
  tensorOperand(op, query, "query");
  tensorOperand(op, key, "key");
  tensorOperand(op, value, "value");
  const {
    attnMask,
    dropoutP = 0,
    isCausal = false,
    scale = 1 / Math.sqrt(query.size(-1)),
  } = parameters<AttentionOptions>(op, ["attnMask", "dropoutP", "isCausal", "scale"], args);
  if (isCausal && attnMask) throw new ValueError("Explicit attn_mask should not be set when isCausal is true", { op });
  const mask = isCausal ? causalMask(query, key) : (attnMask ?? undefined);
  let scores = query.mul(scale).matmul(key.transpose(-2, -1));
  if (mask !== undefined)
    scores = mask.dtype === "bool" ? scores.maskedFill(mask.logicalNot(), -Infinity) : scores.add(mask);
  const all = softmax(scores, -1);
  const weights = dropoutP > 0 ? dropout(all, dropoutP) : all;
  return [weights.matmul(value), weights];
}

/** True where a key does not come after its query. */
function causalMask(query: Tensor, key: Tensor): Tensor {
  return tril(ones([query.size(-2), key.size(-2)], { dtype: "bool", device: query.device }));
}

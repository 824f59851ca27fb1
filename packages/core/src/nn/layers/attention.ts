/** Attention layers. */
import { scaledDotProductAttention } from "../../ops/composite/attention.ts";
import { linear } from "../../ops/contract.ts";
import { chunk } from "../../ops/split.ts";
import { assertOptions } from "../../arguments.ts";
import { ShapeError, ValueError } from "../../errors.ts";
import { empty, zeros } from "../../tensor/creation.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { xavierUniform_, zeros_ } from "../init.ts";
import { Module } from "../module.ts";
import { Parameter } from "../parameter.ts";
import { Linear, placementNames, placementOf } from "./linear.ts";
import type { Placement } from "./linear.ts";

export interface MultiheadAttentionOptions extends Placement {
  readonly dropout?: number;
  readonly bias?: boolean;
}

export interface AttentionCall {
  /**
   * bool: true takes part (as in scaledDotProductAttention); or numbers added to the scores. Broadcast to [n, heads, l,
   * s].
   */
  readonly attnMask?: Tensor;
  readonly isCausal?: boolean;
}

/**
 * Several attentions side by side over parts of the features (`torch.nn.MultiheadAttention` with `batch_first`).
 * Query [n, l, embedDim], key and value [n, s, embedDim]; the result is [n, l, embedDim].
 */
export class MultiheadAttention extends Module {
  readonly embedDim: number;
  readonly numHeads: number;
  readonly dropout: number;
  /** Query, key and value projections, one below the other: [3 * embedDim, embedDim] */
  declare inProjWeight: Parameter;
  declare inProjBias: Parameter | null;
  declare outProj: Linear;

  /** @throws ValueError where the features do not divide into heads */
  constructor(embedDim: number, numHeads: number, options: MultiheadAttentionOptions = {}) {
    super();
    assertOptions("MultiheadAttention", options, ["dropout", "bias", ...placementNames]);
    const { dropout = 0, bias = true } = options;
    if (!(embedDim % numHeads === 0))
      throw new ValueError("embed_dim must be divisible by num_heads", { op: "MultiheadAttention" });
    const placement = placementOf(options);
    this.embedDim = embedDim;
    this.numHeads = numHeads;
    this.dropout = dropout;
    this.registerParameter("inProjWeight", new Parameter(empty([3 * embedDim, embedDim], placement)));
    this.registerParameter("inProjBias", bias ? new Parameter(zeros([3 * embedDim], placement)) : null);
    this.outProj = new Linear(embedDim, embedDim, { bias, ...placement });
    xavierUniform_(this.inProjWeight);
    if (this.outProj.bias !== null) zeros_(this.outProj.bias);
  }

  override forward(query: Tensor, key: Tensor = query, value: Tensor = key, call: AttentionCall = {}): Tensor {
    assertOptions("MultiheadAttention", call, ["attnMask", "isCausal"]);
    const [q, k, v] = this.#project(query, key, value).map((part) => this.#split(part));
    const attended = scaledDotProductAttention(q, k, v, {
      attnMask: call.attnMask,
      isCausal: call.isCausal ?? false,
      dropoutP: this.training ? this.dropout : 0,
    });
    const [batch, , length] = attended.shape;
    return this.outProj.forward(attended.transpose(1, 2).reshape([batch, length, this.embedDim]));
  }

  #project(query: Tensor, key: Tensor, value: Tensor): readonly Tensor[] {
    const bias = this.inProjBias ?? undefined;
    if (query === key && key === value) return chunk(linear(query, this.inProjWeight, bias), 3, -1);
    const weights = chunk(this.inProjWeight, 3, 0);
    const biases = bias === undefined ? undefined : chunk(bias, 3, 0);
    return [query, key, value].map((part, i) => linear(part, weights[i], biases?.[i]));
  }

  #split(x: Tensor): Tensor {
    if (x.dim() !== 3) {
      throw new ShapeError(`expected [batch, length, features], got [${x.shape.join(", ")}]`, {
        op: "MultiheadAttention",
        remedy: "For one sequence, unsqueeze(0) it.",
      });
    }
    const [batch, length] = x.shape;
    return x.reshape([batch, length, this.numHeads, this.embedDim / this.numHeads]).transpose(1, 2);
  }
}

/** Layers of matrix products and look-ups. */
import { linear } from "../../ops/contract.ts";
import { bilinear } from "../../ops/composite/products.ts";
import { embedding } from "../../ops/embedding.ts";
import { empty, randn } from "../../tensor/creation.ts";
import type { TensorOptions } from "../../tensor/creation.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { assertOptions, assertWhole } from "../../arguments.ts";
import { noGrad } from "../../autograd/mode.ts";
import { ValueError } from "../../errors.ts";
import { calculateFans, kaimingUniform_, uniform_ } from "../init.ts";
import { Module } from "../module.ts";
import { Parameter } from "../parameter.ts";

/** Where and as what a layer makes its parameters. */
export type Placement = Pick<TensorOptions, "dtype" | "device">;

export const placementNames = ["dtype", "device"] as const;

/** Dtype and device among a layer's options. */
export function placementOf({ dtype, device }: Placement): Placement {
  return { dtype, device };
}

/** Python's spelling of a flag, for printing as PyTorch does. */
export function flag(value: boolean): string {
  return value ? "True" : "False";
}

/** Weight and bias as PyTorch starts them: uniform within 1 / sqrt(fan in). */
export function resetWeights(weight: Parameter, bias: Parameter | null): void {
  kaimingUniform_(weight, { a: Math.sqrt(5) });
  if (bias === null) return;
  const { fanIn } = calculateFans(weight);
  const bound = fanIn > 0 ? 1 / Math.sqrt(fanIn) : 0;
  uniform_(bias, -bound, bound);
}

/** x W^T + b (`torch.nn.Linear`): the last dimension goes from `inFeatures` to `outFeatures`. */
export class Linear extends Module {
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** [outFeatures, inFeatures] */
  declare weight: Parameter;
  declare bias: Parameter | null;

  /** @throws ValueError for an unknown option */
  constructor(inFeatures: number, outFeatures: number, options: { readonly bias?: boolean } & Placement = {}) {
    super();
    assertOptions("Linear", options, ["bias", ...placementNames]);
    assertWhole("Linear", "inFeatures", inFeatures);
    assertWhole("Linear", "outFeatures", outFeatures);
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    const placement = placementOf(options);
    this.registerParameter("weight", new Parameter(empty([outFeatures, inFeatures], placement)));
    this.registerParameter("bias", (options.bias ?? true) ? new Parameter(empty([outFeatures], placement)) : null);
    this.resetParameters();
  }

  resetParameters(): void {
    resetWeights(this.weight, this.bias);
  }

  override forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias ?? undefined);
  }

  override extraRepr(): string {
    return `in_features=${this.inFeatures}, out_features=${this.outFeatures}, bias=${flag(this.bias !== null)}`;
  }
}

/** x1^T W x2 + b (`torch.nn.Bilinear`). */
export class Bilinear extends Module {
  readonly in1Features: number;
  readonly in2Features: number;
  readonly outFeatures: number;
  /** [outFeatures, in1Features, in2Features] */
  declare weight: Parameter;
  declare bias: Parameter | null;

  constructor(
    in1Features: number,
    in2Features: number,
    outFeatures: number,
    options: { readonly bias?: boolean } & Placement = {},
  ) {
    super();
    assertOptions("Bilinear", options, ["bias", ...placementNames]);
    this.in1Features = in1Features;
    this.in2Features = in2Features;
    this.outFeatures = outFeatures;
    const placement = placementOf(options);
    this.registerParameter("weight", new Parameter(empty([outFeatures, in1Features, in2Features], placement)));
    this.registerParameter("bias", (options.bias ?? true) ? new Parameter(empty([outFeatures], placement)) : null);
    this.resetParameters();
  }

  resetParameters(): void {
    const bound = 1 / Math.sqrt(this.in1Features);
    uniform_(this.weight, -bound, bound);
    if (this.bias !== null) uniform_(this.bias, -bound, bound);
  }

  override forward(x1: Tensor, x2: Tensor): Tensor {
    return bilinear(x1, x2, this.weight, this.bias ?? undefined);
  }

  override extraRepr(): string {
    const { in1Features, in2Features, outFeatures, bias } = this;
    return (
      `in1_features=${in1Features}, in2_features=${in2Features}, ` +
      `out_features=${outFeatures}, bias=${flag(bias !== null)}`
    );
  }
}

interface EmbeddingOptions extends Placement {
  /** The row that gets no gradient and starts as zeros. */
  readonly paddingIdx?: number | null;
}

/** Rows of a table by their numbers (`torch.nn.Embedding`). */
export class Embedding extends Module {
  readonly numEmbeddings: number;
  readonly embeddingDim: number;
  readonly paddingIdx: number | null;
  /** [numEmbeddings, embeddingDim] */
  declare weight: Parameter;

  /** @throws ValueError where the padding row is outside of the table */
  constructor(numEmbeddings: number, embeddingDim: number, options: EmbeddingOptions = {}) {
    super();
    assertOptions("Embedding", options, ["paddingIdx", ...placementNames]);
    assertWhole("Embedding", "numEmbeddings", numEmbeddings);
    assertWhole("Embedding", "embeddingDim", embeddingDim);
    const { paddingIdx = null } = options;
    if (paddingIdx !== null && (paddingIdx < -numEmbeddings || paddingIdx >= numEmbeddings)) {
      throw new ValueError("Padding_idx must be within num_embeddings", { op: "Embedding" });
    }
    this.numEmbeddings = numEmbeddings;
    this.embeddingDim = embeddingDim;
    this.paddingIdx = paddingIdx !== null && paddingIdx < 0 ? paddingIdx + numEmbeddings : paddingIdx;
    this.registerParameter("weight", new Parameter(empty([numEmbeddings, embeddingDim], placementOf(options))));
    this.resetParameters();
  }

  resetParameters(): void {
    const { weight, paddingIdx } = this;
    noGrad(() => {
      weight.copy_(randn(weight.shape, { dtype: weight.dtype, device: weight.device }));
      if (paddingIdx !== null) weight.select(0, paddingIdx).fill_(0);
    });
  }

  override forward(indices: Tensor): Tensor {
    return embedding(indices, this.weight, { paddingIdx: this.paddingIdx ?? undefined });
  }

  override extraRepr(): string {
    const padding = this.paddingIdx === null ? "" : `, padding_idx=${this.paddingIdx}`;
    return `${this.numEmbeddings}, ${this.embeddingDim}${padding}`;
  }
}

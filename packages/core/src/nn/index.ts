/** `nn`: modules, layers, losses, starting values, and the functions behind them. */
export * as functional from "./functional.ts";
export * as init from "./init.ts";
export { Module } from "./module.ts";
export type { LoadResult, StateDict } from "./state-dict.ts";
export { Parameter } from "./parameter.ts";
export { ModuleDict, ModuleList, ParameterList, Sequential } from "./layers/container.ts";
export { Bilinear, Embedding, Linear } from "./layers/linear.ts";
export { Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d } from "./layers/convolution.ts";
export {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  GroupNorm,
  InstanceNorm1d,
  InstanceNorm2d,
  LayerNorm,
  LocalResponseNorm,
} from "./layers/normalization.ts";
export * from "./layers/activation.ts";
export {
  AdaptiveAvgPool1d,
  AdaptiveAvgPool2d,
  AdaptiveMaxPool2d,
  AvgPool1d,
  AvgPool2d,
  AvgPool3d,
  Dropout,
  Dropout2d,
  Flatten,
  Identity,
  MaxPool1d,
  MaxPool2d,
  MaxPool3d,
  Unflatten,
  Upsample,
} from "./layers/shape.ts";
export { MultiheadAttention } from "./layers/attention.ts";
export {
  BCELoss,
  BCEWithLogitsLoss,
  CosineEmbeddingLoss,
  CrossEntropyLoss,
  GaussianNLLLoss,
  HingeEmbeddingLoss,
  HuberLoss,
  KLDivLoss,
  L1Loss,
  MarginRankingLoss,
  MSELoss,
  MultiMarginLoss,
  NLLLoss,
  PoissonNLLLoss,
  SmoothL1Loss,
  SoftMarginLoss,
  TripletMarginLoss,
} from "./layers/loss.ts";
export { clipGradNorm_, clipGradValue_ } from "./gradients.ts";

/** `nn.functional`: the functions behind the layers, with PyTorch's signatures. */
export {
  celu,
  elu,
  gelu,
  glu,
  logsigmoid,
  mish,
  selu,
  silu,
  softplus,
  softsign,
  tanhshrink,
} from "../ops/activations.ts";
export {
  hardshrink,
  hardsigmoid,
  hardswish,
  hardtanh,
  leakyRelu,
  prelu,
  relu,
  relu6,
  softshrink,
  threshold,
} from "../ops/rectifiers.ts";
export { sigmoid, tanh } from "../ops/transcendental.ts";
export { logSoftmax, softmax, softmin } from "../ops/softmax.ts";
export {
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  crossEntropy,
  gaussianNllLoss,
  huberLoss,
  klDiv,
  l1Loss,
  mseLoss,
  nllLoss,
  poissonNllLoss,
  smoothL1Loss,
} from "../ops/composite/losses.ts";
export {
  cosineEmbeddingLoss,
  hingeEmbeddingLoss,
  marginRankingLoss,
  multiMarginLoss,
  multilabelSoftMarginLoss,
  softMarginLoss,
  tripletMarginLoss,
  tripletMarginWithDistanceLoss,
} from "../ops/composite/margin-losses.ts";
export type { Reduction } from "../ops/composite/loss-reduction.ts";
export {
  batchNorm,
  cosineSimilarity,
  groupNorm,
  instanceNorm,
  layerNorm,
  normalize,
  pairwiseDistance,
} from "../ops/composite/normalization.ts";
export { dropout, featureDropout } from "../ops/composite/dropout.ts";
export { scaledDotProductAttention, scaledDotProductAttentionWithWeights } from "../ops/composite/attention.ts";
export { linear } from "../ops/contract.ts";
export { bilinear } from "../ops/composite/products.ts";
export { embedding } from "../ops/embedding.ts";
export { oneHot } from "../ops/composite/one-hot.ts";
export { pad } from "../ops/pad.ts";
export { conv1d, conv2d, conv3d, convTranspose1d, convTranspose2d, convTranspose3d } from "../ops/conv.ts";
export {
  adaptiveAvgPool1d,
  adaptiveAvgPool2d,
  adaptiveAvgPool3d,
  adaptiveMaxPool1d,
  adaptiveMaxPool2d,
  adaptiveMaxPool3d,
  avgPool1d,
  avgPool2d,
  avgPool3d,
  localResponseNorm,
  maxPool1d,
  maxPool2d,
  maxPool3d,
} from "../ops/pool.ts";
export {
  fold,
  interpolate,
  pixelShuffle,
  pixelUnshuffle,
  unfold,
  upsample,
  upsampleBilinear,
  upsampleNearest,
} from "../ops/resize.ts";

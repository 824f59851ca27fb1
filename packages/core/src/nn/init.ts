/**
 * Starting values of parameters (`torch.nn.init`). All write in place, without recording, and give their tensor back.
 */
import { noGrad } from "../autograd/mode.ts";
import { ShapeError, ValueError } from "../errors.ts";
import { assertOptions, shown } from "../arguments.ts";
import { tensorOperand } from "../ops/elementwise.ts";
import { eye, rand, randn } from "../tensor/creation.ts";
import type { Tensor } from "../tensor/tensor.ts";

const nonlinearities = [
  "linear", "conv1d", "conv2d", "conv3d", "convTranspose1d", "convTranspose2d", "convTranspose3d", "sigmoid", "tanh",
  "relu", "leakyRelu", "selu",
] as const;

/** The activation that follows, for `calculateGain`. */
export type Nonlinearity = (typeof nonlinearities)[number];

/**
 * The recommended gain for a nonlinearity (`torch.nn.init.calculate_gain`). @param param the negative slope of
 * leakyRelu
 * @throws ValueError for another nonlinearity
 */
export function calculateGain(nonlinearity: Nonlinearity, param = 0.01): number {
  if (!nonlinearities.includes(nonlinearity)) {
    const remedy = `It is one of ${nonlinearities.join(", ")}.`;
    throw new ValueError(`Unsupported nonlinearity ${shown(nonlinearity)}`, { op: "calculateGain", remedy });
  }
  if (nonlinearity === "tanh") return 5 / 3;
  if (nonlinearity === "relu") return Math.SQRT2;
  if (nonlinearity === "leakyRelu") return Math.sqrt(2 / (1 + param ** 2));
  return nonlinearity === "selu" ? 3 / 4 : 1;
}

/**
 * How many numbers go into and out of one unit of a weight (`_calculate_fan_in_and_fan_out`).
 * @throws ShapeError for fewer than two dimensions
 */
export function calculateFans(weight: Tensor): { readonly fanIn: number; readonly fanOut: number } {
  tensorOperand("init", weight, "tensor");
  if (weight.dim() < 2)
    throw new ShapeError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions");
  const [out, into, ...field] = weight.shape;
  const receptive = field.reduce((product, size) => product * size, 1);
  return { fanIn: into * receptive, fanOut: out * receptive };
}

function overwrite(tensor: Tensor, make: () => Tensor): Tensor {
  tensorOperand("init", tensor, "tensor");
  return noGrad(() => tensor.copy_(make()));
}

function like(tensor: Tensor): { readonly dtype: Tensor["dtype"]; readonly device: Tensor["device"] } {
  return { dtype: tensor.dtype, device: tensor.device };
}

/** Uniform in [a, b). */
export function uniform_(tensor: Tensor, a = 0, b = 1): Tensor {
  return overwrite(tensor, () =>
    rand(tensor.shape, like(tensor))
      .mul(b - a)
      .add(a),
  );
}

/** Normal with this mean and standard deviation. */
export function normal_(tensor: Tensor, mean = 0, std = 1): Tensor {
  return overwrite(tensor, () => randn(tensor.shape, like(tensor)).mul(std).add(mean));
}

/** Normal, held between `a` and `b` by drawing from the distribution's inner part. */
export function truncNormal_(tensor: Tensor, mean = 0, std = 1, a = -2, b = 2): Tensor {
  return overwrite(tensor, () => {
    const share = (bound: number): Tensor => tensor.newFull([], (bound - mean) / (std * Math.SQRT2)).erf();
    const [low, high] = [share(a), share(b)];
    return rand(tensor.shape, like(tensor))
      .mul(high.sub(low))
      .add(low)
      .erfinv()
      .mul(std * Math.SQRT2)
      .add(mean)
      .clamp(a, b);
  });
}

export function constant_(tensor: Tensor, value: number): Tensor {
  tensorOperand("init", tensor, "tensor");
  return noGrad(() => tensor.fill_(value));
}

export function zeros_(tensor: Tensor): Tensor {
  return constant_(tensor, 0);
}

export function ones_(tensor: Tensor): Tensor {
  return constant_(tensor, 1);
}

/** The identity matrix. @throws ShapeError unless the tensor has two dimensions */
export function eye_(tensor: Tensor): Tensor {
  if (tensorOperand("init", tensor, "tensor").dim() !== 2)
    throw new ShapeError("Only tensors with 2 dimensions are supported");
  return overwrite(tensor, () => eye(tensor.shape[0], tensor.shape[1], like(tensor)));
}

/** Glorot and Bengio 2010, uniform (`torch.nn.init.xavier_uniform_`). */
export function xavierUniform_(tensor: Tensor, gain = 1): Tensor {
  const { fanIn, fanOut } = calculateFans(tensor);
  const bound = gain * Math.sqrt(6 / (fanIn + fanOut));
  return uniform_(tensor, -bound, bound);
}

/** Glorot and Bengio 2010, normal (`torch.nn.init.xavier_normal_`). */
export function xavierNormal_(tensor: Tensor, gain = 1): Tensor {
  const { fanIn, fanOut } = calculateFans(tensor);
  return normal_(tensor, 0, gain * Math.sqrt(2 / (fanIn + fanOut)));
}

export interface KaimingOptions {
  /** The negative slope of a leaky rectifier that follows. */
  readonly a?: number;
  readonly mode?: "fanIn" | "fanOut";
  readonly nonlinearity?: Nonlinearity;
}

function kaimingDeviation(tensor: Tensor, options: KaimingOptions): number {
  assertOptions("init", options, ["a", "mode", "nonlinearity"]);
  const { a = 0, mode = "fanIn", nonlinearity = "leakyRelu" } = options;
  if (mode !== "fanIn" && mode !== "fanOut")
    throw new ValueError(`Mode ${String(mode)} not supported, please use one of fanIn, fanOut`);
  return calculateGain(nonlinearity, a) / Math.sqrt(calculateFans(tensor)[mode]);
}

/** He et al. 2015, uniform (`torch.nn.init.kaiming_uniform_`). */
export function kaimingUniform_(tensor: Tensor, options: KaimingOptions = {}): Tensor {
  if (tensorOperand("init", tensor, "tensor").numel() === 0) return tensor;
  const bound = Math.sqrt(3) * kaimingDeviation(tensor, options);
  return uniform_(tensor, -bound, bound);
}

/** He et al. 2015, normal (`torch.nn.init.kaiming_normal_`). */
export function kaimingNormal_(tensor: Tensor, options: KaimingOptions = {}): Tensor {
  if (tensorOperand("init", tensor, "tensor").numel() === 0) return tensor;
  return normal_(tensor, 0, kaimingDeviation(tensor, options));
}

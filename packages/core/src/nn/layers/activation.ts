/** Activation functions as layers. */
import * as f from "../../ops/activations.ts";
import { sigmoid, tanh } from "../../ops/transcendental.ts";
import { logSoftmax, softmax, softmin } from "../../ops/softmax.ts";
import { full } from "../../tensor/creation.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Module } from "../module.ts";
import { Parameter } from "../parameter.ts";
import { placementOf } from "./linear.ts";
import type { Placement } from "./linear.ts";

interface InPlace {
  /** Write over the input. */
  readonly inplace?: boolean;
}

/** A layer that is one function; what it prints is what it was made with. */
abstract class Activation extends Module {
  readonly #function: (x: Tensor) => Tensor;
  readonly #repr: string;

  constructor(apply: (x: Tensor) => Tensor, repr = "") {
    super();
    this.#function = apply;
    this.#repr = repr;
  }

  override forward(x: Tensor): Tensor {
    return this.#function(x);
  }

  override extraRepr(): string {
    return this.#repr;
  }
}

function withInPlace(repr: string, inplace: boolean): string {
  if (!inplace) return repr;
  return repr === "" ? "inplace=True" : `${repr}, inplace=True`;
}

/** A number as Python prints a float. */
function float(value: number): string {
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

/** `torch.nn.ReLU`. */
export class ReLU extends Activation {
  constructor({ inplace = false }: InPlace = {}) {
    super((x) => f.relu(x, inplace), withInPlace("", inplace));
  }
}

/** `torch.nn.ReLU6`. */
export class ReLU6 extends Activation {
  constructor({ inplace = false }: InPlace = {}) {
    super((x) => f.relu6(x, inplace), withInPlace("", inplace));
  }
}

/** `torch.nn.LeakyReLU`. */
export class LeakyReLU extends Activation {
  constructor(negativeSlope = 0.01, { inplace = false }: InPlace = {}) {
    super((x) => f.leakyRelu(x, negativeSlope, inplace), withInPlace(`negative_slope=${negativeSlope}`, inplace));
  }
}

/** `torch.nn.PReLU`: the slope below zero is learnt, one or one a channel. */
export class PReLU extends Module {
  readonly numParameters: number;
  weight: Parameter;

  constructor(numParameters = 1, options: { readonly init?: number } & Placement = {}) {
    super();
    this.numParameters = numParameters;
    this.weight = new Parameter(
      full([numParameters], options.init ?? 0.25, placementOf({ dtype: "float32", ...options })),
    );
  }

  override forward(x: Tensor): Tensor {
    return f.prelu(x, this.weight);
  }

  override extraRepr(): string {
    return `num_parameters=${this.numParameters}`;
  }
}

/** `torch.nn.ELU`. */
export class ELU extends Activation {
  constructor(alpha = 1, { inplace = false }: InPlace = {}) {
    super((x) => f.elu(x, alpha, inplace), withInPlace(`alpha=${float(alpha)}`, inplace));
  }
}

/** `torch.nn.CELU`. */
export class CELU extends Activation {
  constructor(alpha = 1, { inplace = false }: InPlace = {}) {
    super((x) => f.celu(x, alpha, inplace), withInPlace(`alpha=${float(alpha)}`, inplace));
  }
}

/** `torch.nn.SELU`. */
export class SELU extends Activation {
  constructor({ inplace = false }: InPlace = {}) {
    super((x) => f.selu(x, inplace), withInPlace("", inplace));
  }
}

/** `torch.nn.GELU`. */
export class GELU extends Activation {
  constructor({ approximate = "none" }: { readonly approximate?: "none" | "tanh" } = {}) {
    super((x) => f.gelu(x, approximate), `approximate='${approximate}'`);
  }
}

/** `torch.nn.SiLU`. */
export class SiLU extends Activation {
  constructor({ inplace = false }: InPlace = {}) {
    super((x) => f.silu(x, inplace), withInPlace("", inplace));
  }
}

/** `torch.nn.Mish`. */
export class Mish extends Activation {
  constructor({ inplace = false }: InPlace = {}) {
    super((x) => f.mish(x, inplace), withInPlace("", inplace));
  }
}

/** `torch.nn.Sigmoid`. */
export class Sigmoid extends Activation {
  constructor() {
    super((x) => sigmoid(x));
  }
}

/** `torch.nn.LogSigmoid`. */
export class LogSigmoid extends Activation {
  constructor() {
    super((x) => f.logsigmoid(x));
  }
}

/** `torch.nn.Tanh`. */
export class Tanh extends Activation {
  constructor() {
    super((x) => tanh(x));
  }
}

/** `torch.nn.Tanhshrink`. */
export class Tanhshrink extends Activation {
  constructor() {
    super((x) => f.tanhshrink(x));
  }
}

/** `torch.nn.Softplus`. */
export class Softplus extends Activation {
  constructor(beta = 1, threshold = 20) {
    super((x) => f.softplus(x, beta, threshold), `beta=${beta}, threshold=${threshold}`);
  }
}

/** `torch.nn.Softsign`. */
export class Softsign extends Activation {
  constructor() {
    super((x) => f.softsign(x));
  }
}

/** `torch.nn.Softshrink`. */
export class Softshrink extends Activation {
  constructor(lambd = 0.5) {
    super((x) => f.softshrink(x, lambd), String(lambd));
  }
}

/** `torch.nn.Hardshrink`. */
export class Hardshrink extends Activation {
  constructor(lambd = 0.5) {
    super((x) => f.hardshrink(x, lambd), String(lambd));
  }
}

/** `torch.nn.Hardtanh`. */
export class Hardtanh extends Activation {
  constructor(minVal = -1, maxVal = 1, { inplace = false }: InPlace = {}) {
    super(
      (x) => f.hardtanh(x, minVal, maxVal, inplace),
      withInPlace(`min_val=${float(minVal)}, max_val=${float(maxVal)}`, inplace),
    );
  }
}

/** `torch.nn.Hardsigmoid`. */
export class Hardsigmoid extends Activation {
  constructor({ inplace = false }: InPlace = {}) {
    super((x) => f.hardsigmoid(x, inplace));
  }
}

/** `torch.nn.Hardswish`. */
export class Hardswish extends Activation {
  constructor({ inplace = false }: InPlace = {}) {
    super((x) => f.hardswish(x, inplace));
  }
}

/** `torch.nn.Threshold`. */
export class Threshold extends Activation {
  constructor(threshold: number, value: number, { inplace = false }: InPlace = {}) {
    super(
      (x) => f.threshold(x, threshold, value, inplace),
      withInPlace(`threshold=${threshold}, value=${value}`, inplace),
    );
  }
}

/** `torch.nn.GLU`. */
export class GLU extends Activation {
  constructor(dim = -1) {
    super((x) => f.glu(x, dim), `dim=${dim}`);
  }
}

/** `torch.nn.Softmax`. */
export class Softmax extends Activation {
  constructor(dim: number) {
    super((x) => softmax(x, dim), `dim=${dim}`);
  }
}

/** `torch.nn.LogSoftmax`. */
export class LogSoftmax extends Activation {
  constructor(dim: number) {
    super((x) => logSoftmax(x, dim), `dim=${dim}`);
  }
}

/** `torch.nn.Softmin`. */
export class Softmin extends Activation {
  constructor(dim: number) {
    super((x) => softmin(x, dim), `dim=${dim}`);
  }
}

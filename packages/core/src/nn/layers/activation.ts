/** Activation functions as layers. */
import { assertOptions } from "../../arguments.ts";
import * as f from "../../ops/activations.ts";
import * as rectifiers from "../../ops/rectifiers.ts";
import { sigmoid, tanh } from "../../ops/transcendental.ts";
import { logSoftmax, softmax, softmin } from "../../ops/softmax.ts";
import { full } from "../../tensor/creation.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Module } from "../module.ts";
import { Parameter } from "../parameter.ts";
import { placementNames, placementOf } from "./linear.ts";
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

/** One that may write over its input. */
abstract class InPlaceActivation extends Activation {
  /** @throws ValueError for an unknown option */
  constructor(apply: (x: Tensor, inplace: boolean) => Tensor, repr: string, options: InPlace) {
    const { inplace = false } = options;
    const parts = [repr, inplace ? "inplace=True" : ""].filter((part) => part !== "");
    super((x) => apply(x, inplace), parts.join(", "));
    assertOptions(this.constructor.name, options, ["inplace"]);
  }
}

/** A number as Python prints a float. */
function float(value: number): string {
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

/** `torch.nn.ReLU`. */
export class ReLU extends InPlaceActivation {
  constructor(options: InPlace = {}) {
    super((x, inplace) => rectifiers.relu(x, inplace), "", options);
  }
}

/** `torch.nn.ReLU6`. */
export class ReLU6 extends InPlaceActivation {
  constructor(options: InPlace = {}) {
    super((x, inplace) => rectifiers.relu6(x, inplace), "", options);
  }
}

/** `torch.nn.LeakyReLU`. */
export class LeakyReLU extends InPlaceActivation {
  constructor(negativeSlope = 0.01, options: InPlace = {}) {
    super((x, inplace) => rectifiers.leakyRelu(x, negativeSlope, inplace), `negative_slope=${negativeSlope}`, options);
  }
}

/** `torch.nn.PReLU`: the slope below zero is learnt, one or one a channel. */
export class PReLU extends Module {
  readonly numParameters: number;
  declare weight: Parameter;

  constructor(numParameters = 1, options: { readonly init?: number } & Placement = {}) {
    super();
    this.numParameters = numParameters;
    assertOptions("PReLU", options, ["init", ...placementNames]);
    const start = full([numParameters], options.init ?? 0.25, placementOf({ dtype: "float32", ...options }));
    this.registerParameter("weight", new Parameter(start));
  }

  override forward(x: Tensor): Tensor {
    return rectifiers.prelu(x, this.weight);
  }

  override extraRepr(): string {
    return `num_parameters=${this.numParameters}`;
  }
}

/** `torch.nn.ELU`. */
export class ELU extends InPlaceActivation {
  constructor(alpha = 1, options: InPlace = {}) {
    super((x, inplace) => f.elu(x, alpha, inplace), `alpha=${float(alpha)}`, options);
  }
}

/** `torch.nn.CELU`. */
export class CELU extends InPlaceActivation {
  constructor(alpha = 1, options: InPlace = {}) {
    super((x, inplace) => f.celu(x, alpha, inplace), `alpha=${float(alpha)}`, options);
  }
}

/** `torch.nn.SELU`. */
export class SELU extends InPlaceActivation {
  constructor(options: InPlace = {}) {
    super((x, inplace) => f.selu(x, inplace), "", options);
  }
}

/** `torch.nn.GELU`. */
export class GELU extends Activation {
  constructor(options: { readonly approximate?: "none" | "tanh" } = {}) {
    const { approximate = "none" } = options;
    super((x) => f.gelu(x, approximate), `approximate='${approximate}'`);
    assertOptions("GELU", options, ["approximate"]);
  }
}

/** `torch.nn.SiLU`. */
export class SiLU extends InPlaceActivation {
  constructor(options: InPlace = {}) {
    super((x, inplace) => f.silu(x, inplace), "", options);
  }
}

/** `torch.nn.Mish`. */
export class Mish extends InPlaceActivation {
  constructor(options: InPlace = {}) {
    super((x, inplace) => f.mish(x, inplace), "", options);
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
    super((x) => rectifiers.softshrink(x, lambd), String(lambd));
  }
}

/** `torch.nn.Hardshrink`. */
export class Hardshrink extends Activation {
  constructor(lambd = 0.5) {
    super((x) => rectifiers.hardshrink(x, lambd), String(lambd));
  }
}

/** `torch.nn.Hardtanh`. */
export class Hardtanh extends InPlaceActivation {
  constructor(minVal = -1, maxVal = 1, options: InPlace = {}) {
    super(
      (x, inplace) => rectifiers.hardtanh(x, minVal, maxVal, inplace),
      `min_val=${float(minVal)}, max_val=${float(maxVal)}`,
      options,
    );
  }
}

/** `torch.nn.Hardsigmoid`. */
export class Hardsigmoid extends InPlaceActivation {
  constructor(options: InPlace = {}) {
    super((x, inplace) => rectifiers.hardsigmoid(x, inplace), "", options);
  }

  override extraRepr(): string {
    return "";
  }
}

/** `torch.nn.Hardswish`. */
export class Hardswish extends InPlaceActivation {
  constructor(options: InPlace = {}) {
    super((x, inplace) => rectifiers.hardswish(x, inplace), "", options);
  }

  override extraRepr(): string {
    return "";
  }
}

/** `torch.nn.Threshold`. */
export class Threshold extends InPlaceActivation {
  constructor(threshold: number, value: number, options: InPlace = {}) {
    super(
      (x, inplace) => rectifiers.threshold(x, threshold, value, inplace),
      `threshold=${threshold}, value=${value}`,
      options,
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

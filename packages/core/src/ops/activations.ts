/** The table of activation functions: elementwise entries whose gradients are one launch each. */
import { ValueError } from "../errors.ts";
import { isFloat } from "../tensor/dtype.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { parameters } from "./arguments.ts";
import { apply, applyTo } from "./dispatch.ts";
import { choose, fused } from "./fused.ts";
import type { Algebra } from "./fused.ts";
import { defineElementwise } from "./kinds/elementwise.ts";
import type { ElementwiseOp, Params } from "./kinds/elementwise.ts";
import type { Optional } from "./signatures.ts";

const floatsOnly: readonly DType[] = ["bool", "uint8", "int32", "int64"];
const noBools: readonly DType[] = ["bool"];
const none: Params = [];

/** The result in fresh memory, or written over the input. */
function activate(op: ElementwiseOp, x: Tensor, params: Params, inplace = false): Tensor {
  return inplace ? applyTo(op, x, [x], params) : apply(op, [x], params);
}

interface InPlace {
  readonly inplace?: boolean;
}

function onlyInPlace(name: string, args: readonly unknown[]): boolean {
  return parameters<InPlace>(name, ["inplace"], args).inplace ?? false;
}

/** An activation without numbers: `f(x)`, `f(x, { inplace: true })`. */
function plain(op: ElementwiseOp): (x: Tensor, ...args: Optional<[inplace: boolean]>) => Tensor {
  return (x, ...args) => activate(op, x, none, onlyInPlace(op.name, args));
}

// --- rectifiers ------------------------------------------------------------------------------------------------------

/** max(x, 0) (`torch.nn.functional.relu`). */
export const relu = plain(
  defineElementwise("relu", {
    kernel: (x) => x.max(0),
    refuses: noBools,
    grad: { a: fused("reluBackward", "y", (g, y) => choose(y.le(0), 0, g)) },
  }),
);

const hardtanhOp = defineElementwise("hardtanh", {
  kernel: (x, low, high) => x.max(low).min(high),
  operands: 1,
  refuses: noBools,
  grad: {
    a: fused("hardtanhBackward", "y", (g, y, low, high) => choose(y.le(low), 0, choose(y.ge(high), 0, g))),
  },
});

/** x held between `minVal` and `maxVal`; no gradient at and beyond them (`torch.nn.functional.hardtanh`). */
export function hardtanh(x: Tensor, ...args: Optional<[minVal: number, maxVal: number, inplace: boolean]>): Tensor {
  const {
    minVal = -1,
    maxVal = 1,
    inplace,
  } = parameters<{ minVal?: number; maxVal?: number } & InPlace>("hardtanh", ["minVal", "maxVal", "inplace"], args);
  return activate(hardtanhOp, x, [minVal, maxVal], inplace);
}

/** min(max(x, 0), 6) (`torch.nn.functional.relu6`). */
export function relu6(x: Tensor, ...args: Optional<[inplace: boolean]>): Tensor {
  return activate(hardtanhOp, x, [0, 6], onlyInPlace("relu6", args));
}

const leakyReluOp = defineElementwise("leakyRelu", {
  kernel: (x, slope) => x.gt(0).where(x, x.mul(slope)),
  operands: 1,
  refuses: floatsOnly,
  grad: { a: fused("leakyReluBackward", "a", (g, x, slope) => choose(x.gt(0), g, g.mul(slope))) },
});

/** x above 0, `negativeSlope` * x below (`torch.nn.functional.leaky_relu`). */
export function leakyRelu(x: Tensor, ...args: Optional<[negativeSlope: number, inplace: boolean]>): Tensor {
  const { negativeSlope = 0.01, inplace } = parameters<{ negativeSlope?: number } & InPlace>(
    "leakyRelu",
    ["negativeSlope", "inplace"],
    args,
  );
  return activate(leakyReluOp, x, [negativeSlope], inplace);
}

const preluOp = defineElementwise("prelu", {
  kernel: (x, weight) => x.gt(0).where(x, weight.mul(x)),
  refuses: floatsOnly,
  grad: {
    a: fused("preluBackward", "ab", (g, x, weight) => choose(x.gt(0), g, weight.mul(g))),
    b: fused("preluWeightBackward", "a", (g, x) => choose(x.gt(0), 0, x.mul(g))),
  },
});

/**
 * x above 0, `weight` * x below (`torch.nn.functional.prelu`).
 * @param weight one number, or one for each channel (dimension 1)
 * @throws ValueError where the weight does not fit the channels
 */
export function prelu(x: Tensor, weight: Tensor): Tensor {
  if (weight.dim() > 1) {
    throw new ValueError(`prelu: Expected \`weight\` to be a scalar or 1D tensor, but got ndim = ${weight.dim()}`, {
      op: "prelu",
    });
  }
  if (weight.numel() === 1) return apply(preluOp, [x, weight.reshape([])], none);
  if (x.dim() === 0) throw new ValueError("Not allow zero-dim input tensor.", { op: "prelu" });
  const channels = x.dim() > 1 ? x.shape[1] : 1;
  if (channels !== weight.numel()) {
    throw new ValueError(
      "Mismatch of parameter numbers and input channel size. " +
        `Found parameter numbers = ${weight.numel()} and channel size = ${channels}.`,
      { op: "prelu" },
    );
  }
  return apply(preluOp, [x, weight.reshape(x.shape.map((_, dim) => (dim === 1 ? channels : 1)))], none);
}

const thresholdOp = defineElementwise("threshold", {
  kernel: (x, bound, value) => x.le(bound).where(value, x),
  operands: 1,
  refuses: noBools,
  grad: { a: fused("thresholdBackward", "a", (g, x, bound, _value) => choose(x.le(bound), 0, g)) },
});

/** x above `threshold`, `value` elsewhere (`torch.nn.functional.threshold`). */
export function threshold(x: Tensor, ...args: Optional<[threshold: number, value: number, inplace: boolean]>): Tensor {
  const {
    threshold: bound,
    value,
    inplace,
  } = parameters<{ threshold?: number; value?: number } & InPlace>(
    "threshold",
    ["threshold", "value", "inplace"],
    args,
  );
  if (bound === undefined || value === undefined)
    throw new ValueError("threshold() needs a threshold and a value", { op: "threshold" });
  return activate(thresholdOp, x, [bound, value], inplace);
}

// --- exponential units -----------------------------------------------------------------------------------------------

const eluOp = defineElementwise("elu", {
  kernel: (x, below, above, inner) => x.le(0).where(x.mul(inner).expm1().mul(below), x.mul(above)),
  operands: 1,
  refuses: floatsOnly,
  grad: {
    a: fused("eluBackward", "a", (g, x, below, above, inner) =>
      // Held at 0 above, so that the branch not taken stays finite.
      choose(x.le(0), choose(x.le(0), x, 0).mul(inner).exp().mul(g).mul(below).mul(inner), g.mul(above)),
    ),
  },
});

/** x above 0, alpha * (exp(x) - 1) below (`torch.nn.functional.elu`). */
export function elu(x: Tensor, ...args: Optional<[alpha: number, inplace: boolean]>): Tensor {
  const { alpha = 1, inplace } = parameters<{ alpha?: number } & InPlace>("elu", ["alpha", "inplace"], args);
  return activate(eluOp, x, [alpha, 1, 1], inplace);
}

const celuOp: typeof eluOp = { ...eluOp, gradName: "Celu" };

/** x above 0, alpha * (exp(x / alpha) - 1) below (`torch.nn.functional.celu`). */
export function celu(x: Tensor, ...args: Optional<[alpha: number, inplace: boolean]>): Tensor {
  const { alpha = 1, inplace } = parameters<{ alpha?: number } & InPlace>("celu", ["alpha", "inplace"], args);
  if (alpha === 0) throw new ValueError("ZeroDivisionError: alpha cannot be 0 for CELU", { op: "celu" });
  return activate(celuOp, x, [alpha, 1, 1 / alpha], inplace);
}

const SELU_ALPHA = 1.6732632423543772;
const SELU_SCALE = 1.0507009873554805;

/** The self-normalising unit of Klambauer et al. 2017 (`torch.nn.functional.selu`). */
export function selu(x: Tensor, ...args: Optional<[inplace: boolean]>): Tensor {
  return activate(eluOp, x, [SELU_ALPHA * SELU_SCALE, SELU_SCALE, 1], onlyInPlace("selu", args));
}

// --- smooth units ----------------------------------------------------------------------------------------------------

const geluOp = defineElementwise("gelu", {
  kernel: (x) => x.mul(0.5).mul(x.mul(Math.SQRT1_2).erf().add(1)),
  refuses: floatsOnly,
  grad: {
    a: fused("geluBackward", "a", (g, x) => {
      const below = x.mul(Math.SQRT1_2).erf().add(1).mul(0.5);
      const density = x
        .square()
        .mul(-0.5)
        .exp()
        .mul(1 / Math.sqrt(2 * Math.PI));
      return g.mul(below.add(x.mul(density)));
    }),
  },
});

const GELU_SCALE = Math.sqrt(2 / Math.PI);
const GELU_CUBIC = 0.044715;

const geluTanhOp = defineElementwise("geluTanh", {
  gradName: "Gelu",
  kernel: (x) => x.mul(0.5).mul(x.add(x.square().mul(x).mul(GELU_CUBIC)).mul(GELU_SCALE).tanh().add(1)),
  refuses: floatsOnly,
  grad: {
    a: fused("geluTanhBackward", "a", (g, x) => {
      const t = x.add(x.square().mul(x).mul(GELU_CUBIC)).mul(GELU_SCALE).tanh();
      const inner = x
        .square()
        .mul(3 * GELU_CUBIC)
        .add(1)
        .mul(GELU_SCALE);
      return g.mul(
        t
          .add(1)
          .mul(0.5)
          .add(x.mul(0.5).mul(t.square().neg().add(1)).mul(inner)),
      );
    }),
  },
});

/**
 * x times the normal distribution function of x, or its `approximate: "tanh"` form (`torch.nn.functional.gelu`).
 * @throws ValueError on another approximation
 */
export function gelu(x: Tensor, ...args: Optional<[approximate: "none" | "tanh"]>): Tensor {
  const { approximate = "none" } = parameters<{ approximate?: string }>("gelu", ["approximate"], args);
  if (approximate !== "none" && approximate !== "tanh") {
    throw new ValueError("approximate argument must be either none or tanh.", { op: "gelu" });
  }
  return apply(approximate === "tanh" ? geluTanhOp : geluOp, [x], none);
}

/** x * sigmoid(x) (`torch.nn.functional.silu`). */
export const silu = plain(
  defineElementwise("silu", {
    kernel: (x) => x.div(x.neg().exp().add(1)),
    refuses: floatsOnly,
    grad: {
      a: fused("siluBackward", "a", (g, x) => {
        const s = x.sigmoid();
        return g.mul(s.mul(x.mul(s.neg().add(1)).add(1)));
      }),
    },
  }),
);

/** x * tanh(softplus(x)) (`torch.nn.functional.mish`). */
export const mish = plain(
  defineElementwise("mish", {
    kernel: (x) => x.mul(x.exp().log1p().tanh()),
    refuses: floatsOnly,
    grad: {
      a: fused("mishBackward", "a", (g, x) => {
        const t = stableSoftplus(x).tanh();
        return g.mul(t.add(x.mul(x.sigmoid()).mul(t.square().neg().add(1))));
      }),
    },
  }),
);

/** log(1 + exp(x)) with finite derivatives everywhere. */
function stableSoftplus(x: Algebra): Algebra {
  return choose(x.gt(0), x, 0).add(x.abs().neg().exp().log1p());
}

const softplusOp = defineElementwise("softplus", {
  kernel: (x, beta, bound) => x.mul(beta).gt(bound).where(x, x.mul(beta).exp().log1p().div(beta)),
  operands: 1,
  refuses: floatsOnly,
  grad: {
    a: fused("softplusBackward", "a", (g, x, beta, bound) =>
      choose(x.mul(beta).gt(bound), g, g.mul(x.mul(beta).sigmoid())),
    ),
  },
});

/** log(1 + exp(beta * x)) / beta, and x where beta * x is above `threshold` (`torch.nn.functional.softplus`). */
export function softplus(x: Tensor, ...args: Optional<[beta: number, threshold: number]>): Tensor {
  const { beta = 1, threshold: bound = 20 } = parameters<{ beta?: number; threshold?: number }>(
    "softplus",
    ["beta", "threshold"],
    args,
  );
  return apply(softplusOp, [x], [beta, bound]);
}

const softsignOp = defineElementwise("softsign", {
  kernel: (x) => x.div(x.abs().add(1)),
  refuses: floatsOnly,
  grad: { a: fused("softsignBackward", "a", (g, x) => g.div(x.abs().add(1).square())) },
});

/** x / (1 + |x|) (`torch.nn.functional.softsign`). */
export function softsign(x: Tensor): Tensor {
  return isFloat(x.dtype) ? apply(softsignOp, [x], none) : x.div(x.abs().add(1));
}

const tanhshrinkOp = defineElementwise("tanhshrink", {
  kernel: (x) => x.sub(x.tanh()),
  type: "float",
  refuses: noBools,
  grad: { a: fused("tanhshrinkBackward", "a", (g, x) => g.mul(x.tanh().square())) },
});

/** x - tanh(x) (`torch.nn.functional.tanhshrink`). */
export function tanhshrink(x: Tensor): Tensor {
  return apply(tanhshrinkOp, [x], none);
}

const logsigmoidOp = defineElementwise("logsigmoid", {
  gradName: "LogSigmoid",
  kernel: (x) => x.min(0).sub(x.abs().neg().exp().log1p()),
  refuses: floatsOnly,
  grad: { a: fused("logsigmoidBackward", "a", (g, x) => g.mul(x.neg().sigmoid())) },
});

/** log(sigmoid(x)) (`torch.nn.functional.logsigmoid`). */
export function logsigmoid(x: Tensor): Tensor {
  return apply(logsigmoidOp, [x], none);
}

const gluOp = defineElementwise("glu", {
  kernel: (x, gate) => x.mul(gate.sigmoid()),
  refuses: floatsOnly,
  grad: {
    a: fused("gluBackward", "b", (g, gate) => g.mul(gate.sigmoid())),
    b: fused("gluGateBackward", "ab", (g, x, gate) => {
      const s = gate.sigmoid();
      return g.mul(x).mul(s.mul(s.neg().add(1)));
    }),
  },
});

/**
 * The first half along `dim` times the sigmoid of the second half (`torch.nn.functional.glu`).
 * @throws ValueError where that dimension is odd
 */
export function glu(x: Tensor, ...args: Optional<[dim: number]>): Tensor {
  const { dim = -1 } = parameters<{ dim?: number }>("glu", ["dim"], args);
  if (x.dim() === 0) throw new ValueError("glu does not support 0-dimensional tensors", { op: "glu" });
  const size = x.size(dim);
  if (size % 2 !== 0)
    throw new ValueError(`Halving dimension must be even, but dimension ${dim} is size ${size}`, { op: "glu" });
  return apply(gluOp, [x.narrow(dim, 0, size / 2), x.narrow(dim, size / 2, size / 2)], none);
}

// --- shrinkage and hard forms ----------------------------------------------------------------------------------------

const hardshrinkOp = defineElementwise("hardshrink", {
  kernel: (x, lambd) => x.ge(lambd.neg()).and(x.le(lambd)).where(0, x),
  operands: 1,
  refuses: floatsOnly,
  grad: {
    a: fused("hardshrinkBackward", "a", (g, x, lambd) => choose(x.add(lambd).ge(0), choose(x.le(lambd), 0, g), g)),
  },
});

/** x outside of [-lambd, lambd], 0 inside (`torch.nn.functional.hardshrink`). */
export function hardshrink(x: Tensor, ...args: Optional<[lambd: number]>): Tensor {
  const { lambd = 0.5 } = parameters<{ lambd?: number }>("hardshrink", ["lambd"], args);
  return apply(hardshrinkOp, [x], [lambd]);
}

const softshrinkOp = defineElementwise("softshrink", {
  kernel: (x, lambd) => x.gt(lambd).where(x.sub(lambd), x.lt(lambd.neg()).where(x.add(lambd), x.constant(0))),
  operands: 1,
  refuses: floatsOnly,
  grad: {
    a: fused("softshrinkBackward", "a", (g, x, lambd) => choose(x.add(lambd).ge(0), choose(x.le(lambd), 0, g), g)),
  },
});

/**
 * x moved towards 0 by `lambd`, 0 where it is nearer (`torch.nn.functional.softshrink`).
 * @throws ValueError where lambd is negative
 */
export function softshrink(x: Tensor, ...args: Optional<[lambd: number]>): Tensor {
  const { lambd = 0.5 } = parameters<{ lambd?: number }>("softshrink", ["lambd"], args);
  if (lambd < 0)
    throw new ValueError(`lambda must be greater or equal to 0, but found to be ${lambd}.`, { op: "softshrink" });
  return apply(softshrinkOp, [x], [lambd]);
}

/** x * min(max(x + 3, 0), 6) / 6 (`torch.nn.functional.hardswish`). */
export const hardswish = plain(
  defineElementwise("hardswish", {
    kernel: (x) => x.mul(x.add(3).max(0).min(6)).div(6),
    refuses: floatsOnly,
    grad: {
      a: fused("hardswishBackward", "a", (g, x) => choose(x.lt(-3), 0, choose(x.le(3), g.mul(x.div(3).add(0.5)), g))),
    },
  }),
);

/** min(max(x + 3, 0), 6) / 6 (`torch.nn.functional.hardsigmoid`). */
export const hardsigmoid = plain(
  defineElementwise("hardsigmoid", {
    kernel: (x) => x.add(3).max(0).min(6).div(6),
    refuses: floatsOnly,
    grad: {
      a: fused("hardsigmoidBackward", "a", (g, x) => choose(x.gt(-3), choose(x.lt(3), g.div(6), 0), 0)),
    },
  }),
);

export const methods = {
  relu: (x: Tensor): Tensor => relu(x),
  prelu,
  hardshrink,
};

export const inPlaceMethods = {
  relu_: (x: Tensor): Tensor => relu(x, { inplace: true }),
};

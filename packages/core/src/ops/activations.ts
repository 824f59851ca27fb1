/** Smooth activation functions: exponential units, sigmoid units, gates (rectifiers are in rectifiers.ts). */
import { ValueError } from "../errors.ts";
import { Expr } from "../kernel/build.ts";
import { normalDensity, normalDistribution } from "../kernel/math.ts";
import { isFloat } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { parameters } from "../arguments.ts";
import { activate, floatsOnly, noBools, none, onlyInPlace, plain } from "./activate.ts";
import type { InPlace } from "./activate.ts";
import { apply } from "./dispatch.ts";
import { choose, fused } from "./fused.ts";
import type { Algebra } from "./fused.ts";
import { defineElementwise } from "./kinds/elementwise.ts";
import type { Optional } from "./signatures.ts";

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

/** The normal distribution function. */
function normal(x: Algebra): Algebra {
  if (x instanceof Expr && x.type === "float32") return normalDistribution(x);
  return x.mul(Math.SQRT1_2).erf().add(1).mul(0.5);
}

/** The normal density. */
function density(x: Algebra): Algebra {
  if (x instanceof Expr && x.type === "float32") return normalDensity(x);
  return x.square().mul(-0.5).exp().mul(1 / Math.sqrt(2 * Math.PI));
}

const geluOp = defineElementwise("gelu", {
  kernel: (x) => x.mul(normal(x) as Expr),
  refuses: floatsOnly,
  grad: {
    a: fused("geluBackward", "a", (g, x) => {
      const below = normal(x);
      return g.mul(below.add(x.mul(density(x))));
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

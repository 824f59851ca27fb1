/** Activation functions made of straight lines (hardswish: of a parabola too); each gradient is one launch. */
import { ValueError } from "../errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { parameters } from "../arguments.ts";
import { activate, floatsOnly, noBools, none, onlyInPlace, plain } from "./activate.ts";
import type { InPlace } from "./activate.ts";
import { apply } from "./dispatch.ts";
import { choose, fused } from "./fused.ts";
import { defineElementwise } from "./kinds/elementwise.ts";
import type { Optional } from "./signatures.ts";

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

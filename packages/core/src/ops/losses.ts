/** The table of elementwise losses: input and target give one number each place; nn.functional reduces them. */
import type { Expr } from "../kernel/build.ts";
import type { DType } from "../tensor/dtype.ts";
import { choose, fused } from "./fused.ts";
import type { Algebra, Formula } from "./fused.ts";
import { defineElementwise } from "./kinds/elementwise.ts";
import type { GradientTable } from "./op.ts";
import type { Params } from "./kinds/elementwise.ts";

const floatsOnly: readonly DType[] = ["bool", "uint8", "int32", "int64"];

/** The gradients of a loss of input - target: alike, with opposite signs. */
function ofDifference(
  name: string,
  slope: (g: Algebra, difference: Algebra, param: Algebra) => Algebra,
  hasParam: boolean,
): GradientTable<Params> {
  const rules: readonly [Formula, Formula] = hasParam
    ? [(g, x, t, param) => slope(g, x.sub(t), param), (g, x, t, param) => slope(g, x.sub(t), param).neg()]
    : [(g, x, t) => slope(g, x.sub(t), g), (g, x, t) => slope(g, x.sub(t), g).neg()];
  return { a: fused(`${name}Backward`, "ab", rules[0]), b: fused(`${name}TargetBackward`, "ab", rules[1]) };
}

export const squaredErrorOp = defineElementwise("mseLoss", {
  kernel: (x, t) => x.sub(t).square(),
  refuses: floatsOnly,
  grad: ofDifference("mseLoss", (g, d) => g.mul(d).mul(2), false),
});

export const absoluteErrorOp = defineElementwise("l1Loss", {
  kernel: (x, t) => x.sub(t).abs(),
  grad: ofDifference("l1Loss", (g, d) => g.mul(d.sign()), false),
});

/** d^2 / (2 beta) below beta, |d| - beta / 2 from there on; beta > 0. */
export const smoothL1Op = defineElementwise("smoothL1Loss", {
  kernel: (x, t, beta) => {
    const d = x.sub(t).abs();
    return d.lt(beta).where(d.square().mul(0.5).div(beta), d.sub(beta.mul(0.5)));
  },
  operands: 2,
  refuses: floatsOnly,
  grad: ofDifference(
    "smoothL1Loss",
    (g, d, beta) => choose(d.abs().lt(beta), g.mul(d).div(beta), g.mul(d.sign())),
    true,
  ),
});

/** d^2 / 2 up to delta, delta (|d| - delta / 2) above. */
export const huberOp = defineElementwise("huberLoss", {
  kernel: (x, t, delta) => {
    const d = x.sub(t).abs();
    return d.le(delta).where(d.square().mul(0.5), delta.mul(d.sub(delta.mul(0.5))));
  },
  operands: 2,
  refuses: floatsOnly,
  grad: ofDifference(
    "huberLoss",
    (g, d, delta) => choose(d.abs().le(delta), g.mul(d), g.mul(d.sign()).mul(delta)),
    true,
  ),
});

/** Logarithms are held at -100, as in PyTorch, so that a certain mistake costs a finite amount. */
const LOWEST_LOG = -100;

/** Input is a probability: one outside of [0, 1] fails on the device. */
export const binaryCrossEntropyOp = defineElementwise("binaryCrossEntropy", {
  kernel: (x, t) => {
    x.graph.check(x.ge(0).and(x.le(1)), x.cast("float32").bitcast("int32"), "value-out-of-range");
    const miss = x.neg().log1p().max(LOWEST_LOG);
    const hit = x.log().max(LOWEST_LOG);
    return t.sub(1).mul(miss).sub(t.mul(hit));
  },
  refuses: floatsOnly,
  grad: {
    a: fused("binaryCrossEntropyBackward", "ab", (g, x, t) => {
      const spread = x.mul(x.neg().add(1));
      return g.mul(x.sub(t)).div(choose(spread.lt(1e-12), 1e-12, spread));
    }),
    b: fused("binaryCrossEntropyTargetBackward", "a", (g, x) => g.mul(x.neg().log1p().sub(x.log()))),
  },
});

/** log(1 + exp(-x)), without overflow. */
function missOf(x: Expr): Expr {
  return x.neg().max(0).add(x.abs().neg().exp().log1p());
}

function missOfFormula(x: Algebra): Algebra {
  return choose(x.lt(0), x.neg(), 0).add(x.abs().neg().exp().log1p());
}

export const binaryCrossEntropyWithLogitsOp = defineElementwise("binaryCrossEntropyWithLogits", {
  kernel: (x, t) => t.neg().add(1).mul(x).add(missOf(x)),
  refuses: floatsOnly,
  grad: {
    a: fused("binaryCrossEntropyWithLogitsBackward", "ab", (g, x, t) => g.mul(x.sigmoid().sub(t))),
    b: fused("binaryCrossEntropyWithLogitsTargetBackward", "a", (g, x) => g.mul(x).neg()),
  },
});

/** The same with a weight for the positive answers as the third operand. */
export const weightedBinaryCrossEntropyWithLogitsOp = defineElementwise("binaryCrossEntropyWithLogits", {
  kernel: (x, t, positive) =>
    t
      .neg()
      .add(1)
      .mul(x)
      .add(positive.sub(1).mul(t).add(1).mul(missOf(x))),
  refuses: floatsOnly,
  grad: {
    a: fused("binaryCrossEntropyWithLogitsBackward", "abc", (g, x, t, positive) =>
      g.mul(t.neg().add(1).sub(positive.sub(1).mul(t).add(1).mul(x.neg().sigmoid()))),
    ),
    b: fused("binaryCrossEntropyWithLogitsTargetBackward", "ac", (g, x, positive) =>
      g.mul(positive.sub(1).mul(missOfFormula(x)).sub(x)),
    ),
    c: fused("binaryCrossEntropyWithLogitsWeightBackward", "ab", (g, x, t) => g.mul(t).mul(missOfFormula(x))),
  },
});

/** t (log t - x), 0 where t is not positive; the input is a log-probability. */
export const divergenceOp = defineElementwise("klDiv", {
  kernel: (x, t) => t.gt(0).where(t.mul(t.log().sub(x)), t.mul(x).neg()),
  refuses: floatsOnly,
  grad: {
    a: fused("klDivBackward", "b", (g, t) => g.mul(t).neg()),
    b: fused("klDivTargetBackward", "ab", (g, x, t) =>
      choose(t.gt(0), g.mul(choose(t.gt(0), t, 1).log().add(1).sub(x)), g.mul(x).neg()),
    ),
  },
});

/** exp(t) (t - x): the target is a log-probability too. */
export const logDivergenceOp = defineElementwise("klDiv", {
  kernel: (x, t) => t.exp().mul(t.sub(x)),
  refuses: floatsOnly,
  grad: {
    a: fused("klDivBackward", "b", (g, t) => g.mul(t.exp()).neg()),
    b: fused("klDivTargetBackward", "ab", (g, x, t) => g.mul(t.exp()).mul(t.sub(x).add(1))),
  },
});

/** log(1 + exp(-t x)). */
export const softMarginOp = defineElementwise("softMarginLoss", {
  kernel: (x, t) => missOf(x.mul(t)),
  refuses: floatsOnly,
  grad: {
    a: fused("softMarginLossBackward", "ab", (g, x, t) => g.mul(t).mul(x.mul(t).neg().sigmoid()).neg()),
    b: fused("softMarginLossTargetBackward", "ab", (g, x, t) => g.mul(x).mul(x.mul(t).neg().sigmoid()).neg()),
  },
});

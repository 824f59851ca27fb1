/**
 * Normalisation as one elementwise entry: (x - mean) / sqrt(var + eps) * weight + bias. The moments are operands, and
 * where they are x's own over some dimensions, the gradient of x counts their share, so that they need none themselves.
 */
import { isGradEnabled } from "../autograd/mode.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { apply } from "./dispatch.ts";
import { fused } from "./fused.ts";
import { defineElementwise } from "./kinds/elementwise.ts";
import type { ElementwiseOp, Params } from "./kinds/elementwise.ts";
import { from, gradientLookup } from "./op.ts";
import type { Saved } from "./op.ts";

const floatsOnly: readonly DType[] = ["bool", "uint8", "int32", "int64"];

const base = defineElementwise("normalize", {
  kernel: (x, mean, variance, weight, bias, eps) => x.sub(mean).mul(variance.add(eps).rsqrt()).mul(weight).add(bias),
  operands: 5,
  refuses: floatsOnly,
});

/** Moments that are given: constants to the gradient. */
const givenMoments: ElementwiseOp = {
  ...base,
  gradName: "NativeBatchNorm",
  gradientOf: gradientLookup<Params>({
    a: fused("normalizeBackward", "cd", (g, variance, weight, eps) => g.mul(weight).mul(variance.add(eps).rsqrt())),
    d: fused("normalizeWeightBackward", "abc", (g, x, mean, variance, eps) =>
      g.mul(x.sub(mean)).mul(variance.add(eps).rsqrt()),
    ),
    e: (g) => g,
  }),
};

/** `(x - given mean) / sqrt(given variance + eps) * weight + bias`, all broadcast. */
export function normalizeBy(
  x: Tensor,
  mean: Tensor,
  variance: Tensor,
  weight: Tensor | number,
  bias: Tensor | number,
  eps: number,
): Tensor {
  return apply(givenMoments, [x, mean, variance, weight, bias], [eps]);
}

const centeredOp = defineElementwise("normalizeCentered", { kernel: (g, x, mean) => g.mul(x.sub(mean)) });
const scaledOp = defineElementwise("normalizeScaled", {
  kernel: (g, x, mean, variance, eps) => g.mul(x.sub(mean)).mul(variance.add(eps).rsqrt()),
  operands: 4,
});
const slopeOp = defineElementwise("normalizeSlope", {
  kernel: (moment, variance, eps) => {
    const deviation = variance.add(eps).rsqrt();
    return moment.mul(deviation).mul(deviation).mul(deviation);
  },
  operands: 2,
});
const offsetOp = defineElementwise("normalizeOffset", {
  kernel: (gMean, variance, mean, slope, eps) => gMean.mul(variance.add(eps).rsqrt()).sub(mean.mul(slope)),
  operands: 4,
});
const inputOp = defineElementwise("normalizeBackward", {
  kernel: (g, x, variance, slope, offset, eps) => g.mul(variance.add(eps).rsqrt()).sub(x.mul(slope)).sub(offset),
  operands: 5,
});

function weighted(g: Tensor, weight: Tensor | number): Tensor {
  return weight === 1 ? g : g.mul(weight);
}

/** x normalised by its own moments, as recorded ops. */
function standardized(
  x: Tensor,
  dims: readonly number[],
  eps: number,
): { readonly unit: Tensor; readonly scale: Tensor } {
  const scale = x.var(dims, { correction: 0, keepdim: true }).add(eps).rsqrt();
  return { unit: x.sub(x.mean(dims, true)).mul(scale), scale };
}

/** The gradient of x through x and its moments over `dims`. */
function inputGradient(g: Tensor, saved: Saved, dims: readonly number[], eps: number): Tensor {
  const direction = weighted(g, saved.operand("d"));
  if (isGradEnabled()) {
    const { unit, scale } = standardized(saved.a, dims, eps);
    const along = direction.mul(unit).mean(dims, true);
    return direction.sub(direction.mean(dims, true)).sub(unit.mul(along)).mul(scale);
  }
  const { a: x, b: mean, c: variance } = saved;
  const moment = apply(centeredOp, [direction, x, mean], []).mean(dims, true);
  const slope = apply(slopeOp, [moment, variance], [eps]);
  const offset = apply(offsetOp, [direction.mean(dims, true), variance, mean, slope], [eps]);
  return apply(inputOp, [direction, x, variance, slope, offset], [eps]);
}

function weightGradient(g: Tensor, saved: Saved, dims: readonly number[], eps: number): Tensor {
  if (isGradEnabled()) return g.mul(standardized(saved.a, dims, eps).unit);
  return apply(scaledOp, [g, saved.a, saved.b, saved.c], [eps]);
}

const ownMoments = new Map<string, ElementwiseOp>();

function ownMomentsOp(dims: readonly number[], gradName: string): ElementwiseOp {
  const key = `${gradName} ${dims.join(" ")}`;
  let op = ownMoments.get(key);
  if (op === undefined) {
    op = {
      ...base,
      gradName,
      gradientOf: gradientLookup<Params>({
        a: from("abcd", (g, saved, [eps]) => inputGradient(g, saved, dims, eps)),
        d: from("abc", (g, saved, [eps]) => weightGradient(g, saved, dims, eps)),
        e: (g) => g,
      }),
    };
    ownMoments.set(key, op);
  }
  return op;
}

/**
 * x normalised by its own moments over `dims`, times `weight` plus `bias` (broadcast).
 * @param mean, variance x's moments over `dims` (kept dimensions, divided by the count), computed without recording
 */
export function normalizeOver(
  dims: readonly number[],
  gradName: string,
  x: Tensor,
  mean: Tensor,
  variance: Tensor,
  weight: Tensor | number,
  bias: Tensor | number,
  eps: number,
): Tensor {
  return apply(ownMomentsOp(dims, gradName), [x, mean, variance, weight, bias], [eps]);
}

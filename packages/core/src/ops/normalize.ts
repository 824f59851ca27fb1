/**
 * Normalisation as one elementwise entry: (x - mean) / sqrt(var + eps) * weight + bias. The moments are operands, and
 * where they are x's own over some dimensions, the gradient of x counts their share, so that they need none themselves.
 */
import { isGradEnabled } from "../autograd/mode.ts";
import type { Expr } from "../kernel/build.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { allocate } from "../tensor/value.ts";
import type { LocalValue, Meta } from "../tensor/value.ts";
import { apply } from "./dispatch.ts";
import { fused } from "./fused.ts";
import { defineElementwise } from "./kinds/elementwise.ts";
import type { ElementwiseOp, Params } from "./kinds/elementwise.ts";
import { launchRows } from "./kinds/rows.ts";
import type { RowProgram, RowScope } from "./kinds/rows.ts";
import { from, gradientLookup } from "./op.ts";
import type { Op, Saved } from "./op.ts";

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

/** The attrs of a gradient through moments. */
export interface NormalizeAttrs {
  /** What the moments were taken over. */
  readonly dims: readonly number[];
  readonly eps: number;
}

/** Operands: the result's gradient, x, mean and variance, and the weight where `weighted`. Param: eps. */
function inputProgram(weighted: boolean): RowProgram {
  const direction = ({ value }: RowScope): Expr => (weighted ? value(0).mul(value(4)) : value(0));
  return {
    name: "normalizeInput",
    operands: ["row", "row", "point", "point", ...(weighted ? (["row"] as const) : [])],
    outputs: ["row"],
    params: ["compute"],
    sweeps: [
      {
        accumulators: (type) => [{ type, init: "0" }, { type, init: "0" }],
        step: ([sum, moment], at) => {
          const own = direction(at);
          return [sum.add(own), moment.add(own.mul(at.value(1).sub(at.value(2))))];
        },
        finish: ([sum, moment], { value, count, param }) => {
          const scale = value(3).add(param(0)).rsqrt();
          const each = count().cast(sum.type);
          const slope = moment.div(each).mul(scale).mul(scale).mul(scale);
          return [scale, slope, sum.div(each).mul(scale).sub(value(2).mul(slope))];
        },
      },
      { map: (at) => ({ 0: direction(at).mul(at.result(0)).sub(at.value(1).mul(at.result(1))).sub(at.result(2)) }) },
    ],
  };
}

const inputPrograms = { plain: inputProgram(false), weighted: inputProgram(true) };

/** The gradient of x through itself and its moments. Operands: the result's gradient, x, mean, variance, weight (1: none). */
const inputOp: Op<NormalizeAttrs> = {
  name: "normalizeInput",
  kind: "scan",
  gradName: "NormalizeInput",
  isView: false,
  outputs: 1,
  gradientOf: () => undefined,
  infer: ([, x]) => [x as Meta],
  run([g, x, mean, variance, weight], { dims, eps }, [meta], target): LocalValue[] {
    const out = target ?? allocate((x as LocalValue).device, meta.shape, meta.dtype);
    const plain = typeof weight === "number";
    const operands = [g, x, mean, variance, ...(plain ? [] : [weight])] as LocalValue[];
    launchRows(plain ? inputPrograms.plain : inputPrograms.weighted, meta.dtype, operands, meta.shape, dims, [out], [eps]);
    return [out];
  },
};

/** Operands: the result's gradient, x, mean, 1 / deviation. */
const weightProgram: RowProgram = {
  name: "normalizeWeight",
  operands: ["row", "row", "row", "row"],
  outputs: ["point"],
  sweeps: [
    {
      accumulators: (type) => [{ type, init: "0" }],
      step: ([sum], { value }) => [sum.add(value(0).mul(value(1).sub(value(2))).mul(value(3)))],
      stores: ([sum]) => [sum],
    },
  ],
};

/** What the weight was repeated along, with the result's dimensions. */
export function repeatedDims(weight: Shape, shape: Shape): number[] {
  const missing = shape.length - weight.length;
  return shape.map((_, dim) => dim).filter((dim) => dim < missing || (weight[dim - missing] === 1 && shape[dim] !== 1));
}

/** The attrs of a weight's gradient: its shape. */
export interface WeightAttrs {
  readonly shape: Shape;
}

/** The weight's gradient, summed over what it was repeated along. Operands: the result's gradient, x, mean, 1 / deviation. */
const weightOp: Op<WeightAttrs> = {
  name: "normalizeWeight",
  kind: "composite",
  gradName: "NormalizeWeight",
  isView: false,
  outputs: 1,
  gradientOf: () => undefined,
  infer: ([, x], { shape }) => [{ shape, dtype: (x as Meta).dtype }],
  run(inputs, _, [{ shape, dtype }], target): LocalValue[] {
    const operands = inputs as readonly LocalValue[];
    const [, x] = operands;
    const out = target ?? allocate(x.device, shape, dtype);
    launchRows(weightProgram, dtype, operands, x.shape, repeatedDims(shape, x.shape), [out]);
    return [out];
  },
};

const scaleOp = defineElementwise("normalizeScale", { kernel: (variance, eps) => variance.add(eps).rsqrt(), operands: 1 });

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
  if (!isGradEnabled()) return apply(inputOp, [g, saved.a, saved.b, saved.c, saved.operand("d")], { dims, eps });
  const direction = weighted(g, saved.operand("d"));
  const { unit, scale } = standardized(saved.a, dims, eps);
  const along = direction.mul(unit).mean(dims, true);
  return direction.sub(direction.mean(dims, true)).sub(unit.mul(along)).mul(scale);
}

function weightGradient(g: Tensor, saved: Saved, dims: readonly number[], eps: number): Tensor {
  if (isGradEnabled()) return g.mul(standardized(saved.a, dims, eps).unit);
  const [, , , weight] = saved.inputs;
  return apply(weightOp, [g, saved.a, saved.b, apply(scaleOp, [saved.c], [eps])], { shape: weight?.shape ?? [] });
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

/**
 * Softmax and its logarithm, forward and backward: a device's own routine where it brings one, else reductions and one
 * loop.
 */
import { DTypeError, ValueError } from "../errors.ts";
import type { InnerStride, RoutineKernel } from "../kernel/ir.ts";
import { isFloat } from "../tensor/dtype.ts";
import type { DType } from "../tensor/dtype.ts";
import { normalizeDim, numelOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { allocate } from "../tensor/value.ts";
import type { LocalValue, Meta } from "../tensor/value.ts";
import { parameters } from "../arguments.ts";
import { apply } from "./dispatch.ts";
import { collapse, innerStride } from "./iteration.ts";
import { defineElementwise } from "./kinds/elementwise.ts";
import type { ElementwiseOp } from "./kinds/elementwise.ts";
import { reducedShape, scalarType } from "./kinds/reduce.ts";
import { launchReduction } from "./kinds/reduction.ts";
import type { Reduction } from "./kinds/reduction.ts";
import { KernelCache, launch } from "./launch.ts";
import { copyInto } from "./moves.ts";
import { from, gradientLookup, pascal } from "./op.ts";
import type { GradientTable, Op } from "./op.ts";
import { greatest } from "./reduce.ts";
import type { Optional } from "./signatures.ts";

interface SoftmaxAttrs {
  /** Counted from the front. */
  readonly dim: number;
}

/**
 * An entry over rows along `dim`. `loops` computes it from reductions and one elementwise launch; a device whose
 * `routines` hold the entry's name gets one routine kernel instead (inputs and output along the last axis, no scalars,
 * no options).
 */
function defineRows(
  name: string,
  loops: (inputs: readonly LocalValue[], dim: number, out: LocalValue) => void,
  grad: GradientTable<SoftmaxAttrs>,
): Op<SoftmaxAttrs> {
  return {
    name,
    // As in a scan, rows along the dimension know nothing of one another.
    kind: "scan",
    gradName: pascal(name),
    isView: false,
    outputs: 1,
    gradientOf: gradientLookup(grad),

    infer([x]): Meta[] {
      const { shape, dtype } = x as Meta;
      if (!isFloat(dtype)) {
        throw new DTypeError(`"${name}" not implemented for '${scalarType(dtype)}'`, {
          op: name,
          remedy: 'Give { dtype: "float32" }.',
        });
      }
      return [{ shape, dtype }];
    },

    run(inputs, { dim }, [meta], target): LocalValue[] {
      const rows = inputs as readonly LocalValue[];
      const out = allocate(rows[0].device, meta.shape, meta.dtype);
      if (numelOf(meta.shape) > 0) {
        if (rows[0].device.routines.has(name)) launchRoutine(name, rows, dim, out);
        else loops(rows, dim, out);
      }
      if (target === undefined) return [out];
      copyInto(out, target);
      out.storage.dispose();
      return [target];
    },
  };
}

const routines = new KernelCache<string>();

function launchRoutine(name: string, inputs: readonly LocalValue[], dim: number, out: LocalValue): void {
  const operands = [...inputs, out];
  const around = out.shape.map((_, axis) => axis).filter((axis) => axis !== dim);
  const outer = collapse(
    around.map((axis) => out.shape[axis]),
    operands.map(({ strides }) => around.map((axis) => strides[axis])),
  );
  const steps = operands.map(({ strides }) => strides[dim] ?? 1);
  const axes = outer.sizes.length + 1;
  const inner = steps.map(innerStride);
  const kernel = routines.get([name, out.dtype, axes, ...inner].join(" "), () =>
    routineKernel(name, out.dtype, axes, inner),
  );
  launch(
    kernel,
    operands.map((value, k) => ({ value, strides: [...outer.strides[k], steps[k]] })),
    [...outer.sizes, out.shape[dim] ?? 1],
  );
}

function routineKernel(name: string, dtype: DType, axes: number, inner: readonly InnerStride[]): RoutineKernel {
  return {
    kind: "routine",
    name,
    axes,
    inputs: inner.slice(0, -1).map((stride) => ({ dtype, inner: stride })),
    outputs: [{ dtype, inner: inner[inner.length - 1], overwrites: true }],
    scalars: [],
    options: {},
  };
}

// --- forward ---------------------------------------------------------------------------------------------------------

/** Operands: x and the greatest element of its row. */
const exponentials: Reduction = {
  name: "softmax",
  accumulators: (type) => [{ type, init: "0" }],
  step: ([acc], [x, peak]) => [acc.add(x.sub(peak).exp())],
};

const softmaxRows = defineElementwise("softmax", { kernel: (x, peak, total) => x.sub(peak).exp().div(total) });
const logSoftmaxRows = defineElementwise("logSoftmax", { kernel: (x, peak, total) => x.sub(peak).sub(total.log()) });

function forward(finish: ElementwiseOp): (inputs: readonly LocalValue[], dim: number, out: LocalValue) => void {
  return ([x], dim, out) => {
    const dims = x.shape.length === 0 ? [] : [dim];
    const [peaks, totals] = [0, 1].map(() => allocate(x.device, reducedShape(x.shape, dims, true), x.dtype));
    launchReduction(greatest, x.dtype, [x], x.shape, dims, [peaks]);
    launchReduction(exponentials, x.dtype, [x, peaks], x.shape, dims, [totals]);
    finish.run([x, peaks, totals], [], [out], out);
    peaks.storage.dispose();
    totals.storage.dispose();
  };
}

const softmaxOp = defineRows("softmax", forward(softmaxRows), {
  a: from("y", (g, { y }, attrs) => apply(softmaxBackwardOp, [g, y], attrs)),
});

const logSoftmaxOp = defineRows("logSoftmax", forward(logSoftmaxRows), {
  a: from("y", (g, { y }, attrs) => apply(logSoftmaxBackwardOp, [g, y], attrs)),
});

// --- backward --------------------------------------------------------------------------------------------------------

const dot: Reduction = {
  name: "softmaxBackward",
  accumulators: (type) => [{ type, init: "0" }],
  step: ([acc], [g, y]) => [acc.add(g.mul(y))],
};
const total: Reduction = {
  name: "logSoftmaxBackward",
  accumulators: (type) => [{ type, init: "0" }],
  step: ([acc], [g]) => [acc.add(g)],
};
const softmaxSlopes = defineElementwise("softmaxBackward", { kernel: (g, y, along) => g.sub(along).mul(y) });
const logSoftmaxSlopes = defineElementwise("logSoftmaxBackward", {
  kernel: (g, y, along) => g.sub(y.exp().mul(along)),
});

function backward(
  reduction: Reduction,
  operands: number,
  finish: ElementwiseOp,
): (inputs: readonly LocalValue[], dim: number, out: LocalValue) => void {
  return (inputs, dim, out) => {
    const dims = out.shape.length === 0 ? [] : [dim];
    const along = allocate(out.device, reducedShape(out.shape, dims, true), out.dtype);
    launchReduction(reduction, out.dtype, inputs.slice(0, operands), out.shape, dims, [along]);
    finish.run([...inputs, along], [], [out], out);
    along.storage.dispose();
  };
}

/** Of (g, y): y (g - sum(g y)). */
const softmaxBackwardOp: Op<SoftmaxAttrs> = defineRows("softmaxBackward", backward(dot, 2, softmaxSlopes), {
  a: from("b", (h, { b: y }, attrs) => apply(softmaxBackwardOp, [h, y], attrs)),
  b: from("ab", (h, { a: g, b: y }, { dim }) =>
    h.mul(g.sub(g.mul(y).sum(dim, true))).sub(g.mul(h.mul(y).sum(dim, true))),
  ),
});

/** Of (g, y): g - exp(y) sum(g). */
const logSoftmaxBackwardOp: Op<SoftmaxAttrs> = defineRows("logSoftmaxBackward", backward(total, 1, logSoftmaxSlopes), {
  a: from("b", (h, { b: y }, { dim }) => h.sub(h.mul(y.exp()).sum(dim, true))),
  b: from("ab", (h, { a: g, b: y }, { dim }) => h.mul(y.exp()).mul(g.sum(dim, true)).neg()),
});

// --- functions -------------------------------------------------------------------------------------------------------

type SoftmaxArguments =
  | [dim: number, ...rest: Optional<[dtype: DType], { dtype: DType }>]
  | [options: { readonly dim: number; readonly dtype?: DType }];

function rowsFunction(
  op: Op<SoftmaxAttrs>,
): ((x: Tensor, ...args: SoftmaxArguments) => Tensor) & { readonly op: Op<SoftmaxAttrs> } {
  const call = (x: Tensor, ...args: SoftmaxArguments): Tensor => {
    const { dim, dtype } = parameters<{ dim?: number; dtype?: DType }>(op.name, ["dim", "dtype"], args);
    if (dim === undefined) throw new ValueError(`${op.name}() missing required argument 'dim'`, { op: op.name });
    const typed = dtype === undefined || dtype === x.dtype ? x : x.to(dtype);
    return apply(op, [typed], { dim: normalizeDim(dim, x.dim(), op.name) });
  };
  return Object.assign(call, { op });
}

/** exp(x) / sum(exp(x)) along `dim`, without overflow (`torch.softmax`); computed in `dtype` if given. */
export const softmax = rowsFunction(softmaxOp);

/** log(softmax(x)) along `dim` (`torch.log_softmax`); computed in `dtype` if given. */
export const logSoftmax = rowsFunction(logSoftmaxOp);

/** softmax(-x) along `dim` (`torch.nn.functional.softmin`); computed in `dtype` if given. */
export function softmin(x: Tensor, ...args: SoftmaxArguments): Tensor {
  return softmax(x.neg(), ...args);
}

export const methods = { softmax, logSoftmax };

/**
 * Softmax and its logarithm, forward and backward: row programs, or a device's own routine where it brings one.
 */
import { DTypeError, ValueError } from "../errors.ts";
import type { Expr } from "../kernel/build.ts";
import { innerStride } from "../kernel/ir.ts";
import type { InnerStride, RoutineKernel } from "../kernel/ir.ts";
import { isFloat } from "../tensor/dtype.ts";
import type { DType } from "../tensor/dtype.ts";
import { normalizeDim, numelOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { allocate } from "../tensor/value.ts";
import type { LocalValue, Meta } from "../tensor/value.ts";
import { parameters } from "../arguments.ts";
import { apply } from "./dispatch.ts";
import { collapse } from "./iteration.ts";
import { scalarType } from "./kinds/reduce.ts";
import { launchRows } from "./kinds/rows.ts";
import type { ReducingSweep, RowProgram } from "./kinds/rows.ts";
import { KernelCache, launch } from "./launch.ts";
import { copyInto } from "./moves.ts";
import { from, gradientLookup, pascal } from "./op.ts";
import type { GradientTable, Op } from "./op.ts";
import type { Optional } from "./signatures.ts";

interface SoftmaxAttrs {
  /** Counted from the front. */
  readonly dim: number;
}

const zero: ReducingSweep["accumulators"] = (type) => [{ type, init: "0" }];

/**
 * An entry over rows along `dim`. A device whose `routines` hold the entry's name gets one routine kernel instead of the program
 * (inputs and output along the last axis, no scalars, no options).
 */
function defineRows(program: RowProgram, grad: GradientTable<SoftmaxAttrs>): Op<SoftmaxAttrs> {
  const { name } = program;
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
        else launchRows(program, meta.dtype, rows, meta.shape, meta.shape.length === 0 ? [] : [dim], [out]);
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

/** The greatest element: subtracted, so that no exponential overflows. */
const peak: ReducingSweep = {
  accumulators: (type) => [{ type, init: "-Infinity" }],
  step: ([acc], { value }) => [acc.max(value(0))],
};

/** The sum of exponentials of what lies below the peak; `finish` makes of it what the sweep's result is. */
function exponentials(finish: (total: Expr) => Expr): ReducingSweep {
  return {
    accumulators: zero,
    step: ([acc], { value, result }) => [acc.add(value(0).sub(result(0)).exp())],
    finish: ([total]) => [finish(total)],
  };
}

const softmaxProgram: RowProgram = {
  name: "softmax",
  operands: ["row"],
  outputs: ["row"],
  sweeps: [
    peak,
    exponentials((total) => total),
    { map: ({ value, result }) => [value(0).sub(result(0)).exp().div(result(1))] },
  ],
};

const logSoftmaxProgram: RowProgram = {
  name: "logSoftmax",
  operands: ["row"],
  outputs: ["row"],
  sweeps: [peak, exponentials((total) => total.log()), { map: ({ value, result }) => [value(0).sub(result(0)).sub(result(1))] }],
};

const softmaxOp = defineRows(softmaxProgram, {
  a: from("y", (g, { y }, attrs) => apply(softmaxBackwardOp, [g, y], attrs)),
});

const logSoftmaxOp = defineRows(logSoftmaxProgram, {
  a: from("y", (g, { y }, attrs) => apply(logSoftmaxBackwardOp, [g, y], attrs)),
});

// --- backward --------------------------------------------------------------------------------------------------------

function backward(name: string, addend: (g: Expr, y: Expr) => Expr, slope: (g: Expr, y: Expr, along: Expr) => Expr): RowProgram {
  return {
    name,
    operands: ["row", "row"],
    outputs: ["row"],
    sweeps: [
      { accumulators: zero, step: ([acc], { value }) => [acc.add(addend(value(0), value(1)))] },
      { map: ({ value, result }) => [slope(value(0), value(1), result(0))] },
    ],
  };
}

const softmaxBackward = backward("softmaxBackward", (g, y) => g.mul(y), (g, y, along) => g.sub(along).mul(y));
const logSoftmaxBackward = backward("logSoftmaxBackward", (g) => g, (g, y, along) => g.sub(y.exp().mul(along)));

/** Of (g, y): y (g - sum(g y)). */
const softmaxBackwardOp: Op<SoftmaxAttrs> = defineRows(softmaxBackward, {
  a: from("b", (h, { b: y }, attrs) => apply(softmaxBackwardOp, [h, y], attrs)),
  b: from("ab", (h, { a: g, b: y }, { dim }) =>
    h.mul(g.sub(g.mul(y).sum(dim, true))).sub(g.mul(h.mul(y).sum(dim, true))),
  ),
});

/** Of (g, y): g - exp(y) sum(g). */
const logSoftmaxBackwardOp: Op<SoftmaxAttrs> = defineRows(logSoftmaxBackward, {
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

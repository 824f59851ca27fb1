/**
 * The scan kind: running results along one dimension. An entry gives the accumulators and the step; each step's result
 * is stored. Scans may run backwards and may leave out the current element: with both, gradients of scans are scans.
 */
import { Graph } from "../../kernel/build.ts";
import type { Expr } from "../../kernel/build.ts";
import { innerStride } from "../../kernel/ir.ts";
import type { Accumulator, InnerStride, LoopKernel } from "../../kernel/ir.ts";
import type { DType } from "../../tensor/dtype.ts";
import { numelOf } from "../../tensor/shape.ts";
import { allocate } from "../../tensor/value.ts";
import type { LocalValue, Meta } from "../../tensor/value.ts";
import { collapse } from "../iteration.ts";
import { KernelCache, launch } from "../launch.ts";
import { copyInto } from "../moves.ts";
import { gradientLookup, pascal } from "../op.ts";
import type { GradientTable, Op } from "../op.ts";

export interface ScanAttrs {
  /** Counted from the front; 0 for a 0-dim operand. */
  readonly dim: number;
  /** From the last element to the first. */
  readonly reverse: boolean;
  /** The result for an element leaves that element out: the first one's is the accumulators' start. */
  readonly exclusive: boolean;
  /** The dtype asked for: what is computed in, and the result's. */
  readonly dtype?: DType;
}

export interface ScanTypes {
  readonly compute: DType;
  /** One for each output. */
  readonly results: readonly DType[];
}

export interface ScanEntry {
  /** @throws DTypeError */
  readonly type: (operand: DType, asked: DType | undefined) => ScanTypes;
  readonly accumulators: (compute: DType) => readonly Accumulator[];
  /**
   * The accumulators after one more element; `position` (int32) is its place along the dimension, in the order of the
   * scan.
   */
  readonly step: (state: readonly Expr[], values: readonly Expr[], position: Expr) => readonly Expr[];
  readonly grad?: GradientTable<ScanAttrs>;
  readonly gradName?: string;
}

export interface ScanOp extends Op<ScanAttrs> {
  readonly kind: "scan";
  readonly entry: ScanEntry;
}

/** Every output is one accumulator. All operands have one shape. */
export function defineScan(name: string, entry: ScanEntry): ScanOp {
  const kernels = new KernelCache<string>();

  function issue(
    inputs: readonly LocalValue[],
    { dim, reverse, exclusive }: ScanAttrs,
    compute: DType,
    outputs: readonly LocalValue[],
  ): void {
    const { shape } = outputs[0];
    if (numelOf(shape) === 0) return;
    const operands = [...inputs, ...outputs];
    const around = shape.map((_, axis) => axis).filter((axis) => axis !== dim);
    const outer = collapse(
      around.map((axis) => shape[axis]),
      operands.map(({ strides }) => around.map((axis) => strides[axis])),
    );
    const length = shape[dim] ?? 1;
    const steps = operands.map(({ strides }) => (reverse ? -(strides[dim] ?? 1) : (strides[dim] ?? 1)));
    const inner = steps.map(innerStride);
    const key = [compute, exclusive, outer.sizes.length, ...operands.map(({ dtype }) => dtype), ...inner];
    const kernel = kernels.get(key.join(" "), () =>
      build(
        name,
        entry,
        compute,
        exclusive,
        operands.map(({ dtype }, k) => ({ dtype, inner: inner[k] })),
        inputs.length,
        outer.sizes.length,
      ),
    );
    launch(
      kernel,
      operands.map((value, k) => ({
        value,
        strides: [...outer.strides[k], steps[k]],
        shift: reverse ? -steps[k] * (length - 1) : 0,
      })),
      [...outer.sizes, length],
    );
  }

  return {
    name,
    kind: "scan",
    gradName: entry.gradName ?? pascal(name),
    isView: false,
    outputs: 1,
    entry,
    gradientOf: gradientLookup(entry.grad),

    infer([x], { dtype }): Meta[] {
      const { shape, dtype: operand } = x as Meta;
      return entry.type(operand, dtype).results.map((result) => ({ shape, dtype: result }));
    },

    run(inputs, attrs, metas, target): LocalValue[] {
      const operands = inputs as readonly LocalValue[];
      const { compute } = entry.type(operands[0].dtype, attrs.dtype);
      const outputs = metas.map((meta) => allocate(operands[0].device, meta.shape, meta.dtype));
      issue(operands, attrs, compute, outputs);
      if (target === undefined) return outputs;
      copyInto(outputs[0], target);
      outputs[0].storage.dispose();
      return [target, ...outputs.slice(1)];
    },
  };
}

function build(
  name: string,
  entry: ScanEntry,
  compute: DType,
  exclusive: boolean,
  operands: readonly { readonly dtype: DType; readonly inner: InnerStride }[],
  inputs: number,
  outer: number,
): LoopKernel {
  const states = entry.accumulators(compute);
  const body = new Graph();
  const state = states.map(({ type }, i) => body.accumulator(i, type));
  const values = operands.slice(0, inputs).map(({ dtype }, i) => body.load(i, dtype).cast(compute));
  const next = entry.step(state, values, body.axis(outer));
  const outputs = operands.slice(inputs);
  const stored = (exclusive ? state : next).slice(0, outputs.length).map((value, i) => value.cast(outputs[i].dtype));
  return {
    kind: "loop",
    name,
    axes: outer + 1,
    reduced: 1,
    inputs: operands.slice(0, inputs),
    outputs: outputs.map((operand) => ({ ...operand, overwrites: true })),
    scalars: [],
    body: body.nodes,
    accumulators: states,
    step: next.map(({ id }) => id),
    epilogue: [],
    stores: stored.map(({ id }, output) => ({ output, value: id, at: "body" as const })),
  };
}

/** Small kernels in IR for tests. */
import type { BinaryOp, DType, LoopKernel, Node } from "@troupe/core/device";

const contiguous = { dtype: "float32", inner: 1 } as const;

/** A loop kernel without reductions, of one output. */
export function mapKernel(
  body: readonly Node[],
  { inputs, output = "float32", axes = 1, inner = 1, scalars = [] }: {
    inputs: readonly DType[];
    output?: DType;
    axes?: number;
    inner?: 1 | "any";
    scalars?: readonly DType[];
  },
): LoopKernel {
  return {
    kind: "loop",
    name: "test",
    axes,
    reduced: 0,
    inputs: inputs.map((dtype) => ({ dtype, inner })),
    outputs: [{ dtype: output, inner, overwrites: true }],
    scalars,
    body,
    accumulators: [],
    step: [],
    epilogue: [],
    stores: [{ output: 0, value: body.length - 1, at: "body" }],
  };
}

/** y = a op b. */
export function binaryKernel(op: BinaryOp, axes = 1, inner: 1 | "any" = 1): LoopKernel {
  return mapKernel(
    [
      { op: "load", type: "float32", index: 0 },
      { op: "load", type: "float32", index: 1 },
      { op, type: "float32", args: [0, 1] },
    ],
    { inputs: ["float32", "float32"], axes, inner },
  );
}

/**
 * y = table[index], with a check that 0 <= index < the scalar; table has one axis of stride 1, given as the second
 * scalar.
 */
export const gatherKernel: LoopKernel = {
  ...mapKernel(
    [
      { op: "load", type: "int32", index: 0 },
      { op: "scalar", type: "int32", index: 0 },
      { op: "const", type: "int32", value: "0" },
      { op: "lt", type: "bool", args: [0, 1] },
      { op: "ge", type: "bool", args: [0, 2] },
      { op: "and", type: "bool", args: [3, 4] },
      { op: "check", type: "bool", args: [5, 0], code: "index-out-of-range" },
      { op: "load", type: "float32", index: 1, indirect: [{ value: 0, stride: 1 }], guard: 5 },
    ],
    { inputs: ["int32", "float32"], scalars: ["int32", "int32"] },
  ),
  inputs: [{ dtype: "int32", inner: 1 }, { dtype: "float32", inner: 0 }],
};

/** y = sum of x over the last of two axes. */
export const rowSumKernel: LoopKernel = {
  kind: "loop",
  name: "sum",
  axes: 2,
  reduced: 1,
  inputs: [contiguous],
  outputs: [{ dtype: "float32", inner: 0, overwrites: true }],
  scalars: [],
  body: [
    { op: "load", type: "float32", index: 0 },
    { op: "acc", type: "float32", index: 0 },
    { op: "add", type: "float32", args: [1, 0] },
  ],
  accumulators: [{ type: "float32", init: "0" }],
  step: [2],
  epilogue: [{ op: "acc", type: "float32", index: 0 }],
  stores: [{ output: 0, value: 0, at: "epilogue" }],
};

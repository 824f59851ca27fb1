/** Elementwise reduction of bytes into a block (collectives), as a kernel like any other. */
import { type BinaryOp, type DType, itemSize, type LoopKernel, type ReductionName } from "@troupe/core/device";

function operation(dtype: DType, reduction: ReductionName): BinaryOp {
  if (reduction === "sum") return dtype === "bool" ? "or" : "add";
  if (dtype === "bool") return reduction === "max" ? "or" : "and";
  return reduction;
}

/** target = op(target, source), both contiguous. */
export function accumulationKernel(dtype: DType, reduction: ReductionName): LoopKernel {
  const operand = { dtype, inner: 1 } as const;
  return {
    kind: "loop", name: `accumulate_${reduction}`, axes: 1, reduced: 0,
    inputs: [operand, operand], outputs: [{ ...operand, overwrites: false }], scalars: [],
    body: [
      { op: "load", type: dtype, index: 0 },
      { op: "load", type: dtype, index: 1 },
      { op: operation(dtype, reduction), type: dtype, args: [0, 1] },
    ],
    accumulators: [], step: [], epilogue: [],
    stores: [{ output: 0, value: 2, at: "body" }],
  };
}

/** Its arguments for `bytes` at a byte offset of storage 0, from the beginning of storage 1 (kernel/ir.ts). */
export function accumulationArguments(dtype: DType, byteOffset: number, bytes: number): Int32Array {
  const width = itemSize(dtype);
  const offset = byteOffset / width;
  return new Int32Array([0, offset, 1, 0, 0, offset, bytes / width, 1, 1, 1]);
}

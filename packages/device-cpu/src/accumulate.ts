/**
 * Elementwise reduction of bytes into a block (collectives): kernels like any other, over pieces that are copied in.
 */
import { type BinaryOp, type DType, itemSize, type LoopKernel, type ReductionName } from "@troupe/core/device";
import type { Launch } from "./routines/routine.ts";

/** Bytes of a piece: small enough to stay in a core's cache between the copy and the sum. */
export const pieceBytes = 65_536;

const targetStorage = 1;
const sourceStorage = 2;

function operation(dtype: DType, reduction: ReductionName): BinaryOp {
  if (reduction === "sum") return dtype === "bool" ? "or" : "add";
  if (dtype === "bool") return reduction === "max" ? "or" : "and";
  return reduction;
}

/** target = op(target, source), both contiguous. */
export function accumulateKernel(dtype: DType, reduction: ReductionName): LoopKernel {
  const operand = { dtype, inner: 1 } as const;
  return {
    kind: "loop",
    name: `accumulate_${reduction}`,
    axes: 1,
    reduced: 0,
    inputs: [operand, operand],
    outputs: [{ ...operand, overwrites: false }],
    scalars: [],
    body: [
      { op: "load", type: dtype, index: 0 },
      { op: "load", type: dtype, index: 1 },
      { op: operation(dtype, reduction), type: dtype, args: [0, 1] },
    ],
    accumulators: [],
    step: [],
    epilogue: [],
    stores: [{ output: 0, value: 2, at: "body" }],
  };
}

/**
 * Runs an accumulation.
 *
 * @param target - byte address in the memory, `source` too; both multiples of the item size.
 */
export function runAccumulation(launch: Launch, dtype: DType, target: number, source: number, bytes: number): void {
  const elements = bytes / itemSize(dtype);
  // Operands (storage, offset) x 3, the size, strides x 3: kernel/ir.ts.
  const words = new Int32Array([targetStorage, 0, sourceStorage, 0, targetStorage, 0, elements, 1, 1, 1]);
  launch(words, 0, (storage) => (storage === targetStorage ? target : source));
}

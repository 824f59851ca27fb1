/**
 * What a package that brings its own kind of value needs of core: values and memory, the op table as data, and what actors do
 * together. `@troupe/parallel` is built on it.
 */
export { DeviceError, InternalError, ShapeError, TroupeError, ValueError } from "./errors.ts";
export { dtypeOfNumber, getDefaultDtype, isFloat, itemSize, type DType } from "./tensor/dtype.ts";
export { contiguousStrides, numelOf, sameShape, viewStrides, type Shape } from "./tensor/shape.ts";
export { allocate, collectStorages, LocalValue, type Executor, type Memory, type Meta, type Storage, type Value } from "./tensor/value.ts";
export { isHeld } from "./tensor/memory.ts";
export { inBatchRows, type BatchRows } from "./tensor/generator.ts";
export { device, type Device } from "./actor/device.ts";
export { taping } from "./actor/tape.ts";
export type { Property } from "./actor/notes.ts";
export { group, type Group, type CollectiveOperand } from "./actor/groups.ts";
export type { ReductionName } from "./actor/protocol.ts";
export { Graph, type Expr } from "./kernel/build.ts";
export type { Node as KernelNode } from "./kernel/ir.ts";
export { Node, type Edge, type Gradients } from "./autograd/node.ts";
export { isGradEnabled, noGrad } from "./autograd/mode.ts";
export type { Op } from "./ops/op.ts";
export { local } from "./ops/local.ts";
export { contiguousValue, copyInto, fillWith } from "./ops/moves.ts";
export { mul, square, sub } from "./ops/arithmetic.ts";
export { sqrt } from "./ops/transcendental.ts";
export { cloneOp } from "./ops/conversion.ts";
export { mean, sum } from "./ops/reduce.ts";
export { powerSumOp } from "./ops/norm.ts";
export type { ElementwiseOp } from "./ops/kinds/elementwise.ts";
export type { GenerateAttrs } from "./ops/kinds/generate.ts";
export type { ReduceAttrs, ReduceOp } from "./ops/kinds/reduce.ts";
export type { Place, Reduction } from "./ops/kinds/reduction.ts";
export type { ContractOp } from "./ops/kinds/contract.ts";
export type { ConvolutionOp } from "./ops/kinds/convolution.ts";
export { viewOf, type AdjointAttrs, type ViewMap, type ViewOp } from "./ops/kinds/view.ts";
export type { NllAttrs } from "./ops/nll.ts";
export { repeatedDims, type NormalizeAttrs, type WeightAttrs } from "./ops/normalize.ts";
export { diagonalOp, selectOp, sliceOp, unfoldOp } from "./ops/parts.ts";

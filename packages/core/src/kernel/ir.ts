/**
 * The kernel IR: what one launch computes, as a small typed DAG.
 *
 * A kernel is a loop nest over `axes` index dimensions whose sizes are arguments. The last `reduced` axes are reduction axes
 * (innermost). For every point of the nest the `body` is evaluated; when there are reduction axes, `step` gives the new value of
 * each accumulator, and the `epilogue` is evaluated once for every point of the outer axes, after the last step. Results leave
 * through `stores`. A store in the body of a reducing kernel makes it a scan: it stores after each step.
 *
 * Operands are strided views: element address = offset + sum(stride[axis] * index[axis]) (+ indirect terms). Nothing here is a
 * pointer, a closure or a string of code: a kernel is plain data (JSON), registered once with an actor and then named by a number.
 *
 * Arguments of a launch, as 32-bit words in this order (the RUN message of actor/protocol.ts carries them):
 *   for each operand (inputs, then outputs): storage id, element offset
 *   the size of each axis
 *   for each operand: its stride along each axis, in elements
 *   for each scalar: one word (float32, int32, uint8, bool) or two, low first (float64, int64)
 */
import type { DType } from "../tensor/dtype.ts";

/** One argument in, same dtype out (`not` takes bool or integers; the others are arithmetic). */
export type UnaryOp =
  | "neg" | "abs" | "sign" | "floor" | "ceil" | "trunc" | "round" | "sqrt" | "not"
  | "exp" | "exp2" | "expm1" | "log" | "log2" | "log10" | "log1p"
  | "sin" | "cos" | "tan" | "asin" | "acos" | "atan" | "sinh" | "cosh" | "tanh" | "asinh" | "acosh" | "atanh"
  | "erf" | "erfc" | "erfinv" | "lgamma" | "digamma";

/**
 * Two arguments of one dtype, same dtype out. Integers wrap; `div` on integers truncates and `mod` takes the sign of the divisor
 * (both give 0 for a zero divisor: emit a `check` where that is an error); `fmod` takes the sign of the dividend. `max` and `min`
 * propagate NaN. `mulhi` is the high half of the unsigned 32 x 32 product (int32 only); `shr` is logical, `sar` arithmetic.
 */
export type BinaryOp =
  | "add" | "sub" | "mul" | "div" | "mod" | "fmod" | "pow" | "atan2" | "max" | "min"
  | "and" | "or" | "xor" | "shl" | "shr" | "sar" | "mulhi" | "copysign" | "nextafter";

/** Two arguments of one dtype, bool out. Every comparison with NaN is false, except `ne`. */
export type CompareOp = "eq" | "ne" | "lt" | "le" | "gt" | "ge";

/**
 * One value of a graph. Its number is its place in the list; `args` name earlier values of the same list.
 * - `const`: `value` is the decimal text (`"NaN"`, `"Infinity"`, `"-0"`; exact for int64).
 * - `scalar`: the run-time scalar argument number `index`.
 * - `axis`: the loop index of axis `index` (int32). `size`: that axis' size (int32).
 * - `load`: operand `index` at the current point. `indirect` adds value * stride elements for each pair (value: an int32 node,
 *   stride: the number of an int32 scalar argument). When `guard` (a bool node) is false nothing is read and the value is 0.
 * - `acc`: accumulator `index`: before the step in the body, final in the epilogue, the left side in `combine`.
 * - `other`: the right side's accumulator `index` (in `combine` only).
 * - `result`: result `index` of the earlier sweeps at this point of the outer axes (in a `RowKernel` only).
 * - `cast`: conversion to `type` (float to integer truncates and saturates, NaN gives 0; to bool is `!= 0`).
 * - `bitcast`: float32 to int32 and back.
 * - `select`: args are condition (bool), value if true, value if false.
 * - `check`: args are a bool that must hold and an int32 detail (for `value-out-of-range` the bits of a float32); when it fails
 *   the launch reports fault `code` with the detail and goes on (its outputs will be discarded). It has no value; it is evaluated although nobody names it.
 */
export type Node =
  | { readonly op: "const"; readonly type: DType; readonly value: string }
  | { readonly op: "scalar" | "axis" | "size" | "acc" | "other" | "result"; readonly type: DType; readonly index: number }
  | {
      readonly op: "load";
      readonly type: DType;
      readonly index: number;
      readonly indirect?: readonly { readonly value: number; readonly stride: number }[];
      readonly guard?: number;
    }
  | { readonly op: UnaryOp | "cast" | "bitcast"; readonly type: DType; readonly args: readonly [number] }
  | { readonly op: BinaryOp | CompareOp; readonly type: DType; readonly args: readonly [number, number] }
  | { readonly op: "select"; readonly type: DType; readonly args: readonly [number, number, number] }
  | { readonly op: "check"; readonly type: "bool"; readonly args: readonly [number, number]; readonly code: FaultCode };

/** What can go wrong in a kernel that only the device can see. */
export type FaultCode = "index-out-of-range" | "division-by-zero" | "value-out-of-range";

/**
 * How an operand moves along the innermost axis, where it is known when the kernel is built: `1` contiguous, `0` constant,
 * `"any"` by the stride argument. Printers vectorise over 1 and 0.
 */
export type InnerStride = 0 | 1 | "any";

/** What a stride along the innermost axis lets a printer assume. */
export function innerStride(stride: number): InnerStride {
  return stride === 0 || stride === 1 ? stride : "any";
}

export interface Operand {
  readonly dtype: DType;
  readonly inner: InnerStride;
}

export interface OutputOperand extends Operand {
  /** The launch writes every element of the storage's range that it names; when false, old contents matter (scatter, in place). */
  readonly overwrites: boolean;
}

export interface Accumulator {
  readonly type: DType;
  /** Decimal text as in `const`. */
  readonly init: string;
}

export interface Store {
  /** The output operand (0 = the first output). */
  readonly output: number;
  readonly value: number;
  /** The list that `value`, `indirect` and `guard` belong to. */
  readonly at: "body" | "epilogue";
  readonly indirect?: readonly { readonly value: number; readonly stride: number }[];
  readonly guard?: number;
  /** Combine with what is there instead of replacing it. Points that meet are combined in the order of the loop nest. */
  readonly combine?: "add" | "mul" | "max" | "min";
}

/** A loop-nest kernel. */
export interface LoopKernel {
  readonly kind: "loop";
  /** The op's name, for profiles, errors and routines that override it. */
  readonly name: string;
  readonly axes: number;
  readonly reduced: number;
  readonly inputs: readonly Operand[];
  readonly outputs: readonly OutputOperand[];
  readonly scalars: readonly DType[];
  readonly body: readonly Node[];
  readonly accumulators: readonly Accumulator[];
  /** For each accumulator the body value that it becomes. */
  readonly step: readonly number[];
  /** How two partial results join; absent when `step` is, for every accumulator, add/mul/max/min/and/or of it and a value free of accumulators. */
  readonly combine?: { readonly body: readonly Node[]; readonly out: readonly number[] };
  readonly epilogue: readonly Node[];
  readonly stores: readonly Store[];
}

/**
 * One sweep of a row kernel. With accumulators it reduces, as a loop kernel does: stores and results are of the epilogue.
 * Without any it maps: stores are of the body, and there are no results.
 */
export interface Sweep extends Pick<LoopKernel, "body" | "accumulators" | "step" | "combine" | "epilogue" | "stores"> {
  /** Values of the epilogue that later sweeps name: `result` counts those of all earlier sweeps in order. */
  readonly results: readonly number[];
}

/**
 * Several loop nests as one: for every point of the outer axes the sweeps go over the reduced axes one after the other, and each
 * may use what the earlier ones found (softmax: the greatest element, the sum of exponentials, the quotients). What a sweep
 * stores no later one reads. Optional: where a device does not list the routine `rows`, core launches a loop kernel a sweep.
 */
export interface RowKernel {
  readonly kind: "rows";
  readonly name: string;
  readonly axes: number;
  /** At least 1. */
  readonly reduced: number;
  readonly inputs: readonly Operand[];
  readonly outputs: readonly OutputOperand[];
  readonly scalars: readonly DType[];
  readonly sweeps: readonly Sweep[];
}

/** A sweep of a row kernel as the loop kernel that it would be, but for its `result` nodes. */
export function sweepKernel(kernel: RowKernel, sweep: Sweep): LoopKernel {
  const { name, axes, reduced, inputs, outputs, scalars } = kernel;
  const { body, accumulators, step, combine, epilogue, stores } = sweep;
  return {
    kind: "loop", name, axes, reduced, inputs, outputs, scalars, body, accumulators, step, epilogue, stores,
    ...(combine === undefined ? {} : { combine }),
  };
}

/**
 * A routine: a whole algorithm that a device implements by hand under a name. Sort is required of every device; others, such
 * as softmax, are optional: where a device does not list them, the op launches loop kernels. A routine's arguments are laid out
 * as a loop kernel's, with `axes` sizes and one stride for every operand and axis.
 */
export interface RoutineKernel {
  readonly kind: "routine";
  readonly name: string;
  readonly axes: number;
  readonly inputs: readonly Operand[];
  readonly outputs: readonly OutputOperand[];
  readonly scalars: readonly DType[];
  /** What the routine needs to know when it is registered. */
  readonly options: Readonly<Record<string, number | string | boolean>>;
}

export type Kernel = LoopKernel | RowKernel | RoutineKernel;

/** Words that a scalar argument of `dtype` takes in a launch. */
export function scalarWords(dtype: DType): 1 | 2 {
  return dtype === "float64" || dtype === "int64" ? 2 : 1;
}

/** Words that the arguments of a launch of `kernel` take. */
export function argumentWords(kernel: Kernel): number {
  const operands = kernel.inputs.length + kernel.outputs.length;
  let words = operands * 2 + kernel.axes + operands * kernel.axes;
  for (const scalar of kernel.scalars) words += scalarWords(scalar);
  return words;
}

/**
 * The argument block: what a compiled kernel finds at address `args`, as 32-bit words in the device's memory.
 *
 *   for each operand (inputs, then outputs): the byte address of its element 0 (block address + element offset * item size)
 *   then the launch's own words from the axis sizes on, verbatim (kernel/ir.ts): sizes, element strides, scalars
 *
 * A compiled kernel is called as `run(args, begin, end, scratch)`:
 * - [begin, end) is a part of [0, program.extent(words, at)); parts may run at the same time in several threads when
 *   `program.splittable`, otherwise the only legal call covers the whole extent.
 * - `scratch` is the address (64-byte aligned) of `program.scratchBytes(words, at)` bytes that the calling thread owns during
 *   the call. Its first words are the fault block: where `program.faults`, the caller clears `Scratch.fault` before the call
 *   and reads it after. The first fault of a launch is that of the part with the lowest `begin`.
 */
import type { FaultCode, Kernel } from "@troupe/core/device";
import { itemSize } from "@troupe/core/device";

/** Word offsets in the scratch area. */
export const Scratch = {
  /** 0, or 1 + the index in `faultCodes` of the first check that failed. */
  fault: 0,
  /** The detail of that check. */
  detail: 1,
  /** Where a program's own scratch starts, in bytes. */
  headerBytes: 64,
} as const;

export const faultCodes: readonly FaultCode[] = ["index-out-of-range", "division-by-zero", "value-out-of-range"];

/** Where things are in the argument block of `kernel`, in bytes from its start. */
export class ArgumentLayout {
  readonly operands: number;
  readonly axes: number;
  readonly scalarOffsets: readonly number[];
  readonly bytes: number;

  constructor(kernel: Kernel) {
    this.operands = kernel.inputs.length + kernel.outputs.length;
    this.axes = kernel.axes;
    let word = this.operands + this.axes + this.operands * this.axes;
    const scalars: number[] = [];
    for (const dtype of kernel.scalars) {
      scalars.push(word * 4);
      word += itemSize(dtype) === 8 ? 2 : 1;
    }
    this.scalarOffsets = scalars;
    this.bytes = word * 4;
  }

  address(operand: number): number {
    return operand * 4;
  }

  size(axis: number): number {
    return (this.operands + axis) * 4;
  }

  stride(operand: number, axis: number): number {
    return (this.operands + this.axes + operand * this.axes + axis) * 4;
  }
}

/**
 * Writes the argument block of a launch.
 *
 * @param memory the device's memory as 32-bit words
 * @param target the word index of the block in `memory`
 * @param words,at the launch's arguments as kernel/ir.ts lays them out
 * @param block the byte address of a storage
 */
export function writeArguments(
  kernel: Kernel,
  layout: ArgumentLayout,
  memory: Int32Array,
  target: number,
  words: Int32Array,
  at: number,
  block: (storage: number) => number,
): void {
  const { operands } = layout;
  const inputs = kernel.inputs.length;
  for (let o = 0; o < operands; o++) {
    const operand = o < inputs ? kernel.inputs[o] : kernel.outputs[o - inputs];
    const bytes = operand === undefined ? 0 : itemSize(operand.dtype) * (words[at + 2 * o + 1] ?? 0);
    memory[target + o] = block(words[at + 2 * o] ?? 0) + bytes;
  }
  const rest = layout.bytes / 4 - operands;
  const source = at + 2 * operands;
  for (let i = 0; i < rest; i++) memory[target + operands + i] = words[source + i] ?? 0;
}

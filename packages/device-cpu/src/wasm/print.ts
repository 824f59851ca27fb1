/** Prints a loop kernel of the IR as a WebAssembly module. */
import { expandMath, type LoopKernel } from "@troupe/core/device";
import { ArgumentLayout, Scratch } from "./arguments.ts";
import { ModuleBuilder } from "./assembler.ts";
import { KernelFrame } from "./frame.ts";
import { splittable } from "./plan.ts";
import { printElementwise } from "./print-elementwise.ts";
import { printReduction, reductionScratchBytes } from "./print-reduction.ts";
import type { Program } from "./program.ts";

/** About how many scalar instructions a call of a JavaScript math function costs. */
const importCost = 20;

/**
 * Prints `kernel`. The range of the program is the flattened nest of the non-reduced axes.
 *
 * The order in which a reduction is taken depends on the kernel and the launch's sizes and strides only. There is no fused
 * multiply-add, so an element's result does not depend on whether it was computed in lanes.
 */
export function printKernel(kernel: LoopKernel): Program {
  const printed = expandMath(kernel);
  const layout = new ArgumentLayout(kernel);
  const module = new ModuleBuilder();
  const frame = new KernelFrame(printed, layout, module);
  if (printed.reduced > 0) printReduction(frame);
  else printElementwise(frame);

  const operands = kernel.inputs.length + kernel.outputs.length;
  const outer = kernel.axes - kernel.reduced;
  const product = (words: Int32Array, at: number, axes: number): number => {
    let total = 1;
    for (let axis = 0; axis < axes; axis++) total *= words[at + 2 * operands + axis] ?? 0;
    return total;
  };
  const operations = kernel.inputs.length + kernel.outputs.length + printed.body.length + importCost * frame.importCount;
  return {
    kernel,
    layout,
    bytes: module.finish(),
    splittable: splittable(kernel),
    faults: [...printed.body, ...printed.epilogue].some((node) => node.op === "check"),
    extent: (words, at) => product(words, at, outer),
    work: (words, at) => product(words, at, kernel.axes) * operations,
    scratchBytes: () => Scratch.headerBytes + reductionScratchBytes(printed),
  };
}

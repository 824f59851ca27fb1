/** Prints a loop or row kernel of the IR as a WebAssembly module. */
import { expandMath, expandRowMath, type LoopKernel, type RowKernel } from "@troupe/core/device";
import { ArgumentLayout, Scratch } from "./arguments.ts";
import { ModuleBuilder } from "./assembler.ts";
import { KernelFrame } from "./frame.ts";
import { splittable } from "./plan.ts";
import { printElementwise } from "./print-elementwise.ts";
import { printReduction, reductionScratchBytes } from "./print-reduction.ts";
import { printRows } from "./print-rows.ts";
import { turnAxes } from "./print-tiles.ts";
import type { Program } from "./program.ts";

/** About how many scalar instructions a call of a JavaScript math function costs. */
const importCost = 20;

/**
 * Prints `kernel`. The range of the program is the flattened nest of the non-reduced axes.
 *
 * The order in which a reduction is taken depends on the kernel and the launch's sizes and strides only. There is no fused
 * multiply-add, so an element's result does not depend on whether it was computed in lanes.
 */
export function printKernel(kernel: LoopKernel | RowKernel): Program {
  const layout = new ArgumentLayout(kernel);
  const module = new ModuleBuilder();
  const { printed, importCount, turned } =
    kernel.kind === "rows" ? rowsInto(module, kernel, layout) : loopInto(module, kernel, layout);
  const sweeps = printed.kind === "rows" ? printed.sweeps : [printed];
  const nodes = sweeps.flatMap(({ body }) => body);

  const operands = kernel.inputs.length + kernel.outputs.length;
  const outer = kernel.axes - kernel.reduced;
  const product = (words: Int32Array, at: number, axes: number): number => {
    let total = 1;
    for (let axis = 0; axis < axes; axis++) total *= words[at + 2 * operands + axis] ?? 0;
    return total;
  };
  const operations = operands + nodes.length + importCost * importCount;
  return {
    kernel,
    layout,
    bytes: module.finish(),
    splittable: splittable(sweeps.flatMap(({ stores }) => stores)),
    faults: [...nodes, ...sweeps.flatMap(({ epilogue }) => epilogue)].some((node) => node.op === "check"),
    extent: (words, at) => product(words, at, outer),
    work: (words, at) => product(words, at, kernel.axes) * operations,
    ...(turned === undefined ? {} : { arrange: (memory: Int32Array, at: number) => turnAxes(turned, memory, at) }),
    scratchBytes: () => Scratch.headerBytes + reductionScratchBytes(printed),
  };
}

function loopInto(module: ModuleBuilder, kernel: LoopKernel, layout: ArgumentLayout) {
  const printed = expandMath(kernel);
  const frame = KernelFrame.ofLoop(printed, layout, module);
  const turned = printed.reduced > 0 ? printReduction(frame) : printElementwise(frame);
  return { printed, importCount: frame.importCount, turned };
}

function rowsInto(module: ModuleBuilder, kernel: RowKernel, layout: ArgumentLayout) {
  const printed = expandRowMath(kernel);
  const frames = KernelFrame.ofRows(printed, layout, module);
  printRows(printed, frames);
  return { printed, importCount: frames[0]?.importCount ?? 0, turned: undefined };
}

/**
 * Adds an elementwise kernel to a module as a function that others call as `run` is called, with arguments of `layout`.
 * @returns the function's index
 */
export function printInner(kernel: LoopKernel, layout: ArgumentLayout, module: ModuleBuilder): number {
  const frame = KernelFrame.ofLoop(expandMath(kernel), layout, module, false);
  printElementwise(frame);
  return frame.f.index;
}

/**
 * The tuned float32 matmul: Goto's blocking (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008),
 * with B packed into panels and A read in place or packed. It overrides loop kernels named "matmul", which stay its oracle.
 *
 * Axes [batch..., m, n, k], reduced 1; a does not depend on n, b not on m. Any strides. The order of summation depends on k only.
 * Kernels named "matmul+..." go on from the sums, with operands behind a and b (matmul-epilogue.ts).
 */
import { DeviceError, innerStride, type InnerStride, type Kernel, type LoopKernel } from "@troupe/core/device";
import { revectorizes } from "../flags.ts";
import { ArgumentLayout, Scratch } from "../wasm/arguments.ts";
import type { Choice, Program } from "../wasm/program.ts";
import { gemmScratchBytes } from "./matmul-blocks.ts";
import { Epilogue } from "./matmul-epilogue.ts";
import { printUnits, unitsOf } from "./matmul-units.ts";

/** Whether `kernel` is a sum over k of a times b, from which an epilogue may go on. */
function isProduct(kernel: Kernel): kernel is LoopKernel {
  if (kernel.kind !== "loop" || kernel.axes < 3 || kernel.reduced !== 1) return false;
  const { inputs, outputs, accumulators, body, step, stores } = kernel;
  if (inputs.length < 2 || outputs.length !== 1 || accumulators.length !== 1 || stores.length !== 1) return false;
  if (![inputs[0], inputs[1], outputs[0]].every(({ dtype }) => dtype === "float32") || Number(accumulators[0]?.init) !== 0) return false;
  const [store] = stores;
  if (store?.at !== "epilogue" || store.guard !== undefined || store.indirect !== undefined || store.combine !== undefined) return false;
  const sum = body[step[0] ?? -1];
  if (sum?.op !== "add") return false;
  const terms = sum.args.map((id) => body[id]);
  const product = terms.find((node) => node?.op === "mul");
  if (!terms.some((node) => node?.op === "acc") || product?.op !== "mul") return false;
  const factors = product.args.map((id) => body[id]);
  const loads = factors.flatMap((node) =>
    node?.op === "load" && node.guard === undefined && node.indirect === undefined ? [node.index] : []);
  return loads.length === 2 && loads.includes(0) && loads.includes(1);
}

/**
 * The program for a matmul kernel; undefined where it is not a plain float32 one.
 * @param panel columns of a tile: 16 where 128-bit vectors are fused in pairs, else 8
 * @throws DeviceError when a panel is no multiple of 8
 */
export function matmul(kernel: Kernel, panel = revectorizes() ? 16 : 8): Program | undefined {
  if (!isProduct(kernel) || kernel.inputs.length !== 2) return undefined;
  return kernel.epilogue[kernel.stores[0].value]?.op === "acc" ? programOf(kernel, panel) : undefined;
}

/** The programs for a float32 matmul with an epilogue: how operands move along n decides how it is printed. */
export function matmulWithEpilogue(kernel: Kernel, panel = revectorizes() ? 16 : 8): Choice | undefined {
  if (!kernel.name.startsWith("matmul+") || !isProduct(kernel)) return undefined;
  const operands = kernel.inputs.length + 1;
  const inner = (words: Int32Array, at: number): readonly InnerStride[] =>
    Array.from({ length: operands }, (_, o) =>
      innerStride(words[at + 2 * operands + kernel.axes * (1 + o) + kernel.axes - 2] ?? 0));
  return {
    key: (words, at) => inner(words, at).slice(2).join(" "),
    program: (words, at) => programOf(kernel, panel, new Epilogue(kernel, inner(words, at))),
  };
}

function programOf(kernel: LoopKernel, panel: number, epilogue?: Epilogue): Program {
  if (panel % 8 !== 0) throw new DeviceError(`a matmul panel has 8 or 16 columns, not ${panel}`);
  const layout = new ArgumentLayout(kernel);
  const batches = kernel.axes - 3;
  const sizesOf = (words: Int32Array, at: number): { batch: number; m: number; n: number; k: number } => {
    const size = (axis: number): number => words[at + 2 * layout.operands + axis] ?? 0;
    let batch = 1;
    for (let axis = 0; axis < batches; axis++) batch *= size(axis);
    return { batch, m: size(batches), n: size(batches + 1), k: size(batches + 2) };
  };
  return {
    kernel,
    layout,
    bytes: printUnits(kernel, layout, panel, epilogue),
    splittable: true,
    faults: false,
    extent: (words, at) => {
      const { batch, m, n } = sizesOf(words, at);
      return unitsOf(batch, m, n, panel);
    },
    work: (words, at) => {
      const { batch, m, n, k } = sizesOf(words, at);
      // A multiply-add takes a fraction of a scalar operation.
      return (batch * m * n * (k + 8)) / 4 + batch * m * n * kernel.epilogue.length;
    },
    scratchBytes: (words, at) => {
      const { n, k } = sizesOf(words, at);
      return Scratch.headerBytes + (epilogue?.bytes ?? 0) + gemmScratchBytes(n, k, panel);
    },
  };
}

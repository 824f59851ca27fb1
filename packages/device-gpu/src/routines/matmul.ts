/**
 * The tuned float32 matmul; it overrides loop kernels named "matmul", which stay its oracle.
 *
 * Axes [batch..., m, n, k], reduced 1; a does not depend on n, b not on m. Any strides: where one of an operand's last
 * two is 1 and the rest fits, elements are read four at a time along it.
 */
import type { Kernel, LoopKernel } from "@troupe/core/device";
import type { Schedule } from "../adapter.ts";
import type { Shader } from "../wgsl/print.ts";
import { blockSize, printBlocks } from "./matmul-blocks.ts";
import { printTiles } from "./matmul-tiles.ts";

/** What a launch runs instead of the printed kernel. */
export interface Choice {
  /** Equal keys have equal shaders. */
  readonly key: string;
  readonly shader: () => Shader;
  readonly groups: number;
}

/** Chooses for the launch whose arguments are at `words[at]`; undefined where the printed kernel is to run. */
export type Routine = (words: Int32Array, at: number) => Choice | undefined;

/** The sizes of a product and where its operands' elements are. */
export interface Product {
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

/** How an operand is read: four at a time along k, along its other axis (m or n), or one by one. */
export type Reading = "k" | "other" | "one";

/** Products of fewer multiplications are left to the printed kernel. */
const worthTiling = 1 << 10;
/** Invocations of a workgroup that computes independent blocks. */
const blocksPerGroup = 16;

/** Whether `kernel` is a sum over k of a times b, and nothing more. */
function isPlain(kernel: Kernel): kernel is LoopKernel {
  if (kernel.kind !== "loop" || kernel.name !== "matmul" || kernel.axes < 3 || kernel.reduced !== 1) return false;
  const { inputs, outputs, accumulators, body, epilogue, step, stores } = kernel;
  if (inputs.length !== 2 || outputs.length !== 1 || accumulators.length !== 1 || stores.length !== 1) return false;
  if (![...inputs, ...outputs].every(({ dtype }) => dtype === "float32") || Number(accumulators[0]?.init) !== 0) return false;
  const [store] = stores;
  if (store.at !== "epilogue" || epilogue[store.value]?.op !== "acc") return false;
  if (store.guard !== undefined || store.indirect !== undefined || store.combine !== undefined) return false;
  const sum = body[step[0]];
  if (sum.op !== "add") return false;
  const terms = sum.args.map((id) => body[id]);
  const product = terms.find((node) => node.op === "mul");
  if (!terms.some((node) => node.op === "acc") || product?.op !== "mul") return false;
  const loads = product.args.map((id) => body[id]).flatMap((node) =>
    node.op === "load" && node.guard === undefined && node.indirect === undefined ? [node.index] : []);
  return loads.length === 2 && loads.includes(0) && loads.includes(1);
}

/** The routine for a matmul kernel; undefined where it is not a plain float32 one. */
export function matmul(kernel: Kernel, schedule: Schedule): Routine | undefined {
  if (!isPlain(kernel)) return undefined;
  const { axes } = kernel;
  const sizesAt = 6;
  const strideAt = (operand: number): number => sizesAt + axes + operand * axes;
  return (words, at) => {
    const size = (axis: number): number => words[at + sizesAt + axis];
    let batch = 1;
    for (let axis = 0; axis < axes - 3; axis++) batch *= size(axis);
    const product: Product = { batch, m: size(axes - 3), n: size(axes - 2), k: size(axes - 1) };
    const { m, n, k } = product;
    if (m * n * k < worthTiling || m * n === 0) return undefined;
    const reading = (operand: number, other: number): Reading => {
      const strides = Array.from({ length: axes }, (_, axis) => words[at + strideAt(operand) + axis]);
      const fits = (unit: number, length: number): boolean => strides[unit] === 1 && length % 4 === 0 &&
        words[at + 2 * operand + 1] % 4 === 0 && strides.every((stride, axis) => axis === unit || stride % 4 === 0);
      if (fits(axes - 1, k)) return "k";
      return fits(other, size(other)) ? "other" : "one";
    };
    const [a, b] = [reading(0, axes - 3), reading(1, axes - 2)];
    if (schedule === "software") {
      const blocks = batch * Math.ceil(m / blockSize) * Math.ceil(n / blockSize);
      return {
        key: `${a} ${b}`, shader: () => printBlocks(kernel, a, b, blocksPerGroup), groups: Math.ceil(blocks / blocksPerGroup),
      };
    }
    // Large tiles reuse more, small ones keep more of the GPU busy.
    const tile = batch * Math.ceil(m / 128) * Math.ceil(n / 128) >= 128 ? 128 : 64;
    const along = (operand: number): boolean => words[at + strideAt(operand) + axes - 1] === 1;
    return {
      key: `${tile} ${along(0)} ${along(1)}`,
      shader: () => printTiles(kernel, tile, along(0), along(1)),
      groups: batch * Math.ceil(m / tile) * Math.ceil(n / tile),
    };
  };
}

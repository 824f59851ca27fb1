/**
 * The tuned float32 convolutions of one and two dimensions: y, x or w from the two others (core's ops/convolution.ts). They
 * override loop kernels named "conv2d", "conv2dInput", "conv2dWeight" and so on, which stay their oracle: any strides, padding,
 * dilation and groups. The order of summation depends on the shape only.
 */
import type { Kernel, LoopKernel } from "@troupe/core/device";
import { revectorizes } from "../flags.ts";
import { ArgumentLayout } from "../wasm/arguments.ts";
import type { Program } from "../wasm/program.ts";
import { parseName, Places } from "./convolution-geometry.ts";
import { gradientScratchBytes, gradientUnits, printGradient } from "./convolution-gradient.ts";
import { printProduct, productScratchBytes, productUnits } from "./convolution-product.ts";
import { multiplications, product, shapeOf } from "./convolution-shape.ts";

/**
 * The program for a convolution's kernel; undefined where it is not a float32 one.
 *
 * @param panel columns of a tile: 16 where 128-bit vectors are fused in pairs, else 8
 */
export function convolution(kernel: Kernel, panel = revectorizes() ? 16 : 8): Program | undefined {
  const named = parseName(kernel.name);
  if (named === undefined || !isConvolution(kernel, named.rank)) return undefined;
  const layout = new ArgumentLayout(kernel);
  const places = new Places(kernel, layout, named.rank, named.target);
  const isWeight = named.target === "w";
  const isInput = named.target === "x";
  return {
    kernel,
    layout,
    bytes: isWeight ? printGradient(places, panel) : printProduct(places, panel),
    splittable: true,
    faults: false,
    extent: (words, at) => {
      const shape = shapeOf(places, words, at);
      if (shape.rows === 0 || product(shape.positions) === 0) return 0;
      return isWeight ? gradientUnits(shape, panel) : productUnits(shape, isInput, panel);
    },
    // A multiply-add takes a fraction of a scalar operation.
    work: (words, at) => multiplications(shapeOf(places, words, at)) / 4,
    scratchBytes: (words, at) => {
      const shape = shapeOf(places, words, at);
      return isWeight ? gradientScratchBytes(shape, panel) : productScratchBytes(shape, isInput, panel);
    },
  };
}

/** Whether the kernel has the arguments that core's convolutions have, all of float32. */
function isConvolution(kernel: Kernel, rank: number): kernel is LoopKernel {
  if (kernel.kind !== "loop" || kernel.inputs.length !== 2 || kernel.outputs.length !== 1) return false;
  return (
    [...kernel.inputs, ...kernel.outputs].every(({ dtype }) => dtype === "float32") &&
    kernel.axes === 4 + 2 * rank && kernel.reduced === 1 + rank && kernel.scalars.length >= 4 * rank
  );
}

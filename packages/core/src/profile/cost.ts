/** What a launch moves and computes, as its kernel's IR and its arguments say. */
import type { Kernel, LoopKernel, Node, RowKernel } from "../kernel/ir.ts";
import { isFloat, itemSize } from "../tensor/dtype.ts";

export interface LaunchCost {
  readonly sizes: readonly number[];
  readonly bytes: number;
  readonly flops: number;
}

/** Operations on floats that only move or relabel bits. */
const free: ReadonlySet<string> = new Set(["cast", "bitcast", "select", "check", "neg", "abs", "copysign"]);

/** How a launch's words give an operand's traffic. */
interface OperandCost {
  readonly width: number;
  /** Axes along which it is walked. */
  readonly axes: number;
  /** Its elements are found by values, not by strides alone: every point of the nest touches one. */
  readonly indirect: boolean;
  /** 2 where the result is combined with what is there. */
  readonly touches: 1 | 2;
}

/** The cost of the launches of one kernel. */
export class KernelCost {
  readonly #axes: number;
  readonly #outerAxes: number;
  readonly #operands: readonly OperandCost[];
  readonly #pointFlops: number;
  readonly #outerFlops: number;

  constructor(kernel: Kernel) {
    const loop = nestOf(kernel);
    this.#axes = kernel.axes;
    this.#outerAxes = kernel.axes - (loop?.reduced ?? 0);
    this.#operands = [
      ...kernel.inputs.map(({ dtype }, i) => inputCost(loop, i, itemSize(dtype), kernel.axes)),
      ...kernel.outputs.map(({ dtype }, i) => outputCost(loop, i, itemSize(dtype), kernel.axes)),
    ];
    this.#pointFlops = loop === undefined ? 0 : countFlops(loop.body);
    this.#outerFlops = loop === undefined ? 0 : countFlops(loop.epilogue);
  }

  /** @param words `words[at...]` are a launch's arguments, as kernel/ir.ts lays them out. */
  of(words: Int32Array, at: number): LaunchCost {
    const firstSize = at + 2 * this.#operands.length;
    const sizes = Array.from(words.subarray(firstSize, firstSize + this.#axes));
    const product = (axes: number): number => sizes.slice(0, axes).reduce((a, b) => a * b, 1);
    const [points, outer] = [product(this.#axes), product(this.#outerAxes)];
    let bytes = 0;
    if (points > 0) {
      this.#operands.forEach(({ width, axes, indirect, touches }, i) => {
        const strides = firstSize + this.#axes * (i + 1);
        bytes += touches * width * (indirect ? product(axes) : distinctElements(sizes, axes, words, strides));
      });
    }
    return { sizes, bytes, flops: points * this.#pointFlops + outer * this.#outerFlops };
  }
}

/** What a kernel does at a point of its nest: of a row kernel, what all its sweeps do. Nothing is known of a routine. */
type Nest = Pick<LoopKernel, "reduced" | "body" | "epilogue" | "stores">;

function nestOf(kernel: Kernel): Nest | undefined {
  if (kernel.kind === "routine") return undefined;
  return kernel.kind === "loop" ? kernel : nestOfRows(kernel);
}

function nestOfRows({ reduced, sweeps }: RowKernel): Nest {
  return {
    reduced,
    body: sweeps.flatMap(({ body }) => body),
    epilogue: sweeps.flatMap(({ epilogue }) => epilogue),
    stores: sweeps.flatMap(({ stores }) => stores),
  };
}

/** Elements of a strided view: what its indices count, but no more than lie between its ends (windows overlap). */
function distinctElements(sizes: readonly number[], axes: number, words: Int32Array, strides: number): number {
  let elements = 1;
  let span = 1;
  for (let axis = 0; axis < axes; axis++) {
    const stride = Math.abs(words[strides + axis]);
    if (stride === 0) continue;
    elements *= sizes[axis];
    span += (sizes[axis] - 1) * stride;
  }
  return Math.min(elements, span);
}

function inputCost(kernel: Nest | undefined, index: number, width: number, axes: number): OperandCost {
  const isLoad = (node: Node): node is Extract<Node, { op: "load" }> => node.op === "load" && node.index === index;
  const inBody = kernel?.body.filter(isLoad) ?? [];
  const inEpilogue = kernel?.epilogue.filter(isLoad) ?? [];
  const onlyInEpilogue = kernel !== undefined && inBody.length === 0;
  return {
    width,
    axes: onlyInEpilogue ? axes - kernel.reduced : axes,
    indirect: [...inBody, ...inEpilogue].some(({ indirect }) => indirect !== undefined),
    touches: 1,
  };
}

function outputCost(kernel: Nest | undefined, index: number, width: number, axes: number): OperandCost {
  const stores = kernel?.stores.filter(({ output }) => output === index) ?? [];
  const onlyInEpilogue = kernel !== undefined && stores.every(({ at }) => at === "epilogue");
  return {
    width,
    axes: onlyInEpilogue ? axes - kernel.reduced : axes,
    indirect: stores.some(({ indirect }) => indirect !== undefined),
    touches: stores.some(({ combine }) => combine !== undefined) ? 2 : 1,
  };
}

function countFlops(nodes: readonly Node[]): number {
  return nodes.filter((node) => "args" in node && isFloat(node.type) && !free.has(node.op)).length;
}

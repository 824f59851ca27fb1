/** The autograd graph: nodes that turn gradients of an op's outputs into gradients of its inputs, and edges to the next nodes. */
import type { Tensor } from "../tensor/tensor.ts";

/** Where a gradient goes: input number `slot` of `node` (the op's output that it belongs to). */
export interface Edge {
  readonly node: Node;
  readonly slot: number;
}

export type Gradients = readonly (Tensor | undefined)[];

let made = 0;

/** A function of the backward graph. Nodes made later have a greater `order`: a topological order of any graph. */
export abstract class Node {
  readonly order: number = made++;
  /** As PyTorch prints it, for instance `MulBackward0`. */
  abstract readonly name: string;
  /** One edge for each input of the op; undefined where no gradient is wanted. */
  abstract readonly edges: readonly (Edge | undefined)[];
  /** Output slots of the op that gradients arrive at. */
  readonly slots: number = 1;
  /** `apply` runs user code, which may keep tensors that it makes or is given. */
  readonly opaque: boolean = false;
  /** Run before `apply`, on the gradients that arrived (tensor hooks and `retainGrad`), slot by slot. */
  preHooks: ((gradients: (Tensor | undefined)[]) => void)[] | undefined;

  /** Gradients of the op's inputs from those of its outputs; undefined stands for zero. */
  abstract apply(gradients: Gradients): (Tensor | undefined)[];

  /** Lets go of saved tensors; a later `apply` throws. */
  release(): void {
    // Most nodes save nothing.
  }

  /** PyTorch's `next_functions`. */
  get nextFunctions(): readonly (readonly [Node | undefined, number])[] {
    return this.edges.map((edge) => [edge?.node, edge?.slot ?? 0] as const);
  }

  toString(): string {
    return `<${this.name}>`;
  }
}

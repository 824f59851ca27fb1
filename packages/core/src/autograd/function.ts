/** Custom differentiable functions (`torch.autograd.Function`). */
import { AutogradError } from "../errors.ts";
import { isFloat } from "../tensor/dtype.ts";
import { isTensor } from "../tensor/tensor.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { isGradEnabled, noGrad } from "./mode.ts";
import { Node } from "./node.ts";
import type { Edge, Gradients } from "./node.ts";

/** What `forward` hands to `backward`. */
export class FunctionContext {
  #saved: { readonly tensor: Tensor; readonly version: number }[] = [];
  #freed = false;
  #nonDifferentiable = new Set<Tensor>();
  /** Whether each argument of `forward` wants a gradient. */
  needsInputGrad: readonly boolean[] = [];
  /** Anything else that backward needs. */
  readonly state: Record<string, unknown> = {};

  /** Keeps tensors for `backward`; a later in-place change of one makes it throw. */
  saveForBackward(...tensors: Tensor[]): void {
    this.#saved = tensors.map((tensor) => ({ tensor, version: tensor.version }));
  }

  /** The tensors kept by `saveForBackward`. @throws AutogradError when changed since, or freed by an earlier pass */
  get savedTensors(): Tensor[] {
    if (this.#freed) {
      throw new AutogradError("Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed).", {
        remedy: "Specify { retainGraph: true } if you need to backward through the graph a second time.",
      });
    }
    return this.#saved.map(({ tensor, version }) => {
      if (tensor.version !== version) {
        throw new AutogradError(
          `one of the variables needed for gradient computation has been modified by an inplace operation: [${tensor.dtype} [${tensor.shape.join(", ")}]] is at version ${tensor.version}; expected version ${version} instead.`,
        );
      }
      return tensor;
    });
  }

  /** Says which outputs of `forward` have no gradient. */
  markNonDifferentiable(...outputs: Tensor[]): void {
    this.#nonDifferentiable = new Set(outputs);
  }

  isDifferentiable(output: Tensor): boolean {
    return isFloat(output.dtype) && !this.#nonDifferentiable.has(output);
  }

  free(): void {
    this.#freed = this.#saved.length > 0;
    this.#saved = [];
  }
}

/** A function and its gradient. `backward` gets one gradient for each output and gives one for each argument (undefined for none). */
export interface CustomFunction<Args extends readonly unknown[], R extends Tensor | readonly Tensor[]> {
  readonly name: string;
  forward(context: FunctionContext, ...args: Args): R;
  backward(context: FunctionContext, ...gradients: Tensor[]): Tensor | undefined | readonly (Tensor | undefined)[];
}

class CustomNode extends Node {
  readonly name: string;
  readonly edges: readonly (Edge | undefined)[];
  override readonly opaque = true;
  override readonly slots: number;
  readonly #context: FunctionContext;
  readonly #outputs: readonly { readonly shape: readonly number[]; readonly zeros: () => Tensor }[];
  readonly #backward: (context: FunctionContext, ...gradients: Tensor[]) => Tensor | undefined | readonly (Tensor | undefined)[];

  constructor(
    name: string,
    edges: readonly (Edge | undefined)[],
    context: FunctionContext,
    outputs: readonly Tensor[],
    backward: CustomFunction<readonly unknown[], Tensor>["backward"],
  ) {
    super();
    this.name = `${name}Backward`;
    this.edges = edges;
    this.slots = outputs.length;
    this.#context = context;
    this.#outputs = outputs.map((output) => {
      const { shape, dtype, device } = output;
      const like = output.detach();
      return { shape, zeros: () => like.mul(0).to(dtype).to(device) };
    });
    this.#backward = backward;
  }

  override apply(gradients: Gradients): (Tensor | undefined)[] {
    const given = this.#outputs.map(({ zeros }, slot) => gradients[slot] ?? zeros());
    const result = this.#backward(this.#context, ...given);
    const list = Array.isArray(result) ? (result as readonly (Tensor | undefined)[]) : [result as Tensor | undefined];
    if (list.length !== this.edges.length) {
      throw new AutogradError(`function ${this.name} returned an incorrect number of gradients (expected ${this.edges.length}, got ${list.length})`);
    }
    return [...list];
  }

  override release(): void {
    this.#context.free();
  }
}

/**
 * Makes a callable of a custom function:
 * `const cube = customFunction({ name: "Cube", forward(ctx, x) {...}, backward(ctx, g) {...} })`.
 */
export function customFunction<Args extends readonly unknown[], R extends Tensor | readonly Tensor[]>(definition: CustomFunction<Args, R>): (...args: Args) => R {
  return (...args) => {
    const context = new FunctionContext();
    const recorded = isGradEnabled() && args.some((arg) => isTensor(arg) && arg.requiresGrad);
    context.needsInputGrad = args.map((arg) => isTensor(arg) && arg.requiresGrad);
    const result = noGrad(() => definition.forward(context, ...args));
    if (!recorded) return result;
    const edges = args.map((arg) => (isTensor(arg) ? arg.edge : undefined));
    const outputs: readonly Tensor[] = isTensor(result) ? [result] : result;
    // An output that is an argument gets a place of its own in the graph.
    const fresh = outputs.map((output) => (args.includes(output) ? output.detach() : output));
    const node = new CustomNode(definition.name, edges, context, fresh, (ctx, ...gradients) => definition.backward(ctx, ...gradients));
    fresh.forEach((output, slot) => {
      if (context.isDifferentiable(output)) output.setHistory(node, slot);
    });
    return (isTensor(result) ? fresh[0] : fresh) as R;
  };
}

/** Custom differentiable functions (`torch.autograd.Function`). */
import type { Device } from "../actor/device.ts";
import { shown } from "../arguments.ts";
import { AutogradError, DeviceError, ShapeError, ValueError } from "../errors.ts";
import { assertWritable, setInPlaceHistory } from "../ops/dispatch.ts";
import { isFloat } from "../tensor/dtype.ts";
import type { Shape } from "../tensor/shape.ts";
import { isTensor, Tensor } from "../tensor/tensor.ts";
import type { Meta } from "../tensor/value.ts";
import { isGradEnabled, noGrad } from "./mode.ts";
import { Node } from "./node.ts";
import type { Edge, Gradients } from "./node.ts";
import { fitted, freedError, modifiedError } from "./op-node.ts";
import { ViewRecord } from "./views.ts";

interface SavedTensor {
  readonly tensor: Tensor;
  readonly version: number;
  /** Where its gradient went when it was saved, for the message when it was changed. */
  readonly origin: Edge | undefined;
}

/** What `forward` hands to `backward`. */
export class FunctionContext {
  #saved: SavedTensor[] = [];
  #freed = false;
  #nonDifferentiable = new Set<Tensor>();
  #dirty = new Set<Tensor>();
  /** Whether each argument of `forward` wants a gradient. */
  needsInputGrad: readonly boolean[] = [];
  /** Anything else that backward needs. */
  readonly state: Record<string, unknown> = {};

  /** Keeps tensors for `backward`; an in-place change after `forward` makes it throw. */
  saveForBackward(...tensors: Tensor[]): void {
    this.#saved = tensors.map((tensor) => ({ tensor, version: tensor.version, origin: undefined }));
  }

  /** The tensors kept by `saveForBackward`. @throws AutogradError when changed since, or freed by an earlier pass */
  get savedTensors(): Tensor[] {
    if (this.#freed) throw freedError();
    return this.#saved.map(({ tensor, version, origin }) => {
      if (tensor.version !== version) throw modifiedError(tensor.value, version, origin);
      return tensor;
    });
  }

  /** Says which outputs of `forward` have no gradient. */
  markNonDifferentiable(...outputs: Tensor[]): void {
    this.#nonDifferentiable = new Set(outputs);
  }

  /** Says which arguments `forward` wrote to; it must return them too. */
  markDirty(...tensors: Tensor[]): void {
    this.#dirty = new Set(tensors);
  }

  isDifferentiable(output: Tensor): boolean {
    return isFloat(output.dtype) && !this.#nonDifferentiable.has(output);
  }

  isDirty(tensor: Tensor): boolean {
    return this.#dirty.has(tensor);
  }

  /** After `forward`: what is saved is what there is now. */
  seal(): void {
    this.#saved = this.#saved.map(({ tensor }) => ({ tensor, version: tensor.version, origin: tensor.edge }));
  }

  free(): void {
    this.#freed = this.#saved.length > 0;
    this.#saved = [];
  }
}

type Backward = (
  context: FunctionContext,
  ...gradients: Tensor[]
) => Tensor | undefined | readonly (Tensor | undefined)[];

interface Place extends Meta {
  readonly device: Device;
}

const placeOf = ({ shape, dtype, device }: Tensor): Place => ({ shape, dtype, device });

class CustomNode extends Node {
  readonly name: string;
  readonly edges: readonly (Edge | undefined)[];
  override readonly opaque = true;
  override readonly slots: number;
  readonly #context: FunctionContext;
  /** Of each argument that is a tensor, and of each output. */
  readonly #inputs: readonly (Place | undefined)[];
  readonly #outputs: readonly Place[];
  readonly #backward: Backward;

  constructor(
    name: string,
    args: readonly unknown[],
    context: FunctionContext,
    outputs: readonly Tensor[],
    backward: Backward,
  ) {
    super();
    this.name = `${name}Backward`;
    this.edges = args.map((arg) => (isTensor(arg) ? arg.edge : undefined));
    this.slots = outputs.length;
    this.#context = context;
    this.#inputs = args.map((arg) => (isTensor(arg) ? placeOf(arg) : undefined));
    this.#outputs = outputs.map(placeOf);
    this.#backward = backward;
  }

  override apply(gradients: Gradients): (Tensor | undefined)[] {
    const like = gradients.find((gradient) => gradient !== undefined);
    if (like === undefined) return this.edges.map(() => undefined);
    const given = this.#outputs.map(
      ({ shape, dtype, device }, slot) => gradients[slot] ?? like.newZeros(shape, { dtype, device }),
    );
    const result = this.#backward(this.#context, ...given);
    const list = Array.isArray(result) ? (result as readonly (Tensor | undefined)[]) : [result as Tensor | undefined];
    const { length } = this.edges;
    if (list.length < length || list.slice(length).some((gradient) => gradient !== undefined)) {
      throw new AutogradError(
        `function ${this.name} returned an incorrect number of gradients (expected ${length}, got ${list.length})`,
      );
    }
    return this.edges.map((edge, i) => this.#checked(list[i], edge, i));
  }

  /** The gradient of argument `i`, in its shape and dtype. */
  #checked(gradient: Tensor | undefined, edge: Edge | undefined, i: number): Tensor | undefined {
    if (gradient === undefined) return undefined;
    const input = this.#inputs[i];
    if (input === undefined) {
      throw new AutogradError(
        `function ${this.name} returned a gradient different than None at position ${i + 1}, but the corresponding ` +
          "forward input was not a Variable",
      );
    }
    if (edge === undefined) return undefined;
    const invalid = `Function ${this.name} returned an invalid gradient at index ${i} -`;
    if (!isExpandable(input.shape, gradient.shape)) {
      throw new ShapeError(
        `${invalid} got [${gradient.shape.join(", ")}] but expected shape compatible with [${input.shape.join(", ")}]`,
      );
    }
    if (gradient.device !== input.device) {
      throw new DeviceError(`${invalid} expected device ${input.device.name} but got ${gradient.device.name}`);
    }
    return fitted(gradient, input);
  }

  override release(): void {
    this.#context.free();
  }
}

/** Whether a tensor of shape `from` broadcasts to `to`. */
function isExpandable(from: Shape, to: Shape): boolean {
  const lead = to.length - from.length;
  return lead >= 0 && from.every((size, dim) => size === 1 || size === to[lead + dim]);
}

/**
 * A function and its gradient. `backward` gets one gradient for each output and gives one for each argument (undefined
 * for none).
 */
export interface CustomFunction<Args extends readonly unknown[], R extends Tensor | readonly Tensor[]> {
  readonly name: string;
  forward(context: FunctionContext, ...args: Args): R;
  backward: Backward;
}

/**
 * Makes a callable of a custom function:
 * `const cube = customFunction({ name: "Cube", forward(ctx, x) {...}, backward(ctx, g) {...} })`.
 * @throws ValueError where name, `forward` or `backward` is missing
 * @throws AutogradError when `forward` wrote to a leaf that requires a gradient (see `markDirty`)
 */
export function customFunction<Args extends readonly unknown[], R extends Tensor | readonly Tensor[]>(
  definition: CustomFunction<Args, R>,
): (...args: Args) => R {
  assertDefinition(definition);
  return (...args) => {
    const context = new FunctionContext();
    context.needsInputGrad = args.map((arg) => isTensor(arg) && arg.requiresGrad);
    const recorded = isGradEnabled() && context.needsInputGrad.includes(true);
    const result = noGrad(() => definition.forward(context, ...args));
    if (!recorded) return result;
    const outputs: readonly Tensor[] = isTensor(result) ? [result] : result;
    for (const output of outputs) if (context.isDirty(output)) assertWritable(output, definition.name);
    const fresh = outputs.map((output) =>
      args.includes(output) && !context.isDirty(output) ? sameAs(output) : output,
    );
    const node = new CustomNode(definition.name, args, context, fresh, (ctx, ...gradients) =>
      definition.backward(ctx, ...gradients),
    );
    fresh.forEach((output, slot) => {
      if (context.isDirty(output)) setInPlaceHistory(output, node, args.indexOf(output));
      else if (context.isDifferentiable(outputs[slot])) output.setHistory(node, slot);
    });
    context.seal();
    return (isTensor(result) ? fresh[0] : fresh) as R;
  };
}

function assertDefinition(definition: unknown): void {
  const op = "customFunction";
  if (typeof definition !== "object" || definition === null)
    throw new ValueError(`customFunction() takes { name, forward, backward }, got ${shown(definition)}`, { op });
  for (const [part, type] of [["name", "string"], ["forward", "function"], ["backward", "function"]] as const) {
    const given: unknown = Reflect.get(definition, part);
    if (typeof given !== type) throw new ValueError(`customFunction(): '${part}' must be a ${type}, got ${shown(given)}`, { op });
  }
}

/** An argument that is returned as it is: a tensor with a place of its own in the graph, over the same memory. */
function sameAs(argument: Tensor): Tensor {
  const { base, replay } = argument.view$ ?? { base: argument, replay: (x: Tensor) => x };
  return new Tensor(argument.value, false, new ViewRecord(base, replay, false));
}

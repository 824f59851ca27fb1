/** Looking at and changing gradients on their way: tensor hooks and `retainGrad`. */
import { shown } from "../arguments.ts";
import { AutogradError, ShapeError, ValueError } from "../errors.ts";
import { sameShape } from "../tensor/shape.ts";
import { hold } from "../tensor/memory.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Undoes a registration. */
export interface HookHandle {
  remove(): void;
}

/**
 * Calls `hook` with this tensor's gradient in every backward pass; what it returns, if anything, goes on in its place
 * (`Tensor.register_hook`). Hooks run in the order of their registration. After an in-place op on the tensor they still see the
 * gradient of the value before it.
 * @throws AutogradError when the tensor does not require a gradient
 */
export function registerHook(x: Tensor, hook: (gradient: Tensor) => Tensor | undefined | void): HookHandle {
  if (typeof hook !== "function") throw new ValueError(`a hook must be a function, got ${shown(hook)}`, { op: "registerHook" });
  const { edge } = x;
  if (edge === undefined) throw new AutogradError("cannot register a hook on a tensor that doesn't require gradient");
  const { node, slot } = edge;
  const run = (gradients: (Tensor | undefined)[]): void => {
    const gradient = gradients[slot];
    if (gradient === undefined) return;
    const replaced = hook(gradient);
    if (replaced === undefined) return;
    if (!sameShape(replaced.shape, gradient.shape)) {
      throw new ShapeError(`hook '${hook.name}' has changed the size of value`);
    }
    gradients[slot] = replaced;
  };
  // New lists: a hook may remove itself, or add another, while the list is walked.
  node.preHooks = [...(node.preHooks ?? []), run];
  return {
    remove: () => {
      node.preHooks = node.preHooks?.filter((other) => other !== run);
    },
  };
}

const retained = new WeakSet<Tensor>();

/** Makes `backward()` fill `.grad` of this tensor also when it is no leaf (`Tensor.retain_grad`). */
export function retainGrad(x: Tensor): void {
  if (!x.requiresGrad) throw new AutogradError("can't retain_grad on Tensor that has requires_grad=False");
  if (x.isLeaf || retained.has(x)) return;
  retained.add(x);
  registerHook(x, (gradient) => {
    x.grad = hold(x.grad === undefined ? gradient.clone() : x.grad.add(gradient));
  });
}

/** Whether `retainGrad` was called. */
export function retainsGrad(x: Tensor): boolean {
  return retained.has(x);
}

/** Looking at and changing gradients on their way: tensor hooks and `retainGrad`. */
import { AutogradError } from "../errors.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Undoes a registration. */
export interface HookHandle {
  remove(): void;
}

/**
 * Calls `hook` with this tensor's gradient in every backward pass; what it returns, if anything, goes on in its place
 * (`Tensor.register_hook`).
 * @throws AutogradError when the tensor does not require a gradient
 */
export function registerHook(x: Tensor, hook: (gradient: Tensor) => Tensor | undefined | void): HookHandle {
  const { edge } = x;
  if (edge === undefined) throw new AutogradError("cannot register a hook on a tensor that doesn't require gradient");
  const { node, slot } = edge;
  const run = (gradients: (Tensor | undefined)[]): void => {
    const gradient = gradients[slot];
    if (gradient === undefined) return;
    const replaced = hook(gradient);
    if (replaced !== undefined) gradients[slot] = replaced;
  };
  (node.preHooks ??= []).push(run);
  return {
    remove: () => {
      const at = node.preHooks?.indexOf(run) ?? -1;
      if (at >= 0) node.preHooks?.splice(at, 1);
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
    x.grad = x.grad === undefined ? gradient : x.grad.add(gradient);
  });
}

/** Whether `retainGrad` was called. */
export function retainsGrad(x: Tensor): boolean {
  return retained.has(x);
}

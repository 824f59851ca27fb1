/** What is done to all gradients of a model between `backward()` and the optimizer's step. */
import { noGrad } from "../autograd/mode.ts";
import { stack } from "../ops/join.ts";
import { norm } from "../ops/norm.ts";
import type { Tensor } from "../tensor/tensor.ts";

function gradientsOf(parameters: Iterable<Tensor>): Tensor[] {
  const gradients: Tensor[] = [];
  for (const { grad } of parameters) if (grad !== undefined) gradients.push(grad);
  return gradients;
}

/**
 * Scales gradients in place so that their common norm is at most `maxNorm` (`torch.nn.utils.clip_grad_norm_`). Nothing
 * is read: the factor stays on the device.
 * @param options normType: 2 by default, Infinity for the greatest absolute value
 * @returns the norm before
 */
export function clipGradNorm_(
  parameters: Iterable<Tensor>,
  maxNorm: number,
  options: { readonly normType?: number } = {},
): Tensor | undefined {
  const { normType = 2 } = options;
  const gradients = gradientsOf(parameters);
  const [first] = gradients;
  if (first === undefined) return undefined;
  return noGrad(() => {
    const norms = gradients.map((gradient) => norm(gradient.detach(), normType).to(first.device));
    const total = norm(stack(norms), normType);
    const factor = total.add(1e-6).reciprocal().mul(maxNorm).clampMax(1);
    // One copy for each device.
    const factors = new Map([[first.device, factor]]);
    for (const gradient of gradients) {
      const { device } = gradient;
      let own = factors.get(device);
      if (own === undefined) factors.set(device, (own = factor.to(device)));
      gradient.mul_(own);
    }
    return total;
  });
}

/**
 * Holds each element of the gradients between -clipValue and clipValue, in place (`torch.nn.utils.clip_grad_value_`).
 */
export function clipGradValue_(parameters: Iterable<Tensor>, clipValue: number): void {
  noGrad(() => {
    for (const gradient of gradientsOf(parameters)) gradient.clamp_(-clipValue, clipValue);
  });
}

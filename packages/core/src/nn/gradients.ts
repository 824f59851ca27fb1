/** What is done to all gradients of a model between `backward()` and the optimizer's step. */
import { assertNumber, assertOptions, shown } from "../arguments.ts";
import { noGrad } from "../autograd/mode.ts";
import { ValueError } from "../errors.ts";
import { stack } from "../ops/join.ts";
import { local } from "../ops/local.ts";
import { norm, powerSum } from "../ops/norm.ts";
import { hold } from "../tensor/memory.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Executor } from "../tensor/value.ts";

/** @throws ValueError for what is no list of tensors */
function tensorsIn(op: string, parameters: Iterable<Tensor>): Tensor[] {
  const given: unknown = parameters;
  const isList = typeof given === "object" && given !== null && Symbol.iterator in given && !(given instanceof Tensor);
  const all = isList ? [...parameters] : [];
  const wrong = isList ? all.find((one: unknown) => !(one instanceof Tensor)) : given;
  if (isList && wrong === undefined) return all;
  throw new ValueError(`expected tensors, got ${shown(wrong)}`, { op, remedy: "Give model.parameters()." });
}

function gradientsOf(parameters: Iterable<Tensor>): Tensor[] {
  const gradients: Tensor[] = [];
  for (const { grad } of parameters) if (grad !== undefined) gradients.push(grad);
  return gradients;
}

/** Finishes sums over devices that are pending in gradients, in few messages for all of them. */
function settleGradients(parameters: readonly Tensor[]): void {
  const spread = new Map<Executor, { parameter: Tensor; gradient: Tensor }[]>();
  for (const parameter of parameters) {
    const { value, grad: gradient } = parameter;
    if (gradient === undefined || value.executor === local || gradient.value.executor !== value.executor) continue;
    const own = spread.get(value.executor);
    if (own === undefined) spread.set(value.executor, [{ parameter, gradient }]);
    else own.push({ parameter, gradient });
  }
  for (const [executor, pairs] of spread) {
    const settled = executor.settle(
      pairs.map(({ gradient }) => gradient.value),
      pairs.map(({ parameter }) => parameter.value),
    );
    pairs.forEach(({ parameter, gradient }, i) => {
      if (settled[i] !== gradient.value) parameter.grad = hold(new Tensor(settled[i]));
    });
  }
}

/** The norm of all elements of all gradients together. Parts of one that lies on several devices add up unfinished. */
function totalNorm(gradients: readonly Tensor[], normType: number): Tensor {
  const [{ device }] = gradients;
  const there = (x: Tensor): Tensor => (x.device === device ? x : x.to(device));
  if (!Number.isFinite(normType) || normType <= 0) {
    return norm(stack(gradients.map((gradient) => there(norm(gradient.detach(), normType)))), normType);
  }
  const total = stack(gradients.map((gradient) => there(powerSum(gradient.detach(), normType)))).sum();
  return normType === 2 ? total.sqrt() : total.pow(1 / normType);
}

/**
 * Scales gradients in place so that their common norm is at most `maxNorm` (`torch.nn.utils.clip_grad_norm_`). Nothing
 * is read: the factor stays on the device.
 * @param options normType: 2 by default, Infinity for the greatest absolute value
 * @returns the norm before
 * @throws ValueError for what are no tensors, for a norm that is no number, and for an unknown option
 */
export function clipGradNorm_(
  parameters: Iterable<Tensor>,
  maxNorm: number,
  options: { readonly normType?: number } = {},
): Tensor | undefined {
  assertOptions("clipGradNorm_", options, ["normType"]);
  const { normType = 2 } = options;
  assertNumber("clipGradNorm_", "maxNorm", maxNorm);
  assertNumber("clipGradNorm_", "normType", normType);
  const all = tensorsIn("clipGradNorm_", parameters);
  return noGrad(() => {
    settleGradients(all);
    const gradients = gradientsOf(all);
    const [first] = gradients;
    if (first === undefined) return undefined;
    const total = totalNorm(gradients, normType);
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
  assertNumber("clipGradValue_", "clipValue", clipValue);
  const all = tensorsIn("clipGradValue_", parameters);
  noGrad(() => {
    for (const gradient of gradientsOf(all)) gradient.clamp_(-clipValue, clipValue);
  });
}

/** Checking gradients against finite differences (`torch.autograd.gradcheck`). */
import { AutogradError } from "../errors.ts";
import { isTensor } from "../tensor/tensor.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { grad } from "./engine.ts";
import { noGrad } from "./mode.ts";

export interface GradcheckOptions {
  /** Step of the central difference. */
  readonly eps?: number;
  readonly atol?: number;
  readonly rtol?: number;
}

type Differentiable = (...inputs: Tensor[]) => Tensor | readonly Tensor[];

/**
 * Compares the gradient of `f` with central differences, for every input that requires a gradient (use float64).
 * @returns true
 * @throws AutogradError naming the first element that disagrees
 */
export async function gradcheck(f: Differentiable, inputs: readonly Tensor[], { eps = 1e-6, atol = 1e-5, rtol = 1e-3 }: GradcheckOptions = {}): Promise<true> {
  const outputs = differentiable(f(...inputs));
  for (const [o, output] of outputs.entries()) {
    const count = output.numel();
    for (const [i, input] of inputs.entries()) {
      if (!input.requiresGrad) continue;
      const numeric = await numericJacobian(f, inputs, i, o, eps);
      for (let row = 0; row < count; row++) {
        const seed = output.detach().mul(0).contiguous();
        seed.view(-1).narrow(0, row, 1).fill_(1);
        const [gradient] = grad(output, input, { gradOutputs: seed, retainGraph: true, allowUnused: true });
        const analytic = gradient === undefined ? new Float64Array(input.numel()) : await gradient.to("float64").data();
        for (let column = 0; column < analytic.length; column++) {
          const [a, n] = [Number(analytic[column]), numeric[column][row]];
          if (!(Math.abs(a - n) <= atol + rtol * Math.abs(n))) {
            throw new AutogradError(`Jacobian mismatch for output ${o} element ${row} with respect to input ${i} element ${column}: numerical ${n}, analytical ${a}`);
          }
        }
      }
    }
  }
  return true;
}

/** `gradcheck` of the gradient function itself: second order (`torch.autograd.gradgradcheck`). */
export async function gradgradcheck(f: Differentiable, inputs: readonly Tensor[], options: GradcheckOptions = {}): Promise<true> {
  const wanted = inputs.filter((input) => input.requiresGrad);
  return gradcheck(
    (...all) => {
      const targets = all.filter((input) => input.requiresGrad);
      const outputs = differentiable(f(...all));
      const seeds = outputs.map((output) => output.detach().mul(0).add(1));
      const gradients = grad(outputs, targets, { gradOutputs: seeds, createGraph: true, allowUnused: true });
      return gradients.filter((gradient): gradient is Tensor => gradient?.requiresGrad === true);
    },
    wanted.length === inputs.length ? wanted : inputs,
    options,
  );
}

function differentiable(result: Tensor | readonly Tensor[]): Tensor[] {
  return (isTensor(result) ? [result] : [...result]).filter((output) => output.requiresGrad);
}

/** For each element of input `i`, the change of every element of output `o`. */
async function numericJacobian(f: Differentiable, inputs: readonly Tensor[], i: number, o: number, eps: number): Promise<Float64Array[]> {
  const original = Float64Array.from(await inputs[i].detach().to("float64").data(), Number);
  const evaluate = async (data: Float64Array): Promise<Float64Array> => {
    const moved = inputs[i].detach().clone().copy_(inputs[i].newTensor(data).view(inputs[i].shape));
    const args = inputs.map((input, k) => (k === i ? moved : input.detach()));
    // The function may itself need gradients (second order), so its inputs keep requiring them.
    args.forEach((arg, k) => (arg.requiresGrad = inputs[k].requiresGrad));
    const outputs = differentiable(f(...args));
    return Float64Array.from(await noGrad(() => outputs[o].detach().to("float64")).data(), Number);
  };
  const columns: Float64Array[] = [];
  for (let k = 0; k < original.length; k++) {
    const up = original.slice();
    const down = original.slice();
    up[k] += eps;
    down[k] -= eps;
    const [above, below] = [await evaluate(up), await evaluate(down)];
    columns.push(above.map((value, row) => (value - below[row]) / (2 * eps)));
  }
  return columns;
}

/** Checking gradients against finite differences (`torch.autograd.gradcheck`). */
import { assertList, shown } from "../arguments.ts";
import { AutogradError, ValueError } from "../errors.ts";
import { isFloat } from "../tensor/dtype.ts";
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
export async function gradcheck(
  f: Differentiable,
  inputs: readonly Tensor[],
  { eps = 1e-6, atol = 1e-5, rtol = 1e-3 }: GradcheckOptions = {},
): Promise<true> {
  if (typeof f !== "function") throw new ValueError(`gradcheck() takes a function, got ${shown(f)}`, { op: "gradcheck" });
  assertList("gradcheck", "inputs", inputs, "tensors");
  if (!inputs.some((input) => input.requiresGrad)) {
    throw new ValueError(
      "gradcheck expects at least one input tensor to require gradient, but none of the them have requires_grad=True.",
      { op: "gradcheck" },
    );
  }
  const outputs = checked(f(...inputs));
  for (const [o, output] of outputs.entries()) {
    const count = output.numel();
    for (const [i, input] of inputs.entries()) {
      if (!input.requiresGrad) continue;
      const numeric = await numericJacobian(f, inputs, i, o, eps);
      for (let row = 0; row < count; row++) {
        const seed = output.detach().mul(0).contiguous();
        seed.view(-1).narrow(0, row, 1).fill_(1);
        const [gradient] = output.requiresGrad
          ? grad(output, input, { gradOutputs: seed, retainGraph: true, allowUnused: true })
          : [undefined];
        const analytic = gradient === undefined ? new Float64Array(input.numel()) : await gradient.to("float64").data();
        for (let column = 0; column < analytic.length; column++) {
          const [a, n] = [Number(analytic[column]), numeric[column][row]];
          if (!(Math.abs(a - n) <= atol + rtol * Math.abs(n))) {
            throw new AutogradError(
              `Jacobian mismatch for output ${o} element ${row} with respect to input ${i} element ${column}: ` +
                `numerical ${n}, analytical ${a}`,
            );
          }
        }
      }
    }
  }
  return true;
}

/**
 * `gradcheck` of the gradient function itself, in the inputs and in the gradient that it starts from: second order
 * (`torch.autograd.gradgradcheck`).
 * @throws as `gradcheck`
 */
export async function gradgradcheck(
  f: Differentiable,
  inputs: readonly Tensor[],
  options: GradcheckOptions = {},
): Promise<true> {
  const seeds = checked(f(...inputs)).map(seedLike);
  const gradients = (...all: Tensor[]): Tensor[] => {
    const [xs, gradOutputs] = [all.slice(0, inputs.length), all.slice(inputs.length)];
    const wanted = xs.filter((x) => x.requiresGrad);
    return grad(checked(f(...xs)), wanted, { gradOutputs, createGraph: true, allowUnused: true }).filter(
      (gradient) => gradient !== undefined,
    );
  };
  return gradcheck(gradients, [...inputs, ...seeds], options);
}

/** Values of no particular pattern, the same at every call. */
function seedLike(output: Tensor): Tensor {
  const values = Float64Array.from({ length: output.numel() }, (_, i) => 0.5 + Math.cos(1 + 2.7 * i));
  const seed = output.detach().mul(0).copy_(output.newTensor(values).view(output.shape));
  seed.requiresGrad = true;
  return seed;
}

/** The outputs to check: the differentiable ones; without any all floats, whose gradient must be zero. */
function checked(result: Tensor | readonly Tensor[]): Tensor[] {
  const floats = (isTensor(result) ? [result] : [...result]).filter((output) => isFloat(output.dtype));
  const differentiable = floats.filter((output) => output.requiresGrad);
  return differentiable.length > 0 ? differentiable : floats;
}

/** For each element of input `i`, the change of every element of output `o`. */
async function numericJacobian(
  f: Differentiable,
  inputs: readonly Tensor[],
  i: number,
  o: number,
  eps: number,
): Promise<Float64Array[]> {
  const original = Float64Array.from(await inputs[i].detach().to("float64").data(), Number);
  const evaluate = async (data: Float64Array): Promise<Float64Array> => {
    const moved = inputs[i].detach().clone().copy_(inputs[i].newTensor(data).view(inputs[i].shape));
    const args = inputs.map((input, k) => (k === i ? moved : input.detach()));
    // The function may itself need gradients (second order), so its inputs keep requiring them.
    args.forEach((arg, k) => (arg.requiresGrad = inputs[k].requiresGrad));
    const outputs = checked(f(...args));
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

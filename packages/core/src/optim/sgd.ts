/** SGD: what it is told, and the numbers that its kernel takes. */
import { ValueError } from "../errors.ts";
import { sgdKernel } from "./kernels.ts";
import type { ParameterType, SgdForm, StepKernel } from "./kernels.ts";
import { assertNotNegative, Optimizer, withDefaults } from "./optimizer.ts";
import type { ParamGroup, Params } from "./optimizer.ts";

export interface SGDOptions {
  readonly lr?: number;
  readonly momentum?: number;
  readonly dampening?: number;
  readonly weightDecay?: number;
  readonly nesterov?: boolean;
  readonly maximize?: boolean;
}

const defaults = { momentum: 0, dampening: 0, weightDecay: 0, nesterov: false, maximize: false } as const;

/** Stochastic gradient descent with momentum, Nesterov's form and weight decay (`torch.optim.SGD`). */
export class SGD extends Optimizer<SGDOptions> {
  constructor(params: Params<SGDOptions>, options: SGDOptions & { readonly lr: number }) {
    super(params, withDefaults("SGD", defaults, options));
  }

  protected override validate(options: SGDOptions): void {
    assertNotNegative(options, "lr", "momentum", "weightDecay");
    const { nesterov = false, momentum = 0, dampening = 0 } = options;
    if (nesterov && (momentum <= 0 || dampening !== 0))
      throw new ValueError("Nesterov momentum requires a momentum and zero dampening");
  }

  protected override kernelOf(
    group: ParamGroup<SGDOptions>,
    dtype: ParameterType,
  ): { key: string; build: () => StepKernel } {
    const form: SgdForm = {
      dtype,
      momentum: (group.momentum ?? 0) !== 0,
      dampening: (group.dampening ?? 0) !== 0,
      nesterov: group.nesterov ?? false,
      weightDecay: (group.weightDecay ?? 0) !== 0,
      maximize: group.maximize ?? false,
    };
    const { momentum, dampening, nesterov, weightDecay, maximize } = form;
    return {
      key: [momentum, dampening, nesterov, weightDecay, maximize].join(" "),
      build: () => sgdKernel(form),
    };
  }

  protected override scalars(group: ParamGroup<SGDOptions>): Record<string, number> {
    const { lr, momentum = 0, dampening = 0, weightDecay = 0 } = group;
    return { lr, momentum, weightDecay, fresh: 1 - dampening };
  }
}

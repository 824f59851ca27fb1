/** Adam and AdamW: what they are told, and the numbers that their kernels take. */
import { shown } from "../arguments.ts";
import { ValueError } from "../errors.ts";
import { adamKernel } from "./kernels.ts";
import type { AdamForm, ParameterType, StepKernel } from "./kernels.ts";
import { assertNotNegative, Optimizer, withDefaults } from "./optimizer.ts";
import type { ParamGroup, Params } from "./optimizer.ts";

export interface AdamOptions {
  readonly lr?: number;
  readonly betas?: readonly [number, number];
  readonly eps?: number;
  readonly weightDecay?: number;
  readonly amsgrad?: boolean;
  readonly maximize?: boolean;
}

/** What Adam and AdamW share: all but where weight decay goes. */
abstract class AdamLike extends Optimizer<AdamOptions> {
  protected abstract readonly decay: "l2" | "decoupled";

  protected override validate(options: AdamOptions): void {
    assertNotNegative(options, "lr", "eps", "weightDecay");
    const { betas = defaults.betas } = options;
    if (!Array.isArray(betas) || betas.length !== 2)
      throw new ValueError(`betas must be a pair of numbers, got ${shown(betas)}`, { op: this.constructor.name });
    betas.forEach((beta: unknown, i) => {
      if (!(typeof beta === "number" && beta >= 0 && beta < 1))
        throw new ValueError(`Invalid beta parameter at index ${i}: ${shown(beta)}`);
    });
  }

  protected override kernelOf(
    group: ParamGroup<AdamOptions>,
    dtype: ParameterType,
  ): { key: string; build: () => StepKernel } {
    const form: AdamForm = {
      dtype,
      amsgrad: group.amsgrad ?? false,
      weightDecay: (group.weightDecay ?? 0) === 0 ? "none" : this.decay,
      maximize: group.maximize ?? false,
    };
    return {
      key: `${String(form.amsgrad)} ${form.weightDecay} ${String(form.maximize)}`,
      build: () => adamKernel(form),
    };
  }

  protected override scalars(group: ParamGroup<AdamOptions>): Record<string, number> {
    const { lr, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0 } = group;
    const [beta1, beta2] = betas;
    return {
      weightDecay,
      keep: 1 - lr * weightDecay,
      fresh1: 1 - beta1,
      beta2,
      fresh2: 1 - beta2,
      logBeta2: Math.log(beta2),
      eps,
      lr,
      logBeta1: Math.log(beta1),
    };
  }
}

const defaults = { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, amsgrad: false, maximize: false } as const;

/** Kingma and Ba 2015, with weight decay as an L2 penalty (`torch.optim.Adam`). */
export class Adam extends AdamLike {
  protected override readonly decay = "l2";

  constructor(params: Params<AdamOptions>, options: AdamOptions = {}) {
    super(params, withDefaults("Adam", defaults, options));
  }
}

/** Adam with decoupled weight decay, 0.01 unless said: Loshchilov and Hutter 2019 (`torch.optim.AdamW`). */
export class AdamW extends AdamLike {
  protected override readonly decay = "decoupled";

  constructor(params: Params<AdamOptions>, options: AdamOptions = {}) {
    super(params, withDefaults("AdamW", { ...defaults, weightDecay: 1e-2 }, options));
  }
}

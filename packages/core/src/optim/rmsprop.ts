/** RMSprop: what it is told, and the numbers that its kernel takes. */
import { rmspropKernel } from "./kernels.ts";
import type { ParameterType, RmspropForm, StepKernel } from "./kernels.ts";
import { assertNotNegative, Optimizer, withDefaults } from "./optimizer.ts";
import type { ParamGroup, Params } from "./optimizer.ts";

export interface RMSpropOptions {
  readonly lr?: number;
  readonly alpha?: number;
  readonly eps?: number;
  readonly weightDecay?: number;
  readonly momentum?: number;
  readonly centered?: boolean;
  readonly maximize?: boolean;
}

const defaults = {
  lr: 1e-2,
  alpha: 0.99,
  eps: 1e-8,
  weightDecay: 0,
  momentum: 0,
  centered: false,
  maximize: false,
} as const;

/** Gradients divided by their running root mean square (`torch.optim.RMSprop`; Hinton 2012). */
export class RMSprop extends Optimizer<RMSpropOptions> {
  constructor(params: Params<RMSpropOptions>, options: RMSpropOptions = {}) {
    super(params, withDefaults("RMSprop", defaults, options));
  }

  protected override validate(options: RMSpropOptions): void {
    assertNotNegative(options, "lr", "alpha", "eps", "weightDecay", "momentum");
  }

  protected override kernelOf(
    group: ParamGroup<RMSpropOptions>,
    dtype: ParameterType,
  ): { key: string; build: () => StepKernel } {
    const form: RmspropForm = {
      dtype,
      momentum: (group.momentum ?? 0) > 0,
      centered: group.centered ?? false,
      weightDecay: (group.weightDecay ?? 0) !== 0,
      maximize: group.maximize ?? false,
    };
    return {
      key: `${String(form.momentum)} ${String(form.centered)} ${String(form.weightDecay)} ${String(form.maximize)}`,
      build: () => rmspropKernel(form),
    };
  }

  protected override scalars(group: ParamGroup<RMSpropOptions>): Record<string, number> {
    const { lr, alpha = 0.99, eps = 1e-8, weightDecay = 0, momentum = 0 } = group;
    return { lr, alpha, fresh: 1 - alpha, eps, weightDecay, momentum };
  }
}

/**
 * Optimizer steps as loop kernels: one pass over a parameter, its gradient and the optimizer's state, in place (an
 * output names the same storage as the input it replaces). All operands are contiguous and flattened to one axis;
 * everything that changes from step to step is a run-time scalar or the count of steps, so each kernel is built once.
 */
import { Graph, type Expr } from "../kernel/build.ts";
import type { LoopKernel } from "../kernel/ir.ts";

/** Dtypes that parameters may have. */
export type ParameterType = "float32" | "float64";

/**
 * A step's kernel. Inputs: parameter, gradient, where steps are counted their count (this one included), then the state
 * tensors. Outputs: parameter, then the state tensors, each the same storage as its input. Every scalar has the
 * parameter's dtype; the count is a float32 number.
 */
export interface StepKernel {
  readonly kernel: LoopKernel;
  /** Whether steps are counted. */
  readonly counted: boolean;
  /** Names of the state tensors, in order. All start as zeros. */
  readonly state: readonly string[];
  /** Names of the scalar arguments, in order. */
  readonly scalars: readonly string[];
}

/** A step kernel while it is written. */
class StepBuilder {
  readonly #graph = new Graph();
  readonly #dtype: ParameterType;
  readonly #counted: boolean;
  readonly #scalars: string[] = [];
  readonly #state: string[] = [];
  readonly #results: Expr[] = [];
  readonly parameter: Expr;
  readonly gradient: Expr;

  constructor(dtype: ParameterType, maximize: boolean, counted: boolean) {
    this.#dtype = dtype;
    this.#counted = counted;
    this.parameter = this.#graph.load(0, dtype);
    const gradient = this.#graph.load(1, dtype);
    this.gradient = maximize ? gradient.neg() : gradient;
  }

  scalar(name: string): Expr {
    let index = this.#scalars.indexOf(name);
    if (index < 0) index = this.#scalars.push(name) - 1;
    return this.#graph.scalar(index, this.#dtype);
  }

  /** The number of this step, from 1. */
  count(): Expr {
    return this.#graph.load(2, "float32").cast(this.#dtype);
  }

  /** Adds a state tensor that becomes `next(old)`; returns its new value. */
  state(name: string, next: (old: Expr) => Expr): Expr {
    const index = this.#state.push(name) - 1;
    const value = next(this.#graph.load((this.#counted ? 3 : 2) + index, this.#dtype));
    this.#results.push(value);
    return value;
  }

  finish(name: string, parameter: Expr): StepKernel {
    const dtype = this.#dtype;
    const operand = { dtype, inner: 1 } as const;
    const results = [parameter, ...this.#results];
    const count = this.#counted ? [{ dtype: "float32", inner: 0 } as const] : [];
    return {
      counted: this.#counted,
      state: this.#state,
      scalars: this.#scalars,
      kernel: {
        kind: "loop",
        name,
        axes: 1,
        reduced: 0,
        inputs: [operand, operand, ...count, ...this.#state.map(() => operand)],
        outputs: results.map(() => ({ ...operand, overwrites: false })),
        scalars: this.#scalars.map(() => dtype),
        body: this.#graph.nodes,
        accumulators: [],
        step: [],
        epilogue: [],
        stores: results.map(({ id }, output) => ({ output, value: id, at: "body" })),
      },
    };
  }
}

export interface SgdForm {
  readonly dtype: ParameterType;
  readonly momentum: boolean;
  readonly dampening: boolean;
  readonly nesterov: boolean;
  readonly weightDecay: boolean;
  readonly maximize: boolean;
}

/**
 * One step of `torch.optim.SGD`. State with momentum: `momentumBuffer`. Scalars: `lr`; with weight decay
 * `weightDecay`; with momentum `momentum`, and with dampening, which spares the first step and therefore counts,
 * `fresh` = 1 - dampening.
 */
export function sgdKernel({ dtype, momentum, dampening, nesterov, weightDecay, maximize }: SgdForm): StepKernel {
  const counted = momentum && dampening;
  const step = new StepBuilder(dtype, maximize, counted);
  const lr = step.scalar("lr");
  let direction = step.gradient;
  if (weightDecay) direction = direction.add(step.parameter.mul(step.scalar("weightDecay")));
  if (momentum) {
    const decay = step.scalar("momentum");
    const gradient = direction;
    const damped = counted ? gradient.mul(step.count().gt(1).where(step.scalar("fresh"), 1)) : gradient;
    const buffer = step.state("momentumBuffer", (old) => old.mul(decay).add(damped));
    direction = nesterov ? gradient.add(buffer.mul(decay)) : buffer;
  }
  return step.finish("sgd", step.parameter.sub(direction.mul(lr)));
}

export interface AdamForm {
  readonly dtype: ParameterType;
  readonly amsgrad: boolean;
  /** `l2`: added to the gradient (Adam); `decoupled`: the parameter shrinks (AdamW). */
  readonly weightDecay: "none" | "l2" | "decoupled";
  readonly maximize: boolean;
}

/**
 * One step of `torch.optim.Adam` or `AdamW`. State: `expAvg`, `expAvgSq`, with amsgrad `maxExpAvgSq`. Scalars, in this
 * order where present: `weightDecay` (l2) or `keep` = 1 - lr * weight decay (decoupled); `fresh1` = 1 - beta1;
 * `beta2`; `fresh2` = 1 - beta2; `logBeta2`; `eps`; `lr`; `logBeta1`. Bias corrections are 1 - beta^t, written as
 * -expm1(t log beta): the difference would lose four digits in float32.
 */
export function adamKernel({ dtype, amsgrad, weightDecay, maximize }: AdamForm): StepKernel {
  const step = new StepBuilder(dtype, maximize, true);
  const correction = (logBeta: string): Expr => step.count().mul(step.scalar(logBeta)).expm1().neg();
  let { parameter, gradient } = step;
  if (weightDecay === "l2") gradient = gradient.add(parameter.mul(step.scalar("weightDecay")));
  if (weightDecay === "decoupled") parameter = parameter.mul(step.scalar("keep"));
  const mean = step.state("expAvg", (old) => old.add(gradient.sub(old).mul(step.scalar("fresh1"))));
  const square = step.state("expAvgSq", (old) =>
    old.mul(step.scalar("beta2")).add(gradient.mul(step.scalar("fresh2")).mul(gradient)));
  const spread = amsgrad ? step.state("maxExpAvgSq", (old) => old.max(square)) : square;
  const denominator = spread.sqrt().div(correction("logBeta2").sqrt()).add(step.scalar("eps"));
  const stepSize = step.scalar("lr").div(correction("logBeta1"));
  return step.finish("adam", parameter.sub(mean.mul(stepSize).div(denominator)));
}

export interface RmspropForm {
  readonly dtype: ParameterType;
  readonly momentum: boolean;
  /** Divide by the deviation of the gradient instead of its root mean square. */
  readonly centered: boolean;
  readonly weightDecay: boolean;
  readonly maximize: boolean;
}

/**
 * One step of `torch.optim.RMSprop`. State: `squareAvg`, `gradAvg` when centered, `momentumBuffer` with momentum. Scalars,
 * in this order where present: `weightDecay`, `alpha`, `fresh` = 1 - alpha, `eps`, `momentum`, `lr`. Steps are counted
 * for state dicts.
 */
export function rmspropKernel({ dtype, momentum, centered, weightDecay, maximize }: RmspropForm): StepKernel {
  const step = new StepBuilder(dtype, maximize, true);
  const gradient = weightDecay ? step.gradient.add(step.parameter.mul(step.scalar("weightDecay"))) : step.gradient;
  const alpha = step.scalar("alpha");
  const fresh = step.scalar("fresh");
  const square = step.state("squareAvg", (old) => old.mul(alpha).add(gradient.mul(gradient).mul(fresh)));
  const spread = centered
    ? square.sub(step.state("gradAvg", (old) => old.mul(alpha).add(gradient.mul(fresh))).square())
    : square;
  let direction = gradient.div(spread.sqrt().add(step.scalar("eps")));
  if (momentum) {
    const change = direction;
    direction = step.state("momentumBuffer", (old) => old.mul(step.scalar("momentum")).add(change));
  }
  return step.finish("rmsprop", step.parameter.sub(direction.mul(step.scalar("lr"))));
}

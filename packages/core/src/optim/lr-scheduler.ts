/**
 * Learning rates over time (`torch.optim.lr_scheduler`): `scheduler.step()` once an epoch, or once a step, after the
 * optimizer's.
 */
import { ValueError } from "../errors.ts";
import { assertOptions, parameters, shown } from "../arguments.ts";
import { Optimizer } from "./optimizer.ts";

type AnyOptimizer = Pick<Optimizer, "paramGroups">;

/** One optional number, by position or by name. */
type Optional<Name extends string> = [value?: number] | [options: { readonly [K in Name]?: number }];

function assertNumbers(op: string, numbers: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(numbers)) {
    if (typeof value !== "number" || Number.isNaN(value))
      throw new ValueError(`${name} must be a number, got ${shown(value)}`, { op });
  }
}

/** What a scheduler needs to go on after a restart. */
export interface SchedulerState {
  readonly lastEpoch: number;
  readonly baseLrs: readonly number[];
}

/** A schedule is a function of the epoch: each group's initial rate times, or to, something. */
export abstract class LRScheduler {
  readonly optimizer: AnyOptimizer;
  /** Each group's rate at epoch 0. */
  baseLrs: readonly number[];
  /** Epochs so far. */
  lastEpoch = 0;

  /** @throws ValueError for what is no optimizer; subclasses for numbers that are none, and for unknown options */
  constructor(optimizer: AnyOptimizer) {
    if (!(optimizer instanceof Optimizer)) {
      throw new ValueError(`${shown(optimizer)} is not an Optimizer`, { op: this.constructor.name });
    }
    this.optimizer = optimizer;
    this.baseLrs = optimizer.paramGroups.map((group) => (group.initialLr ??= group.lr));
  }

  /** The rate of a group at an epoch. */
  protected abstract rate(baseLr: number, epoch: number, group: number): number;

  /**
   * Sets the rates of the current epoch: subclasses call it at the end of their constructors.
   * @throws ValueError where a rate is no finite number, such as a schedule of length 0 gives; no group is changed then
   */
  protected apply(): void {
    const rates = this.baseLrs.map((baseLr, i) => this.rate(baseLr, this.lastEpoch, i));
    if (!rates.every(Number.isFinite)) {
      const op = this.constructor.name;
      throw new ValueError(`the learning rate of epoch ${this.lastEpoch} would be ${rates.join(", ")}`, { op });
    }
    this.optimizer.paramGroups.forEach((group, i) => (group.lr = rates[i]));
  }

  /** Goes on to the next epoch. */
  step(): void {
    this.lastEpoch++;
    this.apply();
  }

  /** Each group's rate now. */
  getLastLr(): number[] {
    return this.optimizer.paramGroups.map(({ lr }) => lr);
  }

  stateDict(): SchedulerState {
    return { lastEpoch: this.lastEpoch, baseLrs: this.baseLrs };
  }

  loadStateDict({ lastEpoch, baseLrs }: SchedulerState): void {
    this.lastEpoch = lastEpoch;
    this.baseLrs = [...baseLrs];
    this.apply();
  }
}

/** The rate times gamma every `stepSize` epochs. */
export class StepLR extends LRScheduler {
  readonly #stepSize: number;
  readonly #gamma: number;

  /** `new StepLR(optimizer, stepSize, gamma)`, or `{ gamma }` in the last place. */
  constructor(optimizer: AnyOptimizer, stepSize: number, ...options: Optional<"gamma">) {
    super(optimizer);
    const { gamma = 0.1 } = parameters<{ gamma?: number }>("StepLR", ["gamma"], options);
    assertNumbers("StepLR", { gamma });
    if (!Number.isInteger(stepSize) || stepSize < 1)
      throw new ValueError(`step_size must be a whole number from 1, got ${shown(stepSize)}`, { op: "StepLR" });
    this.#stepSize = stepSize;
    this.#gamma = gamma;
    this.apply();
  }

  protected override rate(baseLr: number, epoch: number): number {
    return baseLr * this.#gamma ** Math.floor(epoch / this.#stepSize);
  }
}

/** The rate times gamma at each milestone. */
export class MultiStepLR extends LRScheduler {
  readonly #milestones: readonly number[];
  readonly #gamma: number;

  /** `new MultiStepLR(optimizer, milestones, gamma)`, or `{ gamma }` in the last place. */
  constructor(optimizer: AnyOptimizer, milestones: readonly number[], ...options: Optional<"gamma">) {
    super(optimizer);
    const { gamma = 0.1 } = parameters<{ gamma?: number }>("MultiStepLR", ["gamma"], options);
    assertNumbers("MultiStepLR", { gamma });
    if (!Array.isArray(milestones))
      throw new ValueError(`milestones must be an array, got ${shown(milestones)}`, { op: "MultiStepLR" });
    this.#milestones = [...milestones];
    this.#gamma = gamma;
    this.apply();
  }

  protected override rate(baseLr: number, epoch: number): number {
    return baseLr * this.#gamma ** this.#milestones.filter((milestone) => milestone <= epoch).length;
  }
}

/** The rate times gamma every epoch. */
export class ExponentialLR extends LRScheduler {
  readonly #gamma: number;

  constructor(optimizer: AnyOptimizer, gamma: number) {
    super(optimizer);
    assertNumbers("ExponentialLR", { gamma });
    this.#gamma = gamma;
    this.apply();
  }

  protected override rate(baseLr: number, epoch: number): number {
    return baseLr * this.#gamma ** epoch;
  }
}

/** The rate times a function of the epoch; one for all groups, or one each. */
export class LambdaLR extends LRScheduler {
  readonly #factors: readonly ((epoch: number) => number)[];

  constructor(optimizer: AnyOptimizer, factor: ((epoch: number) => number) | readonly ((epoch: number) => number)[]) {
    super(optimizer);
    this.#factors = typeof factor === "function" ? optimizer.paramGroups.map(() => factor) : factor;
    if (this.#factors.length !== optimizer.paramGroups.length) {
      throw new ValueError(`Expected ${optimizer.paramGroups.length} lr_lambdas, but got ${this.#factors.length}`);
    }
    this.apply();
  }

  protected override rate(baseLr: number, epoch: number, group: number): number {
    return baseLr * this.#factors[group](epoch);
  }
}

/** From `startFactor` to `endFactor` of the rate in `totalIters` epochs. */
export class LinearLR extends LRScheduler {
  readonly #start: number;
  readonly #end: number;
  readonly #total: number;

  constructor(
    optimizer: AnyOptimizer,
    options: { readonly startFactor?: number; readonly endFactor?: number; readonly totalIters?: number } = {},
  ) {
    super(optimizer);
    assertOptions("LinearLR", options, ["startFactor", "endFactor", "totalIters"]);
    this.#start = options.startFactor ?? 1 / 3;
    this.#end = options.endFactor ?? 1;
    this.#total = options.totalIters ?? 5;
    this.apply();
  }

  protected override rate(baseLr: number, epoch: number): number {
    return baseLr * (this.#start + ((this.#end - this.#start) * Math.min(this.#total, epoch)) / this.#total);
  }
}

/** Half a cosine from the rate to `etaMin` in `tMax` epochs, and back: Loshchilov and Hutter 2017. */
export class CosineAnnealingLR extends LRScheduler {
  readonly #tMax: number;
  readonly #etaMin: number;

  /** `new CosineAnnealingLR(optimizer, tMax, etaMin)`, or `{ etaMin }` in the last place. */
  constructor(optimizer: AnyOptimizer, tMax: number, ...options: Optional<"etaMin">) {
    super(optimizer);
    const { etaMin = 0 } = parameters<{ etaMin?: number }>("CosineAnnealingLR", ["etaMin"], options);
    assertNumbers("CosineAnnealingLR", { tMax, etaMin });
    this.#tMax = tMax;
    this.#etaMin = etaMin;
    this.apply();
  }

  protected override rate(baseLr: number, epoch: number): number {
    return this.#etaMin + ((baseLr - this.#etaMin) * (1 + Math.cos((Math.PI * epoch) / this.#tMax))) / 2;
  }
}

export interface OneCycleOptions {
  readonly maxLr: number;
  readonly totalSteps: number;
  /** The part of the cycle in which the rate rises. */
  readonly pctStart?: number;
  readonly annealStrategy?: "cos" | "linear";
  /** The first rate is maxLr / divFactor, the last one that / finalDivFactor. */
  readonly divFactor?: number;
  readonly finalDivFactor?: number;
}

/** Up to `maxLr` and down to almost nothing in `totalSteps` steps: Smith and Topin 2017. Momentum stays as it is. */
export class OneCycleLR extends LRScheduler {
  readonly #options: Required<OneCycleOptions>;

  constructor(optimizer: AnyOptimizer, options: OneCycleOptions) {
    super(optimizer);
    const others = ["pctStart", "annealStrategy", "divFactor", "finalDivFactor"];
    assertOptions("OneCycleLR", options, ["maxLr", "totalSteps", ...others]);
    assertNumbers("OneCycleLR", { maxLr: options.maxLr, totalSteps: options.totalSteps });
    this.#options = { pctStart: 0.3, annealStrategy: "cos", divFactor: 25, finalDivFactor: 1e4, ...options };
    this.apply();
  }

  protected override rate(_baseLr: number, epoch: number): number {
    const { maxLr, totalSteps, pctStart, annealStrategy, divFactor, finalDivFactor } = this.#options;
    if (epoch > totalSteps - 1)
      throw new ValueError(`Tried to step ${epoch + 1} times. The specified number of total steps is ${totalSteps}`);
    const first = maxLr / divFactor;
    const peak = pctStart * totalSteps - 1;
    const between = (from: number, to: number, part: number): number =>
      annealStrategy === "linear" ? from + (to - from) * part : to + ((from - to) / 2) * (1 + Math.cos(Math.PI * part));
    if (epoch <= peak) return between(first, maxLr, epoch / peak);
    return between(maxLr, first / finalDivFactor, (epoch - peak) / (totalSteps - 1 - peak));
  }
}

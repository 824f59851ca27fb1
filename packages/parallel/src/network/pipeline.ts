/**
 * Network parallelism: consecutive parts of a network (stages) on different devices, which work on different
 * micro-batches at the same time. Which stage does what when is a schedule, held as data.
 */
import { device as deviceOf, DeviceError, nn, ShapeError, ValueError } from "@troupe/core";
import type { Device, Tensor } from "@troupe/core";
import { meshOf } from "../distribute.ts";
import { measureSteps } from "./measure.ts";
import { balance, sizeOf, stageSizes, stepsOf } from "./partition.ts";
import type { StageChoice, Step } from "./partition.ts";
import { scheduleOf } from "./schedule.ts";
import type { Schedule, ScheduleName } from "./schedule.ts";
import { issueOrder, simulate, unitCost } from "./simulate.ts";
import type { Issue, Simulation, StageCost } from "./simulate.ts";
import { TrainingStep } from "./step.ts";
import type { LossFunction, LossReduction, Stage } from "./step.ts";

export interface PipelineOptions {
  /** One for each stage, by handle or name. */
  readonly devices: readonly (Device | string)[];
  /**
   * How many children each stage gets (`[3, 2]`), or where to split (`{ splitAt: [3] }`). By default stages are
   * balanced: by measured cost where there is a `sample`, else by numbers of parameters.
   */
  readonly stages?: StageChoice;
  /** A batch of a micro-batch's size: each child's forward and backward are timed on it, where the network lies now. */
  readonly sample?: Tensor;
  /** Into how many micro-batches a batch is split; 1 by default. */
  readonly microbatches?: number;
  /** `1f1b` by default. */
  readonly schedule?: ScheduleName | Schedule;
  /** What each stage costs, for the simulation; by default as measured, or else the same for all. */
  readonly costs?: readonly StageCost[];
}

export interface StepOptions {
  /** How the loss function reduces over samples: `mean` (the default) or `sum`. */
  readonly reduction?: LossReduction;
}

/**
 * A chain of modules on several devices, with its own parameters: an optimizer of them stays valid. `forward` is the
 * whole batch through all stages; `step` trains on micro-batches. Layers whose result for one sample depends on others
 * (batch norm) see one micro-batch at a time, as in GPipe.
 */
export class Pipeline<M extends nn.Module = nn.Module> extends nn.Module {
  /** The network itself; each child's parameters and buffers lie on its stage's device. */
  readonly module: M;
  readonly #stages: readonly Stage[];
  readonly #simulation: Simulation;
  readonly #issues: readonly Issue[];
  #held: readonly number[];

  constructor(module: M, stages: readonly Stage[], simulation: Simulation) {
    super();
    this.module = module;
    this.#stages = stages;
    this.#simulation = simulation;
    this.#issues = issueOrder(simulation);
    this.#held = stages.map(() => 0);
    for (const stage of stages) stage.module.to(stage.device);
  }

  /** The parts of the network, and where they lie. */
  get stages(): readonly Stage[] {
    return this.#stages;
  }

  get schedule(): Schedule {
    return this.#simulation.schedule;
  }

  /**
   * When each action starts and ends if the costs are as given or measured: for drawings, and for the bubble to expect.
   */
  get simulation(): Simulation {
    return this.#simulation;
  }

  /** By stage: the most micro-batches whose activations were held at once in the last `step`. */
  get held(): readonly number[] {
    return this.#held;
  }

  /** The whole batch through all stages. Differentiable. @returns the output, on the last device */
  override forward(x: Tensor): Tensor {
    this.#assertInPlace();
    return this.#stages.reduce((result, { device, module }) => module.forward(result.to(device)), x);
  }

  /**
   * Forward and backward over a batch in the schedule's order; gradients are added to the parameters' `.grad`. A
   * training loop is `zeroGrad()`, `step()`, `optimizer.step()`; without `zeroGrad()` gradients accumulate over
   * batches. What a stage's forward makes is freed after its backward, as in `tidy()`: to keep a tensor, put it into a
   * module's field, `hold()` it, or copy it.
   * @param input samples along its first dimension, on any device
   * @param target as many
   * @param lossOf the loss of a micro-batch, run on the last device
   * @returns the loss over the whole batch, on the last device
   * @throws ShapeError where the sizes do not fit; ValueError for fewer samples than micro-batches; DeviceError where a
   *   stage's parameters are not on its device any more, or that is closed; AutogradError where the loss has no
   *   gradient
   */
  step(input: Tensor, target: Tensor, lossOf: LossFunction, { reduction = "mean" }: StepOptions = {}): Tensor {
    this.#assertInPlace();
    const { microbatches } = this.schedule;
    const [samples, targets] = [input.shape[0], target.shape[0]];
    if (samples === undefined || samples !== targets) {
      throw new ShapeError(`${samples ?? "no"} samples and ${targets ?? "no"} targets`, { op: "pipeline" });
    }
    if (samples < microbatches) {
      throw new ValueError(`a batch of ${samples} does not make ${microbatches} micro-batches`, {
        op: "pipeline",
        remedy: "Use fewer micro-batches, or leave out the last small batch (dropLast).",
      });
    }
    const { loss, held } = new TrainingStep(this.#stages, microbatches, input, target, lossOf, reduction).run(
      this.#issues,
    );
    this.#held = held;
    return loss;
  }

  /** Each stage on its device, and that open. */
  #assertInPlace(): void {
    for (const [stage, { device, module }] of this.#stages.entries()) {
      deviceOf(device);
      for (const [name, parameter] of module.namedParameters()) {
        if (parameter.device === device) continue;
        throw new DeviceError(
          `parameter ${name} of stage ${stage} is on ${parameter.device.name}, not on ${device.name}`,
          {
            op: "pipeline",
            device: device.name,
            remedy: "Make a pipeline() of the network again after moving it.",
          },
        );
      }
    }
  }

  override namedParameters(prefix?: string): ReturnType<nn.Module["namedParameters"]> {
    return this.module.namedParameters(prefix);
  }

  override namedBuffers(prefix?: string): ReturnType<nn.Module["namedBuffers"]> {
    return this.module.namedBuffers(prefix);
  }

  /** Under the network's own names, each tensor on its stage's device. */
  override stateDict(): nn.StateDict {
    return this.module.stateDict();
  }

  override loadStateDict(...args: Parameters<nn.Module["loadStateDict"]>): nn.LoadResult {
    return this.module.loadStateDict(...args);
  }
}

/**
 * The network in stages: `const pipe = pipeline(model, { devices, microbatches: 8, schedule: "1f1b" })`, trained with
 * `pipe.step(input, target, lossOf)`. Its parameters stay the same objects, so an optimizer of them remains valid.
 * @param model a chain of modules that lists them, as `nn.Sequential`
 * @throws ValueError for stages that do not fit the children or devices, parameters shared between stages or over a
 *   mesh, an unknown schedule; ScheduleError for one that cannot run; DeviceError for an unknown or closed device, or
 *   one that comes twice
 */
export function pipeline<M extends nn.Module>(model: M, options: PipelineOptions): Pipeline<M> {
  const devices = options.devices.map((name) => deviceOf(name));
  if (devices.length === 0) throw new ValueError("a pipeline needs at least one device", { op: "pipeline" });
  if (new Set(devices).size !== devices.length)
    throw new DeviceError("a device comes twice in the pipeline", { op: "pipeline" });
  const steps = stepsOf(model);
  const schedule = scheduleOf(options.schedule ?? "1f1b", devices.length, options.microbatches ?? 1);
  const measured = options.sample === undefined ? undefined : measureSteps(steps, options.sample);
  const childCosts = measured?.map(({ forward, backward }) => forward + backward) ?? steps.map(sizeOf);
  const sizes =
    options.stages === undefined
      ? balance(childCosts, devices.length)
      : stageSizes(options.stages, devices.length, steps.length);
  const bounds = sizes.map((_, stage) => sizes.slice(0, stage).reduce((sum, size) => sum + size, 0));
  const costs =
    options.costs ??
    (measured === undefined ? unitCost : bounds.map((from, stage) => total(measured.slice(from, from + sizes[stage]))));
  const simulation = simulate(schedule, costs);
  const names = namesOf(model, steps);
  const stages = devices.map((device, stage): Stage => {
    const own = steps.map((step, i) => [names[i], step] as const).slice(bounds[stage], bounds[stage] + sizes[stage]);
    return { device, module: new nn.Sequential(Object.fromEntries(own)) };
  });
  assertOwnParameters(stages);
  return new Pipeline(model, stages, simulation);
}

function total(costs: readonly StageCost[]): StageCost {
  return {
    forward: costs.reduce((sum, { forward }) => sum + forward, 0),
    backward: costs.reduce((sum, { backward }) => sum + backward, 0),
  };
}

/** The names that errors show: the network's own; a step that comes again, or has none, goes by its place. */
function namesOf(model: nn.Module, steps: readonly Step[]): string[] {
  const own = new Map(Array.from(model.namedChildren(), ([name, child]) => [child, name]));
  return steps.map((step, i) => (steps.indexOf(step) === i ? own.get(step) : undefined) ?? String(i));
}

function assertOwnParameters(stages: readonly Stage[]): void {
  const owners = new Map<Tensor, string>();
  for (const [stage, { module }] of stages.entries()) {
    for (const [name, parameter] of module.namedParameters()) {
      const owner = owners.get(parameter);
      if (owner !== undefined) {
        throw new ValueError(`${name} of stage ${stage} is the same parameter as ${owner}`, {
          op: "pipeline",
          remedy: "Put the layers that share it into one stage.",
        });
      }
      owners.set(parameter, `${name} of stage ${stage}`);
      if (meshOf(parameter) !== undefined) {
        throw new ValueError(`parameter ${name} is on a mesh of devices`, {
          op: "pipeline",
          remedy: "Make the pipeline of a network on one device.",
        });
      }
    }
  }
}

/**
 * Issuing optimizer steps: one launch in place for each parameter, guarded by all gradients of the step. When one of
 * them is poisoned, no parameter, no state and no count of steps changes, on any device, and the next read says why.
 */
import type { Device } from "../actor/device.ts";
import { group } from "../actor/groups.ts";
import { ShapeError } from "../errors.ts";
import { launch } from "../ops/launch.ts";
import { local } from "../ops/local.ts";
import { contiguousValue, copyInto } from "../ops/moves.ts";
import { hold } from "../tensor/memory.ts";
import { numelOf, sameShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Executor, LocalValue, Value } from "../tensor/value.ts";
import type { StepCount } from "./count.ts";
import type { StepKernel } from "./kernels.ts";

/** One parameter's part of a step. */
export interface Update {
  readonly step: StepKernel;
  readonly parameter: Tensor;
  readonly gradient: Tensor;
  /** Where the kernel counts steps: shared by parameters that all take this step. */
  readonly count: StepCount | undefined;
  /** In the order of the kernel's names. */
  readonly state: readonly Tensor[];
  readonly scalars: readonly number[];
}

interface Launch {
  readonly step: StepKernel;
  readonly scalars: readonly number[];
  readonly parameter: LocalValue;
  readonly gradient: LocalValue;
  readonly count: StepCount | undefined;
  readonly state: readonly LocalValue[];
}

/**
 * Issues the updates of one step.
 * @throws ShapeError where a gradient does not have its parameter's shape
 */
export function issueUpdates(updates: readonly Update[]): void {
  const launches = launchesOf(updates);
  const counts = devicesByCount(launches);
  const guarded = guardedStorages(launches, counts);
  for (const [device, storages] of guarded) device.guard(storages);
  if (guarded.size > 1) group([...guarded.keys()]).guard();
  for (const [count, devices] of counts) count.advance(devices);
  for (const one of launches) issue(one);
  for (const { parameter, state } of updates) for (const { value } of [parameter, ...state]) value.version++;
}

/** The counts that the step advances, each with the devices where it does. */
function devicesByCount(launches: readonly Launch[]): Map<StepCount, Set<Device>> {
  const counts = new Map<StepCount, Set<Device>>();
  for (const { count, gradient } of launches) {
    if (count === undefined) continue;
    const devices = counts.get(count);
    if (devices === undefined) counts.set(count, new Set([gradient.device]));
    else devices.add(gradient.device);
  }
  return counts;
}

/**
 * What each device's part of the step reads besides the parameters: gradients, and state and counts (for which memory
 * may have run out).
 */
function guardedStorages(
  launches: readonly Launch[],
  counts: ReadonlyMap<StepCount, ReadonlySet<Device>>,
): Map<Device, number[]> {
  const guarded = new Map<Device, number[]>();
  const guard = ({ device, storage }: LocalValue): void => {
    const storages = guarded.get(device);
    if (storages === undefined) guarded.set(device, [storage.id]);
    else storages.push(storage.id);
  };
  for (const { gradient, state } of launches) [gradient, ...state].forEach(guard);
  for (const [count, devices] of counts) {
    for (const device of devices) guard(count.on(device).value as LocalValue);
  }
  return guarded;
}

/** Every device's launches, with gradients that lie as their parameters do. */
function launchesOf(updates: readonly Update[]): Launch[] {
  const byExecutor = new Map<Executor, Update[]>();
  for (const update of updates) {
    assertFits(update);
    const { executor } = update.parameter.value;
    const own = byExecutor.get(executor);
    if (own === undefined) byExecutor.set(executor, [update]);
    else own.push(update);
  }
  return [...byExecutor].flatMap(([executor, own]) => {
    for (const update of own) moveState(executor, update);
    const settled = executor.settle(
      own.map(gradientOf),
      own.map(({ parameter }) => parameter.value),
    );
    return own.flatMap((update, i) => partsOf(executor, update, settled[i]));
  });
}

/** A parameter may have been put on another device, or on several, since its last step: its state follows. */
function moveState(executor: Executor, { parameter, state }: Update): void {
  for (const tensor of state) {
    const { value } = tensor;
    if (executor !== local) {
      const [placed] = executor.settle([value], [parameter.value]);
      if (placed !== value) tensor.replaceValue(placed);
    } else if (value.executor !== local || tensor.device !== parameter.device) {
      tensor.replaceValue(tensor.to(parameter.device).value);
    }
    hold(tensor);
  }
}

function assertFits({ step, parameter, gradient }: Update): void {
  if (!sameShape(parameter.shape, gradient.shape)) {
    throw new ShapeError(
      `a parameter of shape [${parameter.shape.join(", ")}] has a gradient of shape [${gradient.shape.join(", ")}]`,
      { op: step.kernel.name },
    );
  }
}

/** In the parameter's dtype; a gradient over several devices comes to a parameter that is on one. */
function gradientOf({ parameter, gradient }: Update): Value {
  const typed = gradient.dtype === parameter.dtype ? gradient : gradient.to(parameter.dtype);
  const isSpread = parameter.value.executor === local && typed.value.executor !== local;
  return (isSpread ? typed.to(parameter.device) : typed).value;
}

/** One launch a device. */
function partsOf(executor: Executor, { step, parameter, count, state, scalars }: Update, gradient: Value): Launch[] {
  const gradients = executor.locals(gradient);
  const states = state.map(({ value }) => executor.locals(value));
  return executor.locals(parameter.value).map((own, d) => ({
    step,
    scalars,
    parameter: own,
    gradient: contiguousValue(gradients[d]),
    count,
    state: states.map((parts) => parts[d]),
  }));
}

const dense = [1] as const;
const constant = [0] as const;

function issue({ step, scalars, parameter, gradient, count, state }: Launch): void {
  const elements = numelOf(parameter.shape);
  if (elements === 0) return;
  // A parameter that is a strided view takes the step in a dense copy.
  const own = contiguousValue(parameter);
  const results = [own, ...state].map((value) => ({ value, strides: dense }));
  const [place, ...states] = results;
  const counts = count === undefined ? [] : [{ value: count.on(own.device).value as LocalValue, strides: constant }];
  const operands = [place, { value: gradient, strides: dense }, ...counts, ...states, ...results];
  launch(step.kernel, operands, [elements], scalars, true);
  if (own !== parameter) {
    copyInto(own, parameter);
    own.storage.dispose();
  }
}

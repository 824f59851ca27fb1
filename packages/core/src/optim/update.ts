/**
 * Issuing optimizer steps: one launch in place for each parameter, guarded by all gradients of the step. When one of
 * them is poisoned, no parameter and no state changes, on any device, and the next read says why.
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
import type { StepKernel } from "./kernels.ts";

/** One parameter's part of a step. */
export interface Update {
  readonly step: StepKernel;
  readonly parameter: Tensor;
  readonly gradient: Tensor;
  /** In the order of the kernel's names. */
  readonly state: readonly Tensor[];
  readonly scalars: readonly number[];
}

interface Launch {
  readonly step: StepKernel;
  readonly scalars: readonly number[];
  readonly parameter: LocalValue;
  readonly gradient: LocalValue;
  readonly state: readonly LocalValue[];
}

/**
 * Issues the updates of one step.
 * @throws ShapeError where a gradient does not have its parameter's shape
 */
export function issueUpdates(updates: readonly Update[]): void {
  const launches = launchesOf(updates);
  const guarded = guardedStorages(launches);
  for (const [device, storages] of guarded) device.guard(storages);
  if (guarded.size > 1) group([...guarded.keys()]).guard();
  for (const one of launches) issue(one);
  for (const { parameter, state } of updates) for (const { value } of [parameter, ...state]) value.version++;
}

/**
 * What each device's part of the step reads besides the parameters: gradients, and state (which memory may have run out
 * for).
 */
function guardedStorages(launches: readonly Launch[]): Map<Device, number[]> {
  const guarded = new Map<Device, number[]>();
  for (const { gradient, state } of launches) {
    let storages = guarded.get(gradient.device);
    if (storages === undefined) guarded.set(gradient.device, (storages = []));
    for (const { storage } of [gradient, ...state]) storages.push(storage.id);
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
function partsOf(executor: Executor, { step, parameter, state, scalars }: Update, gradient: Value): Launch[] {
  const gradients = executor.locals(gradient);
  const states = state.map(({ value }) => executor.locals(value));
  return executor.locals(parameter.value).map((own, d) => ({
    step,
    scalars,
    parameter: own,
    gradient: contiguousValue(gradients[d]),
    state: states.map((parts) => parts[d]),
  }));
}

const dense = [1] as const;

function issue({ step, scalars, parameter, gradient, state }: Launch): void {
  const count = numelOf(parameter.shape);
  if (count === 0) return;
  // A parameter that is a strided view takes the step in a dense copy.
  const own = contiguousValue(parameter);
  const results = [own, ...state].map((value) => ({ value, strides: dense }));
  const operands = [results[0], { value: gradient, strides: dense }, ...results.slice(1), ...results];
  launch(step.kernel, operands, [count], scalars, true);
  if (own !== parameter) {
    copyInto(own, parameter);
    own.storage.dispose();
  }
}

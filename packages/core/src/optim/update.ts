/**
 * Issuing optimizer steps: one launch in place for each parameter, guarded by all gradients of the step. When one of them is
 * poisoned, no parameter and no state changes, on any device, and the next read says why.
 */
import type { Device } from "../actor/device.ts";
import { group } from "../actor/groups.ts";
import { DeviceError, ShapeError } from "../errors.ts";
import { launch } from "../ops/launch.ts";
import { contiguousValue, copyInto } from "../ops/moves.ts";
import { numelOf, sameShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { LocalValue } from "../tensor/value.ts";
import type { Executor, Value } from "../tensor/value.ts";
import type { StepKernel } from "./kernels.ts";

/** What an executor of values on several devices brings, so that optimizers can step on them. */
export interface UpdateExecutor extends Executor {
  /**
   * The local values behind aligned tensors of one shape, one row a device: what is written in a row is the tensors' new contents.
   * Placements are those of the first (a parameter); the others (gradient, state) are brought to them.
   */
  localRows(values: readonly Value[]): readonly (readonly LocalValue[])[];
}

function isUpdateExecutor(executor: Executor): executor is UpdateExecutor {
  return "localRows" in executor;
}

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
  const launches = updates.flatMap(launchesOf);
  const gradients = new Map<Device, number[]>();
  for (const { gradient } of launches) {
    const storages = gradients.get(gradient.device);
    if (storages === undefined) gradients.set(gradient.device, [gradient.storage.id]);
    else storages.push(gradient.storage.id);
  }
  for (const [device, storages] of gradients) device.guard(storages);
  if (gradients.size > 1) group([...gradients.keys()]).guard();
  for (const one of launches) issue(one);
  for (const { parameter, state } of updates) for (const { value } of [parameter, ...state]) value.version++;
}

function launchesOf({ step, parameter, gradient, state, scalars }: Update): Launch[] {
  if (!sameShape(parameter.shape, gradient.shape)) {
    throw new ShapeError(
      `a parameter of shape [${parameter.shape.join(", ")}] has a gradient of shape [${gradient.shape.join(", ")}]`,
      { op: step.kernel.name },
    );
  }
  const values = [parameter, gradient.dtype === parameter.dtype ? gradient : gradient.to(parameter.dtype), ...state].map(({ value }) => value);
  return rowsOf(values).map(([own, slope, ...rest]) => ({ step, scalars, parameter: own, gradient: contiguousValue(slope), state: rest }));
}

function rowsOf(values: readonly Value[]): readonly (readonly LocalValue[])[] {
  for (const { executor } of values) if (isUpdateExecutor(executor)) return executor.localRows(values);
  return [
    values.map((value) => {
      if (value instanceof LocalValue) return value;
      throw new DeviceError(`an optimizer cannot step on values of the executor "${value.executor.name}"`);
    }),
  ];
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

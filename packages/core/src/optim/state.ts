/** What optimizers remember of their parameters: tensors, and counts of steps that parameters share. */
import { ShapeError, ValueError } from "../errors.ts";
import { shown } from "../arguments.ts";
import { zerosLike } from "../tensor/creation.ts";
import { hold } from "../tensor/memory.ts";
import { sameShape } from "../tensor/shape.ts";
import { isTensor } from "../tensor/tensor.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { StepCount } from "./count.ts";

/** One parameter's state. */
export interface Memory {
  count: StepCount | undefined;
  readonly tensors: Record<string, Tensor>;
}

/**
 * Gives what takes this step together a count of its own: those that share it and sit out (their gradient is undefined)
 * keep the old one. In a model whose parameters are always stepped together that is one count for all.
 */
export function countTogether(stepped: readonly Memory[]): void {
  const byCount = Map.groupBy(stepped, ({ count, tensors }) => count ?? stepsBefore(tensors));
  for (const [before, own] of byCount) {
    if (typeof before !== "number" && before.users === own.length) continue;
    const count = typeof before === "number" ? new StepCount(before) : before.fork();
    if (typeof before !== "number") before.users -= own.length;
    count.users = own.length;
    for (const one of own) one.count = count;
  }
}

/** Where nothing was counted so far: what matters is whether there was a step (SGD's dampening spares the first). */
function stepsBefore(tensors: Readonly<Record<string, Tensor>>): 0 | 1 {
  return Object.keys(tensors).length === 0 ? 0 : 1;
}

/** A parameter's state on the parameter's device. @throws ShapeError for a tensor of another shape */
export function copyOfState(
  { step, ...tensors }: Readonly<Record<string, Tensor | number>>,
  parameter: Tensor,
  counts: LoadedCounts,
): Memory {
  const copies: Record<string, Tensor> = {};
  for (const [name, from] of Object.entries(tensors)) {
    if (!isTensor(from)) continue;
    if (!sameShape(from.shape, parameter.shape)) {
      const [got, expected] = [from, parameter].map(({ shape }) => `[${shape.join(", ")}]`);
      throw new ShapeError(`loaded state dict contains ${name} of shape ${got} for a parameter of shape ${expected}`);
    }
    copies[name] = hold(zerosLike(parameter).copy_(from.to(parameter.device)));
  }
  return { count: step === undefined ? undefined : counts.of(step), tensors: copies };
}

/** Counts of a state dict, where each parameter has one of its own: equal ones are one again. */
export class LoadedCounts {
  readonly #numbers = new Map<Tensor | number, number>();
  readonly #counts = new Map<number, StepCount>();

  /** @throws ValueError for what is no number of steps */
  of(step: Tensor | number): StepCount {
    let taken = this.#numbers.get(step);
    if (taken === undefined) this.#numbers.set(step, (taken = isTensor(step) ? Number(step.itemSync()) : step));
    if (!Number.isInteger(taken) || taken < 0)
      throw new ValueError(`loaded state dict contains step ${shown(taken)}, which is no number of steps`);
    let count = this.#counts.get(taken);
    if (count === undefined) this.#counts.set(taken, (count = new StepCount(taken)));
    count.users++;
    return count;
  }
}

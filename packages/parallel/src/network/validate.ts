/** Is a schedule one that can run: every action once, each after what it needs, and no stage waiting for ever. */
import { TroupeError } from "@troupe/core";
import { actionText, backward, dependencies, forward } from "./schedule.ts";
import type { Action, Schedule } from "./schedule.ts";

/** A schedule that cannot run. */
export class ScheduleError extends TroupeError {
  override readonly name = "ScheduleError";
  /** The first action that is wrong, or missing. */
  readonly action: Action | undefined;

  constructor(message: string, action?: Action) {
    super(message, { op: "schedule" });
    this.action = action;
  }
}

/**
 * Checks that each stage does the forward and the backward of every micro-batch exactly once, its own backward after
 * its own forward, and that the stages' orders fit together: no action waits for one that waits for it.
 * @throws ScheduleError that names the action
 */
export function validateSchedule(schedule: Schedule): void {
  const { actions, stages } = schedule;
  if (stages === 0) throw new ScheduleError("a schedule of no stages");
  if (actions.length !== stages) throw new ScheduleError(`${actions.length} lists of actions for ${stages} stages`);
  actions.forEach((list, stage) => validateStage(schedule, list, stage));
  const { blocked } = resolve(schedule);
  if (blocked.length === 0) return;
  const waits = blocked.map(([action, missing]) => `${actionText(action)} waits for ${actionText(missing)}`);
  throw new ScheduleError(`deadlock: ${waits.join(", ")}`, blocked[0][0]);
}

function validateStage({ microbatches }: Schedule, list: readonly Action[], stage: number): void {
  const done = new Set<string>();
  for (const action of list) {
    const text = actionText(action);
    if (action.kind !== "F" && action.kind !== "B")
      throw new ScheduleError(`${text} is neither a forward nor a backward`, action);
    if (action.stage !== stage) throw new ScheduleError(`${text} is in the list of stage ${stage}`, action);
    if (!Number.isInteger(action.microbatch) || action.microbatch < 0 || action.microbatch >= microbatches) {
      throw new ScheduleError(`${text}: there is no such micro-batch among ${microbatches}`, action);
    }
    if (done.has(text)) throw new ScheduleError(`${text} comes twice`, action);
    const own = forward(stage, action.microbatch);
    if (action.kind === "B" && !done.has(actionText(own))) {
      throw new ScheduleError(`${text} comes before ${actionText(own)}`, action);
    }
    done.add(text);
  }
  for (let k = 0; k < microbatches; k++) {
    for (const action of [forward(stage, k), backward(stage, k)]) {
      if (!done.has(actionText(action))) throw new ScheduleError(`${actionText(action)} is missing`, action);
    }
  }
}

/**
 * The actions in an order in which each comes after all that it needs, and, where the lists do not fit together, what
 * each stage is left waiting for.
 */
export function resolve({ actions, stages }: Schedule): { order: Action[]; blocked: (readonly [Action, Action])[] } {
  const order: Action[] = [];
  const done = new Set<string>();
  const next = actions.map(() => 0);
  const missingOf = (action: Action): Action | undefined =>
    dependencies(action, stages).find((needed) => !done.has(actionText(needed)));
  for (let before = -1; before < order.length;) {
    before = order.length;
    actions.forEach((list, stage) => {
      for (; next[stage] < list.length; next[stage]++) {
        const action = list[next[stage]];
        if (missingOf(action) !== undefined) return;
        done.add(actionText(action));
        order.push(action);
      }
    });
  }
  const blocked = actions.flatMap((list, stage) => {
    const missing = next[stage] < list.length ? missingOf(list[next[stage]]) : undefined;
    return missing === undefined ? [] : [[list[next[stage]], missing] as const];
  });
  return { order, blocked };
}

/**
 * When each action of a schedule starts and ends if its costs are known, and what follows: bubbles, and what must be
 * held.
 */
import { ValueError } from "@troupe/core";
import { actionText, dependencies } from "./schedule.ts";
import type { Action, Schedule } from "./schedule.ts";
import { resolve, validateSchedule } from "./validate.ts";

/** What one micro-batch costs a stage, in any unit of time. */
export interface StageCost {
  readonly forward: number;
  readonly backward: number;
  /**
   * From the end of the forward until the next stage has the output, and as long for its gradient's way back. 0 by
   * default.
   */
  readonly transfer?: number;
}

export interface TimedAction extends Action {
  readonly start: number;
  readonly end: number;
}

export interface Simulation {
  readonly schedule: Schedule;
  /** By stage, in its order. */
  readonly actions: readonly (readonly TimedAction[])[];
  /** When the last action ends. */
  readonly makespan: number;
  /** The part of all stages' time in which they do nothing: (p - 1) / (m + p - 1) for stages of equal cost. */
  readonly bubble: number;
  /**
   * By stage: the most micro-batches whose activations it holds at once, from their forward's start to their backward's
   * end.
   */
  readonly held: readonly number[];
}

/** A backward costs about two forwards: the gradient of the input, and that of the weights. */
export const unitCost: StageCost = { forward: 1, backward: 2 };

/**
 * Runs a schedule on paper: each stage starts its next action as soon as it is free and what the action needs has
 * arrived.
 * @param costs one for all stages, or one for each
 * @throws ScheduleError for a schedule that cannot run; ValueError for costs that are negative, not finite, or too few
 */
export function simulate(schedule: Schedule, costs: StageCost | readonly StageCost[] = unitCost): Simulation {
  validateSchedule(schedule);
  const each = costsByStage(costs, schedule.stages);
  const ends = new Map<string, number>();
  const free = each.map(() => 0);
  const timed: TimedAction[][] = each.map(() => []);
  for (const action of resolve(schedule).order) {
    const { stage } = action;
    let start = free[stage];
    for (const needed of dependencies(action, schedule.stages)) {
      const transfer = needed.stage === stage ? 0 : (each[Math.min(stage, needed.stage)].transfer ?? 0);
      start = Math.max(start, (ends.get(actionText(needed)) ?? 0) + transfer);
    }
    const end = start + (action.kind === "F" ? each[stage].forward : each[stage].backward);
    free[stage] = end;
    ends.set(actionText(action), end);
    timed[stage].push({ ...action, start, end });
  }
  const makespan = Math.max(...free);
  const busy = each.reduce((sum, cost) => sum + (cost.forward + cost.backward) * schedule.microbatches, 0);
  const bubble = makespan === 0 ? 0 : 1 - busy / (makespan * schedule.stages);
  return { schedule, actions: timed, makespan, bubble, held: schedule.actions.map(mostHeld) };
}

/** The most micro-batches between their forward and their backward, inclusive, in one stage's list. */
export function mostHeld(actions: readonly Action[]): number {
  let held = 0;
  let most = 0;
  for (const { kind } of actions) {
    held += kind === "F" ? 1 : -1;
    most = Math.max(most, held);
  }
  return most;
}

function costsByStage(costs: StageCost | readonly StageCost[], stages: number): readonly StageCost[] {
  const each = "forward" in costs ? Array.from({ length: stages }, () => costs) : costs;
  if (each.length !== stages) throw new ValueError(`${each.length} costs for ${stages} stages`, { op: "simulate" });
  for (const { forward, backward, transfer = 0 } of each) {
    for (const cost of [forward, backward, transfer]) {
      if (!(cost >= 0 && cost < Infinity))
        throw new ValueError(`costs must be finite and at least 0, got ${cost}`, { op: "simulate" });
    }
  }
  return each;
}

/** What an executor issues: an action, or the transfer of what an action made to the stage that needs it. */
export interface Issue {
  readonly what: "action" | "transfer";
  readonly action: Action;
}

/**
 * The order in which one coordinator issues a simulated schedule: actions by their start, and each transfer at the end
 * of the action that it carries from. A transfer issued then stands in the sender's stream right behind what made it,
 * so that later work there does not delay it, and in the receiver's stream not before it is due, so that the receiver
 * does not wait with work left to do.
 */
export function issueOrder({ actions, schedule }: Simulation): Issue[] {
  const place = new Map(resolve(schedule).order.map((action, i) => [actionText(action), i]));
  const placeOf = (action: Action): number => place.get(actionText(action)) ?? 0;
  const starting = actions.flat().sort((a, b) => a.start - b.start || placeOf(a) - placeOf(b));
  const leaving = starting
    .filter(({ kind, stage }) => (kind === "F" ? stage < schedule.stages - 1 : stage > 0))
    .sort((a, b) => a.end - b.end || placeOf(a) - placeOf(b));
  const issues: Issue[] = [];
  const begun = new Set<Action>();
  let sent = 0;
  for (const action of starting) {
    // An action of no length ends as it starts: its transfer still follows it.
    while (sent < leaving.length && leaving[sent].end <= action.start && begun.has(leaving[sent])) {
      issues.push({ what: "transfer", action: leaving[sent++] });
    }
    issues.push({ what: "action", action });
    begun.add(action);
  }
  return issues;
}

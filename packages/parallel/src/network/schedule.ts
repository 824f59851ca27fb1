/**
 * Schedules as data: what every stage of a network does with every micro-batch, and in which order. Nothing here knows
 * tensors; a schedule is validated (validate.ts), simulated (simulate.ts), drawn (draw.ts) and run (pipeline.ts) from
 * the same lists.
 */
import { ValueError } from "@troupe/core";

/** F: a stage's forward over one micro-batch. B: its backward, for inputs and weights. */
export type ActionKind = "F" | "B";

/** One stage's work on one micro-batch; both count from 0. */
export interface Action {
  readonly kind: ActionKind;
  readonly stage: number;
  readonly microbatch: number;
}

export interface Schedule {
  readonly name: string;
  readonly stages: number;
  /** Into how many parts a batch is split. */
  readonly microbatches: number;
  /** By stage: its actions, in its order. */
  readonly actions: readonly (readonly Action[])[];
}

/** The schedules that have a name. */
export type ScheduleName = "gpipe" | "1f1b";

export function forward(stage: number, microbatch: number): Action {
  return { kind: "F", stage, microbatch };
}

export function backward(stage: number, microbatch: number): Action {
  return { kind: "B", stage, microbatch };
}

/** As `0F3`: stage 0's forward of micro-batch 3 (the notation of `torch.distributed.pipelining`). */
export function actionText({ kind, stage, microbatch }: Action): string {
  return `${stage}${kind}${microbatch}`;
}

/** What must be done before an action: the stage before (F) or behind (B), and a backward's own forward. */
export function dependencies({ kind, stage, microbatch }: Action, stages: number): Action[] {
  if (kind === "F") return stage === 0 ? [] : [forward(stage - 1, microbatch)];
  const own = forward(stage, microbatch);
  return stage === stages - 1 ? [own] : [own, backward(stage + 1, microbatch)];
}

/**
 * All forwards, then all backwards (Huang et al. 2019, "GPipe: Efficient Training of Giant Neural Networks using
 * Pipeline Parallelism"). Every stage holds the activations of all micro-batches. With one micro-batch it is plain
 * network partitioning: one stage works at a time.
 * @throws ValueError unless both are whole numbers from 1
 */
export function gpipe(stages: number, microbatches: number): Schedule {
  return build("gpipe", stages, microbatches, () => microbatches);
}

/**
 * One forward, one backward (1F1B; Narayanan et al. 2019, "PipeDream"; with a flush after every batch as in Narayanan
 * et al. 2021, "Memory-Efficient Pipeline-Parallel DNN Training"). A stage starts with as many forwards as there are
 * stages behind it, then takes turns: as fast as GPipe, and stage s of p holds the activations of min(m, p - s) of m
 * micro-batches.
 * @throws ValueError unless both are whole numbers from 1
 */
export function oneForwardOneBackward(stages: number, microbatches: number): Schedule {
  return build("1f1b", stages, microbatches, (stage) => Math.min(microbatches, stages - stage));
}

/**
 * A schedule by name; one that is given as data is returned as it is.
 * @throws ValueError for an unknown name, or data for other numbers of stages or micro-batches
 */
export function scheduleOf(wanted: ScheduleName | Schedule, stages: number, microbatches: number): Schedule {
  if (wanted === "gpipe") return gpipe(stages, microbatches);
  if (wanted === "1f1b") return oneForwardOneBackward(stages, microbatches);
  if (typeof wanted === "string")
    throw new ValueError(`unknown schedule "${String(wanted)}"`, { remedy: 'There are "gpipe" and "1f1b".' });
  if (wanted.stages !== stages || wanted.microbatches !== microbatches) {
    throw new ValueError(
      `the schedule "${wanted.name}" is for ${wanted.stages} stages and ${wanted.microbatches} micro-batches, ` +
        `not for ${stages} and ${microbatches}`,
    );
  }
  return wanted;
}

/** Schedules in which a stage that may hold `held` micro-batches runs a backward as soon as it holds so many. */
function build(name: string, stages: number, microbatches: number, held: (stage: number) => number): Schedule {
  assertCount("stages", stages);
  assertCount("microbatches", microbatches);
  const actions = Array.from({ length: stages }, (_, stage) => {
    const list: Action[] = [];
    const most = held(stage);
    for (let k = 0; k < microbatches; k++) {
      if (k >= most) list.push(backward(stage, k - most));
      list.push(forward(stage, k));
    }
    for (let k = microbatches - most; k < microbatches; k++) list.push(backward(stage, k));
    return list;
  });
  return { name, stages, microbatches, actions };
}

function assertCount(what: string, count: number): void {
  if (Number.isInteger(count) && count >= 1) return;
  throw new ValueError(`${what} must be a whole number from 1, got ${count}`, { op: "schedule" });
}

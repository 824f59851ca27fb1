/**
 * One training step of a pipeline: the issues of a schedule turned into forwards, backwards and copies. Everything here
 * is issued and nothing awaited: devices are actors, so stages overlap as far as the order of issue lets them.
 */
import { backward, fullLike, getRngState, isTensor, noGrad, setRngState, ShapeError, ValueError } from "@troupe/core";
import type { Device, nn, Tensor } from "@troupe/core";
import { collectStorages, inBatchRows, isHeld, itemSize, Node } from "@troupe/core/executor";
import type { BatchRows, Gradients, Memory } from "@troupe/core/executor";
import { countTransfer } from "../collectives.ts";
import { meshOf } from "../distribute.ts";
import { actionText } from "./schedule.ts";
import type { Action } from "./schedule.ts";
import type { Issue } from "./simulate.ts";
import type { Step } from "./partition.ts";

/** A part of the network on its device. */
export interface Stage {
  readonly device: Device;
  readonly module: Step;
}

/** The loss of a micro-batch, one element, from the network's output and the target on the last device. */
export type LossFunction = (output: Tensor, target: Tensor) => Tensor;

/** How the loss of a batch follows from those of its parts: `mean` weighs each by its share of the samples. */
export type LossReduction = "mean" | "sum";

/** Where autograd is cut between two devices: it takes the gradient of a stage's input, for the stage before. */
class StageInput extends Node {
  readonly name = "StageInputBackward";
  readonly edges: readonly [] = [];
  /** The gradient stays this node's: the engine must not free it. */
  override readonly opaque = true;
  gradient: Tensor | undefined;

  override apply([gradient]: Gradients): [] {
    this.gradient = gradient;
    return [];
  }
}

/** What a stage has in hand of one micro-batch, from when its input arrives until its backward is done. */
interface Work {
  /** Memory taken for it. */
  readonly memory: Memory[];
  input?: Tensor;
  entry?: StageInput;
  /** What the stage gave; for the last one the loss. */
  output?: Tensor;
  /** The gradient of `output`, once it has arrived. */
  outputGradient?: Tensor;
}

export interface StepResult {
  /** The loss over the whole batch, on the last device, without history. */
  readonly loss: Tensor;
  /** By stage: the most micro-batches that it held at once. */
  readonly held: readonly number[];
}

/** The rows of each micro-batch; the first ones get one more where the batch does not divide. */
export function splitRows(size: number, microbatches: number): BatchRows[] {
  const [share, rest] = [Math.floor(size / microbatches), size % microbatches];
  return Array.from({ length: microbatches }, (_, k) => ({
    start: k * share + Math.min(k, rest),
    count: share + (k < rest ? 1 : 0),
  }));
}

export class TrainingStep {
  readonly #stages: readonly Stage[];
  readonly #rows: readonly BatchRows[];
  readonly #input: Tensor;
  readonly #target: Tensor;
  readonly #lossOf: LossFunction;
  readonly #reduction: LossReduction;
  readonly #work: readonly Work[][];
  /** The batch, where it had to be brought to the first and the last device. */
  readonly #batch: Work = { memory: [] };
  /** By stage: where the random stream stands before it, as on one device; behind the last, after the step. */
  readonly #places: number[];
  readonly #held: number[];
  readonly #mostHeld: number[];
  #loss: Tensor | undefined;

  constructor(
    stages: readonly Stage[],
    microbatches: number,
    input: Tensor,
    target: Tensor,
    lossOf: LossFunction,
    reduction: LossReduction,
  ) {
    this.#stages = stages;
    this.#rows = splitRows(input.shape[0], microbatches);
    this.#lossOf = lossOf;
    this.#reduction = reduction;
    this.#work = stages.map(() => this.#rows.map(() => ({ memory: [] })));
    this.#places = [getRngState()[2]];
    this.#held = stages.map(() => 0);
    this.#mostHeld = stages.map(() => 0);
    // Whole, and before all else: a part sent later would stand in its sender's stream behind work that it has nothing
    // to do with.
    this.#input = owned(this.#batch, () => movedTo(input, stages[0].device));
    this.#target = owned(this.#batch, () => noGrad(() => movedTo(target.detach(), stages[stages.length - 1].device)));
  }

  /**
   * @throws what the stages' ops and the loss function throw, ValueError and ShapeError where they give no tensor, or
   * no scalar
   */
  run(issues: readonly Issue[]): StepResult {
    try {
      for (const { what, action } of issues) {
        if (what === "transfer") this.#transfer(action);
        else if (action.kind === "F") this.#forward(action);
        else this.#backward(action);
      }
    } finally {
      for (const piece of this.#batch.memory) piece.dispose();
      for (const [stage, works] of this.#work.entries())
        for (const work of works) release(work, this.#stages[stage].module);
    }
    this.#moveStream(this.#stages.length);
    return { loss: this.#loss as Tensor, held: this.#mostHeld };
  }

  #forward(action: Action): void {
    const { stage, microbatch } = action;
    const rows = this.#rows[microbatch];
    const work = this.#work[stage][microbatch];
    const { module, device } = this.#stages[stage];
    const isLast = stage === this.#stages.length - 1;
    this.#moveStream(stage);
    work.output = owned(work, () => {
      const input = work.input ?? this.#input.narrow(0, rows.start, rows.count);
      const output = inBatchRows(rows, () => {
        const given = tensorOf(module.forward(input), action);
        return isLast ? tensorOf(this.#lossOf(given, this.#target.narrow(0, rows.start, rows.count)), action) : given;
      });
      if (isLast && output.numel() !== 1) {
        throw new ShapeError(`the loss must be one number, got [${output.shape.join(", ")}]`, { op: "pipeline" });
      }
      return output;
    });
    this.#places[stage + 1] = getRngState()[2];
    if (isLast) this.#addLoss(work, work.output, microbatch);
    this.#mostHeld[stage] = Math.max(this.#mostHeld[stage], ++this.#held[stage]);
    device.mailbox.publish();
  }

  #backward({ stage, microbatch }: Action): void {
    const work = this.#work[stage][microbatch];
    const { output, entry } = work;
    if (stage === this.#stages.length - 1) {
      work.outputGradient = owned(work, () => noGrad(() => fullLike(work.output as Tensor, this.#weight(microbatch))));
    }
    // Without one nothing before this point wants a gradient.
    if (output !== undefined && work.outputGradient !== undefined) backward([output], [work.outputGradient]);
    release(work, this.#stages[stage].module, entry?.gradient?.value.identity);
    this.#held[stage]--;
    this.#stages[stage].device.mailbox.publish();
  }

  /** Carries what an action made to the stage that needs it. */
  #transfer({ kind, stage, microbatch }: Action): void {
    const own = this.#work[stage][microbatch];
    const to = kind === "F" ? stage + 1 : stage - 1;
    const work = this.#work[to][microbatch];
    const carried = kind === "F" ? own.output : own.entry?.gradient;
    if (carried === undefined) return;
    const arrived = owned(work, () => noGrad(() => movedTo(carried.detach(), this.#stages[to].device)));
    if (kind === "F") {
      work.input = arrived;
      if (carried.requiresGrad) arrived.setHistory((work.entry = new StageInput()), 0);
    } else {
      work.outputGradient = arrived;
      carried.dispose();
      own.entry = undefined;
    }
    for (const place of [stage, to]) this.#stages[place].device.mailbox.publish();
  }

  #addLoss(work: Work, loss: Tensor, microbatch: number): void {
    noGrad(() => {
      const weighted = (): Tensor => loss.detach().mul(this.#weight(microbatch));
      if (this.#loss === undefined) this.#loss = weighted();
      else this.#loss.add_(owned(work, weighted));
    });
  }

  #weight(microbatch: number): number {
    return this.#reduction === "sum" ? 1 : this.#rows[microbatch].count / this.#input.shape[0];
  }

  /** Every micro-batch draws from the places of the stream from which the whole batch draws on one device. */
  #moveStream(stage: number): void {
    const [low, high] = getRngState();
    setRngState([low, high, this.#places[stage]]);
  }
}

/** The tensor on a stage's device; what has to be sent there counts (a mesh counts its own messages). */
function movedTo(x: Tensor, device: Device): Tensor {
  if (x.device !== device && meshOf(x) === undefined) countTransfer(x.numel() * itemSize(x.dtype));
  return x.to(device);
}

/** Runs `body` with the memory that it takes given to `work`, except what is held for longer. */
function owned<R>(work: Work, body: () => R): R {
  return collectStorages(body, (_result, made) => {
    work.memory.push(...made.filter((memory) => !isHeld(memory)));
    return made.filter(isHeld);
  });
}

/**
 * Frees a micro-batch's memory after its backward, except the gradient to be sent on and what the stage's modules keep
 * in fields.
 */
function release(work: Work, module: nn.Module, carried?: Memory): void {
  if (work.memory.length === 0) return;
  const kept = new Set<Memory | undefined>([carried]);
  for (const inner of module.modules()) {
    for (const field of Object.values(inner)) if (isTensor(field)) kept.add(field.value.identity);
  }
  for (const memory of work.memory) if (!kept.has(memory)) memory.dispose();
  work.memory.length = 0;
  work.input = work.output = work.outputGradient = undefined;
}

function tensorOf(result: unknown, action: Action): Tensor {
  if (isTensor(result)) return result;
  throw new ValueError(`a stage or loss gave no tensor (in ${actionText(action)})`, {
    op: "pipeline",
    remedy: "Each child of the network and the loss function take and give one tensor, synchronously.",
  });
}

/**
 * Differentiable views and in-place writes to them (PyTorch's CopySlices). A view remembers its base and how to make
 * itself from it. After an in-place write through any view, the base's history is rebased; sibling views notice by the
 * version counter that their history may be old and replay themselves on the base.
 */
import { AutogradError } from "../errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Value } from "../tensor/value.ts";
import { Node } from "./node.ts";
import type { Edge, Gradients } from "./node.ts";

/** What this file needs of the op table: it sits below it. The view ops hand it over when they load. */
export interface ViewOps {
  /** A copy of `g` in the geometry of `base`, and the part of it that `view` names (undefined: `replay` tells). */
  sliceOf(g: Tensor, base: Value, view: Value): { readonly whole: Tensor; readonly part: Tensor | undefined };
  copyInto(part: Tensor, source: Tensor | undefined): void;
}

let ops: ViewOps;

export function setViewOps(viewOps: ViewOps): void {
  ops = viewOps;
}

type Replay = (base: Tensor) => Tensor;

/** How a view was made, and of what. */
export class ViewRecord {
  readonly base: Tensor;
  /** Makes the view from the base again, recording. */
  readonly replay: Replay;
  /** Made where ops are recorded. What is made inside noGrad or a custom function cannot be replayed. */
  readonly isRecorded: boolean;
  readonly #baseValue: Value;
  /** Base history that the view's own was made from, compared by identity, and the version that this was found at. */
  #seen: Node | undefined;
  #version: number;

  constructor(base: Tensor, replay: Replay, isRecorded: boolean) {
    this.base = base;
    this.replay = replay;
    this.isRecorded = isRecorded;
    this.#baseValue = base.value;
    this.#seen = base.gradFn;
    this.#version = base.version;
  }

  /** Brings the view's history up to date with its base's. Always true, so that it can stand in a condition. */
  refresh(view: Tensor): true {
    const { version } = view;
    if (version === this.#version) return true;
    const current = this.base.gradFn;
    if (current !== this.#seen) {
      this.assertReplayable(view, "its base or another view of its base has been");
      const edge = this.replay(this.base).edge;
      view.setHistory(edge?.node, edge?.slot ?? 0);
      this.#seen = current;
    }
    this.#version = version;
    return true;
  }

  /** After an in-place op through `view` whose node is `node`: the base's new history contains it. */
  rebase(view: Tensor, node: Node, target: number): void {
    this.base.setHistory(new CopySlices(this.base, view.value, this.replay, node, target), 0);
    this.refresh(view);
  }

  /** @throws AutogradError where the view's history after the write that `written` tells of is unknown */
  assertReplayable(view: Tensor, written: string): void {
    if (!this.isRecorded) {
      const made = view.recordedFn;
      throw new AutogradError(
        made === undefined
          ? `A view was created in no_grad mode and ${written} modified inplace with grad mode enabled. ${madeInNoGrad}`
          : `Output ${view.recordedSlot} of ${made.name} is a view and ${written} modified inplace. ${madeInFunction}`,
      );
    }
    if (this.base.value !== this.#baseValue) {
      throw new AutogradError(
        `A view and ${written} modified inplace, but its base has got another shape in place since the view was taken.`,
        {
          remedy: "Use the out-of-place form of the op that changed the shape, or take the view after it.",
        },
      );
    }
  }
}

const madeInNoGrad =
  "Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving both " +
  "the view and the inplace either both inside the no_grad block (if you don't want the inplace to be tracked) or both " +
  "outside (if you want the inplace to be tracked).";

const madeInFunction =
  "This view was created inside a custom Function (or because an input was returned as-is) and the autograd logic to " +
  "handle view+inplace would override the custom backward associated with the custom Function, leading to incorrect " +
  "gradients. This behavior is forbidden. You can fix this by cloning the output of the custom Function.";

/**
 * The base's gradient after a write through a view: outside the view it passes, inside it goes through the write's own
 * node.
 */
export class CopySlices extends Node {
  readonly name = "CopySlices";
  readonly edges: readonly (Edge | undefined)[];
  override readonly opaque: boolean;
  readonly #base: Value;
  readonly #view: Value;
  readonly #replay: Replay;
  readonly #write: Node;
  readonly #target: number;

  /** `target`: which input of `write` the view was; -1 where it was none, so that nothing of it is left. */
  constructor(base: Tensor, view: Value, replay: Replay, write: Node, target: number) {
    super();
    this.opaque = write.opaque;
    this.#base = base.value;
    this.#view = view;
    this.#replay = replay;
    this.#write = write;
    this.#target = target;
    this.edges = [base.edge, ...this.#others(write.edges)];
  }

  #others<T>(inputs: readonly T[]): readonly T[] {
    return this.#target < 0 ? inputs : inputs.toSpliced(this.#target, 1);
  }

  override apply([g]: Gradients): (Tensor | undefined)[] {
    if (g === undefined) return this.edges.map(() => undefined);
    const { whole, part = this.#replay(whole) } = ops.sliceOf(g, this.#base, this.#view);
    // A copy: rules may pass their gradient on as it is, and the part is written to next.
    const results = this.#write.apply([part.clone()]);
    ops.copyInto(part, results[this.#target]);
    return [whole, ...this.#others(results)];
  }

  override release(): void {
    this.#write.release();
  }
}

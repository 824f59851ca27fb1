/**
 * Differentiable views and in-place writes to them (PyTorch's CopySlices). A view remembers its base and how to make itself from
 * it. After an in-place write through any view, the base's history is rebased; sibling views notice by the version counter that
 * their history is old and replay themselves on the base.
 */
import type { Tensor } from "../tensor/tensor.ts";
import type { Value } from "../tensor/value.ts";
import { Node } from "./node.ts";
import type { Edge, Gradients } from "./node.ts";

/** What this file needs of the op table: it sits below it. The view ops hand it over when they load. */
export interface ViewOps {
  /** A zero-strided-free copy of `g` in the geometry of `base`, and the part of it that `view` names. */
  sliceOf(g: Tensor, base: Value, view: Value): { readonly whole: Tensor; readonly part: Tensor };
  copyInto(part: Tensor, source: Tensor | undefined): void;
}

let ops: ViewOps;

export function setViewOps(viewOps: ViewOps): void {
  ops = viewOps;
}

/** How a view was made, and of what. */
export class ViewRecord {
  readonly base: Tensor;
  /** Makes the view from the base again, recording. */
  readonly replay: (base: Tensor) => Tensor;
  /** Base history that the view's own history was made from; compared by identity. */
  #seen: Node | undefined;

  constructor(base: Tensor, replay: (base: Tensor) => Tensor) {
    this.base = base;
    this.replay = replay;
    this.#seen = base.gradFn;
  }

  /** Brings the view's history up to date with its base's. Always true, so that it can stand in a condition. */
  refresh(view: Tensor): true {
    const current = this.base.gradFn;
    if (current !== this.#seen) {
      this.#seen = current;
      const fresh = this.replay(this.base);
      const edge = fresh.edge;
      view.setHistory(edge?.node, edge?.slot ?? 0);
    }
    return true;
  }

  /** After an in-place op through `view` whose node is `node`: the base's new history contains it. */
  rebase(view: Tensor, node: Node): void {
    this.base.setHistory(new CopySlices(this.base, view.value, node), 0);
    this.refresh(view);
  }
}

/** The base's gradient after a write through a view: outside the view it passes, inside it goes through the write's own node. */
export class CopySlices extends Node {
  readonly name = "CopySlices";
  readonly edges: readonly (Edge | undefined)[];
  readonly #base: Value;
  readonly #view: Value;
  readonly #write: Node;

  constructor(base: Tensor, view: Value, write: Node) {
    super();
    this.#base = base.value;
    this.#view = view;
    this.#write = write;
    this.edges = [base.edge, ...write.edges.slice(1)];
  }

  override apply([g]: Gradients): (Tensor | undefined)[] {
    if (g === undefined) return this.edges.map(() => undefined);
    const { whole, part } = ops.sliceOf(g, this.#base, this.#view);
    const [target, ...others] = this.#write.apply([part.clone()]);
    ops.copyInto(part, target);
    return [whole, ...others];
  }

  override release(): void {
    this.#write.release();
  }
}

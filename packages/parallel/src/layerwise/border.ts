/**
 * Where a split layer begins and ends: what goes in and out is laid out as its style says, so that the messages are
 * those of the style and no others. Left to the cheapest way for each op, a sum might be scattered, or postponed past
 * where it is small.
 */
import type { nn, Tensor } from "@troupe/core";
import { meshOf, placementsOf, redistribute } from "../distribute.ts";
import type { DeviceMesh } from "../mesh.ts";
import type { Placement } from "../placement.ts";
import type { Layer, Split } from "./styles.ts";

/** One axis of a mesh over which layers are split. */
export class Border {
  readonly mesh: DeviceMesh;
  readonly #axis: number;
  /** Inputs whose gradient is taken care of: several layers may take one. */
  readonly #watched = new WeakSet<Tensor>();

  constructor(mesh: DeviceMesh, axis: number) {
    this.mesh = mesh;
    this.#axis = axis;
  }

  /** What a layer takes. Where it came replicated, its gradient goes on replicated. */
  enter(x: Tensor, { input }: Split): Tensor {
    if (input === undefined || meshOf(x) !== this.mesh) return x;
    if (placementsOf(x)?.[this.#axis].kind === "replicate" && x.requiresGrad && !this.#watched.has(x)) {
      this.#watched.add(x);
      x.registerHook((gradient) => this.#laid(gradient, { kind: "replicate" }));
    }
    return this.#laid(x, input);
  }

  /** What a layer gives. */
  leave(y: Tensor, { output }: Split): Tensor {
    return output === undefined ? y : this.#laid(y, output);
  }

  #laid(x: Tensor, placement: Placement): Tensor {
    const placements = placementsOf(x);
    return placements === undefined ? x : redistribute(x, placements.with(this.#axis, placement));
  }
}

const guarded = new WeakMap<nn.Module, { readonly border: Border; readonly split: Split }>();

/** Lets a layer's `forward` run between its borders, as long as it lies on their mesh. */
export function guard(layer: Layer, split: Split, border: Border): void {
  const isGuarded = guarded.has(layer);
  guarded.set(layer, { border, split });
  if (isGuarded) return;
  const inner = layer.forward.bind(layer);
  layer.forward = (x) => {
    const own = guarded.get(layer);
    if (own === undefined || meshOf(layer.weight) !== own.border.mesh) return inner(x);
    return own.border.leave(inner(own.border.enter(x, own.split)), own.split);
  };
}

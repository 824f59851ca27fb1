/**
 * Layer-wise (tensor) parallelism: one layer over several devices, each with a part of its weight. All devices work on
 * the same samples, and exchange activations where a layer needs all of them.
 */
import type { nn, Tensor } from "@troupe/core";
import { distributeInPlace } from "../distribute.ts";
import type { DeviceMesh } from "../mesh.ts";
import { OnMesh } from "../on-mesh.ts";
import { replicate, shard } from "../placement.ts";
import type { Placement } from "../placement.ts";
import { Border, guard } from "./border.ts";
import { resolve } from "./plan.ts";
import type { LayerPlan } from "./plan.ts";

/** The axis over which layers are split, and the one over which batches are. */
const [layerAxis, batchAxis] = ["tp", "dp"];

/** A network some of whose layers are split over devices; what is not split lies whole on each of them. */
export class Layerwise<M extends nn.Module> extends OnMesh<M> {
  constructor(module: M, mesh: DeviceMesh, plan: LayerPlan) {
    const axis = mesh.axis(layerAxis);
    const layers = resolve(module, plan);
    const whole = mesh.axes.map((): Placement => replicate());
    super(
      module,
      mesh,
      mesh.axes.map((name) => (name === batchAxis ? shard(0) : replicate())),
    );
    const border = new Border(mesh, axis);
    const split = new Map<Tensor, Placement>();
    for (const { layer, split: own } of layers) {
      split.set(layer.weight, own.weight);
      if (layer.bias) split.set(layer.bias, own.bias);
      guard(layer, own, border);
    }
    for (const tensor of [...module.parameters(), ...module.buffers()]) {
      distributeInPlace(tensor, mesh, whole.with(axis, split.get(tensor) ?? replicate()));
    }
  }
}

/**
 * Splits layers of a network over the mesh's axis `tp`:
 * `layerwise(model, deviceMesh(devices, { tp: 2 }), { "0": column(), "2": row() })`. Its parameters stay the same
 * objects, so an optimizer of them remains valid. `forward` takes tensors of one device; if the mesh has an axis `dp`,
 * batches are split over it as by `dataParallel`, and both happen at once.
 *
 * A `column()` layer followed by a `row()` layer, with elementwise ops, dropout or pooling between them, sends one
 * all-reduce of the second's result forward, and one of the gradient of the first's input backward if that is needed.
 * @param plan styles by pattern over module paths
 * @throws ValueError for a mesh without an axis `tp`, for a pattern that matches nothing or a module that cannot be
 *   split so, and for two patterns that contradict each other; nothing is changed then
 */
export function layerwise<M extends nn.Module>(model: M, mesh: DeviceMesh, plan: LayerPlan): Layerwise<M> {
  return new Layerwise(model, mesh, plan);
}

/**
 * Data parallelism: every device has the whole network and computes on its part of each batch. Parameters are
 * replicated, batches are split along their first dimension; gradients are then sums over the devices, which are
 * finished once, when somebody needs them.
 */
import { nn, ValueError } from "@troupe/core";
import type { Device } from "@troupe/core";
import { distributeInPlace } from "../distribute.ts";
import { deviceMesh } from "../mesh.ts";
import type { DeviceMesh } from "../mesh.ts";
import { OnMesh } from "../on-mesh.ts";
import { replicate, shard } from "../placement.ts";

export interface DataParallelOptions {
  /** The devices, by handle or name. */
  readonly devices: readonly (Device | string)[];
}

/** A network that every device has whole; the numbers are those of one device, whatever the size of a batch. */
export class DataParallel<M extends nn.Module> extends OnMesh<M> {
  constructor(module: M, mesh: DeviceMesh) {
    super(module, mesh, [shard(0)]);
    for (const tensor of [...module.parameters(), ...module.buffers()]) distributeInPlace(tensor, mesh, [replicate()]);
  }
}

/**
 * The network on several devices: `const replicated = dataParallel(model, { devices })`. Its parameters stay the same
 * objects, so an optimizer of them remains valid.
 * @throws ValueError without devices, or for what is no module; DeviceError for an unknown one, or one that comes twice
 */
export function dataParallel<M extends nn.Module>(model: M, options: DataParallelOptions): DataParallel<M> {
  if (!(model instanceof nn.Module)) {
    throw new ValueError("dataParallel(model, { devices }): the model must be a module", { op: "dataParallel" });
  }
  // A program in JavaScript may give a list, or another name.
  const { devices, ...others } = (options ?? {}) as Partial<DataParallelOptions>;
  if (!Array.isArray(devices) || Object.keys(others).length > 0) {
    throw new ValueError("dataParallel(model, { devices }): the devices, and nothing else, must be given", {
      op: "dataParallel",
      remedy: 'For instance { devices: ["cpu:1", "cpu:2"] }.',
    });
  }
  return new DataParallel(model, deviceMesh(devices, { dp: devices.length }));
}

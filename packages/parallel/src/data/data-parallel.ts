/**
 * Data parallelism: every device has the whole network and computes on its part of each batch. Parameters are
 * replicated, batches are split along their first dimension; gradients are then sums over the devices, which are
 * finished once, when somebody needs them.
 */
import { isTensor, nn } from "@troupe/core";
import type { Device, Tensor } from "@troupe/core";
import { distributeInPlace, distributeTensor, fullTensor, meshOf } from "../distribute.ts";
import { deviceMesh } from "../mesh.ts";
import type { DeviceMesh } from "../mesh.ts";
import { replicate, shard } from "../placement.ts";

export interface DataParallelOptions {
  /** The devices, by handle or name. */
  readonly devices: readonly (Device | string)[];
}

/**
 * A network on several devices, with the network's own parameters: optimizers made before or after, losses and the
 * training loop are those of one device, and so are the numbers, whatever the size of a batch.
 */
export class DataParallel<M extends nn.Module> extends nn.Module {
  /** The network itself; its parameters and buffers lie on all devices. */
  readonly module: M;
  readonly #mesh: DeviceMesh;

  constructor(module: M, mesh: DeviceMesh) {
    super();
    this.module = module;
    this.#mesh = mesh;
    for (const tensor of [...module.parameters(), ...module.buffers()]) distributeInPlace(tensor, mesh, [replicate()]);
  }

  /** The devices. */
  get mesh(): DeviceMesh {
    return this.#mesh;
  }

  /** As the network's own, on batches: tensors among the arguments are split along their first dimension. */
  override forward(...args: Parameters<M["forward"]>): ReturnType<M["forward"]> {
    const parts = args.map((arg: unknown) => (isTensor(arg) ? this.split(arg) : arg)) as Parameters<M["forward"]>;
    return this.module.forward(...(parts as never[])) as ReturnType<M["forward"]>;
  }

  /**
   * A batch split over the devices along its first dimension; the last ones may get less, or nothing. Labels may be
   * split too, or stay on one device.
   */
  split(batch: Tensor): Tensor {
    return batch.dim() === 0 || meshOf(batch) !== undefined ? batch : distributeTensor(batch, this.#mesh, [shard(0)]);
  }

  override namedParameters(prefix?: string): ReturnType<nn.Module["namedParameters"]> {
    return this.module.namedParameters(prefix);
  }

  override namedBuffers(prefix?: string): ReturnType<nn.Module["namedBuffers"]> {
    return this.module.namedBuffers(prefix);
  }

  /** Copies of the network's parameters and buffers, each on one device, under the network's own names. */
  override stateDict(): nn.StateDict {
    return Object.fromEntries(
      Object.entries(this.module.stateDict()).map(([name, tensor]) => [name, fullTensor(tensor)]),
    );
  }

  override loadStateDict(...args: Parameters<nn.Module["loadStateDict"]>): nn.LoadResult {
    return this.module.loadStateDict(...args);
  }
}

/**
 * The network on several devices: `const replicated = dataParallel(model, { devices })`. Its parameters stay the same
 * objects, so an optimizer of them remains valid.
 * @throws ValueError without devices; DeviceError for an unknown one, or one that comes twice
 */
export function dataParallel<M extends nn.Module>(model: M, { devices }: DataParallelOptions): DataParallel<M> {
  return new DataParallel(model, deviceMesh(devices, { dp: devices.length }));
}

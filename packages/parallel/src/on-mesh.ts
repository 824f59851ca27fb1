/** What the wrappers share that train one network on all devices of a mesh at once. */
import { isTensor, nn } from "@troupe/core";
import type { Tensor } from "@troupe/core";
import { distributeTensor, fullTensor, meshOf } from "./distribute.ts";
import type { DeviceMesh } from "./mesh.ts";
import type { Placement } from "./placement.ts";

/**
 * A network on a mesh, with the network's own parameters: optimizers made before or after, losses and the training loop
 * are those of one device.
 */
export abstract class OnMesh<M extends nn.Module> extends nn.Module {
  /** The network itself; its parameters and buffers lie on the mesh. */
  readonly module: M;
  readonly #mesh: DeviceMesh;
  readonly #batch: readonly Placement[];

  /** @param batch how batches lie, one placement for each axis of the mesh */
  constructor(module: M, mesh: DeviceMesh, batch: readonly Placement[]) {
    super();
    this.module = module;
    this.#mesh = mesh;
    this.#batch = batch;
  }

  /** The devices. */
  get mesh(): DeviceMesh {
    return this.#mesh;
  }

  /** As the network's own, on batches: tensors among the arguments are put on the mesh by `split`. */
  override forward(...args: Parameters<M["forward"]>): ReturnType<M["forward"]> {
    const parts = args.map((arg: unknown) => (isTensor(arg) ? this.split(arg) : arg)) as Parameters<M["forward"]>;
    return this.module.forward(...(parts as never[])) as ReturnType<M["forward"]>;
  }

  /**
   * A batch on the mesh, as `forward` takes it: where devices get different samples it is split along its first
   * dimension (the last ones may get less, or nothing). Labels may be split too, or stay on one device.
   */
  split(batch: Tensor): Tensor {
    return batch.dim() === 0 || meshOf(batch) !== undefined ? batch : distributeTensor(batch, this.#mesh, this.#batch);
  }

  override namedParameters(prefix?: string): ReturnType<nn.Module["namedParameters"]> {
    return this.module.namedParameters(prefix);
  }

  override namedBuffers(prefix?: string): ReturnType<nn.Module["namedBuffers"]> {
    return this.module.namedBuffers(prefix);
  }

  /** Copies of the network's parameters and buffers, each whole and on one device, under the network's own names. */
  override stateDict(): nn.StateDict {
    return Object.fromEntries(
      Object.entries(this.module.stateDict()).map(([name, tensor]) => [name, fullTensor(tensor)]),
    );
  }

  override loadStateDict(...args: Parameters<nn.Module["loadStateDict"]>): nn.LoadResult {
    return this.module.loadStateDict(...args);
  }
}

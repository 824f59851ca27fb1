/**
 * How many steps an optimizer has taken, counted on the devices that take them. Only they know whether a step with a
 * poisoned gradient was skipped, and a skipped step must not count: Adam's bias correction would be another one from
 * then on.
 */
import type { Device } from "../actor/device.ts";
import type { Property } from "../actor/notes.ts";
import { taping } from "../actor/tape.ts";
import { Graph } from "../kernel/build.ts";
import type { LoopKernel } from "../kernel/ir.ts";
import { launch } from "../ops/launch.ts";
import { full } from "../tensor/creation.ts";
import { hold } from "../tensor/memory.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { LocalValue } from "../tensor/value.ts";

/**
 * The count of parameters that took the same steps: one number, a float32 tensor without dimensions on each device
 * where such a parameter lies (PyTorch's `state["step"]`). Steps are skipped on all devices or on none, so the replicas
 * agree.
 */
export class StepCount {
  readonly #start: number;
  #replicas = new Map<Device, Tensor>();
  /** Parameters that have this count. */
  users = 0;

  constructor(start: number) {
    this.#start = start;
  }

  static readonly #tensors: Property<StepCount, readonly Tensor[]> = {
    get: (count) => [...count.#replicas.values()],
    isSame: (a, b) => a.length === b.length && a.every((replica, i) => replica === b[i]),
  };

  /** The count on a device. */
  on(device: Device): Tensor {
    let own = this.#replicas.get(device);
    if (own === undefined) {
      const [other] = this.#replicas.values();
      own = hold(other === undefined ? full([], this.#start, { dtype: "float32", device }) : other.to(device));
      this.#replicas.set(device, own);
    }
    return own;
  }

  /** A count that goes on from here by itself. */
  fork(): StepCount {
    const fork = new StepCount(this.#start);
    for (const [device, own] of this.#replicas) fork.#replicas.set(device, hold(own.clone()));
    return fork;
  }

  /** Counts a step, unless the devices skip it. Those that take no part would hold an old number: they forget it. */
  advance(devices: ReadonlySet<Device>): void {
    taping?.notes.read(this, StepCount.#tensors);
    this.#replicas = new Map(Array.from(devices, (device) => [device, this.on(device)]));
    for (const { value } of this.#replicas.values()) {
      const bound = { value: value as LocalValue, strides: [1] };
      launch(advanceKernel, [bound, bound], [1], [], true);
      value.version++;
    }
  }
}

const advanceKernel = ((): LoopKernel => {
  const body = new Graph();
  const next = body.load(0, "float32").add(1);
  return {
    kind: "loop",
    name: "stepCount",
    axes: 1,
    reduced: 0,
    inputs: [{ dtype: "float32", inner: 1 }],
    outputs: [{ dtype: "float32", inner: 1, overwrites: false }],
    scalars: [],
    body: body.nodes,
    accumulators: [],
    step: [],
    epilogue: [],
    stores: [{ output: 0, value: next.id, at: "body" }],
  };
})();

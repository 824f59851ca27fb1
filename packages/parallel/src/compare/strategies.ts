/** The strategies that are compared. */
import { ValueError } from "@troupe/core";
import type { Device, nn, Tensor } from "@troupe/core";
import { dataParallel } from "../data/data-parallel.ts";
import { alternating } from "../layerwise/alternating.ts";
import { layerwise } from "../layerwise/layerwise.ts";
import { deviceMesh } from "../mesh.ts";
import type { OnMesh } from "../on-mesh.ts";
import { splitRows } from "../network/step.ts";
import { balance } from "../network/partition.ts";
import { pipeline } from "../network/pipeline.ts";
import { backward, forward } from "../network/schedule.ts";
import type { ScheduleName } from "../network/schedule.ts";
import { unitCost } from "../network/simulate.ts";
import type { Simulation, StageCost } from "../network/simulate.ts";
import { dataParallelBytes, layerwiseBytes, pipelineBubble, pipelineBytes } from "./predict.ts";
import type { Strategy, Task, Trainer } from "./strategy.ts";

/** How a strategy is called in a comparison; each has names of its own. */
export interface Named {
  readonly name?: string;
  readonly title?: string;
}

/** The network as it is, on one device. */
export function onOneDevice(device: Device, { name = "single", title = "one device" }: Named = {}): Strategy {
  return {
    name,
    title,
    devices: [device],
    lay: ({ model, loss }) => ({
      differentiate: (input, target) => differentiated(loss(model.forward(input), target)),
      forward: (input) => model.forward(input),
      schedule: sideBySide(name, 1, () => 0),
      bytesAStep: () => 0,
      bubble: 0,
    }),
  };
}

/** The same network on all devices, each with its part of the batch. */
export function dataParallelOver(
  devices: readonly Device[],
  { name = "data", title = "data-parallel" }: Named = {},
): Strategy {
  return {
    name,
    title,
    devices,
    lay: ({ model, loss }) => ({
      ...onMesh(dataParallel(model, { devices }), loss),
      schedule: sideBySide(name, devices.length, (device) => device),
      bytesAStep: (layers, batch) => dataParallelBytes(devices.length, layers, batch),
    }),
  };
}

/** Each layer over all devices, by pairs of a column and a row layer; all devices work on the whole batch. */
export function layerwiseOver(
  devices: readonly Device[],
  { name = "layerwise", title = "layer-wise" }: Named = {},
): Strategy {
  return {
    name,
    title,
    devices,
    lay({ model, loss }) {
      const plan = alternating(model);
      return {
        ...onMesh(layerwise(model, deviceMesh(devices, { tp: devices.length }), plan), loss),
        schedule: sideBySide(name, devices.length, () => 0),
        bytesAStep: (layers, batch) => layerwiseBytes(devices.length, plan, layers, batch),
      };
    },
  };
}

export interface PipelinedOptions extends Named {
  readonly schedule: ScheduleName;
  readonly microbatches: number;
  /** How many children of the network each stage gets; by default balanced by measured costs. */
  readonly stages?: readonly number[];
}

/** Consecutive parts of the network on different devices. */
export function pipelinedOver(devices: readonly Device[], options: PipelinedOptions): Strategy {
  const { schedule, microbatches, stages, name = schedule, title = `network, ${schedule}` } = options;
  return {
    name,
    title,
    devices,
    lay({ model, loss, rows, costs }) {
      if (rows < microbatches) {
        throw new ValueError(`a batch of ${rows} does not make ${microbatches} micro-batches`, { op: name });
      }
      const [{ count }] = splitRows(rows, microbatches);
      const children = costs(count);
      const sizes = stages ?? balance(children.map(({ forward: F, backward: B }) => F + B), devices.length);
      const pipe = pipeline(model, { devices, microbatches, schedule, stages: sizes, costs: costsOf(sizes, children) });
      return {
        differentiate: (input, target) => pipe.step(input, target, loss),
        forward: (input) => pipe.forward(input),
        schedule: pipe.simulation,
        bytesAStep: (layers, batch) => pipelineBytes(sizes, layers, batch),
        bubble: pipelineBubble(devices.length, microbatches),
      };
    },
  };
}

/** What each stage costs that has so many children. */
function costsOf(sizes: readonly number[], children: readonly StageCost[]): StageCost[] {
  let from = 0;
  return sizes.map((size) => {
    const own = children.slice(from, (from += size));
    const total = (part: "forward" | "backward"): number => own.reduce((sum, cost) => sum + cost[part], 0);
    return { forward: total("forward"), backward: total("backward") };
  });
}

/** The training loop of one device, over a mesh. */
function onMesh(
  network: OnMesh<nn.Sequential>,
  loss: Task["loss"],
): Pick<Trainer, "differentiate" | "forward" | "bubble"> {
  return {
    differentiate: (input, target) => differentiated(loss(network.forward(input), network.split(target))),
    forward: (input) => network.forward(input),
    bubble: 0,
  };
}

function differentiated(loss: Tensor): Tensor {
  loss.backward();
  return loss.detach();
}

/** What devices do that work at the same time, each on its part of the batch, or all on the same. */
function sideBySide(name: string, devices: number, part: (device: number) => number): Simulation {
  const actions = Array.from({ length: devices }, (_, device) => [
    { ...forward(device, part(device)), start: 0, end: unitCost.forward },
    { ...backward(device, part(device)), start: unitCost.forward, end: unitCost.forward + unitCost.backward },
  ]);
  const microbatches = 1 + Math.max(...actions.map((_, device) => part(device)));
  return {
    schedule: { name, stages: devices, microbatches, actions },
    actions,
    makespan: unitCost.forward + unitCost.backward,
    bubble: 0,
    held: actions.map(() => 1),
  };
}

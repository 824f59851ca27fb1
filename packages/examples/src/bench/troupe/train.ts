/** Training as a user of Troupe writes it: on one device, on two, plain or captured. */
import { cpu } from "@troupe/device-cpu";
import { capture, nn, optim, tensor } from "@troupe/core";
import type { Device, Tensor } from "@troupe/core";
import { learningRate, readSamples, readTensors } from "../inputs.ts";
import type { JobOf } from "../jobs.ts";
import { print, scalingOf, sinceStart, timed, timedInTurns, training } from "../timing.ts";
import type { Loop } from "../timing.ts";
import { networks } from "./networks.ts";
import type { Network } from "./networks.ts";

type Training = JobOf<"train" | "scaling" | "first step">;

/** How a network and its data lie on the devices. */
interface Placing {
  readonly model: Network;
  readonly place: (batches: Tensor) => Tensor;
}

async function placing(network: Network, devices: readonly Device[]): Promise<Placing> {
  if (devices.length === 1) return { model: network, place: (batches) => batches };
  const { dataParallel, distributeTensor, shard } = await import("@troupe/parallel");
  const model = dataParallel(network, { devices });
  // The data lie where they are used: each device has its part of every batch.
  return { model, place: (batches) => distributeTensor(batches, model.mesh, [shard(1)]) };
}

/** Training from the workload's weights, batch after batch. */
async function loop(folder: string, job: Training, devices: readonly Device[], isCaptured: boolean): Promise<Loop<Tensor>> {
  const [device] = devices;
  const network = networks[job.model]();
  const weights = [...readTensors(folder, job.model)].map(([name, { shape, values }]) => [name, tensor(values).view(...shape)]);
  network.loadStateDict(Object.fromEntries(weights) as Record<string, Tensor>);
  const { model, place } = await placing(network.to(device), devices);
  const optimizer = new optim.Adam(model.parameters(), { lr: learningRate });
  const { count, shape, inputs, targets } = readSamples(folder, job);
  const batches = count / job.batch;
  const dtype = job.model === "transformer" ? "int64" : "float32";
  const x = place(tensor(inputs, { device, dtype }).view(batches, job.batch, ...shape));
  const y = place(tensor(targets, { device, dtype: "int64" }).view(batches, -1));
  const train = (input: Tensor, target: Tensor): Tensor => {
    optimizer.zeroGrad();
    const loss = nn.functional.crossEntropy(model.forward(input), target);
    loss.backward();
    optimizer.step();
    return loss;
  };
  const trainStep = isCaptured ? capture(train) : train;
  let next = 0;
  return {
    step: () => {
      const at = next++ % batches;
      return trainStep(x.select(0, at), y.select(0, at));
    },
    read: (loss) => loss.item(),
    drop: () => undefined,
  };
}

export async function trainJob(folder: string, job: JobOf<"train">, isCaptured: boolean): Promise<void> {
  const { body, steps, results } = await training(await loop(folder, job, [cpu({ threads: job.threads })], isCaptured));
  const { seconds, ...used } = await timed(body);
  print({ value: (steps * job.batch) / seconds, results, ...used });
}

/** Two actors, one, and two that share nothing, which take turns of a few steps. */
export async function scalingJob(folder: string, job: JobOf<"scaling">, isCaptured: boolean): Promise<void> {
  const devices = Array.from({ length: 5 }, (_, index) => cpu({ index, threads: 1 }));
  const half = { ...job, batch: job.batch / 2 };
  const two = await training(await loop(folder, job, devices.slice(0, 2), isCaptured));
  const one = await training(await loop(folder, job, devices.slice(2, 3), isCaptured));
  const halves = [await loop(folder, half, devices.slice(3, 4), isCaptured), await loop(folder, half, devices.slice(4, 5), isCaptured)];
  const steps = 20;
  const issued = async (loops: readonly Loop<Tensor>[]): Promise<void> => {
    for (let i = 1; i < steps; i++) for (const { step } of loops) await step();
    const last: Tensor[] = [];
    for (const { step } of loops) last.push(await step());
    for (const loss of last) await loss.item();
  };
  const apart = (): Promise<void> => issued(halves);
  await apart();
  const [both, single, free] = await timedInTurns([two.body, one.body, apart], 40, 0.05);
  const perStep = (each: readonly number[], count: number): number[] => each.map((seconds) => seconds / count);
  const { each, seconds, ...used } = both;
  const scaling = scalingOf(perStep(each, two.steps), perStep(single.each, one.steps), perStep(free.each, steps));
  print({ value: (two.steps * job.batch) / seconds, results: two.results, scaling, ...used });
}

export async function firstStepJob(folder: string, job: JobOf<"first step">): Promise<void> {
  const { step, read } = await loop(folder, job, [cpu({ threads: job.threads })], false);
  const results = [await read(await step())];
  const milliseconds = sinceStart();
  const { user, system } = process.cpuUsage();
  print({ value: milliseconds, results, cpuSeconds: (user + system) / 1e6, wallSeconds: milliseconds / 1000 });
}

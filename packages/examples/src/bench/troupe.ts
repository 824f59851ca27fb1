/** Troupe as a contender: `node troupe.ts FOLDER JOB`. */
import { cpu } from "@troupe/device-cpu";
import { dataParallel, distributeTensor, shard } from "@troupe/parallel";
import { capture, nn, noGrad, optim, setDefaultDevice, tensor } from "@troupe/core";
import type { Device, Tensor } from "@troupe/core";
import { addChain, checkedSteps, layers, learningRate, median, print, readWorkload, timed, timedInTurns } from "./workload.ts";

const [folder, job] = process.argv.slice(2);

async function addJob(withGradient: boolean): Promise<void> {
  setDefaultDevice(cpu({ index: 0, threads: 1 }));
  const a = tensor([1, 2, 3, 4], { dtype: "float32" });
  const b = tensor([1e-6, 1e-6, 1e-6, 1e-6], { requiresGrad: withGradient });
  const { seconds, ...used } = await timed(async () => {
    let t: Tensor = a;
    for (let i = 0; i < addChain; i++) t = t.add(b);
    const sum = t.sum();
    if (withGradient) {
      sum.backward();
      await b.grad?.sum().item();
      b.grad = undefined;
    } else {
      await sum.item();
    }
  });
  print({ contender: "Troupe", job, value: (seconds / addChain) * 1e6, ...used });
}

const stepsACall = 20;

/** Some steps of training on these devices, and the losses on the way there that are compared. */
async function trainer(
  devices: readonly Device[], batch: number, isCaptured: boolean,
): Promise<{ body: () => Promise<void>; losses: number[] }> {
  const { images, labels, weights } = readWorkload(folder);
  const linear = layers.map(([inputs, outputs]) => new nn.Linear(inputs, outputs));
  const plain = new nn.Sequential(linear[0], new nn.ReLU(), linear[1], new nn.ReLU(), linear[2]).to(devices[0]);
  noGrad(() => {
    linear.forEach(({ weight, bias }, i) => {
      const [inputs, outputs] = layers[i];
      weight.copy_(tensor(weights[i].w, { device: devices[0] }).view(inputs, outputs).t());
      bias?.copy_(tensor(weights[i].b, { device: devices[0] }));
    });
  });
  const replicas = devices.length === 1 ? undefined : dataParallel(plain, { devices });
  const model = replicas ?? plain;
  const optimizer = new optim.Adam(model.parameters(), { lr: learningRate });
  const batches = Math.floor(labels.length / batch);
  const kept = batches * batch;
  // The data lie where they are used: each device has its part of every batch.
  const placed = (whole: Tensor): Tensor =>
    replicas === undefined ? whole : distributeTensor(whole, replicas.mesh, [shard(1)]);
  const x = placed(tensor(images.subarray(0, kept * 784), { device: devices[0] }).view(batches, batch, 784));
  const y = placed(tensor(labels.subarray(0, kept), { device: devices[0], dtype: "int64" }).view(batches, batch));
  const train = (inputs: Tensor, targets: Tensor): Tensor => {
    optimizer.zeroGrad();
    const loss = nn.functional.crossEntropy(model.forward(inputs), targets);
    loss.backward();
    optimizer.step();
    return loss;
  };
  const trainStep = isCaptured ? capture(train) : train;
  let next = 0;
  const step = (): Tensor => {
    const at = next++ % batches;
    return trainStep(x.select(0, at), y.select(0, at));
  };
  const losses: number[] = [];
  for (let i = 1; i <= 20; i++) {
    const loss = await step().item();
    if ((checkedSteps as readonly number[]).includes(i)) losses.push(loss);
  }
  const body = async (): Promise<void> => {
    let loss: Tensor | undefined;
    for (let i = 0; i < stepsACall; i++) loss = step();
    await loss?.item();
  };
  return { body, losses };
}

function actors(count: number): Device[] {
  return Array.from({ length: count }, (_, index) => cpu({ index, threads: 1 }));
}

async function trainJob(batch: number, isCaptured: boolean): Promise<void> {
  const { body, losses } = await trainer(actors(1), batch, isCaptured);
  const { seconds, ...used } = await timed(body);
  print({ contender: "Troupe", job, value: (stepsACall * batch) / seconds, losses, ...used });
}

/** Two actors and one, which take turns of a few steps. */
async function scalingJob(batch: number, isCaptured: boolean): Promise<void> {
  const [alone, ...pair] = actors(3);
  const two = await trainer(pair, batch, isCaptured);
  const one = await trainer([alone], batch, isCaptured);
  const [both, single] = await timedInTurns([two.body, one.body], 60, 0.05);
  const { each, seconds, ...used } = both;
  const ofOne = median(each.map((time, window) => single.each[window] / time));
  print({ contender: "Troupe", job, value: (stepsACall * batch) / seconds, losses: two.losses, ofOne, ...used });
}

const jobs: Readonly<Record<string, () => Promise<void>>> = {
  add: () => addJob(false),
  "add + backward": () => addJob(true),
  "mlp 128": () => trainJob(128, false),
  "mlp 256": () => trainJob(256, false),
  "mlp 256, 2 actors": () => scalingJob(256, false),
  "mlp 256, captured": () => trainJob(256, true),
  "mlp 256, captured, 2 actors": () => scalingJob(256, true),
};
await jobs[job]?.();

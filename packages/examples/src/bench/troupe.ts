/** Troupe as a contender: `node troupe.ts FOLDER JOB`. */
import { cpu } from "@troupe/device-cpu";
import { dataParallel } from "@troupe/parallel";
import { nn, noGrad, optim, setDefaultDevice, tensor } from "@troupe/core";
import type { Device, Tensor } from "@troupe/core";
import { addChain, checkedSteps, layers, learningRate, print, readWorkload, timed } from "./workload.ts";

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

async function trainJob(devices: readonly Device[], batch: number): Promise<void> {
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
  const model = devices.length === 1 ? plain : dataParallel(plain, { devices });
  const optimizer = new optim.Adam(model.parameters(), { lr: learningRate });
  const x = tensor(images, { device: devices[0] }).view(-1, 784);
  const y = tensor(labels, { device: devices[0], dtype: "int64" });
  const batches = Math.floor(labels.length / batch);
  let next = 0;
  const step = (): Tensor => {
    const at = (next++ % batches) * batch;
    optimizer.zeroGrad();
    const loss = nn.functional.crossEntropy(model.forward(x.narrow(0, at, batch)), y.narrow(0, at, batch));
    loss.backward();
    optimizer.step();
    return loss;
  };
  const losses: number[] = [];
  for (let i = 1; i <= 20; i++) {
    const loss = await step().item();
    if ((checkedSteps as readonly number[]).includes(i)) losses.push(loss);
  }
  const steps = 20;
  const { seconds, ...used } = await timed(async () => {
    let loss: Tensor | undefined;
    for (let i = 0; i < steps; i++) loss = step();
    await loss?.item();
  });
  print({ contender: "Troupe", job, value: (steps * batch) / seconds, losses, ...used });
}

const jobs: Readonly<Record<string, () => Promise<void>>> = {
  add: () => addJob(false),
  "add + backward": () => addJob(true),
  "mlp 128": () => trainJob([cpu({ index: 0, threads: 1 })], 128),
  "mlp 256": () => trainJob([cpu({ index: 0, threads: 1 })], 256),
  "mlp 256, 2 actors": () => trainJob([cpu({ index: 0, threads: 1 }), cpu({ index: 1, threads: 1 })], 256),
};
await jobs[job]?.();

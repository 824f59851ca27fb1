/**
 * A user's script that trains on the CPU and ends in the way that its first argument names (training-process.test.ts).
 * "memory" trains for as many steps as the second argument says and prints the process's memory on the way.
 */
import { data, manualSeed, nn, optim, randint, randn, type Tensor } from "@troupe/core";
import { cpu } from "../../src/index.ts";

const [ending = "ends", steps = "20", rows = "32", width = "64"] = process.argv.slice(2);

const device = cpu({ threads: 2 });
manualSeed(1);
const inputs = 784;
const classes = 10;
const batchSize = Number(rows);
const hidden = Number(width);
const model = new nn.Sequential(new nn.Linear(inputs, hidden), new nn.ReLU(), new nn.Linear(hidden, classes));
const optimizer = new optim.Adam(model.parameters(), { lr: 1e-3 });
const dataset = new data.TensorDataset(randn(10 * batchSize, inputs), randint(0, classes, [10 * batchSize]));
const loader = new data.DataLoader(dataset, { batchSize, shuffle: true });

function step(images: Tensor, labels: Tensor): Tensor {
  optimizer.zeroGrad();
  const loss = nn.functional.crossEntropy(model.forward(images), labels);
  loss.backward();
  optimizer.step();
  return loss;
}

/** Trains, awaiting nothing but the loader; `each` is called after every step. */
async function train(count: number, each: (done: number) => void = () => undefined): Promise<Tensor> {
  for (let done = 0; ; ) {
    for await (const [images, labels] of loader) {
      const loss = step(images, labels);
      each(++done);
      if (done === count) return loss;
    }
  }
}

function figures(done: number): string {
  const mebibytes = (bytes: number): number => Math.round((bytes / 2 ** 20) * 10) / 10;
  const { bytesLive, bytesPeak, storages } = device.stats();
  const { rss, heapUsed } = process.memoryUsage();
  return JSON.stringify({
    steps: done,
    rss: mebibytes(rss),
    heap: mebibytes(heapUsed),
    live: mebibytes(bytesLive),
    peak: mebibytes(bytesPeak),
    storages,
  });
}

const loss = await train(Number(steps), (done) => {
  if (ending === "memory" && done % 100 === 0) console.log(figures(done));
});

switch (ending) {
  case "memory":
  case "unread":
    // Issued work that nobody reads is not waited for.
    break;
  case "ends":
    console.log(Number.isFinite(await loss.item()) ? "trained" : "diverged");
    break;
  case "killed":
    // Once this is read nothing is being written: all survives.
    await loss.item();
    await device.kill();
    console.log(Number.isFinite(await step(randn(2, inputs), randint(0, classes, [2])).item()) ? "trained" : "diverged");
    break;
  case "bad label":
    step(randn(2, inputs), randint(classes, classes + 1, [2]));
    device.fenceSync();
    break;
  case "bad label, thrown":
    await step(randn(2, inputs), randint(classes, classes + 1, [2])).item();
    break;
  case "throws":
    throw new Error("the script's own error");
  case "exits":
    process.exit(3);
    break;
  default:
    throw new Error(`no such ending: ${ending}`);
}

/**
 * The main job: trains a network on real handwritten digits on one device, then data-parallel on two, and compares them.
 * `pnpm start -- --help` lists its options.
 */
import { Command, InvalidArgumentError } from "commander";
import { cpu } from "@troupe/device-cpu";
import { dataParallel } from "@troupe/parallel";
import { data, manualSeed, nn, noGrad, optim } from "@troupe/core";
import type { Device, Tensor } from "@troupe/core";
import { classes, loadDigits, pixels } from "./digits.ts";
import type { Digits } from "./digits.ts";
import { greatestDifference, progress, table } from "./report.ts";

interface Options {
  readonly epochs: number;
  readonly batch: number;
  readonly lr: number;
  readonly seed: number;
}

/** What one way to train came to. */
interface Outcome {
  readonly name: string;
  readonly samplesPerSecond: number;
  readonly accuracy: number;
  readonly devices: readonly { readonly name: string; readonly peakBytes: number }[];
  /** The parameters after the first few steps, as numbers. */
  readonly early: readonly Float32Array[];
}

const earlySteps = 5;

function network(): nn.Sequential {
  return new nn.Sequential(
    new nn.Linear(pixels, 256), new nn.ReLU(),
    new nn.Linear(256, 128), new nn.ReLU(),
    new nn.Linear(128, classes),
  );
}

/** Trains the same network from the same numbers on these devices: on one as it is, on several data-parallel. */
async function train(name: string, devices: readonly Device[], digits: Digits, { epochs, batch, lr, seed }: Options): Promise<Outcome> {
  manualSeed(seed);
  const plain = network().to(devices[0]);
  const model = devices.length === 1 ? plain : dataParallel(plain, { devices });
  const optimizer = new optim.Adam(model.parameters(), { lr });
  const loader = new data.DataLoader(digits.train, { batchSize: batch, shuffle: true });
  const bar = progress(name, epochs * digits.train.length);

  let early: Float32Array[] = [];
  let steps = 0;
  let trained = 0;
  let milliseconds = 0;
  let started = performance.now();
  for (let epoch = 0; epoch < epochs; epoch++) {
    for await (const [images, labels] of loader) {
      optimizer.zeroGrad();
      const loss = nn.functional.crossEntropy(model.forward(images.to(devices[0])), labels.to(devices[0]));
      loss.backward();
      optimizer.step();
      steps++;
      trained += images.size(0);
      if (steps === earlySteps) {
        milliseconds += performance.now() - started;
        early = await numbersOf(plain.parameters());
        started = performance.now();
      }
      if (steps % 20 === 0) bar.update(trained, await loss.item());
    }
  }
  await Promise.all(devices.map((device) => device.fence()));
  milliseconds += performance.now() - started;
  bar.finish(trained);
  return {
    name,
    samplesPerSecond: (trained * 1000) / milliseconds,
    accuracy: await accuracy(model, devices[0], digits),
    devices: devices.map((device) => ({ name: device.name, peakBytes: device.stats().bytesPeak })),
    early,
  };
}

async function numbersOf(parameters: Iterable<Tensor>): Promise<Float32Array[]> {
  return Promise.all([...parameters].map(async (parameter) => Float32Array.from(await parameter.detach().data(), Number)));
}

async function accuracy(model: { forward(x: Tensor): Tensor; train(): unknown; eval(): unknown }, device: Device, { test }: Digits): Promise<number> {
  model.eval();
  const right = noGrad(() => model.forward(test.images.to(device)).argmax(1).eq(test.labels.to(device)).sum());
  model.train();
  return (await right.item()) / test.labels.size(0);
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("It must be a whole number from 1.");
  return value;
}

function rate(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < Infinity)) throw new InvalidArgumentError("It must be a number above 0.");
  return value;
}

function seedOf(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(value)) throw new InvalidArgumentError("It must be a whole number.");
  return value;
}

const options = new Command("start")
  .description("Trains a network on real handwritten digits, on one device and data-parallel on two, and compares them.")
  .option("--epochs <n>", "passes over the digits", count, 20)
  .option("--batch <n>", "images a step, over all devices", count, 256)
  .option("--lr <rate>", "Adam's learning rate", rate, 1e-3)
  .option("--seed <n>", "seed of weights and order", seedOf, 1)
  .parse(process.argv.filter((argument) => argument !== "--"))
  .opts<Options>();

const devices = [0, 1, 2].map((index) => cpu({ index, threads: 1 }));
const digits = loadDigits();
console.log(`${digits.train.length} digits to train on, ${digits.test.labels.size(0)} held back\n`);
const single = await train("1 device", devices.slice(0, 1), digits, options);
const parallel = await train("2 devices, data-parallel", devices.slice(1), digits, options);

console.log(
  table(
    ["", "samples/s", "speed-up", "test accuracy", "peak memory", `difference after ${earlySteps} steps`],
    [single, parallel].map((outcome) => [
      outcome.name,
      Math.round(outcome.samplesPerSecond).toLocaleString("en"),
      `${(outcome.samplesPerSecond / single.samplesPerSecond).toFixed(2)}x`,
      `${(outcome.accuracy * 100).toFixed(1)} %`,
      outcome.devices.map(({ name, peakBytes }) => `${name} ${(peakBytes / 2 ** 20).toFixed(1)} MiB`).join("\n"),
      greatestDifference(single.early, outcome.early).toExponential(1),
    ]),
  ),
);

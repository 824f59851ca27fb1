import { manualSeed, nn, optim, randint, randn, type profiler } from "@troupe/core";
import type { Device } from "@troupe/core/device";
import { afterAll, describe, expect, test } from "vitest";
import { cpu } from "../src/index.ts";

const devices: Device[] = [];
afterAll(() => Promise.all(devices.map((device) => device.close())));

function open(index: number, threads: number): Device {
  const device = cpu({ index, threads, memoryLimit: 2 ** 28 });
  devices.push(device);
  return device;
}

/** A network with a convolution in training. @returns one step, whose result is the loss. */
function training(device: Device): () => Promise<number> {
  manualSeed(1);
  const model = new nn.Sequential(
    new nn.Conv2d(1, 8, 3), new nn.ReLU(), new nn.Flatten(), new nn.Linear(8 * 10 * 10, 10),
  ).to(device);
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 });
  const [x, y] = [randn([32, 1, 12, 12], { device }), randint(0, 10, [32], { device })];
  return () => {
    optimizer.zeroGrad();
    const loss = nn.functional.crossEntropy(model.forward(x), y);
    loss.backward();
    optimizer.step();
    return loss.item();
  };
}

const kernels = ({ events }: profiler.Profile): readonly profiler.ProfileEvent[] =>
  events.filter(({ kind }) => kind === "kernel");

describe.each([1, 2])("a profile of a CPU device with %i thread(s)", (threads) => {
  test("of a training loop shows every step's kernels, one after the other, within the time that passed", async () => {
    const device = open(threads, threads);
    const step = training(device);
    await step();
    const began = performance.now();
    const profile = await device.profile(async () => {
      for (let i = 0; i < 5; i++) await step();
    });
    const passed = (performance.now() - began) * 1000;
    const found = kernels(profile);
    expect(profile.dropped.get(device.name)).toBe(0);
    found.slice(1).forEach(({ start }, i) => {
      expect(start).toBeGreaterThanOrEqual(found[i].start + found[i].duration);
    });
    const { start, end } = profile.span;
    expect(start).toBeGreaterThanOrEqual(0);
    expect(end).toBeLessThanOrEqual(passed);
    // The weights' and the bias' update of two layers, once a step.
    expect(found.filter(({ name }) => name === "sgd")).toHaveLength(5 * 4);
    expect(profile.events.filter(({ kind }) => kind === "read")).toHaveLength(5);
    const names = found.map(({ name }) => name);
    expect(names.filter((name, i) => i >= names.length / 5 * 4)).toEqual(names.slice(0, names.length / 5));
  });

  test("gives a matmul its floating-point operations, and a rate that a processor can have", async () => {
    const device = open(threads, threads);
    const [a, b] = [randn([256, 384], { device }), randn([384, 512], { device })];
    const profile = await device.profile(() => a.matmul(b).dispose());
    const [event] = kernels(profile);
    expect(event).toMatchObject({
      name: "matmul", sizes: [256, 512, 384],
      flops: 2 * 256 * 384 * 512, bytes: 4 * (256 * 384 + 384 * 512 + 256 * 512),
    });
    const row = profile.keyAverages().rows.find(({ kind }) => kind === "kernel");
    expect(row?.flopsPerSecond).toBeGreaterThan(1e6);
    expect(row?.flopsPerSecond).toBeLessThan(1e13);
  });

  test("changes no result", async () => {
    const device = open(threads, threads);
    const losses = async (): Promise<number[]> => {
      const step = training(device);
      return [await step(), await step(), await step()];
    };
    const plain = await losses();
    let recorded: number[] = [];
    await device.profile(async () => {
      recorded = await losses();
    });
    expect(recorded).toEqual(plain);
    expect(plain.every(Number.isFinite)).toBe(true);
  });
});

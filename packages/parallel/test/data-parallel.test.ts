import { manualSeed, nn, noGrad, ones, optim, randint, randn, tensor } from "@troupe/core";
import type { Device, Tensor } from "@troupe/core";
import { mock } from "@troupe/core/testing";
import {
  collectiveCounts,
  dataParallel,
  deviceMesh,
  distributeTensor,
  placementsOf,
  ruleMisses,
  shard,
} from "@troupe/parallel";
import { afterAll, describe, expect, test } from "vitest";
import { difference } from "./lay.ts";

const F = nn.functional;
const devices = [mock({ index: 0 }), mock({ index: 1 }), mock({ index: 2 })];
afterAll(() => Promise.allSettled(devices.map((device) => device.close())));

const [here] = devices;
const inputs = 5;
const classes = 3;

type Net = nn.Sequential;
type MakeOptimizer = (parameters: nn.Parameter[]) => optim.Optimizer;

function network(): Net {
  manualSeed(3);
  return new nn.Sequential(new nn.Linear(inputs, 7), new nn.ReLU(), new nn.Dropout(0.2), new nn.Linear(7, classes)).to(
    here,
  );
}

function batches(sizes: readonly number[]): [images: Tensor, labels: Tensor][] {
  manualSeed(4);
  return sizes.map((size) => [randn([size, inputs], { device: here }), randint(classes, [size], { device: here })]);
}

/** The parameters after training, and the losses on the way. */
function trained(
  count: number | undefined,
  makeOptimizer: MakeOptimizer,
  sizes: readonly number[],
  accumulate = 1,
): { losses: number[]; state: nn.StateDict } {
  const data = batches(sizes);
  const model = network();
  const optimizer = makeOptimizer(model.parameters());
  const net = count === undefined ? model : dataParallel(model, { devices: devices.slice(0, count) });
  const losses = data.map(([images, labels], i) => {
    if (i % accumulate === 0) optimizer.zeroGrad();
    const loss = F.crossEntropy(net.forward(images), labels);
    loss.backward();
    if (i % accumulate === accumulate - 1) optimizer.step();
    return loss.itemSync();
  });
  return { losses, state: net.stateDict() };
}

/** Names of what differs in parameters, and losses that do. */
function differences(actual: ReturnType<typeof trained>, expected: ReturnType<typeof trained>): string[] {
  const names = new Set([...Object.keys(actual.state), ...Object.keys(expected.state)]);
  const state = [...names].filter(
    (name) => !(name in actual.state) || difference(actual.state[name], expected.state[name], 1e-5) !== undefined,
  );
  const losses = expected.losses.flatMap((loss, i) =>
    Math.abs(actual.losses[i] - loss) <= 1e-5 * (1 + loss) ? [] : [`loss ${i}`],
  );
  return [...state, ...losses];
}

const optimizers: Readonly<Record<string, MakeOptimizer>> = {
  "SGD with momentum": (parameters) => new optim.SGD(parameters, { lr: 0.1, momentum: 0.9, weightDecay: 0.01 }),
  Adam: (parameters) => new optim.Adam(parameters, { lr: 0.05 }),
};

describe("training on several devices is training on one", () => {
  for (const [name, make] of Object.entries(optimizers)) {
    for (const count of [1, 2, 3]) {
      test(`${name}, ${count} devices, five steps, with dropout and an uneven last batch`, () => {
        const sizes = [6, 6, 6, 6, 4];
        expect(differences(trained(count, make, sizes), trained(undefined, make, sizes))).toEqual([]);
      });
    }
  }

  test("batches smaller than the number of devices", () => {
    const sizes = [1, 2, 1];
    expect(differences(trained(3, optimizers.Adam, sizes), trained(undefined, optimizers.Adam, sizes))).toEqual([]);
  });

  test("gradients accumulate over batches without communication until the step", () => {
    const sizes = [6, 5, 6, 5];
    expect(differences(trained(2, optimizers.Adam, sizes, 2), trained(undefined, optimizers.Adam, sizes, 2))).toEqual(
      [],
    );
  });

  test("an optimizer that has stepped on one device goes on, and so it does back on one", () => {
    const steps = (moves: boolean): nn.StateDict => {
      const model = network();
      const optimizer = optimizers.Adam(model.parameters());
      let net: nn.Module = model;
      batches([4, 4, 4]).forEach(([images, labels], i) => {
        if (i === 1 && moves) net = dataParallel(model, { devices: devices.slice(0, 2) });
        if (i === 2 && moves) net = model.to(here);
        optimizer.zeroGrad();
        F.crossEntropy(net.forward(images as never) as Tensor, labels).backward();
        optimizer.step();
      });
      return net.stateDict();
    };
    const [actual, expected] = [steps(true), steps(false)];
    for (const [name, value] of Object.entries(expected)) expect(difference(actual[name], value, 1e-5)).toBeUndefined();
  });

  test("a parameter that stayed on one device", () => {
    const steps = (spreads: boolean): Tensor => {
      const scale = new nn.Parameter(ones([inputs], { device: here }));
      const optimizer = optimizers.Adam([scale]);
      for (const [images] of batches([4, 3])) {
        optimizer.zeroGrad();
        const x = spreads ? distributeTensor(images, deviceMesh(devices), [shard(0)]) : images;
        x.mul(scale).exp().mean().backward();
        optimizer.step();
      }
      return scale;
    };
    const actual = steps(true);
    expect(placementsOf(actual)).toBeUndefined();
    expect(difference(actual, steps(false), 1e-5)).toBeUndefined();
  });

  test("clipped gradients", () => {
    const clipped = (count: number | undefined): (Tensor | undefined)[] => {
      const [[images, labels]] = batches([5]);
      const model = network();
      const net = count === undefined ? model : dataParallel(model, { devices: devices.slice(0, count) });
      F.crossEntropy(net.forward(images), labels).backward();
      nn.clipGradNorm_(model.parameters(), 0.1);
      return model.parameters().map(({ grad }) => grad);
    };
    const expected = clipped(undefined);
    clipped(2).forEach((gradient, i) =>
      expect(difference(gradient as Tensor, expected[i] as Tensor, 1e-5)).toBeUndefined(),
    );
  });

  test("batch norm over the batch of all devices, running statistics included", () => {
    const run = (count: number | undefined): Record<string, Tensor> => {
      manualSeed(5);
      const model = new nn.Sequential(
        new nn.Conv2d(1, 3, 3),
        new nn.BatchNorm2d(3),
        new nn.ReLU(),
        new nn.MaxPool2d(2),
        new nn.Flatten(),
        new nn.Linear(27, 2),
      ).to(here);
      const images = randn([5, 1, 8, 8], { device: here });
      const net = count === undefined ? model : dataParallel(model, { devices: devices.slice(0, count) });
      F.crossEntropy(net.forward(images), tensor([0, 1, 0, 1, 1], { device: here })).backward();
      const gradients = Array.from(net.namedParameters(), ([name, { grad }]) => [
        `gradient of ${name}`,
        grad as Tensor,
      ]);
      return { ...net.stateDict(), ...(Object.fromEntries(gradients) as Record<string, Tensor>) };
    };
    const [actual, expected] = [run(2), run(undefined)];
    expect(Object.keys(actual)).toEqual(Object.keys(expected));
    for (const [name, value] of Object.entries(expected))
      expect([name, difference(actual[name], value, 1e-4)]).toEqual([name, undefined]);
  });
});

describe("a data-parallel step", () => {
  test("reduces all small gradients in one message, and computes nothing twice", () => {
    const [[images]] = batches([6]);
    const net = dataParallel(network(), { devices: devices.slice(0, 2) });
    const optimizer = new optim.SGD(net.parameters(), { lr: 0.1 });
    const loss = F.mseLoss(net.forward(images), ones([6, classes], { device: here }));
    loss.backward();
    const before = collectiveCounts();
    expect(net.parameters().map(({ grad }) => placementsOf(grad as Tensor))).toEqual(
      net.parameters().map(() => [{ kind: "partial", reduction: "sum" }]),
    );
    optimizer.step();
    const after = collectiveCounts();
    expect(after.allReduce - before.allReduce).toBe(1);
    const gradientBytes = 4 * net.parameters().reduce((sum, parameter) => sum + parameter.numel(), 0);
    expect(after.bytes - before.bytes).toBe(2 * gradientBytes);
    expect([...ruleMisses().keys()]).toEqual([]);
  });

  test("is skipped on all devices when one of them has a bad label, and the next one works", () => {
    const net = dataParallel(network().eval(), { devices: devices.slice(0, 2) });
    const optimizer = new optim.Adam(net.parameters(), { lr: 0.1 });
    const step = (labels: number[]): Tensor => {
      optimizer.zeroGrad();
      const loss = F.crossEntropy(
        net.forward(noGrad(() => randn([4, inputs], { device: here }))),
        tensor(labels, { device: here }),
      );
      loss.backward();
      optimizer.step();
      return loss;
    };
    step([0, 1, 2, 0]);
    const before = net.stateDict();
    const loss = step([0, 1, 2, 99]);
    expect(() => loss.itemSync()).toThrow(/nllPick|index/i);
    const after = net.stateDict();
    for (const [name, value] of Object.entries(before)) expect(difference(after[name], value, 0)).toBeUndefined();
    expect(Number.isFinite(step([2, 1, 0, 1]).itemSync())).toBe(true);
    expect(
      Object.entries(net.stateDict()).some(([name, value]) => difference(value, before[name], 0) !== undefined),
    ).toBe(true);
  });

  test("goes on after a skipped step as if it had never been", async () => {
    const trained = async (labels: readonly number[][]): Promise<{ state: nn.StateDict; skipped: number }> => {
      const net = dataParallel(network().eval(), { devices: devices.slice(0, 2) });
      const optimizer = new optim.Adam(net.parameters(), { lr: 0.1 });
      manualSeed(5);
      const images = randn([5, inputs], { device: here });
      const reads: PromiseSettledResult<unknown>[] = [];
      for (const own of labels) {
        optimizer.zeroGrad();
        const loss = F.crossEntropy(net.forward(images), tensor([...own], { device: here }));
        loss.backward();
        optimizer.step();
        reads.push(...(await Promise.allSettled([loss.item()])));
      }
      return { state: net.stateDict(), skipped: reads.filter(({ status }) => status === "rejected").length };
    };
    const good = [0, 1, 2, 0, 1];
    const bad = [0, 1, 2, 0, 99];
    const expected = await trained([good, good]);
    const actual = await trained([bad, good, bad, good]);
    expect([expected.skipped, actual.skipped]).toEqual([0, 2]);
    for (const [name, value] of Object.entries(expected.state))
      expect(difference(actual.state[name], value, 0)).toBeUndefined();
  });

  test("leaves a state dict that the network on one device loads, and loads one", () => {
    const net = dataParallel(network(), { devices: devices.slice(0, 2) });
    const single = network();
    noGrad(() => single.parameters().forEach((parameter) => parameter.mul_(2)));
    net.loadStateDict(single.stateDict());
    const state = net.stateDict();
    expect(Object.keys(state)).toEqual(Object.keys(single.stateDict()));
    for (const [name, value] of Object.entries(single.stateDict()))
      expect(difference(state[name], value, 0)).toBeUndefined();
    single.loadStateDict(state);
  });
});

test("devices are given by name or handle; none or one twice is refused", () => {
  expect(dataParallel(network(), { devices: ["mock:0", devices[1]] }).mesh.size).toBe(2);
  expect(() => dataParallel(network(), { devices: [] })).toThrow(/at least one device/);
  expect(() => dataParallel(network(), { devices: [here, here] as Device[] })).toThrow(/twice/);
  for (const wrong of [undefined, {}, { device: devices }, devices, { devices, mesh: 2 }]) {
    expect(() => dataParallel(network(), wrong as never)).toThrow("the devices, and nothing else, must be given");
  }
  expect(() => dataParallel(undefined as never, { devices })).toThrow("the model must be a module");
});

/** Captured steps on real devices: what the mock's tests promise, with threads, a real allocator and real kernels. */
import { capture, DeviceClosedError, getRngState, manualSeed, nn, optim, randint, randn } from "@troupe/core";
import type { Tensor } from "@troupe/core";
import { afterAll, expect, test } from "vitest";
import { cpu } from "../src/index.ts";

const F = nn.functional;
const device = cpu({ threads: 2 });
afterAll(() => Promise.allSettled([device.close()]));

type TrainStep = (images: Tensor, labels: Tensor) => Tensor;

function job(
  dropout: number, wrap: (step: TrainStep) => TrainStep, place = device,
): { model: nn.Sequential; step: TrainStep } {
  manualSeed(1);
  const layers = [new nn.Linear(20, 32), new nn.ReLU(), new nn.Dropout(dropout), new nn.Linear(32, 10)];
  const model = new nn.Sequential(...layers).to(place);
  const optimizer = new optim.Adam(model.parameters(), { lr: 0.01 });
  const step = wrap((images, labels) => {
    optimizer.zeroGrad();
    const loss = F.crossEntropy(model.forward(images), labels);
    loss.backward();
    nn.clipGradNorm_(model.parameters(), 1);
    optimizer.step();
    return loss;
  });
  manualSeed(2);
  return { model, step };
}

function batches(count: number, place = device): (readonly [images: Tensor, labels: Tensor])[] {
  return Array.from({ length: count }, (_, i) => {
    const size = i % 4 === 3 ? 9 : 16;
    return [randn([size, 20], { device: place }), randint(10, [size], { device: place })] as const;
  });
}

function outcome(model: nn.Module): unknown {
  return [model.parameters().map((x) => [...x.dataSync(), ...(x.grad as Tensor).dataSync()]), getRngState()];
}

for (const dropout of [0, 0.3]) {
  test(`300 captured steps of training are eager ones, bit for bit (dropout ${dropout}), awaited and not`, async () => {
    const train = async (wrap: (step: TrainStep) => TrainStep): Promise<unknown> => {
      const { model, step } = job(dropout, wrap);
      const losses: number[] = [];
      for (const [i, batch] of batches(300).entries()) {
        const loss = step(...batch);
        if (i % 5 === 0) losses.push(await loss.item());
        else if (i % 5 === 3) losses.push(loss.itemSync());
      }
      return [losses, outcome(model)];
    };
    const expected = await train((step) => step);
    expect(await train((step) => capture(step))).toEqual(expected);
  });
}

test("memory is flat over 2,000 calls that nobody waits for", async () => {
  const own = cpu({ index: 2 });
  const { step } = job(0.3, (inner) => capture(inner), own);
  const [batch] = batches(1, own);
  for (let i = 0; i < 3; i++) step(...batch);
  await own.fence();
  const { bytesLive, storages } = own.stats();
  const issued = own.bytesIssued;
  for (let i = 0; i < 2000; i++) step(...batch);
  await own.fence();
  // V8 may collect what the first call left.
  expect(own.stats().bytesLive).toBeLessThanOrEqual(bytesLive);
  expect(own.stats().storages).toBeLessThanOrEqual(storages);
  expect(own.bytesIssued).toBeLessThanOrEqual(issued);
  await own.close();
});

test("a bad label poisons its own step only, and a device that is killed between the calls goes on", async () => {
  const train = async (wrap: (step: TrainStep) => TrainStep): Promise<unknown> => {
    const { model, step } = job(0, wrap);
    const losses: unknown[] = [];
    for (const [i, [images, labels]] of batches(10).entries()) {
      if (i === 6) await device.kill();
      const loss = step(images, i === 4 ? labels.add(10) : labels);
      losses.push(await loss.item().catch((error: unknown) => (error as Error).name));
    }
    return [losses, outcome(model)];
  };
  const expected = await train((step) => step);
  expect(expected).toMatchObject([{ 4: "ValueError" }, {}]);
  expect(await train((step) => capture(step))).toEqual(expected);
});

test("a result that is being read is not overwritten under the reader", async () => {
  const step = capture((x: Tensor) => x.mul(2));
  const reads: Promise<unknown>[] = [];
  for (let i = 0; i < 50; i++) {
    const x = randn([5000], { device }).mul(0).add(i);
    reads.push(step(x).data().then((data) => data.every((value) => value === 2 * i)));
  }
  expect(new Set(await Promise.all(reads))).toEqual(new Set([true]));
  step.dispose();
});

test("a closed device is a typed error", async () => {
  const own = cpu({ index: 3 });
  const { step } = job(0, (inner) => capture(inner), own);
  const [batch] = batches(1, own);
  for (let i = 0; i < 3; i++) step(...batch);
  await own.close();
  expect(() => step(...batch)).toThrow(DeviceClosedError);
});

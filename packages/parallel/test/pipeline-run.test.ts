import { DeviceLostError, nn, noGrad, optim, randint, randn, tensor } from "@troupe/core";
import type { Tensor } from "@troupe/core";
import { mock } from "@troupe/core/testing";
import { pipeline } from "@troupe/parallel";
import type { ScheduleName } from "@troupe/parallel";
import { afterAll, describe, expect, test } from "vitest";
import { classes, loss, mlp, schedules } from "./pipeline-training.ts";

const F = nn.functional;
const mocks = [0, 1, 2].map((index) => mock({ index }));
afterAll(() => Promise.allSettled(mocks.map((device) => device.close())));

describe("a pipeline", () => {
  test("gives the network's output in inference, keeps its names, and loads state", () => {
    const net = mlp().to(mocks[0]).eval();
    const x = randn([4, 5], { device: mocks[0] });
    const expected = net.forward(x).dataSync();
    const state = Object.fromEntries(Object.entries(net.stateDict()).map(([name, value]) => [name, value.clone()]));
    const pipe = pipeline(net, { devices: mocks, stages: { splitAt: [2, 4] } });
    const output = noGrad(() => pipe.forward(x));
    expect(output.device).toBe(mocks[2]);
    expect(output.dataSync()).toEqual(expected);
    expect(Array.from(pipe.namedParameters(), ([name]) => name)).toEqual(
      Array.from(net.namedParameters(), ([name]) => name),
    );
    expect(pipe.stages.map(({ module }) => module.children().length)).toEqual([2, 2, 3]);
    noGrad(() => net.parameters().forEach((parameter) => parameter.zero_()));
    pipe.loadStateDict(state);
    expect(noGrad(() => pipe.forward(x)).dataSync()).toEqual(expected);
  });

  test("tells where an op failed by the network's own names", () => {
    const net = new nn.Sequential(new nn.Identity(), new nn.Sequential(new nn.Identity(), new nn.Embedding(3, 2))).to(
      mocks[0],
    );
    const pipe = pipeline(net, { devices: mocks.slice(0, 2), stages: [1, 1] });
    const words = tensor(
      [
        [0, 1],
        [2, 7],
      ],
      { device: mocks[0] },
    );
    const bad = pipe.step(words, words, (output) => output.sum());
    expect(() => bad.itemSync()).toThrow(/index 7 is out of range .*module 1\.1/);
  });

  for (const [at, schedule] of schedules.entries()) {
    test(`holds as many micro-batches as simulated, by count and by measured memory: ${schedule}`, () => {
      const [p, width, rows] = [3, 128, 16];
      const layers = Array.from({ length: p }, () => [
        new nn.Linear(4, width),
        new nn.Tanh(),
        new nn.Linear(width, 4),
      ]).flat();
      const net = new nn.Sequential(...layers).to(mocks[0]);
      /** By stage: the greatest memory of a step beyond what was there before it. */
      const peaks = (microbatches: number, name: ScheduleName): { bytes: number[]; held: readonly number[] } => {
        const pipe = pipeline(net, { devices: mocks, stages: [3, 3, 3], microbatches, schedule: name });
        const [x, y] = [
          randn([rows * microbatches, 4], { device: mocks[0] }),
          randn([rows * microbatches, 4], { device: mocks[2] }),
        ];
        net.zeroGrad();
        pipe.step(x, y, (output, target) => F.mseLoss(output, target)).itemSync();
        for (const device of mocks) {
          device.fenceSync();
          device.resetPeak();
        }
        const before = mocks.map((device) => device.stats().bytesLive);
        pipe.step(x, y, (output, target) => F.mseLoss(output, target));
        for (const device of mocks) device.fenceSync();
        expect(pipe.held).toEqual(pipe.simulation.held);
        return { bytes: mocks.map((device, i) => device.stats().bytesPeak - before[i]), held: pipe.held };
      };
      const m = 8;
      const activations = rows * width * 4;
      const { bytes, held } = peaks(m, schedule);
      expect(held).toEqual(at === 0 ? [m, m, m] : [3, 2, 1]);
      // What a stage takes follows from the micro-batches held: as much as GPipe with so many in all.
      for (let stage = 0; stage < p; stage++) {
        const same = peaks(held[stage], "gpipe").bytes[stage];
        expect(Math.abs(bytes[stage] - same)).toBeLessThan(0.5 * activations);
        expect(bytes[stage]).toBeGreaterThan(held[stage] * activations);
      }
    });
  }

  test("leaves nothing behind: memory is the same after every step", () => {
    const pipe = pipeline(mlp().to(mocks[0]), { devices: mocks, microbatches: 4 });
    const [x, y] = [randn([8, 5], { device: mocks[0] }), randint(classes, [8], { device: mocks[0] })];
    const live = Array.from({ length: 4 }, () => {
      pipe.step(x, y, loss).dispose();
      for (const device of mocks) device.fenceSync();
      return mocks.map((device) => device.bytesIssued).join();
    });
    expect(new Set(live.slice(1)).size).toBe(1);
  });

  test("a bad label poisons the loss and the step that follows, and nothing else", () => {
    const net = mlp().to(mocks[0]);
    const pipe = pipeline(net, { devices: mocks, microbatches: 3 });
    const optimizer = new optim.Adam(net.parameters());
    const step = (labels: number[]): Tensor => {
      optimizer.zeroGrad();
      const result = pipe.step(randn([6, 5], { device: mocks[0] }), tensor(labels, { device: mocks[0] }), loss);
      optimizer.step();
      return result;
    };
    step([0, 1, 2, 0, 1, 2]);
    const before = net.parameters().map((parameter) => parameter.dataSync());
    expect(() => step([0, 1, 2, 9, 0, 0]).itemSync()).toThrow(/index 9 is out of range/);
    // The step was skipped on all devices: the next read on each of the others says so, once.
    for (const at of [0, 2]) expect(() => net.parameters()[at].dataSync()).toThrow(/index 9 is out of range/);
    expect(net.parameters().map((parameter) => parameter.dataSync())).toEqual(before);
    expect(Number.isFinite(step([0, 1, 2, 0, 1, 2]).itemSync())).toBe(true);
  });
});

test("a member that dies in a step: typed errors, nothing hangs, and the pipeline works again", async () => {
  const devices = [mock(), mock(), mock()];
  // Nearly all of the time is the middle stage's.
  const net = new nn.Sequential(
    new nn.Linear(4, 4),
    new nn.Linear(4, 512),
    new nn.Linear(512, 4),
    new nn.Linear(4, classes),
  ).to(devices[0]);
  const state = Object.fromEntries(
    Object.entries(net.stateDict()).map(([name, value]) => [name, value.to(mocks[0]).clone()]),
  );
  const pipe = pipeline(net, { devices, stages: [1, 2, 1], microbatches: 2 });
  const [x, y] = [randn([128, 4], { device: devices[0] }), randint(classes, [128], { device: devices[0] })];
  expect(Number.isFinite(pipe.step(x, y, loss).itemSync())).toBe(true);
  net.zeroGrad();
  const result = pipe.step(x, y, loss);
  const reads = Promise.allSettled([result.item(), ...net.parameters().map(({ grad }) => (grad as Tensor).data())]);
  const start = performance.now();
  await devices[1].kill();
  const rejected = (await reads).filter((outcome) => outcome.status === "rejected");
  expect(performance.now() - start).toBeLessThan(2000);
  expect(rejected.length).toBeGreaterThan(0);
  for (const { reason } of rejected) expect(reason).toBeInstanceOf(DeviceLostError);
  net.zeroGrad();
  pipe.loadStateDict(state);
  expect(Number.isFinite(pipe.step(x, y, loss).itemSync())).toBe(true);
  await Promise.all(devices.map((device) => device.fence()));
  await Promise.allSettled(devices.map((device) => device.close()));
});

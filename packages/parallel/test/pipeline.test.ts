import {
  AutogradError, DeviceClosedError, DeviceError, DeviceLostError, manualSeed, nn, noGrad, ones, optim, randint, randn, ShapeError, tensor, ValueError,
} from "@troupe/core";
import type { Device, Tensor } from "@troupe/core";
import { mock } from "@troupe/core/testing";
import { cpu } from "../../device-cpu/src/index.ts";
import { balance, dataParallel, gpipe, measureSteps, pipeline, ScheduleError } from "@troupe/parallel";
import type { PipelineOptions, ScheduleName } from "@troupe/parallel";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";

const F = nn.functional;
const mocks = [0, 1, 2].map((index) => mock({ index }));
const cpus = [0, 1, 2].map((index) => cpu({ index, threads: 1 }));
afterAll(() => Promise.allSettled([...mocks, ...cpus].map((device) => device.close())));

const schedules: readonly ScheduleName[] = ["gpipe", "1f1b"];
const loss = (output: Tensor, target: Tensor): Tensor => F.crossEntropy(output, target);

/** |actual - expected| <= atol + rtol * |expected|, as the first element that breaks it. */
function difference(actual: Tensor, expected: Tensor): string | undefined {
  const [rtol, atol] = expected.dtype === "float64" ? [1e-9, 1e-9] : [1e-5, 4e-5];
  const [a, b] = [actual.dataSync(), expected.dataSync()].map((data) => Array.from(data, Number));
  if (a.length !== b.length) return `${a.length} elements instead of ${b.length}`;
  const at = b.findIndex((y, i) => !(Math.abs(a[i] - y) <= atol + rtol * Math.abs(y)));
  return at < 0 ? undefined : `element ${at} is ${a[at]} instead of ${b[at]}`;
}

function expectSame(actual: Readonly<Record<string, Tensor>>, expected: Readonly<Record<string, Tensor>>): void {
  expect(Object.keys(actual)).toEqual(Object.keys(expected));
  for (const [name, value] of Object.entries(expected)) expect([name, difference(actual[name], value)]).toEqual([name, undefined]);
}

interface Training {
  readonly model: () => nn.Sequential;
  readonly sample: readonly number[];
  readonly batches?: readonly number[];
  readonly dtype?: "float32" | "float64";
  readonly accumulate?: number;
  readonly clip?: number;
}

const classes = 3;

const mlp = (): nn.Sequential =>
  new nn.Sequential(
    new nn.Linear(5, 12), new nn.ReLU(true), new nn.Dropout(0.3), new nn.Linear(12, 8), new nn.Tanh(), new nn.Dropout(0.2), new nn.Linear(8, classes),
  );

const cnn = (): nn.Sequential =>
  new nn.Sequential(
    new nn.Conv2d(1, 4, 3), new nn.ReLU(), new nn.MaxPool2d(2), new nn.Dropout2d(0.2), new nn.Flatten(), new nn.Linear(36, 10), new nn.Dropout(0.5),
    new nn.Linear(10, classes),
  );

interface Trained {
  readonly losses: Tensor[];
  /** Gradients of the last batch, and the parameters after it. */
  readonly gradients: Record<string, Tensor>;
  readonly state: nn.StateDict;
  readonly next: number;
}

/** Five steps, on one device or in a pipeline: the same loop but for the call that computes gradients. */
function trained(training: Training, here: Device, options?: PipelineOptions): Trained {
  const { batches = [12, 12, 12, 12, 7], dtype = "float32", accumulate = 1, clip } = training;
  manualSeed(11);
  const model = training.model().to(here, dtype);
  const data = batches.map((size) => [randn([size, ...training.sample], { device: here, dtype }), randint(classes, [size], { device: here })]);
  const optimizer = new optim.Adam(model.parameters(), { lr: 0.02 });
  const pipe = options === undefined ? undefined : pipeline(model, options);
  const losses = data.map(([input, target], i) => {
    if (i % accumulate === 0) optimizer.zeroGrad();
    const single = pipe === undefined ? loss(model.forward(input), target) : undefined;
    single?.backward();
    const result = single ?? (pipe as NonNullable<typeof pipe>).step(input, target, loss);
    if (clip !== undefined) nn.clipGradNorm_(model.parameters(), clip);
    if (i % accumulate === accumulate - 1) optimizer.step();
    return result.detach();
  });
  const gradients = Object.fromEntries(Array.from(model.namedParameters(), ([name, { grad }]) => [name, grad as Tensor]));
  return { losses, gradients, state: model.stateDict(), next: randn([]).itemSync() };
}

function expectSameTraining(training: Training, devices: readonly Device[], options: Omit<PipelineOptions, "devices">): void {
  const expected = trained(training, devices[0]);
  const actual = trained(training, devices[0], { devices, ...options });
  actual.losses.forEach((value, i) => expect(difference(value, expected.losses[i])).toBeUndefined());
  expectSame(actual.gradients, expected.gradients);
  expectSame(actual.state, expected.state);
  // The random stream goes on where it does on one device.
  expect(actual.next).toBe(expected.next);
}

describe("training in a pipeline is training on one device, with dropout on", () => {
  for (const schedule of schedules) {
    for (const count of [1, 2, 3]) {
      test(`MLP, ${schedule}, ${count} devices, batches that do not divide into micro-batches`, () => {
        expectSameTraining({ model: mlp, sample: [5] }, mocks.slice(0, count), { schedule, microbatches: 5 });
      });
    }

    test(`CNN, ${schedule}, on CPUs`, () => {
      expectSameTraining({ model: cnn, sample: [1, 8, 8] }, cpus, { schedule, microbatches: 4, stages: [2, 3, 3] });
    });

    test(`MLP in float64, ${schedule}, on CPUs`, () => {
      expectSameTraining({ model: mlp, sample: [5], dtype: "float64" }, cpus.slice(0, 2), { schedule, microbatches: 3 });
    });

    test(`accumulated and clipped gradients, ${schedule}`, () => {
      expectSameTraining({ model: mlp, sample: [5], batches: [6, 7, 6, 5], accumulate: 2, clip: 0.5 }, mocks.slice(0, 2), { schedule, microbatches: 4 });
    });
  }

  test("one micro-batch is plain network partitioning, with the same bits", () => {
    const training = { model: mlp, sample: [5] };
    const [expected, actual] = [trained(training, mocks[0]), trained(training, mocks[0], { devices: mocks, microbatches: 1 })];
    for (const [name, value] of Object.entries(expected.state)) expect(actual.state[name].dataSync()).toEqual(value.dataSync());
  });

  test("two runs give the same bits", () => {
    const run = (): Trained => trained({ model: mlp, sample: [5] }, mocks[0], { devices: mocks, microbatches: 6 });
    const [first, second] = [run(), run()];
    for (const [name, value] of Object.entries(first.state)) expect(second.state[name].dataSync()).toEqual(value.dataSync());
  });

  test("a step in-place at the start of a stage, and a stage of one activation", () => {
    const model = (): nn.Sequential => new nn.Sequential(new nn.Linear(5, 6), new nn.ReLU(true), new nn.Linear(6, classes));
    expectSameTraining({ model, sample: [5] }, mocks, { microbatches: 3, stages: [1, 1, 1] });
  });

  test("frozen first layers", () => {
    const model = (): nn.Sequential => {
      const net = new nn.Sequential(new nn.Linear(5, 6), new nn.Tanh(), new nn.Linear(6, 6), new nn.Tanh(), new nn.Linear(6, classes));
      net.parameters().slice(0, 2).forEach((parameter) => parameter.requiresGrad_(false));
      return net;
    };
    const run = (options?: PipelineOptions): nn.StateDict => {
      manualSeed(1);
      const net = model().to(mocks[0]);
      const [input, target] = [randn([6, 5], { device: mocks[0] }), randint(classes, [6], { device: mocks[0] })];
      const optimizer = new optim.SGD(net.parameters(), { lr: 0.1 });
      if (options === undefined) loss(net.forward(input), target).backward();
      else pipeline(net, options).step(input, target, loss);
      expect(net.parameters().map(({ grad }) => grad !== undefined)).toEqual([false, false, true, true, true, true]);
      optimizer.step();
      return net.stateDict();
    };
    expectSame(run({ devices: mocks, stages: [2, 2, 1], microbatches: 2 }), run());
  });

  test("a loss that is a sum, and the gradient of the input", () => {
    const run = (inPipeline: boolean): Record<string, Tensor> => {
      manualSeed(2);
      const net = mlp().to(mocks[0]);
      const input = randn([7, 5], { device: mocks[0], requiresGrad: true });
      const target = randn([7, classes], { device: mocks[0] });
      const sum = (y: Tensor, t: Tensor): Tensor => F.mseLoss(y, t, { reduction: "sum" });
      if (!inPipeline) sum(net.forward(input), target).backward();
      else pipeline(net, { devices: mocks, microbatches: 3 }).step(input, target, sum, { reduction: "sum" });
      return { input: input.grad as Tensor, weight: net.parameters()[0].grad as Tensor };
    };
    expectSame(run(true), run(false));
  });

  test("an optimizer that has stepped on one device goes on in the pipeline", () => {
    const run = (moves: boolean): nn.StateDict => {
      manualSeed(4);
      const net = mlp().to(mocks[0]);
      const optimizer = new optim.Adam(net.parameters(), { lr: 0.05 });
      let pipe: ReturnType<typeof pipeline> | undefined;
      for (let i = 0; i < 3; i++) {
        const [input, target] = [randn([6, 5], { device: mocks[0] }), randint(classes, [6], { device: mocks[0] })];
        if (i === 1 && moves) pipe = pipeline(net, { devices: mocks, microbatches: 2 });
        optimizer.zeroGrad();
        if (pipe === undefined) loss(net.forward(input), target).backward();
        else pipe.step(input, target, loss);
        optimizer.step();
      }
      return net.stateDict();
    };
    expectSame(run(true), run(false));
  });
});

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
    expect(Array.from(pipe.namedParameters(), ([name]) => name)).toEqual(Array.from(net.namedParameters(), ([name]) => name));
    expect(pipe.stages.map(({ module }) => module.children().length)).toEqual([2, 2, 3]);
    noGrad(() => net.parameters().forEach((parameter) => parameter.zero_()));
    pipe.loadStateDict(state);
    expect(noGrad(() => pipe.forward(x)).dataSync()).toEqual(expected);
  });

  test("tells where an op failed by the network's own names", () => {
    const net = new nn.Sequential(new nn.Linear(2, 2), new nn.Sequential(new nn.Linear(2, 2), new nn.Embedding(3, 2))).to(mocks[0]);
    const pipe = pipeline(net, { devices: mocks.slice(0, 2) });
    const bad = noGrad(() => pipe.stages[1].module.forward(ones([1, 2], { device: mocks[1] }).mul(7)));
    expect(() => bad.itemSync()).toThrow();
  });

  for (const [at, schedule] of schedules.entries()) {
    test(`holds as many micro-batches as simulated, by count and by measured memory: ${schedule}`, () => {
      const [p, width, rows] = [3, 256, 64];
      const layers = Array.from({ length: p }, () => [new nn.Linear(4, width), new nn.Tanh(), new nn.Linear(width, 4)]).flat();
      const net = new nn.Sequential(...layers).to(mocks[0]);
      /** By stage: the greatest memory of a step beyond what was there before it. */
      const peaks = (microbatches: number, name: ScheduleName): { bytes: number[]; held: readonly number[] } => {
        const pipe = pipeline(net, { devices: mocks, stages: [3, 3, 3], microbatches, schedule: name });
        const [x, y] = [randn([rows * microbatches, 4], { device: mocks[0] }), randn([rows * microbatches, 4], { device: mocks[2] })];
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
    expect(() => step([0, 1, 2, 9, 0, 0]).itemSync()).toThrow(/index|label|target|out of/i);
    expect(net.parameters().map((parameter) => parameter.dataSync())).toEqual(before);
    expect(Number.isFinite(step([0, 1, 2, 0, 1, 2]).itemSync())).toBe(true);
  });
});

describe("stages", () => {
  test("balanced: no contiguous partition has a cheaper dearest stage", () => {
    const dearest = (costs: readonly number[], parts: readonly number[]): number => {
      let at = 0;
      return Math.max(...parts.map((size) => costs.slice(at, (at += size)).reduce((sum, cost) => sum + cost, 0)));
    };
    const every = function* (count: number, stages: number): Generator<number[]> {
      if (stages === 1) yield [count];
      else for (let first = 1; first <= count - stages + 1; first++) for (const rest of every(count - first, stages - 1)) yield [first, ...rest];
    };
    fc.assert(fc.property(fc.array(fc.nat(20), { minLength: 1, maxLength: 8 }), fc.integer({ min: 1, max: 8 }), (costs, wanted) => {
      const stages = Math.min(wanted, costs.length);
      const parts = balance(costs, stages);
      expect(parts.length).toBe(stages);
      expect(parts.every((size) => size > 0)).toBe(true);
      expect(parts.reduce((sum, size) => sum + size, 0)).toBe(costs.length);
      expect(dearest(costs, parts)).toBe(Math.min(...Array.from(every(costs.length, stages), (other) => dearest(costs, other))));
    }));
  });

  test("balanced by the clock: the dear layer gets a device of its own, and nothing is changed by measuring", () => {
    const heavy = new nn.Linear(400, 400);
    const net = new nn.Sequential(new nn.Linear(4, 400), heavy, new nn.BatchNorm1d(400), new nn.Dropout(), new nn.Linear(400, 2)).to(cpus[0]);
    manualSeed(6);
    const sample = randn([256, 4], { device: cpus[0] });
    const [state, next] = [net.stateDict(), randn([]).itemSync()];
    const before = Object.values(state).map((value) => value.dataSync());
    manualSeed(6);
    randn([256, 4]);
    const costs = measureSteps([...net], sample);
    expect(randn([]).itemSync()).toBe(next);
    expect(Object.values(net.stateDict()).map((value) => value.dataSync())).toEqual(before);
    expect(net.parameters().every(({ grad }) => grad === undefined)).toBe(true);
    const total = costs.map(({ forward, backward }) => forward + backward);
    expect(Math.max(...total)).toBe(total[1]);
    const pipe = pipeline(net, { devices: cpus.slice(0, 2), sample, microbatches: 2 });
    expect(pipe.stages.map(({ module }) => module.children().length).reduce((sum, size) => sum + size)).toBe(5);
    expect(pipe.simulation.makespan).toBeGreaterThan(0);
  });
});

describe("what does not fit is refused at the call", () => {
  const net = (): nn.Sequential => mlp().to(mocks[0]);
  const batch = (size: number): [Tensor, Tensor] => [ones([size, 5], { device: mocks[0] }), randint(classes, [size], { device: mocks[0] })];

  test("stages", () => {
    const small = new nn.Sequential(new nn.Linear(5, 2), new nn.ReLU()).to(mocks[0]);
    expect(() => pipeline(small, { devices: mocks })).toThrow(ValueError);
    expect(() => pipeline(net(), { devices: mocks, stages: [3, 4] })).toThrow(/2 stages for 3 devices/);
    expect(() => pipeline(net(), { devices: mocks.slice(0, 2), stages: [3, 3] })).toThrow(/is 6 children; the network has 7/);
    expect(() => pipeline(net(), { devices: mocks.slice(0, 2), stages: [7, 0] })).toThrow(/at least one/);
    expect(() => pipeline(net(), { devices: mocks.slice(0, 2), stages: { splitAt: [8] } })).toThrow(/at least one/);
    expect(() => pipeline(new nn.Linear(2, 2), { devices: mocks.slice(0, 1) })).toThrow(/order/);
  });

  test("schedules", () => {
    expect(() => pipeline(net(), { devices: mocks, schedule: "zigzag" as ScheduleName })).toThrow(/unknown schedule "zigzag"/);
    expect(() => pipeline(net(), { devices: mocks, schedule: gpipe(2, 1) })).toThrow(/is for 2 stages/);
    const { actions, ...rest } = gpipe(3, 2);
    const broken = { ...rest, actions: [actions[0].toReversed(), actions[1], actions[2]] };
    expect(() => pipeline(net(), { devices: mocks, microbatches: 2, schedule: broken })).toThrow(ScheduleError);
    expect(() => pipeline(net(), { devices: mocks, microbatches: 0 })).toThrow(ValueError);
  });

  test("devices", async () => {
    expect(() => pipeline(net(), { devices: [] })).toThrow(ValueError);
    expect(() => pipeline(net(), { devices: [mocks[0], mocks[0]] })).toThrow(DeviceError);
    const gone = mock();
    const pipe = pipeline(net(), { devices: [mocks[0], gone] });
    await gone.close();
    expect(() => pipe.step(...batch(4), loss)).toThrow(DeviceClosedError);
    expect(() => pipe.forward(batch(4)[0])).toThrow(DeviceClosedError);
    expect(() => pipeline(net(), { devices: [mocks[0], gone] })).toThrow(DeviceClosedError);
  });

  test("a network that was moved away, is on a mesh, or shares a parameter between stages", () => {
    const model = net();
    const pipe = pipeline(model, { devices: mocks });
    model.to(mocks[0]);
    expect(() => pipe.step(...batch(4), loss)).toThrow(/is on mock:0, not on mock:1/);
    expect(() => pipeline(dataParallel(net(), { devices: mocks }).module, { devices: mocks })).toThrow(/on a mesh/);
    const [a, b] = [new nn.Linear(4, 4), new nn.Linear(4, 4)];
    b.weight = a.weight;
    expect(() => pipeline(new nn.Sequential(a, b).to(mocks[0]), { devices: mocks.slice(0, 2) })).toThrow(/same parameter/);
  });

  test("batches and losses", () => {
    const pipe = pipeline(net(), { devices: mocks, microbatches: 4 });
    expect(() => pipe.step(...batch(3), loss)).toThrow(ValueError);
    expect(() => pipe.step(batch(8)[0], batch(7)[1], loss)).toThrow(ShapeError);
    expect(() => pipe.step(...batch(8), (output) => output)).toThrow(ShapeError);
    expect(() => pipe.step(...batch(8), () => 1 as unknown as Tensor)).toThrow(ValueError);
    expect(() => noGrad(() => pipe.step(...batch(8), loss))).toThrow(AutogradError);
    expect(Number.isFinite(pipe.step(...batch(8), loss).itemSync())).toBe(true);
  });
});

test("a member that dies in a step: a typed error for who reads, nothing hangs, and the pipeline works again", async () => {
  const devices = [mock(), mock(), mock()];
  const net = new nn.Sequential(new nn.Linear(64, 64), new nn.Tanh(), new nn.Linear(64, 64), new nn.Tanh(), new nn.Linear(64, classes)).to(devices[0]);
  const state = Object.fromEntries(Object.entries(net.stateDict()).map(([name, value]) => [name, value.to("mock:0").clone()]));
  const pipe = pipeline(net, { devices, stages: [2, 2, 1], microbatches: 8 });
  const [x, y] = [randn([512, 64], { device: devices[0] }), randint(classes, [512], { device: devices[0] })];
  expect(Number.isFinite(pipe.step(x, y, loss).itemSync())).toBe(true);
  const start = performance.now();
  const result = pipe.step(x, y, loss).item().then(() => undefined, (error: unknown) => error);
  const fences = devices.map((device) => device.fence().catch(() => undefined));
  await devices[1].kill();
  const error = await result;
  await Promise.all(fences);
  expect(error).toBeInstanceOf(DeviceLostError);
  expect(performance.now() - start).toBeLessThan(3000);
  net.zeroGrad();
  pipe.loadStateDict(state);
  expect(Number.isFinite(pipe.step(x, y, loss).itemSync())).toBe(true);
  await Promise.allSettled(devices.map((device) => device.close()));
}, 20_000);

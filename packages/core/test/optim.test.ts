/**
 * Optimizers compute what PyTorch's do; a step with a poisoned gradient changes nothing; schedules and checkpoints
 * agree.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { group } from "../src/actor/groups.ts";
import * as core from "../src/index.ts";
import * as nn from "../src/nn/index.ts";
import * as optim from "../src/optim/index.ts";
import type { LRScheduler } from "../src/optim/lr-scheduler.ts";
import { mock } from "../src/testing/mock/index.ts";

interface Fixture {
  readonly steps: number;
  readonly shapes: readonly (readonly number[])[];
  readonly cases: readonly {
    readonly optimizer: "SGD" | "Adam" | "AdamW" | "RMSprop";
    readonly options: Readonly<Record<string, unknown>>;
    readonly dtype: "float32" | "float64";
    readonly params: readonly (readonly number[])[];
  }[];
  readonly schedules: readonly {
    readonly scheduler: string;
    readonly options: Readonly<Record<string, never>>;
    readonly rates: readonly number[];
  }[];
}

const fixture = JSON.parse(readFileSync(new URL("../fixtures/optim.json", import.meta.url), "utf8")) as Fixture;
const devices = [mock(), mock()];
const [device, other] = devices;

beforeAll(() => core.setDefaultDevice(device.name));
afterAll(async () => {
  for (const one of devices) await one.close();
});

const camel = (options: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(options).map(([name, value]) => [
      name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  );

function filled(shape: readonly number[], dtype: "float32" | "float64", element: (i: number) => number): core.Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  return core
    .tensor(
      Array.from({ length: count }, (_, i) => element(i)),
      { dtype },
    )
    .reshape(shape);
}

const start = (shape: readonly number[], number: number, dtype: "float32" | "float64"): nn.Parameter =>
  new nn.Parameter(filled(shape, dtype, (i) => Math.cos(0.9 * i + number)));
const gradient = (shape: readonly number[], number: number, step: number, dtype: "float32" | "float64"): core.Tensor =>
  filled(shape, dtype, (i) => Math.sin(0.7 * i + 1.3 * step + number) * (1 + 0.1 * step));

function make(
  name: Fixture["cases"][number]["optimizer"],
  params: readonly nn.Parameter[],
  options: Readonly<Record<string, unknown>>,
): optim.Optimizer {
  return new optimizers[name](params, { lr: 0.1, ...(name === "SGD" ? {} : defaultsOf[name]), ...camel(options) });
}
const optimizers = { SGD: optim.SGD, Adam: optim.Adam, AdamW: optim.AdamW, RMSprop: optim.RMSprop } as const;
const defaultsOf = { Adam: { lr: 1e-3 }, AdamW: { lr: 1e-3 }, RMSprop: { lr: 1e-2 } } as const;

/** The greatest difference, relative to what is expected where that is above 1. */
function distance(actual: readonly number[], expected: readonly number[]): number {
  if (actual.length !== expected.length) return Infinity;
  return Math.max(...actual.map((value, i) => Math.abs(value - expected[i]) / Math.max(1, Math.abs(expected[i]))));
}

describe("twelve steps end where PyTorch's end", () => {
  for (const { optimizer, options, dtype, params: expected } of fixture.cases) {
    test(`${optimizer} ${JSON.stringify(options)} in ${dtype}`, () => {
      const params = fixture.shapes.map((shape, number) => start(shape, number, dtype));
      const made = make(optimizer, params, options);
      for (let step = 0; step < fixture.steps; step++) {
        params.forEach((parameter, number) => (parameter.grad = gradient(parameter.shape, number, step, dtype)));
        made.step();
      }
      const distances = params.map((parameter, i) => distance([...parameter.dataSync()].map(Number), expected[i]));
      expect(Math.max(...distances)).toBeLessThanOrEqual(dtype === "float32" ? 1e-6 : 1e-12);
    });
  }
});

/** A gradient that a label out of range spoilt. */
const spoilt = (like: core.Tensor): core.Tensor =>
  nn.functional
    .crossEntropy(core.zeros([1, 2]), core.tensor([7]))
    .mul(core.ones([1]))
    .expand(like.shape)
    .to(like.dtype);

/** A step that the last parameter's gradient spoils. */
async function skippedStep(optimizer: optim.Optimizer, params: readonly core.Tensor[]): Promise<void> {
  const [last] = params.toReversed();
  const good = last.grad;
  last.grad = spoilt(last);
  optimizer.step();
  await expect(params[0].data()).rejects.toThrow("index 7 is out of range");
  last.grad = good;
}

/** The counts that a state dict holds, without repeats. */
function countsOf(optimizer: optim.Optimizer): number[] {
  const counts = Object.values(optimizer.stateDict().state).map(({ step }) => step);
  return [...new Set(counts.flatMap((step) => (step instanceof core.Tensor ? [step.itemSync()] : [])))];
}

describe("skipped steps, the first one too, leave PyTorch's result as it is", () => {
  for (const { optimizer, options, dtype, params: expected } of fixture.cases) {
    test(`${optimizer} ${JSON.stringify(options)} in ${dtype}`, async () => {
      const params = fixture.shapes.map((shape, number) => start(shape, number, dtype));
      const made = make(optimizer, params, options);
      for (let step = 0; step < fixture.steps; step++) {
        params.forEach((parameter, number) => (parameter.grad = gradient(parameter.shape, number, step, dtype)));
        if (step === 0 || step === 4) await skippedStep(made, params);
        made.step();
      }
      const distances = params.map((parameter, i) => distance([...parameter.dataSync()].map(Number), expected[i]));
      expect(Math.max(...distances)).toBeLessThanOrEqual(dtype === "float32" ? 1e-6 : 1e-12);
      const isCounted = optimizer !== "SGD" || options.dampening !== undefined;
      expect(countsOf(made)).toEqual(isCounted ? [fixture.steps] : []);
    });
  }
});

describe("a count of steps", () => {
  const step = (optimizer: optim.Optimizer, params: readonly core.Tensor[], number: number): void => {
    params.forEach((parameter, i) => (parameter.grad = gradient(parameter.shape, i, number, "float32")));
    optimizer.step();
    for (const parameter of params) parameter.grad = undefined;
  };

  test("costs one launch, whatever the number of parameters", () => {
    const messages = (count: number): number => {
      const params = Array.from({ length: count }, (_, number) => start([2], number, "float32"));
      const adam = new optim.Adam(params);
      step(adam, params, 0);
      params.forEach((parameter, i) => (parameter.grad = gradient([2], i, 1, "float32")));
      const before = device.stats().messages;
      adam.step();
      return device.stats().messages - before;
    };
    // The guard, the count, and a launch each.
    expect([messages(1), messages(9)]).toEqual([3, 11]);
  });

  test("is a parameter's own where it sat out", () => {
    const pairs = (): nn.Parameter[] => [0, 1].map((number) => start([3], number, "float32"));
    const together = pairs();
    const both = new optim.Adam(together, { lr: 0.1 });
    const alone = pairs();
    const own = alone.map((parameter) => new optim.Adam([parameter], { lr: 0.1 }));
    for (const [number, taking] of [[0, 1], [0], [0, 1], [1], [1], [0, 1]].entries()) {
      step(both, taking.map((i) => together[i]), number);
      taking.forEach((i, place) => {
        alone[i].grad = gradient([3], place, number, "float32");
        own[i].step();
      });
    }
    const contents = (params: readonly core.Tensor[]): unknown => params.map((parameter) => parameter.tolistSync());
    expect(contents(together)).toEqual(contents(alone));
    expect(together.map((parameter) => both.stateOf(parameter)?.step?.itemSync())).toEqual([4, 5]);
  });

  test("follows its parameter to another device", () => {
    const [stays, moves] = [start([3], 0, "float32"), start([3], 0, "float32")];
    const optimizers = [stays, moves].map((parameter) => new optim.AdamW([parameter], { lr: 0.1 }));
    for (let number = 0; number < 4; number++) {
      if (number === 2) moves.replaceValue(moves.detach().to(other).value);
      step(optimizers[0], [stays], number);
      moves.grad = gradient([3], 0, number, "float32").to(moves.device);
      optimizers[1].step();
    }
    expect(moves.tolistSync()).toEqual(stays.tolistSync());
    expect(optimizers[1].stateOf(moves)?.step?.device).toBe(other);
  });

  test("is loaded as PyTorch saves it, one tensor a parameter, and shared again", () => {
    const params = [start([2], 0, "float32"), start([2], 1, "float32")];
    const saved = new optim.Adam(params);
    step(saved, params, 0);
    const { state, paramGroups } = saved.stateDict();
    const apart = Object.fromEntries(
      Object.entries(state).map(([number, own]) => [number, { ...own, step: core.tensor(7, { dtype: "float32" }) }]),
    );
    const loaded = new optim.Adam(params);
    loaded.loadStateDict({ state: apart, paramGroups });
    step(loaded, params, 1);
    const [first, second] = params.map((parameter) => loaded.stateOf(parameter)?.step);
    expect(first).toBe(second);
    expect(first?.itemSync()).toBe(8);
    const refused = { state: { 0: { ...state[0], step: -1 } }, paramGroups };
    expect(() => loaded.loadStateDict(refused)).toThrow("step -1, which is no number of steps");
    expect(first?.itemSync()).toBe(8);
  });
});

describe("learning rates follow PyTorch's schedules", () => {
  const makers: Readonly<
    Record<string, (optimizer: optim.Optimizer, options: Readonly<Record<string, never>>) => LRScheduler>
  > = {
    StepLR: (optimizer, { step_size, gamma }) => new optim.lrScheduler.StepLR(optimizer, step_size, gamma),
    MultiStepLR: (optimizer, { milestones, gamma }) => new optim.lrScheduler.MultiStepLR(optimizer, milestones, gamma),
    ExponentialLR: (optimizer, { gamma }) => new optim.lrScheduler.ExponentialLR(optimizer, gamma),
    LinearLR: (optimizer, { start_factor, total_iters }) =>
      new optim.lrScheduler.LinearLR(optimizer, { startFactor: start_factor, totalIters: total_iters }),
    CosineAnnealingLR: (optimizer, { T_max, eta_min }) =>
      new optim.lrScheduler.CosineAnnealingLR(optimizer, T_max, eta_min),
    OneCycleLR: (optimizer, { max_lr, total_steps }) =>
      new optim.lrScheduler.OneCycleLR(optimizer, { maxLr: max_lr, totalSteps: total_steps }),
  };
  for (const { scheduler, options, rates } of fixture.schedules) {
    test(`${scheduler}`, () => {
      const optimizer = make("SGD", [new nn.Parameter(core.zeros([1]))], { lr: 0.2, momentum: 0.9 });
      const made = makers[scheduler](optimizer, options);
      const seen = rates.map(() => {
        const rate = optimizer.paramGroups[0].lr;
        made.step();
        return rate;
      });
      expect(distance(seen, rates)).toBeLessThanOrEqual(1e-12);
    });
  }
});

test("a step with a poisoned gradient is skipped whole, and the next read rejects", async () => {
  const params = [start([3], 0, "float32"), start([2], 1, "float32")];
  const optimizer = new optim.SGD(params, { lr: 0.1, momentum: 0.9 });
  params.forEach((parameter, number) => (parameter.grad = gradient(parameter.shape, number, 0, "float32")));
  optimizer.step();
  const before = params.map((parameter) => [...parameter.dataSync()]);

  const scores = core.zeros([1, 2], { requiresGrad: true });
  const poison = nn.functional.crossEntropy(scores, core.tensor([7])).mul(core.ones([3]));
  params[0].grad = poison.detach();
  params[1].grad = core.ones([2]);
  optimizer.step();
  await expect(params[1].data()).rejects.toThrow(/label|out of range|index/i);
  params.forEach((parameter, i) => expect([...parameter.dataSync()]).toEqual(before[i]));

  params[0].grad = core.zeros([3]);
  params[1].grad = core.zeros([2]);
  optimizer.step();
  expect([...params[1].dataSync()]).not.toEqual(before[1]);
});

test("a step over two devices is skipped on both when one gradient is poisoned", async () => {
  expect(group(devices).size).toBe(2);
  const params = [new nn.Parameter(core.ones([2])), new nn.Parameter(core.ones([2], { device: other }))];
  const optimizer = new optim.SGD(params, { lr: 1 });
  params[0].grad = nn.functional.crossEntropy(core.zeros([1, 2]), core.tensor([9])).mul(core.ones([2]));
  params[1].grad = core.ones([2], { device: other });
  optimizer.step();
  await expect(params[1].data()).rejects.toThrow(core.ValueError);
  expect([...params[1].dataSync()]).toEqual([1, 1]);
  await expect(params[0].data()).rejects.toThrow(core.ValueError);
  expect([...params[0].dataSync()]).toEqual([1, 1]);
});

test("parameters without a gradient stay as they are", () => {
  const parameter = new nn.Parameter(core.ones([2]));
  new optim.Adam([parameter, new nn.Parameter(core.ones([1]))], { lr: 1 }).step();
  expect([...parameter.dataSync()]).toEqual([1, 1]);
});

test("a strided parameter and an expanded gradient are stepped alike", () => {
  const plain = new nn.Parameter(core.arange(6, { dtype: "float32" }).reshape([2, 3]).t().clone());
  const strided = new nn.Parameter(core.arange(6, { dtype: "float32" }).reshape([2, 3]).t());
  const optimizer = new optim.Adam([plain, strided], { lr: 0.1 });
  plain.grad = core.ones([3, 2]);
  strided.grad = core.ones([1]).expand([3, 2]);
  optimizer.step();
  expect(strided.tolistSync()).toEqual(plain.tolistSync());
});

test("groups have options of their own", () => {
  const [a, b] = [new nn.Parameter(core.zeros([1])), new nn.Parameter(core.zeros([1]))];
  const optimizer = new optim.SGD([{ params: [a] }, { params: [b], lr: 0.5 }], { lr: 0.1 });
  for (const parameter of [a, b]) parameter.grad = core.ones([1]);
  optimizer.step();
  expect(distance([a.itemSync(), b.itemSync()], [-0.1, -0.5])).toBeLessThanOrEqual(1e-7);
});

test("a state dict continues where another optimizer stopped", () => {
  const run = (optimizer: optim.Adam, parameter: nn.Parameter, from: number, to: number): void => {
    for (let step = from; step < to; step++) {
      parameter.grad = gradient(parameter.shape, 0, step, "float64");
      optimizer.step();
    }
  };
  const whole = start([4], 0, "float64");
  run(new optim.Adam([whole], { lr: 0.01, amsgrad: true }), whole, 0, 6);

  const first = start([4], 0, "float64");
  const before = new optim.Adam([first], { lr: 0.01, amsgrad: true });
  run(before, first, 0, 3);
  const second = new nn.Parameter(first.detach().clone());
  const after = new optim.Adam([second], { lr: 1 });
  after.loadStateDict(before.stateDict());
  run(after, second, 3, 6);
  expect(second.tolistSync()).toEqual(whole.tolistSync());
  expect(() => new optim.Adam([first, second]).loadStateDict(before.stateDict())).toThrow(core.ValueError);
});

test("wrong options are refused at the constructor", () => {
  const parameter = new nn.Parameter(core.ones([1]));
  expect(() => new optim.SGD([], { lr: 0.1 })).toThrow("optimizer got an empty parameter list");
  expect(() => new optim.SGD([parameter], { lr: -1 })).toThrow("Invalid lr value: -1");
  expect(() => new optim.SGD([parameter], { lr: 1, nesterov: true })).toThrow(
    "Nesterov momentum requires a momentum and zero dampening",
  );
  expect(() => new optim.Adam([parameter], { betas: [0.9, 1] })).toThrow("Invalid beta parameter at index 1: 1");
  expect(() => new optim.SGD([parameter, parameter], { lr: 1 })).toThrow(
    "some parameters appear in more than one parameter group",
  );
  expect(() => new optim.SGD([parameter.mul(2)], { lr: 1 })).toThrow("can't optimize a non-leaf Tensor");
  for (const params of [new nn.Linear(1, 1), parameter, [1], new nn.Sequential(new nn.Linear(1, 1)), undefined]) {
    expect(() => new optim.SGD(params as never, { lr: 1 })).toThrow("Give model.parameters()");
  }
  expect(() => new optim.SGD([parameter], { learningRate: 1 } as never)).toThrow("unexpected option 'learningRate'");
  expect(() => new optim.Adam([parameter], 0.1 as never)).toThrow("Adam() takes its options in an object, got 0.1");
});

test("a schedule takes gamma by position or by name, and refuses what is no number", () => {
  const { StepLR, MultiStepLR, CosineAnnealingLR, ExponentialLR } = optim.lrScheduler;
  const sgd = (): optim.SGD => new optim.SGD([new nn.Parameter(core.ones([1]))], { lr: 1 });
  for (const schedule of [new StepLR(sgd(), 1, 0.5), new StepLR(sgd(), 1, { gamma: 0.5 })]) {
    schedule.step();
    expect(schedule.getLastLr()).toEqual([0.5]);
  }
  for (const size of [0, undefined, NaN, { stepSize: 2 }]) {
    expect(() => new StepLR(sgd(), size as never)).toThrow("step_size must be a whole number from 1");
  }
  expect(() => new StepLR(sgd(), 1, { gama: 1 } as never)).toThrow("unexpected option 'gama'");
  expect(() => new MultiStepLR(sgd(), 3 as never)).toThrow(core.ValueError);
  expect(() => new ExponentialLR(sgd(), undefined as never)).toThrow("gamma must be a number");
  expect(() => new CosineAnnealingLR(sgd(), undefined as never)).toThrow("tMax must be a number");
  expect(() => new StepLR(new nn.Linear(1, 1) as never, 1)).toThrow("a Linear is not an Optimizer");
});

test("a step that is refused was none, nor was a checkpoint that does not fit", () => {
  const parameter = new nn.Parameter(core.ones([2]));
  const adam = new optim.Adam([parameter], { lr: 0.1 });
  const step = (): void => {
    parameter.grad = core.ones([2]);
    adam.step();
  };
  step();
  const saved = adam.stateDict();
  const wrong = new nn.Parameter(core.ones([1]));
  const other = new optim.Adam([wrong], { lr: 7 });
  wrong.grad = core.ones([1]);
  other.step();
  expect(() => adam.loadStateDict(other.stateDict() as never)).toThrow("expAvg of shape [1] for a parameter of shape [2]");
  expect(adam.stateDict()).toEqual(saved);
  const disposed = core.ones([2]);
  parameter.grad = disposed;
  disposed.dispose();
  expect(() => adam.step()).toThrow(core.DisposedError);
  expect(adam.stateOf(parameter)?.step?.itemSync()).toBe(1);
});

test("optimizers of two classes with one name have kernels of their own", () => {
  const Namesake = { SGD: class SGD extends optim.RMSprop {} }.SGD;
  const [a, b] = [new nn.Parameter(core.ones([1])), new nn.Parameter(core.ones([1]))];
  a.grad = core.ones([1]).mul(2);
  b.grad = core.ones([1]).mul(2);
  new optim.SGD([a], { lr: 0.5 }).step();
  new Namesake([b], { lr: 0.5, alpha: 0 }).step();
  expect([a.tolistSync(), b.tolistSync()]).toEqual([[0], [0.5]]);
});

test("a schedule that gives no number is refused and changes no rate", () => {
  const sgd = new optim.SGD([new nn.Parameter(core.ones([1]))], { lr: 0.25 });
  expect(() => new optim.lrScheduler.LinearLR(sgd, { totalIters: 0 })).toThrow("learning rate of epoch 0 would be NaN");
  expect(sgd.paramGroups[0].lr).toBe(0.25);
});

test("an optimizer prints its options as PyTorch's", () => {
  const text = String(new optim.Adam([new nn.Parameter(core.ones([1]))]));
  expect(text).toContain("    amsgrad: False\n    betas: (0.9, 0.999)\n    eps: 1e-08\n");
});

test("gradients are clipped to their common norm", () => {
  const params = [new nn.Parameter(core.zeros([2])), new nn.Parameter(core.zeros([1]))];
  params[0].grad = core.tensor([3.5, 0.5]).sub(0.5);
  params[1].grad = core.tensor([4.5]).sub(0.5);
  const norm = nn.clipGradNorm_(params, 1);
  expect(norm?.itemSync()).toBeCloseTo(5, 5);
  expect(
    distance([...params[0].grad.dataSync(), ...params[1].grad.dataSync()].map(Number), [0.6, 0, 0.8]),
  ).toBeLessThanOrEqual(1e-6);
});

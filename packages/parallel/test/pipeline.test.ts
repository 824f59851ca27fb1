import { manualSeed, nn, ones, optim, rand, randint, randLike, randn, randnLike, tidy } from "@troupe/core";
import type { Tensor } from "@troupe/core";
import { inBatchRows } from "@troupe/core/executor";
import { mock } from "@troupe/core/testing";
import { pipeline } from "@troupe/parallel";
import type { PipelineOptions } from "@troupe/parallel";
import { afterAll, describe, expect, test } from "vitest";
import { cpu } from "@troupe/device-cpu";
import {
  classes,
  cnn,
  differences,
  loss,
  mlp,
  schedules,
  trained,
  trainingDifferences,
  type Trained,
} from "./pipeline-training.ts";

const F = nn.functional;
const mocks = [0, 1, 2].map((index) => mock({ index }));
const cpus = [0, 1, 2].map((index) => cpu({ index, threads: 1 }));
afterAll(() => Promise.allSettled([...mocks, ...cpus].map((device) => device.close())));

test("random tensors of some rows of a batch are those rows of the whole batch's", () => {
  const [here] = mocks;
  const draws = (rows: number): Tensor[] => {
    const like = ones([rows, 3], { device: here });
    return [
      rand([rows, 3], { device: here }),
      randn([2 * rows, 2], { device: here }),
      randint(9, [rows], { device: here }),
      randLike(like),
      randnLike(like),
      F.dropout(like, 0.5),
      F.featureDropout(ones([rows, 4, 2], { device: here }), 0.5),
      rand([3, 2], { device: here }),
    ];
  };
  manualSeed(8);
  const whole = draws(7);
  manualSeed(8);
  const part = inBatchRows({ start: 2, count: 4 }, () => draws(4));
  expect(part.map(({ shape }) => shape[0])).toEqual([4, 8, 4, 4, 4, 4, 4, 3]);
  // What has no row for each sample is the same for all parts of the batch.
  const expected = whole.map((all, i) => (i === 7 ? all : all.narrow(0, i === 1 ? 4 : 2, part[i].shape[0])));
  expect(part.map((drawn) => drawn.tolistSync())).toEqual(expected.map((drawn) => drawn.tolistSync()));
});

describe("training in a pipeline is training on one device, with dropout on", () => {
  for (const schedule of schedules) {
    for (const count of [1, 2, 3]) {
      test(`MLP, ${schedule}, ${count} devices, batches that do not divide into micro-batches`, () => {
        expect(
          trainingDifferences({ model: mlp, sample: [5] }, mocks.slice(0, count), { schedule, microbatches: 5 }),
        ).toEqual([]);
      });
    }

    test(`CNN, ${schedule}, on CPUs`, () => {
      expect(
        trainingDifferences({ model: cnn, sample: [1, 8, 8] }, cpus, { schedule, microbatches: 4, stages: [2, 3, 3] }),
      ).toEqual([]);
    });

    test(`MLP in float64, ${schedule}, on CPUs`, () => {
      expect(
        trainingDifferences({ model: mlp, sample: [5], dtype: "float64" }, cpus.slice(0, 2), {
          schedule,
          microbatches: 3,
        }),
      ).toEqual([]);
    });

    test(`accumulated and clipped gradients, ${schedule}`, () => {
      expect(
        trainingDifferences(
          { model: mlp, sample: [5], batches: [6, 7, 6, 5], accumulate: 2, clip: 0.5 },
          mocks.slice(0, 2),
          { schedule, microbatches: 4 },
        ),
      ).toEqual([]);
    });
  }

  for (const count of [4, 8]) {
    test(`${count} devices`, () => {
      const model = (): nn.Sequential =>
        new nn.Sequential(
          ...Array.from({ length: 7 }, () => [new nn.Linear(5, 5), new nn.Dropout(0.1)]).flat(),
          new nn.Linear(5, classes),
        );
      const more = Array.from({ length: count - mocks.length }, () => mock());
      const training = { model, sample: [5], batches: [9, 10] };
      expect(trainingDifferences(training, [...mocks, ...more], { microbatches: 6 })).toEqual([]);
      return Promise.allSettled(more.map((device) => device.close()));
    });
  }

  test("one micro-batch is plain network partitioning, with the same bits", () => {
    const training = { model: mlp, sample: [5] };
    const [expected, actual] = [
      trained(training, mocks[0]),
      trained(training, mocks[0], { devices: mocks, microbatches: 1 }),
    ];
    for (const [name, value] of Object.entries(expected.state))
      expect(actual.state[name].dataSync()).toEqual(value.dataSync());
  });

  test("two runs give the same bits", () => {
    const run = (): Trained => trained({ model: mlp, sample: [5] }, mocks[0], { devices: mocks, microbatches: 6 });
    const [first, second] = [run(), run()];
    for (const [name, value] of Object.entries(first.state))
      expect(second.state[name].dataSync()).toEqual(value.dataSync());
  });

  test("a step in-place at the start of a stage, and a stage of one activation", () => {
    const model = (): nn.Sequential =>
      new nn.Sequential(new nn.Linear(5, 6), new nn.ReLU({ inplace: true }), new nn.Linear(6, classes));
    expect(trainingDifferences({ model, sample: [5] }, mocks, { microbatches: 3, stages: [1, 1, 1] })).toEqual([]);
  });

  test("words as input, every step in tidy(); batch norm, whose running statistics stay, with one micro-batch", () => {
    const run = (model: () => nn.Sequential, words: boolean, microbatches?: number): nn.StateDict => {
      manualSeed(5);
      const net = model().to(mocks[0]);
      const optimizer = new optim.Adam(net.parameters(), { lr: 0.01 });
      const pipe = microbatches === undefined ? undefined : pipeline(net, { devices: mocks.slice(1), microbatches });
      for (let i = 0; i < 3; i++) {
        tidy(() => {
          const input = words ? randint(10, [8, 3], { device: mocks[0] }) : randn([8, 5], { device: mocks[0] });
          const target = randint(classes, [8], { device: mocks[0] });
          optimizer.zeroGrad();
          if (pipe === undefined) loss(net.forward(input), target).backward();
          else pipe.step(input, target, loss);
          optimizer.step();
        });
      }
      return net.stateDict();
    };
    const words = (): nn.Sequential =>
      new nn.Sequential(new nn.Embedding(10, 4), new nn.Flatten(), new nn.LayerNorm(12), new nn.Linear(12, classes));
    const normed = (): nn.Sequential =>
      new nn.Sequential(new nn.Linear(5, 8), new nn.BatchNorm1d(8), new nn.ReLU(), new nn.Linear(8, classes));
    expect(differences(run(words, true, 4), run(words, true))).toEqual([]);
    expect(differences(run(normed, false, 1), run(normed, false))).toEqual([]);
  });

  test("frozen first layers", () => {
    const model = (): nn.Sequential => {
      const net = new nn.Sequential(
        new nn.Linear(5, 6),
        new nn.Tanh(),
        new nn.Linear(6, 6),
        new nn.Tanh(),
        new nn.Linear(6, classes),
      );
      net
        .parameters()
        .slice(0, 2)
        .forEach((parameter) => parameter.requiresGrad_(false));
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
    expect(differences(run({ devices: mocks, stages: [2, 2, 1], microbatches: 2 }), run())).toEqual([]);
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
    expect(differences(run(true), run(false))).toEqual([]);
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
    expect(differences(run(true), run(false))).toEqual([]);
  });
});

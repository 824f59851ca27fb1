/** Strategies compared: what `compareStrategies` says is what happens. */
import { getRngState, manualSeed, nn, optim, randint, randn, setDefaultDevice } from "@troupe/core";
import { cpu } from "@troupe/device-cpu";
import {
  alternating,
  compareStrategies,
  dataParallelBytes,
  dataParallelOver,
  layerwiseBytes,
  layerwiseOver,
  median,
  onOneDevice,
  pipelineBubble,
  pipelineBytes,
  pipelinedOver,
  speedup,
} from "@troupe/parallel";
import type { CompareOptions, Comparison, Job, StrategyResult } from "@troupe/parallel";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const devices = [0, 1, 2].map((index) => cpu({ index, threads: 1 }));
const [first] = devices;
const classes = 4;
/** Dead numbers that share a finaliser with ones that live: far less than one network. */
const smallBytes = 2048;
setDefaultDevice(first);
afterAll(() => Promise.allSettled(devices.map((device) => device.close())));

const mlp = (): nn.Sequential =>
  new nn.Sequential(
    new nn.Linear(12, 30),
    new nn.ReLU(),
    new nn.Dropout(0.2),
    new nn.Linear(30, 16),
    new nn.ReLU(),
    new nn.Linear(16, classes),
  );

const cnn = (): nn.Sequential =>
  new nn.Sequential(
    new nn.Unflatten(1, [1, 3, 4]),
    new nn.Conv2d(1, 4, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.Conv2d(4, 5, 2),
    new nn.ReLU(),
    new nn.Flatten(),
    new nn.Linear(30, 9),
    new nn.ReLU(),
    new nn.Linear(9, classes),
  );

function jobOf(model: () => nn.Sequential): Job {
  manualSeed(5);
  const input = randn(70, 12);
  const target = randint(classes, [70]);
  return {
    model,
    loss: nn.functional.crossEntropy,
    optimizer: (parameters) => new optim.Adam(parameters, { lr: 0.01 }),
    train: { input, target },
    test: { input, target },
  };
}

/** @param stages of the pipelines; by default as the clock has it, which is not the same every time */
const options = (count: number, others: Partial<CompareOptions> = {}, stages?: readonly number[]): CompareOptions => {
  const members = devices.slice(0, count);
  return {
    strategies: [
      onOneDevice(first),
      dataParallelOver(members),
      layerwiseOver(members),
      pipelinedOver(members, { schedule: "gpipe", microbatches: 5, stages }),
      pipelinedOver(members, { schedule: "1f1b", microbatches: 5, stages }),
    ],
    batch: 16,
    epochs: 2,
    ...others,
  };
};

describe.each([
  ["an MLP with dropout", mlp, 2],
  ["an MLP with dropout", mlp, 3],
  ["a CNN", cnn, 2],
  ["a CNN", cnn, 3],
] as const)("%s (%o) on %i devices", (_name, model, count) => {
  let comparison: Comparison;
  const done = new Map<string, number>();
  beforeAll(async () => {
    const onProgress: CompareOptions["onProgress"] = (progress) => done.set(progress.strategy, progress.done);
    comparison = await compareStrategies(jobOf(model), options(count, { onProgress }));
  }, 60_000);

  test("every strategy computes what one device computes", () => {
    expect(comparison.results.map(({ name }) => name)).toEqual(["single", "data", "layerwise", "gpipe", "1f1b"]);
    const [single, ...others] = comparison.results;
    expect(single.difference).toEqual({ gradients: 0, parameters: 0 });
    for (const { difference, losses, accuracy } of others) {
      // Not 0 either: sums come in another order.
      expect(difference.gradients).toBeGreaterThan(0);
      expect(difference.gradients).toBeLessThan(1e-6);
      expect(difference.parameters).toBeLessThan(4e-5);
      losses.forEach((loss, step) => expect(loss).toBeCloseTo(single.losses[step], 4));
      expect(accuracy).toBeCloseTo(single.accuracy ?? NaN, 1);
    }
  });

  test("the bytes counted are the formula's", () => {
    const [single, ...others] = comparison.results;
    expect(single.bytes).toEqual({ counted: 0, predicted: 0 });
    for (const { bytes } of others) {
      expect(bytes.counted).toBe(bytes.predicted);
      expect(bytes.counted).toBeGreaterThan(0);
    }
  });

  test("epochs are timed one by one, every step's loss is kept", () => {
    for (const { name, losses, samplesPerSecond, coordinatorShare } of comparison.results) {
      // 70 samples make 4 whole batches of 16; before the epochs come the steps that are compared.
      expect(losses).toHaveLength(8);
      expect(done.get(name)).toBe(comparison.comparedSteps + 8);
      expect(samplesPerSecond).toHaveLength(2);
      for (const speed of samplesPerSecond) expect(speed).toBeGreaterThan(0);
      for (const share of coordinatorShare) expect(share).toBeGreaterThanOrEqual(0);
    }
  });

  test("every device has a track in the timeline, within the step; idle time is a part of it", () => {
    for (const { devices: names, timeline, bubble } of comparison.results) {
      expect([...new Set(timeline.events.map(({ device }) => device))].sort()).toEqual([...names].sort());
      for (const { start, duration } of timeline.events) {
        expect(start).toBeGreaterThanOrEqual(0);
        expect(start + duration).toBeLessThanOrEqual(timeline.duration + 1e-6);
      }
      expect(timeline.events.filter(({ name }) => name === "matmul").length).toBeGreaterThan(0);
      expect(bubble.measured).toBeGreaterThanOrEqual(0);
      expect(bubble.measured).toBeLessThan(1);
      const tracks = timeline.trace.traceEvents.filter(({ name }) => name === "thread_name");
      expect(tracks.map(({ args }) => args.name)).toEqual(names);
    }
  });

  test("pipelines have a bubble by formula, the others none", () => {
    expect(comparison.results.map(({ bubble }) => bubble.predicted)).toEqual([
      0,
      0,
      0,
      pipelineBubble(count, 5),
      pipelineBubble(count, 5),
    ]);
  });
});

test("memory: data parallelism repeats parameters, layer-wise splits them, GPipe holds more than 1F1B", async () => {
  const wide = (): nn.Sequential =>
    new nn.Sequential(
      new nn.Linear(12, 300),
      new nn.ReLU(),
      new nn.Linear(300, 300),
      new nn.ReLU(),
      new nn.Linear(300, classes),
    );
  const { results } = await compareStrategies(jobOf(wide), options(2, { batch: 64, epochs: 1 }, [2, 3]));
  const peaks = Object.fromEntries(results.map(({ name, peakBytes }) => [name, peakBytes]));
  // Parameters, their gradients, and two numbers of state each.
  const parameters = 4 * 4 * (13 * 300 + 301 * 300 + 301 * classes);
  expect(peaks.single[0]).toBeGreaterThan(parameters);
  for (const peak of peaks.data) expect(peak).toBeGreaterThan(parameters);
  for (const peak of peaks.layerwise) expect(peak).toBeLessThan(0.8 * parameters);
  expect(peaks.gpipe[1]).toBeGreaterThan(peaks["1f1b"][1]);
});

test("a comparison is repeatable, leaves the random stream alone, and frees what it made", async () => {
  manualSeed(3);
  const before = getRngState();
  const job = jobOf(mlp);
  manualSeed(3);
  // The other tests' garbage is elsewhere.
  const members = [3, 4].map((index) => cpu({ index, threads: 1 }));
  const strategies = [
    onOneDevice(members[0]),
    dataParallelOver(members),
    layerwiseOver(members),
    pipelinedOver(members, { schedule: "gpipe", microbatches: 5, stages: [3, 3] }),
  ];
  const one = await compareStrategies(job, options(2, { strategies }));
  await Promise.all(members.map((device) => device.fence()));
  for (const device of members) expect(device.stats().bytesLive).toBeLessThan(smallBytes);
  const two = await compareStrategies(job, options(2, { strategies }));
  await Promise.all(members.map((device) => device.close()));
  expect(getRngState()).toEqual(before);
  const numbers = ({ results }: Comparison): unknown =>
    results.map(({ losses, difference, bytes, accuracy }) => ({ losses, difference, bytes, accuracy }));
  expect(numbers(two)).toEqual(numbers(one));
  const peaks = ({ results }: Comparison): number[] => results.flatMap(({ peakBytes }) => peakBytes);
  peaks(two).forEach((peak, i) => expect(Math.abs(peak - peaks(one)[i])).toBeLessThan(smallBytes));
});

describe("formulas", () => {
  const layers = [
    { name: "0", inputBytes: 48, outputBytes: 120, parameterBytes: 1000 },
    { name: "1", inputBytes: 120, outputBytes: 120, parameterBytes: 0 },
    { name: "2", inputBytes: 120, outputBytes: 64, parameterBytes: 500 },
  ];
  const batch = { rows: 6, inputBytes: 48, targetBytes: 24, countBytes: 4 };

  test("data parallel: 2 (d - 1) / d of the gradients' bytes a device, and the other devices' rows", () => {
    expect(dataParallelBytes(1, layers, batch)).toBe(0);
    expect(dataParallelBytes(3, layers, batch) / 3).toBeCloseTo(((2 * 2) / 3) * 1504 + (2 / 3) * (72 / 3), 9);
  });

  test("layer-wise: a pair at the network's start has one all-reduce, forward", () => {
    const model = new nn.Sequential(new nn.Linear(2, 3), new nn.ReLU(), new nn.Linear(3, 2));
    const plan = alternating(model);
    expect(Object.entries(plan).map(([path, style]) => [path, style.name])).toEqual([
      ["0", "column"],
      ["2", "row"],
    ]);
    expect(layerwiseBytes(2, plan, layers, batch)).toBe(72 + 2 * 64);
    // Behind a layer with parameters there is one backward, too.
    const behind = [{ name: "first", inputBytes: 48, outputBytes: 48, parameterBytes: 8 }, ...layers];
    expect(layerwiseBytes(2, plan, behind, batch)).toBe(72 + 2 * 64 + 2 * 48);
  });

  test("a pipeline: each cut's activations and their gradients, and the targets", () => {
    expect(pipelineBytes([3], layers, batch)).toBe(0);
    expect(pipelineBytes([2, 1], layers, batch)).toBe(24 + 2 * 120);
    expect(pipelineBubble(4, 12)).toBe(3 / 15);
  });

  test("an odd layer is left whole by the alternating plan", () => {
    expect(Object.keys(alternating(mlp()))).toEqual(["0", "3"]);
    expect(Object.keys(alternating(cnn()))).toEqual(["1", "3", "6", "8"]);
  });

  test("a median, and a speed-up round by round", () => {
    expect([median([3, 1, 2]), median([4, 1, 2, 3]), median([7])]).toEqual([2, 2.5, 7]);
    const result = (samplesPerSecond: number[]): StrategyResult => ({ samplesPerSecond }) as unknown as StrategyResult;
    // A slow round is slow for both.
    expect(speedup(result([20, 2, 22]), result([10, 1, 10]))).toBe(2);
  });
});

describe("refused before anything is trained", () => {
  const job = jobOf(mlp);
  test.each([
    ["no strategy", { strategies: [] }, /no strategy/],
    ["a batch of 0", { batch: 0 }, /batch must be a whole number from 1, got 0/],
    ["a batch beyond the samples", { batch: 71 }, /a batch of 71 is more than the 70 samples/],
    ["no epochs", { epochs: 0 }, /epochs must be/],
    ["half a step", { steps: 0.5 }, /steps must be/],
    ["one name twice", { strategies: [onOneDevice(first), onOneDevice(first)] }, /two strategies are called "single"/],
    [
      "fewer samples than micro-batches",
      { strategies: [pipelinedOver(devices.slice(0, 2), { schedule: "gpipe", microbatches: 17 })] },
      /a batch of 16 does not make 17 micro-batches/,
    ],
  ])("%s", async (_what, wrong, message) => {
    await expect(compareStrategies(job, options(2, wrong))).rejects.toThrow(message);
  });

  test("more stages than layers", async () => {
    const small = jobOf(() => new nn.Sequential(new nn.Linear(12, 8), new nn.Linear(8, classes)));
    const strategies = [pipelinedOver(devices, { schedule: "1f1b", microbatches: 2 })];
    const refused = compareStrategies(small, options(3, { strategies }));
    await expect(refused).rejects.toThrow(/2 children cannot make 3 stages/);
  });
});

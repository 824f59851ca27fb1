/**
 * Comparing strategies: the same network, from the same numbers, on the same samples in the same order, trained in each
 * way. First a few steps one at a time, for what must be exact (numbers, bytes, memory) and to warm up; then epochs
 * against the clock, in turns, so that a noisy machine is as unkind to all; then one step under the profiler.
 */
import { getRngState, setRngState, tidy, ValueError } from "@troupe/core";
import type { Device, nn, Tensor } from "@troupe/core";
import { measureSteps } from "../network/measure.ts";
import type { StageCost } from "../network/simulate.ts";
import { bytesOf, layerSizes } from "./layers.ts";
import { Batches, Order } from "./order.ts";
import type { Samples } from "./order.ts";
import type { BatchSize } from "./predict.ts";
import { bytesInUse, difference, probe } from "./probe.ts";
import type { Probed } from "./probe.ts";
import { lap } from "./race.ts";
import type { Lap } from "./race.ts";
import { median } from "./result.ts";
import type { Comparison, StrategyResult } from "./result.ts";
import { Run } from "./run.ts";
import type { Job } from "./run.ts";
import type { Strategy, Task } from "./strategy.ts";
import { recordStep } from "./timeline.ts";
import type { Timeline } from "./timeline.ts";

export interface CompareOptions {
  /** The first one is what the others' numbers are compared with. */
  readonly strategies: readonly Strategy[];
  /** Samples a step, over all devices. */
  readonly batch: number;
  /** Timed passes over the training samples. */
  readonly epochs: number;
  /** The most steps in an epoch; by default as many as there are whole batches. */
  readonly steps?: number;
  /** Of starting values, dropout and order; 0 by default. */
  readonly seed?: number;
  /** Told of each strategy's progress. */
  readonly onProgress?: (progress: CompareProgress) => void;
}

export interface CompareProgress {
  readonly strategy: string;
  /** Steps done, and to do. */
  readonly done: number;
  readonly total: number;
  /** Mean loss of the steps that were done last. */
  readonly loss: number;
}

/** Steps whose numbers are compared. */
const comparedSteps = 5;
/** Recordings under the profiler; the one with the middle part of idle time is kept. */
const recordings = 5;

/**
 * Trains a job in each way, and says how each did and what it should have cost.
 * @throws ValueError for options out of range, and where the network cannot be trained in one of the ways
 */
export async function compareStrategies(job: Job, options: CompareOptions): Promise<Comparison> {
  assertOptions(job, options);
  const outside = getRngState();
  try {
    return await compared(job, options);
  } finally {
    setRngState(outside);
  }
}

async function compared(job: Job, options: CompareOptions): Promise<Comparison> {
  const { strategies, batch, epochs, steps = Infinity, seed = 0, onProgress } = options;
  const [reference] = strategies;
  const order = new Order(job.train.input.shape[0], batch, steps, seed + 1, reference.devices[0]);
  // What is made here goes when it is done, also by an error.
  using made = new DisposableStack();
  const samples = new Map<Device, Samples>();
  for (const { devices } of strategies) {
    if (!samples.has(devices[0])) samples.set(devices[0], samplesOn(devices[0], job.train, made));
  }
  /** Batches for each strategy, by its first device. */
  const batchesOf = (rows: readonly (readonly number[])[], stack: DisposableStack): Map<Device, Batches> =>
    new Map(Array.from(samples, ([device, own]) => [device, stack.use(new Batches(own, rows))]));

  const entrants: Entrant[] = [];
  const costs = new Map<number, readonly StageCost[]>();
  for (const strategy of strategies) {
    const { input } = samples.get(strategy.devices[0]) as Samples;
    const before = await bytesInUse(strategy.devices);
    const layout = (model: nn.Sequential): Pick<Task, "rows" | "costs"> => ({
      rows: batch,
      costs: measuredOnce(costs, model, input),
    });
    const run = made.use(new Run(strategy, job, layout, seed));
    const ownBytes = (await bytesInUse(strategy.devices)).map((bytes, i) => bytes - before[i]);
    entrants.push({ run, ownBytes, laps: [], probed: { numbers: [], bytes: 0, peakBytes: [] } });
  }
  const report = progressOf(entrants, comparedSteps + epochs * order.steps, onProgress);
  // Each entrant sees the same batches: the first epoch's first ones.
  const first = await order.epoch();
  const probes = batchesOf(Array.from({ length: comparedSteps }, (_, i) => first[i % first.length]), made);
  for (const entrant of entrants) {
    entrant.probed = await probe(entrant.run, batchesFor(entrant, probes), entrant.ownBytes);
    report(entrant, comparedSteps);
  }
  for (let epoch = 0; epoch < epochs; epoch++) {
    using round = new DisposableStack();
    const batches = batchesOf(await order.epoch(), round);
    // Whoever goes first in one round goes last in the next.
    for (let turn = 0; turn < entrants.length; turn++) {
      const entrant = entrants[(turn + epoch) % entrants.length];
      entrant.laps.push(await lap(entrant.run, batchesFor(entrant, batches)));
      report(entrant, comparedSteps + (epoch + 1) * order.steps);
    }
  }
  const sizes = sizesOf(job, reference.devices[0], batch);
  const results: StrategyResult[] = [];
  for (const entrant of entrants) {
    results.push(await resultOf(entrant, entrants[0], job, batchesFor(entrant, probes)[0], sizes));
  }
  return { batch, epochs, comparedSteps, results };
}

/** A strategy that takes part, and what is known of it so far. */
interface Entrant {
  readonly run: Run;
  /** By device: bytes that its network takes as it was laid out. */
  readonly ownBytes: readonly number[];
  readonly laps: Lap[];
  probed: Probed;
}

/** What each child of a network costs for some of the samples, unless that is known already. */
function measuredOnce(
  known: Map<number, readonly StageCost[]>,
  model: nn.Sequential,
  samples: Tensor,
): (rows: number) => readonly StageCost[] {
  return (rows) => {
    const costs = known.get(rows) ?? measureSteps([...model], samples.narrow(0, 0, rows));
    known.set(rows, costs);
    return costs;
  };
}

async function resultOf(
  { run, laps, probed }: Entrant,
  reference: Entrant,
  job: Job,
  batch: Samples,
  sizes: ReturnType<typeof sizesOf>,
): Promise<StrategyResult> {
  const { strategy, trainer } = run;
  const accuracy = job.test === undefined ? undefined : await run.accuracy(job.test);
  const timelines: Timeline[] = [];
  for (let i = 0; i < recordings; i++) timelines.push(await recordStep(run, batch));
  const idle = median(timelines.map((timeline) => timeline.idle));
  return {
    name: strategy.name,
    title: strategy.title,
    devices: strategy.devices.map(({ name }) => name),
    samplesPerSecond: laps.map(({ samplesPerSecond }) => samplesPerSecond),
    coordinatorShare: laps.map(({ coordinatorShare }) => coordinatorShare),
    peakBytes: probed.peakBytes,
    bytes: { counted: probed.bytes, predicted: trainer.bytesAStep(sizes.layers, sizes.batch) },
    bubble: {
      measured: idle,
      simulated: trainer.schedule.bubble,
      predicted: trainer.bubble,
    },
    difference: difference(probed.numbers, reference.probed.numbers),
    losses: laps.flatMap(({ losses }) => losses),
    accuracy,
    schedule: trainer.schedule,
    timeline: timelines.find((timeline) => timeline.idle === idle) ?? timelines[0],
  };
}

/** The network's and a batch's bytes, for the formulas. */
function sizesOf({ model, train }: Job, device: Device, rows: number): {
  readonly layers: ReturnType<typeof layerSizes>;
  readonly batch: BatchSize;
} {
  const [input, target] = [train.input, train.target].map((all) => all.narrow(0, 0, rows));
  const layers = tidy(() => layerSizes(model().to(device), input.to(device)));
  const countBytes = target.isFloatingPoint() ? 0 : Float32Array.BYTES_PER_ELEMENT;
  return { layers, batch: { rows, inputBytes: bytesOf(input), targetBytes: bytesOf(target), countBytes } };
}

/** Samples on a device; copies are for `made` to free. */
function samplesOn(device: Device, { input, target }: Samples, made: DisposableStack): Samples {
  const there = (x: Tensor): Tensor => (x.device === device ? x : made.use(x.to(device)));
  return { input: there(input), target: there(target) };
}

function batchesFor({ run }: Entrant, batches: ReadonlyMap<Device, Batches>): readonly Samples[] {
  return batches.get(run.strategy.devices[0])?.list ?? [];
}

function progressOf(
  entrants: readonly Entrant[],
  total: number,
  onProgress: CompareOptions["onProgress"],
): (entrant: Entrant, done: number) => void {
  const tell = ({ run, laps }: Entrant, done: number): void => {
    const losses = laps.at(-1)?.losses ?? [];
    const loss = losses.reduce((sum, one) => sum + one, 0) / losses.length;
    onProgress?.({ strategy: run.strategy.name, done, total, loss });
  };
  for (const entrant of entrants) tell(entrant, 0);
  return tell;
}

function assertOptions({ train }: Job, { strategies, batch, epochs, steps, seed = 0 }: CompareOptions): void {
  const samples = train.input.shape[0];
  if (strategies.length === 0) throw refusal("there is no strategy to compare");
  const names = strategies.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw refusal(`two strategies are called "${twice}"`);
  if (train.target.shape[0] !== samples) throw refusal(`${samples} samples and ${train.target.shape[0]} targets`);
  for (const [what, value] of Object.entries({ batch, epochs, steps: steps ?? 1 })) {
    if (!Number.isInteger(value) || value < 1) throw refusal(`${what} must be a whole number from 1, got ${value}`);
  }
  if (batch > samples) throw refusal(`a batch of ${batch} is more than the ${samples} samples`);
  if (!Number.isSafeInteger(seed)) throw refusal(`seed must be a whole number, got ${seed}`);
}

function refusal(message: string): ValueError {
  return new ValueError(message, { op: "compareStrategies" });
}

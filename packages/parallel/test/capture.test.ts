/** Captured steps over several devices: what passes between them is issued again with numbers of its own. */
import { capture, getRngState, manualSeed, nn, optim, randint, randn, zeros } from "@troupe/core";
import type { Tensor } from "@troupe/core";
import { mock } from "@troupe/core/testing";
import { column, dataParallel, deviceMesh, layerwise, pipeline, row } from "@troupe/parallel";
import { afterAll, describe, expect, test } from "vitest";

const F = nn.functional;
const devices = [mock({ index: 0 }), mock({ index: 1 })];
afterAll(() => Promise.allSettled(devices.map((device) => device.close())));

const [here, there] = devices;
const classes = 3;

type TrainStep = (images: Tensor, labels: Tensor) => Tensor;
type Wrap = (step: TrainStep) => TrainStep;

interface Job {
  readonly model: nn.Module;
  readonly optimizer: optim.Optimizer;
  /** The loss of a batch, with gradients added. */
  readonly backward: TrainStep;
}

function network(own = devices): nn.Sequential {
  manualSeed(3);
  const layers = [new nn.Linear(4, 6), new nn.ReLU(), new nn.Dropout(0.3), new nn.Linear(6, classes)];
  return new nn.Sequential(...layers).to(own[0]);
}

function trainedBy(model: nn.Module & { forward(x: Tensor): Tensor }): Job {
  const optimizer = new optim.Adam(model.parameters(), { lr: 0.05 });
  const backward: TrainStep = (images, labels) => {
    const loss = F.crossEntropy(model.forward(images), labels);
    loss.backward();
    return loss;
  };
  return { model, optimizer, backward };
}

const jobs: Readonly<Record<string, (own?: typeof devices) => Job>> = {
  "data-parallel": (own = devices) => trainedBy(dataParallel(network(own), { devices: own })),
  layerwise: (own = devices) =>
    trainedBy(layerwise(network(own), deviceMesh(own, { tp: 2 }), { 0: column(), 3: row() })),
  pipeline: (own = devices) => {
    const pipe = pipeline(network(own), { devices: own, microbatches: 2 });
    const optimizer = new optim.Adam(pipe.parameters(), { lr: 0.05 });
    return { model: pipe, optimizer, backward: (images, labels) => pipe.step(images, labels, F.crossEntropy) };
  },
};

function batches(
  count: number, sizes: readonly number[] = [6], device = here,
): (readonly [images: Tensor, labels: Tensor])[] {
  manualSeed(4);
  return Array.from({ length: count }, (_, i) => {
    const size = sizes[i % sizes.length];
    return [randn([size, 4], { device }), randint(classes, [size], { device })] as const;
  });
}

function outcome(losses: readonly unknown[], { model }: Job): unknown {
  const gradients = model.parameters().map(({ grad }) => grad && [...grad.dataSync()]);
  return [losses, model.parameters().map((parameter) => [...parameter.dataSync()]), gradients, getRngState()];
}

/** @returns how often it was recorded */
function expectAlike(train: (wrap: Wrap) => unknown): number {
  let captured: ReturnType<typeof capture> | undefined;
  const expected = train((step) => step);
  const actual = train((step) => (captured = capture(step) as ReturnType<typeof capture>) as TrainStep);
  expect(actual).toEqual(expected);
  const recorded = captured?.captures ?? 0;
  captured?.dispose();
  return recorded;
}

describe.each(Object.entries(jobs))("%s", (_name, make) => {
  const whole = (job: Job): TrainStep => (images, labels) => {
    job.optimizer.zeroGrad();
    const loss = job.backward(images, labels);
    job.optimizer.step();
    return loss;
  };

  test("captured training is eager training, bit for bit, with dropout and batches of two sizes", () => {
    const captures = expectAlike((wrap) => {
      const job = make();
      const step = wrap(whole(job));
      manualSeed(0);
      return outcome(batches(12, [6, 6, 4]).map((batch) => step(...batch).itemSync()), job);
    });
    expect(captures).toBe(2);
  });

  test("what is issued eagerly between the calls, transfers and collectives too, does not disturb them", () => {
    const captures = expectAlike((wrap) => {
      const job = make();
      const eager = whole(job);
      const step = wrap(whole(job));
      manualSeed(0);
      const losses = batches(12).map((batch, i) => {
        if (i % 4 === 3) return eager(...batch).detach().itemSync();
        const [images] = batch;
        return [step(...batch).itemSync(), images.to(there).add(1).to(here).sum().itemSync()];
      });
      return outcome(losses, job);
    });
    expect(captures).toBeGreaterThan(0);
  });

  test("gradients accumulate; a step and a look at them between the calls finish sums that are pending", () => {
    const captures = expectAlike((wrap) => {
      const job = make();
      const step = wrap(job.backward);
      manualSeed(0);
      const losses = batches(20).map((batch, i) => {
        const loss = step(...batch);
        const seen = i % 3 === 0 ? [...(job.model.parameters()[0].grad as Tensor).dataSync()] : [];
        if (i % 4 === 3) job.optimizer.step();
        if (i % 4 === 3) job.optimizer.zeroGrad();
        return [i % 2 === 0 ? loss.itemSync() : 0, seen];
      });
      return outcome(losses, job);
    });
    expect(captures).toBeGreaterThan(0);
  });

  test("gradients are clipped by their norm over all devices", () => {
    const captures = expectAlike((wrap) => {
      const job = make();
      const step = wrap((images, labels) => {
        job.optimizer.zeroGrad();
        const loss = job.backward(images, labels);
        nn.clipGradNorm_(job.model.parameters(), 0.2);
        job.optimizer.step();
        return loss;
      });
      return outcome(batches(6).map((batch) => step(...batch).itemSync()), job);
    });
    expect(captures).toBe(1);
  });

  test("a bad label poisons its own step only, on all devices", async () => {
    const train = async (wrap: Wrap): Promise<unknown> => {
      const job = make();
      const step = wrap(whole(job));
      manualSeed(0);
      const losses: unknown[] = [];
      for (const [i, [images, labels]] of batches(6).entries()) {
        const loss = step(images, i === 3 ? labels.add(classes) : labels);
        losses.push(await loss.item().catch((error: unknown) => (error as Error).name));
        // The other devices tell once that they skipped the step.
        await Promise.allSettled(devices.map((device) => zeros([1], { device }).item()));
      }
      return outcome(losses, job);
    };
    const expected = await train((step) => step);
    expect(JSON.stringify(expected)).toContain("ValueError");
    expect(await train((step) => capture(step))).toEqual(expected);
  });

  test("memory is flat over many calls", async () => {
    const own = [mock(), mock()];
    const job = make(own);
    const step = capture(whole(job));
    const [batch] = batches(1, [6], own[0]);
    for (let i = 0; i < 3; i++) step(...batch);
    const figures = async (): Promise<number[]> => {
      await Promise.all(own.map((device) => device.fence()));
      return own.flatMap((device) => [device.stats().storages, device.bytesIssued]);
    };
    const before = await figures();
    for (let i = 0; i < 40; i++) step(...batch);
    // V8 may collect what the first call left.
    const after = await figures();
    expect(after.map((figure, i) => Math.max(figure - before[i], 0))).toEqual([0, 0, 0, 0]);
    step.dispose();
    await Promise.all(own.map((device) => device.close()));
  });
});

test("a tensor on one device that is written to between the calls is sent to the others as it is then", () => {
  const captures = expectAlike((wrap) => {
    const job = trainedBy(dataParallel(network(), { devices }));
    const scale = randn([4], { device: here }).detach();
    const step = wrap((images, labels) => {
      job.optimizer.zeroGrad();
      return job.backward(images, labels).add(job.model.parameters()[0].detach().mul(scale).sum());
    });
    manualSeed(0);
    const losses = batches(6).map((batch) => {
      scale.add_(1);
      return step(...batch).itemSync();
    });
    return outcome(losses, job);
  });
  expect(captures).toBeGreaterThan(0);
});

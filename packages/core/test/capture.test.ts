/** Captured steps do what the steps do: bit for bit, draw for draw, and with nothing left over. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import {
  bernoulli, capture, CaptureError, DeviceClosedError, enableGrad, getRngState, manualSeed, nn, noGrad, ones, optim,
  rand, randint, randn, setRngState, tensor, tidy, ValueError, zeros,
} from "../src/index.ts";
import type { Tensor } from "../src/index.ts";
import { mock } from "../src/testing/mock/index.ts";

const F = nn.functional;
const [device, other] = [mock(), mock()];
afterAll(() => Promise.allSettled([device.close(), other.close()]));

const on = { device };
const inputs = 4;
const classes = 3;

/** How a function becomes the step that is called: as it is, or captured. */
type Wrap = <A extends readonly (Tensor | number)[], R>(step: (...args: A) => R) => (...args: A) => R;
const plain: Wrap = (step) => step;

function network(dropout = 0): nn.Sequential {
  manualSeed(1);
  const layers = [new nn.Linear(inputs, 6), new nn.ReLU(), new nn.Dropout(dropout), new nn.Linear(6, classes)];
  return new nn.Sequential(...layers).to(device);
}

function batches(count: number, rows: readonly number[] = [5]): (readonly [images: Tensor, labels: Tensor])[] {
  manualSeed(2);
  return Array.from({ length: count }, (_, i) => {
    const size = rows[i % rows.length];
    return [randn([size, inputs], on), randint(classes, [size], on)] as const;
  });
}

function values(x: Tensor | undefined): unknown {
  return x === undefined ? undefined : [...x.shape, ...x.dataSync()];
}

/** All that training leaves: losses, parameters, gradients, and where the random stream stands. */
interface Outcome {
  readonly losses: readonly unknown[];
  readonly parameters: readonly unknown[];
  readonly gradients: readonly unknown[];
  readonly stream: unknown;
}

function outcome(losses: readonly unknown[], model: nn.Module): Outcome {
  return {
    losses,
    parameters: model.parameters().map(values),
    gradients: model.parameters().map(({ grad }) => values(grad)),
    stream: getRngState(),
  };
}

/** Runs `train` eagerly and captured; both must come out alike. @returns how often it was recorded */
function expectAlike(train: (wrap: Wrap) => Outcome): number {
  const steps: { captures: number; dispose(): void }[] = [];
  const expected = train(plain);
  const actual = train((step) => {
    const captured = capture(step);
    steps.push(captured);
    return captured;
  });
  expect(actual).toEqual(expected);
  const recorded = steps.reduce((sum, { captures }) => sum + captures, 0);
  for (const step of steps) step.dispose();
  return recorded;
}

type MakeOptimizer = (parameters: nn.Parameter[]) => optim.Optimizer;
const optimizers: Readonly<Record<string, MakeOptimizer>> = {
  SGD: (parameters) => new optim.SGD(parameters, { lr: 0.1, momentum: 0.9, weightDecay: 0.01 }),
  Adam: (parameters) => new optim.Adam(parameters, { lr: 0.05 }),
};

interface Job {
  readonly model: nn.Sequential;
  readonly optimizer: optim.Optimizer;
  readonly trainStep: (images: Tensor, labels: Tensor) => Tensor;
}

function job(
  wrap: Wrap, make: MakeOptimizer = optimizers.Adam, dropout = 0, between?: (model: nn.Module) => void,
): Job {
  const model = network(dropout);
  const optimizer = make(model.parameters());
  const trainStep = wrap((images: Tensor, labels: Tensor) => {
    optimizer.zeroGrad();
    const loss = F.crossEntropy(model.forward(images), labels);
    loss.backward();
    between?.(model);
    optimizer.step();
    return loss;
  });
  return { model, optimizer, trainStep };
}

describe("captured training is training, bit for bit", () => {
  for (const [name, make] of Object.entries(optimizers)) {
    for (const dropout of [0, 0.4]) {
      test(`${name}, dropout ${dropout}`, () => {
        const captures = expectAlike((wrap) => {
          const { model, trainStep } = job(wrap, make, dropout);
          const data = batches(6);
          manualSeed(7);
          return outcome(data.map((batch) => trainStep(...batch).itemSync()), model);
        });
        expect(captures).toBe(1);
      });
    }
  }

  test("the seed 0, which looks like sizes and offsets, and places beyond 2^32 are told from other numbers", () => {
    for (const place of [0, 3, 2 ** 32 - 2]) {
      const captures = expectAlike((wrap) => {
        const { model, trainStep } = job(wrap, optimizers.Adam, 0.5);
        const data = batches(5, [2]);
        setRngState([0, 0, place]);
        const losses = data.map((batch) => trainStep(...batch).itemSync());
        return outcome([...losses, rand([3], on).tolistSync()], model);
      });
      expect(captures).toBeGreaterThan(0);
    }
  });

  test("every constructor that draws goes on in the stream, whatever draws between the calls", () => {
    const captures = expectAlike((wrap) => {
      const step = wrap(() => [
        rand([3], on), randn([2], on), randint(100, [3], on), bernoulli(zeros([4], on).add(0.5)),
      ]);
      manualSeed(0);
      const losses = Array.from({ length: 5 }, (_, i) => {
        if (i === 3) manualSeed(5);
        return [step().map(values), values(rand([1], on))];
      });
      return { losses, parameters: [], gradients: [], stream: getRngState() };
    });
    expect(captures).toBeGreaterThan(0);
  });

  test("a stream that the step winds back goes on from where the step leaves it", () => {
    const captures = expectAlike((wrap) => {
      const step = wrap(() => {
        const state = getRngState();
        const [a, b] = [rand([2], on), rand([2], on)];
        setRngState([state[0], state[1], state[2] + 1]);
        return [a, b, rand([2], on)];
      });
      manualSeed(3);
      const losses = Array.from({ length: 5 }, () => step().map(values));
      return { losses, parameters: [], gradients: [], stream: getRngState() };
    });
    expect(captures).toBeGreaterThan(0);
  });

  test("clipGradNorm", () => {
    const captures = expectAlike((wrap) => {
      const clip = (model: nn.Module): void => void nn.clipGradNorm_(model.parameters(), 0.3);
      const { model, trainStep } = job(wrap, optimizers.Adam, 0, clip);
      return outcome(batches(6).map((batch) => trainStep(...batch).itemSync()), model);
    });
    expect(captures).toBe(1);
  });

  test("gradients accumulate where zeroGrad is outside, and where it ends the step", () => {
    const captures = expectAlike((wrap) => {
      const { model, optimizer } = job(plain);
      const step = wrap((images: Tensor, labels: Tensor) => {
        const loss = F.crossEntropy(model.forward(images), labels);
        loss.backward();
        return loss;
      });
      const losses = batches(24).map((batch, i) => {
        const loss = step(...batch).itemSync();
        if (i % 4 === 3) optimizer.step();
        if (i % 4 === 3) optimizer.zeroGrad();
        return loss;
      });
      return outcome(losses, model);
    });
    // With the first gradients of all, without gradients, and with those that the latter left.
    expect(captures).toBe(3);
    const atEnd = expectAlike((wrap) => {
      const { model, optimizer } = job(plain);
      const step = wrap((images: Tensor, labels: Tensor) => {
        const loss = F.crossEntropy(model.forward(images), labels);
        loss.backward();
        optimizer.step();
        optimizer.zeroGrad();
        return loss;
      });
      return outcome(batches(6).map((batch) => step(...batch).itemSync()), model);
    });
    expect(atEnd).toBe(1);
  });

  test("zeroGrad with setToNone: false", () => {
    const captures = expectAlike((wrap) => {
      const { model, optimizer } = job(plain);
      const step = wrap((images: Tensor, labels: Tensor) => {
        optimizer.zeroGrad({ setToNone: false });
        const loss = F.crossEntropy(model.forward(images), labels);
        loss.backward();
        optimizer.step();
        return loss;
      });
      return outcome(batches(6).map((batch) => step(...batch).itemSync()), model);
    });
    expect(captures).toBeGreaterThan(0);
  });

  test("running moments of batch normalisation", () => {
    const captures = expectAlike((wrap) => {
      manualSeed(1);
      const model = new nn.Sequential(new nn.Linear(inputs, 3), new nn.BatchNorm1d(3)).to(device);
      const step = wrap((x: Tensor) => model.forward(x).sum());
      const losses = batches(5).map(([x]) => values(step(x)));
      return outcome([...losses, ...model.buffers().map(values)], model);
    });
    expect(captures).toBeGreaterThan(0);
  });
});

describe("what a step depends on", () => {
  test("inputs of other shapes are recorded on their own, and the earlier recordings stay", () => {
    const captures = expectAlike((wrap) => {
      const { model, trainStep } = job(wrap);
      return outcome(batches(12, [5, 5, 3]).map((batch) => trainStep(...batch).itemSync()), model);
    });
    expect(captures).toBe(2);
  });

  test("a learning rate set by hand, and one set by a scheduler", () => {
    const captures = expectAlike((wrap) => {
      const { model, optimizer, trainStep } = job(wrap);
      const scheduler = new optim.lrScheduler.StepLR(optimizer, 3, 0.5);
      const losses = batches(14).map((batch, i) => {
        if (i === 10) optimizer.paramGroups[0].lr = 0.2;
        const loss = trainStep(...batch).itemSync();
        scheduler.step();
        return loss;
      });
      return outcome(losses, model);
    });
    expect(captures).toBeGreaterThan(0);
  });

  test("a scheduler inside of the step", () => {
    const captures = expectAlike((wrap) => {
      const model = network();
      const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 });
      const scheduler = new optim.lrScheduler.ExponentialLR(optimizer, 0.7);
      const step = wrap((images: Tensor, labels: Tensor) => {
        optimizer.zeroGrad();
        F.crossEntropy(model.forward(images), labels).backward();
        optimizer.step();
        scheduler.step();
      });
      for (const batch of batches(6)) step(...batch);
      return outcome([], model);
    });
    expect(captures).toBeGreaterThan(0);
  });

  test("train() and eval(), and a mode that the step itself switches", () => {
    const captures = expectAlike((wrap) => {
      const model = network(0.5);
      const step = wrap((x: Tensor) => model.forward(x));
      const switching = wrap((x: Tensor) => {
        model.eval();
        const quiet = model.forward(x);
        model.train();
        return quiet.add(model.forward(x));
      });
      manualSeed(4);
      const losses = batches(12).map(([x], i) => {
        model.train(i % 6 < 3);
        return [values(step(x)), values(switching(x))];
      });
      return outcome(losses, model);
    });
    expect(captures).toBeGreaterThan(0);
  });

  test("parameters that are frozen and thawed", () => {
    const captures = expectAlike((wrap) => {
      const { model, trainStep } = job(wrap);
      const [first] = model.parameters();
      const losses = batches(9).map((batch, i) => {
        if (i % 3 === 0) first.requiresGrad = i !== 3;
        return trainStep(...batch).itemSync();
      });
      return outcome(losses, model);
    });
    expect(captures).toBeGreaterThan(0);
  });

  test("noGrad around a call", () => {
    const captures = expectAlike((wrap) => {
      const w = ones([2], { device, requiresGrad: true });
      const step = wrap((x: Tensor) => {
        const y = w.mul(x).sum();
        if (y.requiresGrad) y.backward();
        return y;
      });
      const x = tensor([1, 2.5], on);
      for (let i = 0; i < 4; i++) step(x);
      noGrad(() => step(x));
      enableGrad(() => step(x));
      return { losses: [], parameters: [], gradients: [values(w.grad)], stream: undefined };
    });
    expect(captures).toBeGreaterThan(0);
  });

  test("a model that was moved to another device and back", () => {
    const captures = expectAlike((wrap) => {
      const { model, trainStep } = job(wrap);
      const losses = batches(9).map(([images, labels], i) => {
        if (i === 3) model.to(other);
        if (i === 6) model.to(device);
        const place = model.parameters()[0].device;
        return trainStep(images.to(place), labels.to(place)).itemSync();
      });
      return outcome(losses, model);
    });
    expect(captures).toBeGreaterThan(0);
  });

  test("an optimizer's step without some parameters, which counts the others' steps apart from then on", () => {
    const captures = expectAlike((wrap) => {
      const { model, optimizer, trainStep } = job(wrap);
      const [first] = model.parameters();
      const losses = batches(9).map((batch, i) => {
        if (i === 4) first.grad = undefined;
        if (i === 4) optimizer.step();
        return trainStep(...batch).itemSync();
      });
      return outcome(losses, model);
    });
    expect(captures).toBe(2);
  });

  test("optimizer state that was loaded", () => {
    const captures = expectAlike((wrap) => {
      const { model, optimizer, trainStep } = job(wrap);
      const data = batches(8);
      const first = data.slice(0, 4).map((batch) => trainStep(...batch).itemSync());
      const { state, paramGroups } = optimizer.stateDict();
      optimizer.loadStateDict({ state, paramGroups });
      return outcome([...first, ...data.slice(4).map((batch) => trainStep(...batch).itemSync())], model);
    });
    expect(captures).toBeGreaterThan(0);
  });

  test("a used tensor that was disposed: the step says so as eagerly, and a successor is used", () => {
    let scale = tensor([2.5], on);
    const step = capture((x: Tensor) => x.mul(scale));
    const x = tensor([1.5, 2], on);
    for (let i = 0; i < 3; i++) expect(step(x).tolistSync()).toEqual([3.75, 5]);
    scale.dispose();
    // Somebody else's tensor takes the place in memory.
    const squatter = tensor([9], on);
    expect(() => step(x)).toThrow("disposed");
    scale = tensor([4], { device, dtype: "float32" });
    for (let i = 0; i < 3; i++) expect(step(x).tolistSync()).toEqual([6, 8]);
    expect(squatter.tolistSync()).toEqual([9]);
    step.dispose();
  });

  test("a disposed result is made anew", () => {
    const step = capture((x: Tensor) => x.add(1));
    const x = zeros([3], on);
    for (let i = 0; i < 7; i++) {
      using y = step(x);
      expect(y.tolistSync()).toEqual([1, 1, 1]);
    }
    step.dispose();
  });
});

describe("inputs and results", () => {
  test("a result is overwritten by the next call; a clone keeps", () => {
    const step = capture((x: Tensor) => ({ twice: x.mul(2), list: [x.add(1)], name: "n" }));
    const at = (value: number): Tensor => zeros([2], on).add(value);
    step(at(0));
    const first = step(at(1));
    const kept = first.twice.clone();
    const second = step(at(5));
    expect(second).toBe(first);
    expect([first.twice, first.list[0], kept].map((x) => x.tolistSync())).toEqual([[10, 10], [6, 6], [2, 2]]);
    expect(second.name).toBe("n");
    step.dispose();
  });

  test("a result may be the next call's input, also crosswise", () => {
    const step = capture((a: Tensor, b: Tensor) => [b, a.add(b)] as const);
    let pair: readonly [Tensor, Tensor] = [tensor([0.5], on), tensor([1], { device, dtype: "float32" })];
    const seen: number[] = [];
    for (let i = 0; i < 8; i++) {
      pair = step(pair[0], pair[1]);
      seen.push(pair[1].itemSync());
    }
    expect(seen).toEqual([1.5, 2.5, 4, 6.5, 10.5, 17, 27.5, 44.5]);
    step.dispose();
  });

  test("a graph that saved a result, a gradient or a parameter refuses backward once a call has overwritten it", () => {
    const w = ones([2], { device, requiresGrad: true });
    const optimizer = new optim.SGD([w], { lr: 0.5 });
    const step = capture((x: Tensor) => {
      optimizer.zeroGrad();
      const loss = w.mul(x).sum();
      loss.backward();
      optimizer.step();
      return x.mul(3);
    });
    const x = tensor([0.5, 2], on);
    step(x);
    const result = step(x);
    const graphs = [
      w.mul(tensor([1, 2], { device, requiresGrad: true })),
      w.detach().clone().requiresGrad_().mul(result),
      w.detach().clone().requiresGrad_().mul(w.grad as Tensor),
    ];
    step(x);
    for (const graph of graphs) expect(() => graph.sum().backward()).toThrow("modified by an inplace operation");
    step.dispose();
  });

  test("what the step does to its inputs stays with its copies", () => {
    const step = capture((x: Tensor) => x.add_(1));
    const x = zeros([2], on);
    for (let i = 0; i < 4; i++) expect(step(x).tolistSync()).toEqual([1, 1]);
    expect(x.tolistSync()).toEqual([0, 0]);
    step.dispose();
  });

  test("numbers and strings belong to the capture", () => {
    const step = capture((x: Tensor, by: number, mode: string) => (mode === "mul" ? x.mul(by) : x.add(by)));
    const x = ones([1], on);
    for (let i = 0; i < 3; i++) {
      expect(step(x, 3, "mul").itemSync()).toBe(3);
      expect(step(x, 4, "mul").itemSync()).toBe(4);
      expect(step(x, 4, "add").itemSync()).toBe(5);
    }
    expect(step.captures).toBe(3);
    step.dispose();
  });
});

describe("what cannot be captured", () => {
  const refusals: Readonly<Record<string, (x: Tensor) => unknown>> = {
    "a short read": (x) => x.sum().itemSync(),
    "a long read": (x) => x.expand([50, 3]).contiguous().tolistSync(),
    "an upload": (x) => x.add(tensor([1, 2, 3], on)),
    "a seed": (x) => (manualSeed(3), x.add(1)),
    "another stream": (x) => (setRngState([1, 2, 3]), x.add(rand([3], on))),
    "an async step": async (x) => (await Promise.resolve(), x),
    "a fence": (x) => (device.fenceSync(), x),
  };
  for (const [name, step] of Object.entries(refusals)) {
    test(`${name} is refused, and all is usable after`, () => {
      const x = ones([3], on);
      const captured = capture((given: Tensor) => step(given.mul(2)));
      const stream = getRngState();
      expect(() => {
        captured(x);
        captured(x);
      }).toThrow(CaptureError);
      setRngState(stream);
      captured.dispose();
      const good = capture((given: Tensor) => given.mul(3));
      for (let i = 0; i < 4; i++) expect(good(x).tolistSync()).toEqual([3, 3, 3]);
      good.dispose();
      expect(x.add(1).tolistSync()).toEqual([2, 2, 2]);
    });
  }

  test("a captured step inside of another one is refused, the first time already", () => {
    const inner = capture((x: Tensor) => x.add(1));
    const outer = capture((x: Tensor) => inner(x).mul(2));
    const x = ones([2], on);
    for (let i = 0; i < 4; i++) {
      expect(inner(x).tolistSync()).toEqual([2, 2]);
      expect(() => outer(x)).toThrow(CaptureError);
    }
    inner.dispose();
    outer.dispose();
  });

  test("inputs that want gradients, inputs of other kinds, and steps that are none are refused", () => {
    const step = capture((x: Tensor) => x.sum());
    expect(() => step(ones([2], { device, requiresGrad: true }))).toThrow(CaptureError);
    expect(() => step([ones([2], on)] as unknown as Tensor)).toThrow(ValueError);
    expect(() => capture(3 as unknown as () => void)).toThrow(ValueError);
    step.dispose();
    expect(() => step(ones([2], on))).toThrow(CaptureError);
  });

  test("what the step throws comes through, and the next call is right", () => {
    let fails = false;
    const step = capture((x: Tensor) => {
      const y = x.add(1);
      if (fails) throw new RangeError("no");
      return y;
    });
    const x = ones([2], on);
    step(x);
    fails = true;
    expect(() => step(x)).toThrow(RangeError);
    fails = false;
    for (let i = 0; i < 3; i++) expect(step(x).tolistSync()).toEqual([2, 2]);
    step.dispose();
  });
});

describe("failures", () => {
  test("a bad label poisons its own step only: parameters stay, the next call is right", async () => {
    const train = (wrap: Wrap): { expected: unknown[]; failures: Promise<unknown>[] } => {
      const { model, trainStep } = job(wrap);
      const failures: Promise<unknown>[] = [];
      const data = batches(7);
      const expected = data.flatMap(([images, labels], i) => {
        const bad = i === 2 || i === 4;
        const loss = trainStep(images, bad ? labels.add(classes) : labels);
        if (!bad) return [loss.itemSync()];
        failures.push(loss.item().then(() => "read", (error: unknown) => (error as Error).name));
        return [];
      });
      return { expected: [expected, model.parameters().map(values)], failures };
    };
    const [eager, captured] = [train(plain), train(capture)];
    expect(captured.expected).toEqual(eager.expected);
    expect(await Promise.all(captured.failures)).toEqual(await Promise.all(eager.failures));
    expect(await captured.failures[0]).not.toBe("read");
  });

  test("an actor that dies and restarts between the calls goes on", async () => {
    const own = mock();
    const { model, trainStep } = job(capture);
    model.to(own);
    const data = batches(6).map(([x, y]) => [x.to(own), y.to(own)] as const);
    const expected = ((): Outcome => {
      const eager = job(plain);
      return outcome(batches(6).map((batch) => eager.trainStep(...batch).itemSync()), eager.model);
    })();
    const losses: number[] = [];
    for (const [i, batch] of data.entries()) {
      if (i === 3 || i === 5) await own.kill();
      losses.push(await trainStep(...batch).item());
    }
    expect(losses).toEqual(expected.losses);
    expect(model.parameters().map(values)).toEqual(expected.parameters);
    await own.close();
  });

  test("a closed device is a typed error, also for dispose and another device of its name", async () => {
    const own = mock();
    const step = capture((x: Tensor) => x.add(1));
    const x = ones([2], { device: own });
    for (let i = 0; i < 3; i++) step(x);
    await own.close();
    expect(() => step(x)).toThrow(DeviceClosedError);
    const again = mock({ index: own.index });
    expect(step(ones([2], { device: again })).tolistSync()).toEqual([2, 2]);
    step.dispose();
    await again.close();
  });
});

describe("memory", () => {
  /** Bytes on the device, as it and the coordinator count them. */
  async function held(own = device): Promise<readonly [live: number, issued: number]> {
    await own.fence();
    return [own.stats().bytesLive, own.bytesIssued];
  }

  test("is flat over 2,000 calls, and free after dispose()", async () => {
    const own = mock();
    const before = await held(own);
    const x = ones([64], { device: own });
    const step = capture((given: Tensor) => ({ y: given.mul(2).add(1).relu(), n: rand([8], { device: own }) }));
    step(x);
    step(x).y.tolistSync();
    const steady = await held(own);
    for (let i = 0; i < 2000; i++) step(x);
    // V8 may collect what the first call left.
    const after = await held(own);
    expect(after[0]).toBeLessThanOrEqual(steady[0]);
    expect(after[1]).toBeLessThanOrEqual(steady[1]);
    const { storages } = own.stats();
    for (let i = 0; i < 100; i++) step(x);
    await own.fence();
    expect(own.stats().storages).toBeLessThanOrEqual(storages);
    step.dispose();
    x.dispose();
    const [, issued] = await held(own);
    // The eager first call's result is V8's to collect.
    expect(issued - before[1]).toBeLessThanOrEqual(64 * 4 + 8 * 4);
    await own.close();
  });

  test("outer scopes leave a capture alone, and it leaves their tensors alone", () => {
    const step = capture((x: Tensor) => x.mul(2));
    for (let i = 0; i < 4; i++) {
      expect(tidy(() => step(ones([3], on)).tolistSync())).toEqual([2, 2, 2]);
    }
    expect(step.captures).toBe(1);
    step.dispose();
  });

  test("ids that a capture holds are never given out, and are when it is disposed", () => {
    const own = mock();
    const x = ones([2], { device: own });
    const step = capture((given: Tensor) => given.add(1).mul(2).sub(1));
    step(x);
    expect(step(x).tolistSync()).toEqual([3, 3]);
    const others = Array.from({ length: 20 }, (_, i) => zeros([2], { device: own }).add(i));
    for (let i = 0; i < 3; i++) expect(step(x).tolistSync()).toEqual([3, 3]);
    expect(others.map((y) => y.tolistSync())).toEqual(others.map((_, i) => [i, i]));
    step.dispose();
    const more = Array.from({ length: 20 }, (_, i) => zeros([2], { device: own }).add(i));
    expect(more.map((y) => y.tolistSync())).toEqual(more.map((_, i) => [i, i]));
  });

  test("gradients outlive dispose()", () => {
    const { model, optimizer, trainStep } = job(capture);
    for (const batch of batches(4)) trainStep(...batch);
    const before = model.parameters().map(({ grad }) => values(grad));
    (trainStep as ReturnType<typeof capture>).dispose();
    expect(model.parameters().map(({ grad }) => values(grad))).toEqual(before);
    optimizer.step();
  });
});

test("a captured step that nobody holds gives back its memory and its ids", async () => {
  const own = mock();
  const x = ones([2], { device: own });
  const used = (): void => {
    const step = capture((given: Tensor) => given.add(1).mul(2));
    for (let i = 0; i < 4; i++) step(x);
  };
  used();
  const ids = new Set(Array.from({ length: 40 }, () => idOf(zeros([200], { device: own }))));
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  for (let i = 0; i < 5; i++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await own.fence();
  // The one that is held: no more than the input and what shares its finaliser.
  expect(own.stats().storages).toBeLessThanOrEqual(16);
  const again = Array.from({ length: 45 }, () => idOf(zeros([200], { device: own })));
  expect(Math.max(...again)).toBeLessThanOrEqual(Math.max(...ids) + 5);
  await own.close();
});

function idOf({ value }: Tensor): number {
  return value.executor.locals(value)[0].storage.id;
}

/** Something that a program may do between, or with, captured steps. */
type Act = readonly [what: string, n: number];

const acts = fc.array(
  fc.tuple(
    fc.constantFrom(
      "train", "train", "train", "train", "accumulate", "accumulate", "evaluate", "evaluate", "draw", "seed", "zero",
      "step", "lr", "mode", "freeze", "write", "garbage", "eager", "disposeGrad", "load",
    ),
    fc.nat(3),
  ),
  { minLength: 10, maxLength: 45 },
);

function perform(program: readonly Act[], wrap: Wrap): unknown[] {
  const model = network(0.3);
  const optimizer = new optim.Adam(model.parameters(), { lr: 0.05 });
  const data = batches(4, [4, 3]);
  const [first] = model.parameters();
  const loss = (images: Tensor, labels: Tensor): Tensor => F.crossEntropy(model.forward(images), labels);
  const eager = (images: Tensor, labels: Tensor): Tensor => {
    optimizer.zeroGrad();
    const result = loss(images, labels);
    result.backward();
    optimizer.step();
    return result;
  };
  const train = wrap(eager);
  const accumulate = wrap((images: Tensor, labels: Tensor) => {
    const result = loss(images, labels);
    result.backward();
    return [result, rand([2], on)];
  });
  const evaluate = wrap((images: Tensor) => noGrad(() => model.forward(images).add(randn([1], on))));
  const garbage: Tensor[] = [];
  manualSeed(0);
  const log = program.map(([what, n]): unknown => {
    const [images, labels] = data[n];
    switch (what) {
      case "train": return values(train(images, labels));
      case "accumulate": return accumulate(images, labels).map(values);
      case "evaluate": return values(evaluate(images));
      case "eager": return values(eager(images, labels).detach());
      case "draw": return values(rand([n + 1], on));
      case "seed": return manualSeed(n);
      case "zero": return optimizer.zeroGrad({ setToNone: n > 0 });
      case "step": return optimizer.step();
      case "lr": return (optimizer.paramGroups[0].lr = 0.01 * (n + 1)), n;
      case "mode": return model.train(n > 1), n;
      case "freeze": return (first.requiresGrad = n > 1), n;
      case "write": return noGrad(() => first.mul_(0.5 + n / 4)), n;
      case "load": return optimizer.loadStateDict(optimizer.stateDict());
      case "disposeGrad": {
        const { grad } = first;
        first.grad = undefined;
        grad?.dispose();
        return grad === undefined;
      }
      default: {
        if (n > 1) garbage.pop()?.dispose();
        else garbage.push(zeros([5], on).add(n));
        return garbage.map(values);
      }
    }
  });
  return [...log, outcome([], model)];
}

test("captured steps among eager ops, other captures and all kinds of changes are eager", { timeout: 60_000 }, () => {
  fc.assert(
    fc.property(acts, (program) => {
      const steps: { dispose(): void }[] = [];
      const expected = perform(program, plain);
      const actual = perform(program, (step) => {
        const captured = capture(step);
        steps.push(captured);
        return captured;
      });
      expect(actual).toEqual(expected);
      for (const step of steps) step.dispose();
    }),
    { numRuns: 40 },
  );
});

/** Modules: what is inside, state dicts, moves, printing as PyTorch prints, paths in errors, layers with state. */
import { readFileSync } from "node:fs";
import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as core from "../src/index.ts";
import * as nn from "../src/nn/index.ts";
import { mock } from "../src/testing/mock/index.ts";

interface Fixture {
  readonly printed: Readonly<Record<string, string>>;
  readonly batch_norm: {
    readonly steps: readonly { readonly y: readonly number[]; readonly grad: readonly number[] }[];
    readonly eval: readonly number[];
    readonly running_mean: readonly number[];
    readonly running_var: readonly number[];
    readonly weight_grad: readonly number[];
    readonly bias_grad: readonly number[];
  };
}

const fixture = JSON.parse(readFileSync(new URL("../fixtures/modules.json", import.meta.url), "utf8")) as Fixture;
const devices = [mock(), mock()];
const [device, other] = devices;

beforeAll(() => core.setDefaultDevice(device.name));
afterAll(async () => {
  for (const one of devices) await one.close();
});

class Net extends nn.Module {
  readonly up = new nn.Linear(2, 3);
  readonly blocks = [new nn.Linear(3, 3), new nn.Sequential(new nn.ReLU(), new nn.Linear(3, 3))];
  readonly heads = { left: new nn.Linear(3, 1), right: new nn.Linear(3, 1, { bias: false }) };
  readonly scale = new nn.Parameter(core.ones([1]));
  declare counter: core.Tensor;

  constructor() {
    super();
    this.registerBuffer("counter", core.tensor(0));
  }

  override forward(x: core.Tensor): core.Tensor {
    let y = this.up.forward(x);
    for (const block of this.blocks) y = block.forward(y);
    return this.heads.left.forward(y).add(this.heads.right.forward(y)).mul(this.scale);
  }
}

const numbers = (x: core.Tensor): number[] => [...x.dataSync()].map(Number);

/** The greatest difference. */
function distance(actual: readonly number[], expected: readonly number[]): number {
  if (actual.length !== expected.length) return Infinity;
  return Math.max(...actual.map((value, i) => Math.abs(value - expected[i])));
}

describe("what is inside a module", () => {
  test("parameters are found in fields, arrays and objects, and named by their paths", () => {
    const names = [...new Net().namedParameters()].map(([name]) => name);
    expect(names).toEqual([
      "scale",
      "up.weight",
      "up.bias",
      "blocks.0.weight",
      "blocks.0.bias",
      "blocks.1.1.weight",
      "blocks.1.1.bias",
      "heads.left.weight",
      "heads.left.bias",
      "heads.right.weight",
    ]);
  });

  test("a shared parameter is listed once, but stands in the state dict under all its names", () => {
    const [a, b] = [new nn.Linear(2, 2, { bias: false }), new nn.Linear(2, 2, { bias: false })];
    b.weight = a.weight;
    const tied = new nn.Sequential(a, b);
    expect(tied.parameters()).toEqual([a.weight]);
    expect(Object.keys(tied.stateDict())).toEqual(["0.weight", "1.weight"]);
  });

  test("a parameter's field takes parameters and null: in layers at once, elsewhere once they were listed", () => {
    const layer = new nn.Linear(2, 2);
    const weight = new nn.Parameter(core.zeros([2, 2]));
    layer.weight = weight;
    layer.bias = null;
    expect([...layer.namedParameters()]).toEqual([["weight", weight]]);
    expect(() => (layer.weight = core.ones([2, 2]) as never)).toThrow("cannot assign a Tensor as parameter 'weight'");
    expect(layer.parameters()).toEqual([weight]);

    const net = new Net();
    expect(net.parameters()).toContain(net.scale);
    expect(() => Reflect.set(net, "scale", core.ones([1]))).toThrow("cannot assign a Tensor as parameter 'scale'");
    expect(() => (net.counter = 3 as never)).toThrow("cannot assign 3 as buffer 'counter'");
    net.counter = core.tensor(5);
    expect(net.stateDict().counter.itemSync()).toBe(5);

    const bare = new nn.ReLU();
    bare.registerParameter("slope", weight);
    bare.registerParameter("absent", null);
    expect(Object.keys(bare.stateDict())).toEqual(["slope"]);
    expect(() => bare.registerParameter("forward", weight)).toThrow("attribute 'forward' already exists");
    expect(() => bare.registerBuffer("slope", weight)).toThrow("attribute 'slope' already exists");
  });

  test("train and eval reach all modules, apply visits children first", () => {
    const net = new Net().eval();
    expect(net.modules().map(({ training }) => training)).toEqual(net.modules().map(() => false));
    const visited: string[] = [];
    net.apply((module) => visited.push(module.constructor.name));
    expect(visited.at(-1)).toBe("Net");
    expect(visited.length).toBe(net.modules().length);
  });

  test("one backward pass reaches all parameters; zeroGrad forgets", () => {
    const net = new Net();
    net
      .forward(core.ones([4, 2]))
      .sum()
      .backward();
    expect(net.parameters().every(({ grad }) => grad !== undefined)).toBe(true);
    net.zeroGrad();
    expect(net.parameters().every(({ grad }) => grad === undefined)).toBe(true);
    net.requiresGrad_(false);
    expect(net.forward(core.ones([1, 2])).requiresGrad).toBe(false);
  });
});

describe("state dicts", () => {
  test("load what they saved, buffers included", () => {
    const [from, to] = [new Net(), new Net()];
    core.noGrad(() => from.counter.add_(5));
    expect(to.loadStateDict(from.stateDict())).toEqual({ missingKeys: [], unexpectedKeys: [] });
    expect(to.counter.itemSync()).toBe(5);
    const x = core.rand([3, 2]);
    expect(numbers(to.forward(x))).toEqual(numbers(from.forward(x)));
  });

  test("that do not fit name every problem and leave the module as it was", () => {
    const layer = new nn.Sequential(new nn.Linear(2, 3), new nn.Linear(3, 1));
    const before = numbers(layer.parameters()[0]);
    const state = {
      "0.weight": core.zeros([3, 2]),
      "0.bias": core.zeros([4]),
      "1.weight": core.zeros([1, 3]),
      extra: core.zeros([1]),
    };
    expect(() => layer.loadStateDict(state)).toThrow(
      'Error(s) in loading state_dict for Sequential:\n\tUnexpected key(s) in state_dict: "extra". \n\t' +
        'Missing key(s) in state_dict: "1.bias". \n\tsize mismatch for 0.bias: ' +
        "copying a param with shape torch.Size([4]) from checkpoint, " +
        "the shape in current model is torch.Size([3]).",
    );
    expect(numbers(layer.parameters()[0])).toEqual(before);
  });

  test("may have more or less when not strict", () => {
    const layer = new nn.Linear(2, 1);
    const result = layer.loadStateDict({ weight: core.zeros([1, 2]), extra: core.zeros([1]) }, { strict: false });
    expect(result).toEqual({ missingKeys: ["bias"], unexpectedKeys: ["extra"] });
    expect(numbers(layer.weight)).toEqual([0, 0]);
  });
});

describe("moving a module", () => {
  test("to another device keeps its parameters the same objects, with their gradients", () => {
    const net = new Net();
    const before = net.parameters();
    const values = before.map(numbers);
    net
      .forward(core.ones([1, 2]))
      .sum()
      .backward();
    net.to(other);
    expect(net.parameters()).toEqual(before);
    expect(before.map(({ device: place }) => place.name)).toEqual(before.map(() => other.name));
    expect(before.map(({ grad }) => grad?.device.name)).toEqual(before.map(() => other.name));
    expect(net.counter.device.name).toBe(other.name);
    expect(before.map(numbers)).toEqual(values);
    net
      .forward(core.ones([1, 2], { device: other }))
      .sum()
      .backward();
  });

  test("to another dtype leaves whole-number buffers alone", () => {
    const layer = new nn.BatchNorm1d(2).double();
    expect([layer.weight?.dtype, layer.runningMean?.dtype, layer.numBatchesTracked?.dtype]).toEqual([
      "float64",
      "float64",
      "int64",
    ]);
  });
});

describe("modules print as in PyTorch", () => {
  const modules: Readonly<Record<string, () => nn.Module>> = {
    mlp: () => new nn.Sequential(new nn.Linear(784, 256), new nn.ReLU(), new nn.Linear(256, 10, { bias: false })),
    convolutional: () =>
      new nn.Sequential(
        new nn.Conv2d(1, 8, 3, { padding: 1 }),
        new nn.BatchNorm2d(8),
        new nn.ReLU({ inplace: true }),
        new nn.MaxPool2d(2),
        new nn.Conv2d(8, 16, [3, 5], { stride: 2, groups: 2, bias: false }),
        new nn.AdaptiveAvgPool2d([1, 1]),
        new nn.Flatten(),
        new nn.Dropout(0.25),
        new nn.Sequential(new nn.Linear(16, 4), new nn.Softmax(1)),
        new nn.Identity(),
      ),
    list: () =>
      new nn.ModuleList([new nn.Embedding(5, 3, { paddingIdx: 0 }), new nn.LayerNorm(3), new nn.GroupNorm(2, 4)]),
    dict: () => new nn.ModuleDict({ act: new nn.LeakyReLU(0.2), gelu: new nn.GELU(), loss: new nn.CrossEntropyLoss() }),
    transposed: () => new nn.ConvTranspose2d(4, 2, 3, { stride: 2, padding: 1, outputPadding: 1 }),
    others: () =>
      new nn.Sequential(
        new nn.ELU(),
        new nn.Softplus(),
        new nn.Hardtanh(),
        new nn.PReLU(),
        new nn.AvgPool2d(2),
        new nn.Unflatten(1, [2, 3]),
        new nn.BatchNorm1d(4, { momentum: null }),
        new nn.Softshrink(),
        new nn.GLU(),
        new nn.LocalResponseNorm(2),
        new nn.MaxPool1d(3, { stride: 2, ceilMode: true }),
        new nn.InstanceNorm1d(3),
      ),
  };
  test.each(Object.keys(fixture.printed))("%s", (name) => {
    expect(inspect(modules[name]())).toBe(fixture.printed[name]);
  });

  test("and so do parameters", () => {
    expect(inspect(new nn.Parameter(core.ones([2])))).toMatch(
      /^Parameter containing:\ntensor\(\[1\., 1\.\].*requires_grad=True\)$/,
    );
  });
});

describe("errors", () => {
  test("on the device name the path of the module that issued the op", async () => {
    class Tagger extends nn.Module {
      readonly layers = [new nn.Sequential(new nn.Embedding(4, 2))];
      override forward(x: core.Tensor): core.Tensor {
        return this.layers[0].forward(x);
      }
    }
    await expect(new Tagger().forward(core.tensor([1, 9])).data()).rejects.toMatchObject({
      place: { modulePath: "layers.0.0" },
    });
    expect(new Tagger().forward(core.tensor([1])).shape).toEqual([1, 2]);
  });

  test("a label out of range poisons the loss and nothing else", async () => {
    const layer = new nn.Linear(2, 3);
    const loss = nn.functional.crossEntropy(layer.forward(core.ones([2, 2])), core.tensor([0, 3]));
    loss.backward();
    await expect(loss.item()).rejects.toThrow(core.ValueError);
    expect(numbers(layer.forward(core.zeros([1, 2])))).toEqual(numbers(layer.bias as core.Tensor));
  });

  test("what a module would leave out or ignore is refused by its constructor", () => {
    const { relu } = nn.functional;
    for (const step of [relu, nn.ReLU, [new nn.ReLU()], undefined]) {
      expect(() => new nn.Sequential(new nn.ReLU(), step as never)).toThrow("is not a Module");
    }
    expect(() => new nn.Sequential([new nn.ReLU()] as never)).toThrow("an array is not a Module");
    expect(() => new nn.ModuleList([relu as never])).toThrow(core.ValueError);
    expect(() => new nn.Linear(2, 3, false as never)).toThrow("Linear() takes its options in an object, got false");
    expect(() => new nn.Linear(2, 3, { bais: false } as never)).toThrow("unexpected option 'bais'");
    expect(() => new nn.Conv2d(1, 2, 3, 1 as never)).toThrow("Conv2d() takes its options in an object");
    expect(() => new nn.Conv2d(1, 2, undefined as never)).toThrow(core.ValueError);
    expect(() => new nn.BatchNorm1d(2, { afine: false } as never)).toThrow("unexpected option 'afine'");
    expect(() => new nn.Parameter(core.tensor([1, 2]))).toThrow(core.AutogradError);
    expect(new nn.Parameter(core.tensor([1, 2]), false).dtype).toBe("int64");
  });

  test("a module without forward, a buffer that is none and a state dict that is none say so", () => {
    const Bare = class Bare extends (nn.Module as unknown as new () => object) {};
    expect(() => new Bare()).toThrow('Module [Bare] is missing the required "forward" function');
    expect(() => new nn.ReLU().registerBuffer("count", 1 as never)).toThrow("cannot assign 1 as buffer 'count'");
    for (const state of [null, Promise.resolve({}), { weight: [1], bias: [1] }]) {
      expect(() => new nn.Linear(1, 1).loadStateDict(state as never)).toThrow(core.ValueError);
    }
  });

  test("misspelt options of ops are refused by the compiler and at the call", () => {
    const x = core.ones(2, 3);
    const { crossEntropy, softmax } = nn.functional;
    // @ts-expect-error The option is dim.
    expect(() => x.sum({ dims: 1 })).toThrow("unexpected option 'dims'");
    // @ts-expect-error The option is keepdim.
    expect(() => x.mean(1, { keepDim: true })).toThrow("unexpected option 'keepDim'");
    // @ts-expect-error There is no such reduction.
    expect(() => crossEntropy(x, core.tensor([0, 1]), { reduction: "median" })).toThrow(core.ValueError);
    // @ts-expect-error The dimension is needed.
    expect(() => softmax(x)).toThrow("softmax() missing required argument 'dim'");
  });

  test("shapes and labels that cannot fit fail at the call", () => {
    const { crossEntropy, nllLoss, mseLoss } = nn.functional;
    const scores = core.zeros([2, 3]);
    expect(() => crossEntropy(scores, core.tensor([0, 1, 2]))).toThrow(
      "Expected input batch_size (2) to match target batch_size (3).",
    );
    expect(() => nllLoss(scores, core.tensor([true, false]))).toThrow(core.ValueError);
    expect(() => crossEntropy(scores, core.tensor([0, 1]), { weight: core.ones([2]) })).toThrow(core.ShapeError);
    expect(() => mseLoss(scores, scores, { reduction: "median" as "mean" })).toThrow(
      "median is not a valid value for reduction",
    );
  });
});

describe("cross entropy", () => {
  const scores = (): core.Tensor =>
    core.tensor(
      [
        [1.5, -0.5, 0.25],
        [0, 2, -1],
        [0.5, 0.5, 3],
      ],
      { requiresGrad: true },
    );

  test("with label smoothing and ignored labels equals its probability form", () => {
    const hard = nn.functional.crossEntropy(scores(), core.tensor([2, -100, 1]), { labelSmoothing: 0.3 }).itemSync();
    const kept = scores()
      .detach()
      .indexSelect(0, core.tensor([0, 2]));
    const probabilities = core
      .tensor([
        [0.5, 0, 1],
        [0, 1, 0],
      ])
      .mul(
        core.tensor([
          [0, 1, 1],
          [1, 1, 1],
        ]),
      );
    const soft = nn.functional.crossEntropy(kept, probabilities, { labelSmoothing: 0.3 }).itemSync();
    expect(hard).toBeCloseTo(soft, 5);
  });

  test("gives an ignored label no gradient", () => {
    const x = scores();
    nn.functional.crossEntropy(x, core.tensor([2, -100, 1])).backward();
    expect((x.grad as core.Tensor).tolistSync()).toMatchObject({ 1: [0, 0, 0] });
  });
});

describe("layers with state", () => {
  const wave = (step: number): core.Tensor =>
    core
      .tensor(Float64Array.from({ length: 12 }, (_, i) => Math.sin(0.7 * i + 1.3 * step) * (1 + 0.1 * step)))
      .reshape([4, 3]);

  test("batch norm trains, tracks and evaluates as PyTorch's", () => {
    const layer = new nn.BatchNorm1d(3, { momentum: 0.2 }).double();
    layer.loadStateDict({
      ...layer.stateDict(),
      weight: core.tensor([0.5, 1, 2]),
      bias: core.tensor([0.1, -0.2, 0.3]),
    });
    const direction = core.tensor(Float64Array.from({ length: 12 }, (_, i) => Math.cos(0.9 * i + 1))).reshape([4, 3]);
    fixture.batch_norm.steps.forEach((expected, step) => {
      const x = wave(step).requiresGrad_();
      const y = layer.forward(x);
      y.mul(direction).sum().backward();
      expect(distance(numbers(y), expected.y)).toBeLessThanOrEqual(1e-10);
      expect(distance(numbers(x.grad as core.Tensor), expected.grad)).toBeLessThanOrEqual(1e-10);
    });
    expect(distance(numbers(layer.runningMean as core.Tensor), fixture.batch_norm.running_mean)).toBeLessThanOrEqual(
      1e-10,
    );
    expect(distance(numbers(layer.runningVar as core.Tensor), fixture.batch_norm.running_var)).toBeLessThanOrEqual(
      1e-10,
    );
    expect(distance(numbers(layer.weight?.grad as core.Tensor), fixture.batch_norm.weight_grad)).toBeLessThanOrEqual(
      1e-10,
    );
    expect(distance(numbers(layer.bias?.grad as core.Tensor), fixture.batch_norm.bias_grad)).toBeLessThanOrEqual(1e-10);
    expect(layer.numBatchesTracked?.itemSync()).toBe(2);
    expect(distance(numbers(layer.eval().forward(wave(2))), fixture.batch_norm.eval)).toBeLessThanOrEqual(1e-10);
  });

  test("dropout keeps the expected share, scales it, repeats with the seed, and is nothing in eval", () => {
    const layer = new nn.Dropout(0.25);
    core.manualSeed(7);
    const first = numbers(layer.forward(core.ones([4000])));
    core.manualSeed(7);
    expect(numbers(layer.forward(core.ones([4000])))).toEqual(first);
    expect(new Set(first)).toEqual(new Set([0, Math.fround(1 / 0.75)]));
    expect(first.filter((value) => value === 0).length / 4000).toBeCloseTo(0.25, 1);
    const x = core.ones([3]);
    expect(layer.eval().forward(x)).toBe(x);
  });

  test("dropout's gradient goes where its values went", () => {
    const x = core.ones([50], { requiresGrad: true });
    const y = nn.functional.dropout(x, 0.5);
    y.sum().backward();
    expect(numbers(x.grad as core.Tensor)).toEqual(numbers(y));
  });

  test("linear and convolution weights start within PyTorch's bounds", () => {
    const { weight, bias } = new nn.Linear(100, 50);
    const bound = 1 / Math.sqrt(100);
    for (const x of [weight, bias as core.Tensor]) {
      const values = numbers(x).map(Math.abs);
      expect(Math.max(...values)).toBeLessThanOrEqual(bound);
      expect(Math.max(...values)).toBeGreaterThan(0.8 * bound);
    }
    expect(Math.max(...numbers(new nn.Conv2d(4, 8, 5).weight).map(Math.abs))).toBeLessThanOrEqual(1 / Math.sqrt(100));
  });

  test("attention with one head and identity projections is scaled dot product attention", () => {
    const layer = new nn.MultiheadAttention(4, 1, { bias: false });
    const eye = core.eye(4);
    layer.loadStateDict({ inProjWeight: core.cat([eye, eye, eye], 0), "outProj.weight": eye });
    const x = core.rand([2, 3, 4]);
    const expected = nn.functional.scaledDotProductAttention(x, x, x, { isCausal: true });
    expect(distance(numbers(layer.forward(x, x, x, { isCausal: true })), numbers(expected))).toBeLessThanOrEqual(1e-6);
  });
});

test("activations written in place give the same gradients where their output is enough", () => {
  const x = core.tensor([-1, 0.5, 2, 7], { requiresGrad: true });
  const direct = core.grad(nn.functional.relu6(x.mul(1)).sum(), x);
  const inPlace = core.grad(nn.functional.relu6(x.mul(1), { inplace: true }).sum(), x);
  expect(numbers(inPlace[0])).toEqual(numbers(direct[0]));
});

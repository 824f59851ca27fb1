import { nn, optim, randn, tensor, ValueError } from "@troupe/core";
import type { Tensor } from "@troupe/core";
import { mock } from "@troupe/core/testing";
import { column, dataParallel, deviceMesh, layerwise, placementsOf, placementText, row } from "@troupe/parallel";
import type { DeviceMesh, LayerPlan } from "@troupe/parallel";
import { afterAll, describe, expect, test } from "vitest";
import { batches, cnn, mlp, trained } from "./layerwise-training.ts";
import type { Chain, Kind, Outcome, Run } from "./layerwise-training.ts";
import { difference } from "./lay.ts";

const F = nn.functional;
const devices = Array.from({ length: 4 }, (_, index) => mock({ index }));
afterAll(() => Promise.allSettled(devices.map((device) => device.close())));

const [here] = devices;

type Axes = Readonly<Record<string, number>>;

function meshOf(axes: Axes): DeviceMesh {
  const size = Object.values(axes).reduce((product, own) => product * own, 1);
  return deviceMesh(devices.slice(0, size), axes);
}

/** What differs, by name. */
function differences(actual: Outcome, expected: Outcome, tolerance: number): string[] {
  const numbers = (kind: "losses" | "norms"): string[] =>
    expected[kind].flatMap((value, i) =>
      Math.abs(actual[kind][i] - value) <= tolerance * (1 + value) ? [] : [`${kind} ${i}`],
    );
  const gradients = expected.gradients.map((gradient, i) => [
    `gradient ${i}`,
    difference(actual.gradients[i], gradient, tolerance),
  ]);
  const state = Object.entries(expected.state).map(([name, value]) => [
    name,
    difference(actual.state[name], value, tolerance),
  ]);
  return [
    ...numbers("losses"),
    ...numbers("norms"),
    ...[...gradients, ...state].flatMap(([name, found]) => (found === undefined ? [] : [`${name}: ${found}`])),
  ];
}

const kinds: Readonly<Record<string, Kind>> = { MLP: mlp, CNN: cnn };
const runs: Readonly<Record<string, Run>> = {
  "five steps with an uneven last batch": { sizes: [6, 6, 6, 6, 3] },
  "five steps in float64": { sizes: [4, 4, 4, 4, 1], dtype: "float64" },
  "gradients accumulated over two batches, and clipped": { sizes: [6, 5, 6, 3], accumulate: 2, clip: 0.1 },
};
const axes: readonly Axes[] = [{ tp: 2 }, { tp: 3 }, { dp: 2, tp: 2 }];

describe("training layer-wise, with dropout and widths that do not divide, is training on one device", () => {
  for (const [name, kind] of Object.entries(kinds)) {
    for (const [title, run] of Object.entries(runs)) {
      for (const own of axes) {
        const mesh = meshOf(own);
        test(`${name} on ${mesh.sizes.join(" x ")}: ${title}`, () => {
          const actual = trained(kind, run, (model) => layerwise(model, mesh, kind.plan));
          const expected = trained(kind, run, (model) => model);
          expect(differences(actual, expected, run.dtype === "float64" ? 1e-9 : 1e-5)).toEqual([]);
        });
      }
    }
    test(`${name}: two runs give the same bits`, () => {
      const once = (): Outcome =>
        trained(kind, { sizes: [6, 5], clip: 0.5 }, (model) => layerwise(model, meshOf({ dp: 2, tp: 2 }), kind.plan));
      expect(differences(once(), once(), 0)).toEqual([]);
    });
  }

  test("layers narrower than the number of devices", () => {
    const run = { sizes: [4, 2] };
    const narrow: Kind = {
      ...mlp,
      make: () => new nn.Sequential(new nn.Linear(5, 2), new nn.Tanh(), new nn.Linear(2, 3)).to(here),
      plan: { "0": column(), "2": row() },
    };
    const start = narrow.make().stateDict();
    const from = (model: Chain): Chain => {
      model.loadStateDict(start);
      return model;
    };
    const actual = trained(narrow, run, (model) => layerwise(from(model), meshOf({ tp: 3 }), narrow.plan));
    expect(differences(actual, trained(narrow, run, from), 1e-5)).toEqual([]);
  });

  test("batch norm and layer norm beside split layers", () => {
    const normed: Kind = {
      ...cnn,
      make: () => {
        const [, relu, pool, , second, , flatten, last] = cnn.make();
        return new nn.Sequential(
          // Batch norm takes a bias off again: its gradient is rounding noise, which Adam would blow up.
          new nn.Conv2d(2, 5, 3, { padding: 1, bias: false }),
          new nn.BatchNorm2d(5),
          relu,
          pool,
          second,
          flatten,
          new nn.LayerNorm(36),
          last,
        ).to(here);
      },
      plan: { "0": column(), "4": row(), "7": column() },
    };
    const run = { sizes: [5, 4, 5] };
    for (const mesh of [meshOf({ tp: 2 }), meshOf({ dp: 2, tp: 2 })]) {
      const actual = trained(normed, run, (model) => layerwise(model, mesh, normed.plan));
      expect(differences(actual, trained(normed, run, (model) => model), 1e-4)).toEqual([]);
    }
  });

  test("an embedding split by columns, and layers split alone", () => {
    const words = tensor(
      [
        [1, 4, 0],
        [2, 2, 6],
      ],
      { device: here },
    );
    const state = new nn.Sequential(new nn.Embedding(7, 5), new nn.Linear(5, 4), new nn.Linear(4, 3)).stateDict();
    const gradients = (plan: LayerPlan | undefined): Tensor[] => {
      const model = new nn.Sequential(new nn.Embedding(7, 5), new nn.Linear(5, 4), new nn.Linear(4, 3)).to(here);
      model.loadStateDict(state);
      const net = plan === undefined ? model : layerwise(model, meshOf({ tp: 2 }), plan);
      F.mseLoss(net.forward(words), randn([2, 3, 3], { device: here }).mul(0)).backward();
      return model.parameters().map(({ grad }) => grad as Tensor);
    };
    const expected = gradients(undefined);
    const plans: readonly LayerPlan[] = [
      { "0": column(), "1": row() },
      { "1": row(), "2": row() },
      { "1": column(), "2": column() },
      {},
    ];
    for (const plan of plans) {
      gradients(plan).forEach((gradient, i) => expect(difference(gradient, expected[i], 1e-5)).toBeUndefined());
    }
  });
});

describe("a network on a mesh", () => {
  test("keeps its parameters and their optimizer, from one device over several and back", () => {
    const steps = (moves: readonly ((model: Chain) => nn.Module)[]): nn.StateDict => {
      const model = mlp.make();
      const optimizer = new optim.Adam(model.parameters(), { lr: 0.05 });
      const data = batches(mlp, { sizes: moves.map(() => 4) });
      moves.forEach((move, i) => {
        const net = move(model) as Chain;
        optimizer.zeroGrad();
        F.crossEntropy(net.forward(data[i][0]), data[i][1]).backward();
        optimizer.step();
      });
      return model.to(here).stateDict();
    };
    const alone = (model: Chain): nn.Module => model.to(here);
    const pair = meshOf({ tp: 2 });
    const moves = [
      alone,
      (model: Chain) => layerwise(model, pair, mlp.plan),
      (model: Chain) => layerwise(model.to(here), pair, { "0": row() }),
      (model: Chain) => dataParallel(model.to(here), { devices: devices.slice(0, 2) }),
      (model: Chain) => layerwise(model.to(here), meshOf({ tp: 3 }), mlp.plan),
      alone,
    ];
    const [actual, expected] = [steps(moves), steps(moves.map(() => alone))];
    for (const [name, value] of Object.entries(expected)) expect(difference(actual[name], value, 1e-5)).toBeUndefined();
  });

  test("holds parts of split layers and the whole of others, and gives and takes whole state", () => {
    const model = mlp.make();
    const state = model.stateDict();
    const full = Object.fromEntries(Object.entries(state).map(([name, value]) => [name, value.clone()]));
    const net = layerwise(model, meshOf({ dp: 2, tp: 2 }), { "0": column(), "3": row() });
    const texts = Array.from(net.namedParameters(), ([name, parameter]) => [
      name,
      placementsOf(parameter)?.map(placementText).join(" "),
    ]);
    expect(Object.fromEntries(texts)).toEqual({
      "0.weight": "R S(0)",
      "0.bias": "R S(0)",
      "3.weight": "R S(1)",
      "3.bias": "R R",
      "5.weight": "R R",
      "5.bias": "R R",
      "7.weight": "R R",
      "7.bias": "R R",
    });
    for (const [name, value] of Object.entries(net.stateDict())) {
      expect(placementsOf(value)).toBeUndefined();
      expect(difference(value, full[name], 0)).toBeUndefined();
    }
    const doubled = Object.fromEntries(Object.entries(full).map(([name, value]) => [name, value.mul(2)]));
    net.loadStateDict(doubled);
    for (const [name, value] of Object.entries(net.stateDict()))
      expect(difference(value, doubled[name], 0)).toBeUndefined();
  });
});

describe("a plan", () => {
  class Block extends nn.Module {
    readonly up = new nn.Linear(4, 6);
    readonly down = new nn.Linear(6, 4);
    readonly heads = [new nn.Conv2d(4, 4, 1, { groups: 2 }), new nn.ReLU()];

    override forward(x: Tensor): Tensor {
      return this.down.forward(this.up.forward(x));
    }
  }
  const mesh = meshOf({ tp: 2 });
  const network = (): nn.Sequential => new nn.Sequential(new Block(), new Block(), new nn.ReLU()).to(here);

  test("names modules by path, with * for any characters within a name", () => {
    const model = network();
    layerwise(model, mesh, { "*.up": column(), "1.d*n": row() });
    const text = (parameter: nn.Parameter): string | undefined => placementsOf(parameter)?.map(placementText).join();
    const [first, second] = model.children() as Block[];
    expect([first.up, second.up, first.down, second.down].map(({ weight }) => text(weight))).toEqual([
      "S(0)",
      "S(0)",
      "R",
      "S(1)",
    ]);
    const alone = new nn.Linear(4, 4).to(here);
    layerwise(alone, mesh, { "": row() });
    expect(text(alone.weight)).toBe("S(1)");
  });

  test("that matches nothing, or what cannot be split so, is refused with what exists, and changes nothing", () => {
    const refused = (plan: LayerPlan, own = mesh): string => {
      const model = network();
      let thrown: unknown;
      try {
        layerwise(model, own, plan);
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(ValueError);
      expect(model.parameters().every((parameter) => placementsOf(parameter) === undefined)).toBe(true);
      return (thrown as ValueError).message;
    };
    expect(refused({ "0.up": column(), "*.middle": row() })).toMatch(
      /pattern "\*\.middle" matches no module[^]*"0\.up" \(Linear\), "0\.down" \(Linear\), "1\.up"/,
    );
    expect(refused({ up: column() })).toMatch(/pattern "up" matches no module/);
    expect(refused({ "*": column() })).toMatch(/pattern "\*" matches "0", a Block, which column\(\) cannot split/);
    expect(refused({ "2": row() })).toMatch(/a ReLU, which row\(\) cannot split: it splits Linear, Conv1d/);
    expect(refused({ "1.heads.0": row() })).toMatch(/a Conv2d with groups, which row\(\) cannot split/);
    expect(refused({ "*.up": column(), "1.up": row() })).toMatch(/"1\.up" is matched by "\*\.up" for column\(\)/);
    expect(refused({ "0.up": column() }, meshOf({ dp: 2 }))).toMatch(/no axis "tp"[^]*dp/);
  });
});

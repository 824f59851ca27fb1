import { nn, ones, optim, randint, randn } from "@troupe/core";
import type { Tensor } from "@troupe/core";
import { mock } from "@troupe/core/testing";
import { collectiveCounts, column, deviceMesh, layerwise, row, ruleMisses } from "@troupe/parallel";
import type { CollectiveCounts, LayerPlan, Layerwise } from "@troupe/parallel";
import { afterAll, describe, expect, test } from "vitest";

const F = nn.functional;
const devices = Array.from({ length: 4 }, (_, index) => mock({ index }));
afterAll(() => Promise.allSettled(devices.map((device) => device.close())));

const [here] = devices;
const [batch, inputs, hidden, classes] = [6, 5, 12, 3];

/** What was sent while `body` ran. */
function sent(body: () => void): Partial<CollectiveCounts> {
  const before = collectiveCounts();
  body();
  const after = collectiveCounts();
  const kinds = Object.keys(after) as (keyof CollectiveCounts)[];
  return Object.fromEntries(
    kinds.flatMap((kind) => (after[kind] === before[kind] ? [] : [[kind, after[kind] - before[kind]]])),
  );
}

const nothing = {};

type Step = nn.Module & { forward(x: Tensor): Tensor };

function net(count: number, plan: LayerPlan, ...steps: readonly Step[]): Layerwise<nn.Sequential> {
  const model = new nn.Sequential(...steps).to(here);
  return layerwise(model, deviceMesh(devices.slice(0, count), { tp: count }), plan);
}

describe("a column layer and a row layer", () => {
  for (const count of [2, 3, 4]) {
    test(`on ${count} devices send one all-reduce forward and one backward, of the bytes that the formula says`, () => {
      const mlp = net(
        count,
        { "0": column(), "3": row() },
        new nn.Linear(inputs, hidden),
        new nn.GELU(),
        new nn.Dropout(0.1),
        new nn.Linear(hidden, classes),
      );
      const x = mlp.split(randn([batch, inputs], { device: here }));
      x.requiresGrad = true;
      const labels = mlp.split(randint(classes, [batch], { device: here }));
      let loss!: Tensor;
      expect(sent(() => (loss = F.crossEntropy(mlp.forward(x), labels)))).toEqual({
        allReduce: 1,
        bytes: 2 * (count - 1) * batch * classes * 4,
      });
      expect(sent(() => loss.backward())).toEqual({ allReduce: 1, bytes: 2 * (count - 1) * batch * inputs * 4 });
      expect(sent(() => void x.grad?.dataSync())).toEqual(nothing);
      const optimizer = new optim.Adam(mlp.parameters());
      expect(sent(() => optimizer.step())).toEqual(nothing);
    });
  }

  test("send nothing backward where the input needs no gradient", () => {
    const mlp = net(2, { "0": column(), "1": row() }, new nn.Linear(inputs, hidden), new nn.Linear(hidden, classes));
    const x = mlp.split(ones([batch, inputs], { device: here }));
    const y = mlp.forward(x);
    expect(sent(() => y.square().sum().backward())).toEqual(nothing);
  });

  test("in a convolutional network: one all-reduce of the second one's result forward, none backward", () => {
    const cnn = net(
      2,
      { "0": column(), "3": row() },
      new nn.Conv2d(1, 4, 3),
      new nn.ReLU(),
      new nn.MaxPool2d(2),
      new nn.Conv2d(4, 3, 2),
      new nn.ReLU(),
      new nn.Flatten(),
      new nn.Linear(12, classes),
    );
    const x = cnn.split(randn([batch, 1, 8, 8], { device: here }));
    const labels = cnn.split(randint(classes, [batch], { device: here }));
    let loss!: Tensor;
    expect(sent(() => (loss = F.crossEntropy(cnn.forward(x), labels)))).toEqual({
      allReduce: 1,
      bytes: 2 * batch * 3 * 2 * 2 * 4,
    });
    expect(sent(() => loss.backward())).toEqual(nothing);
    expect([...ruleMisses().keys()]).toEqual([]);
  });

  test("with channels that divide go on through a flatten without a message", () => {
    const cnn = net(
      2,
      { "0": column(), "2": row() },
      new nn.Conv2d(1, 4, 3),
      new nn.Flatten(),
      new nn.Linear(4 * 36, classes),
    );
    const x = cnn.split(randn([batch, 1, 8, 8], { device: here }));
    let y!: Tensor;
    expect(sent(() => (y = cnn.forward(x)))).toEqual({ allReduce: 1, bytes: 2 * batch * classes * 4 });
    expect(sent(() => y.square().mean().backward())).toEqual(nothing);
  });
});

test("two pairs of layers behind a whole one send two all-reduces each way, of activations only", () => {
  const mlp = net(
    2,
    { "1": column(), "3": row(), "5": column(), "7": row() },
    new nn.Linear(inputs, hidden),
    new nn.Linear(hidden, 8),
    new nn.ReLU(),
    new nn.Linear(8, hidden),
    new nn.LayerNorm(hidden),
    new nn.Linear(hidden, 8),
    new nn.ReLU(),
    new nn.Linear(8, classes),
  );
  const x = mlp.split(randn([batch, inputs], { device: here }));
  let y!: Tensor;
  expect(sent(() => (y = mlp.forward(x)))).toEqual({ allReduce: 2, bytes: 2 * batch * (hidden + classes) * 4 });
  expect(sent(() => y.square().sum().backward())).toEqual({ allReduce: 2, bytes: 2 * batch * (hidden + hidden) * 4 });
  const optimizer = new optim.SGD(mlp.parameters(), { lr: 0.1 });
  expect(sent(() => optimizer.step())).toEqual(nothing);
});

test("layers that take one input sum its gradient once", () => {
  class Gate extends nn.Module {
    readonly value = new nn.Linear(inputs, hidden);
    readonly gate = new nn.Linear(inputs, hidden);
    readonly out = new nn.Linear(hidden, inputs);

    override forward(x: Tensor): Tensor {
      return this.out.forward(this.value.forward(x).mul(this.gate.forward(x).sigmoid()));
    }
  }
  const gated = layerwise(new Gate().to(here), deviceMesh(devices.slice(0, 2), { tp: 2 }), {
    value: column(),
    gate: column(),
    out: row(),
  });
  const x = gated.split(randn([batch, inputs], { device: here }));
  x.requiresGrad = true;
  const y = gated.forward(x.mul(1));
  expect(sent(() => y.square().sum().backward())).toEqual({ allReduce: 1, bytes: 2 * batch * inputs * 4 });
});

test("on a mesh of dp and tp, gradients are summed over dp in one message a line, and clipping adds one number", () => {
  const model = new nn.Sequential(new nn.Linear(inputs, hidden), new nn.ReLU(), new nn.Linear(hidden, classes));
  const both = layerwise(model.to(here), deviceMesh(devices, { dp: 2, tp: 2 }), { "0": column(), "2": row() });
  const x = both.split(randn([batch, inputs], { device: here }));
  both.forward(x).square().sum().backward();
  const owned = (inputs * hidden + hidden + hidden * classes) / 2 + classes;
  const lines = 2;
  expect(sent(() => nn.clipGradNorm_(both.parameters(), 0.1))).toEqual({
    allReduce: 2 * lines,
    bytes: lines * (2 * owned * 4 + 2 * 4),
  });
  const optimizer = new optim.SGD(both.parameters(), { lr: 0.1 });
  expect(sent(() => optimizer.step())).toEqual(nothing);
});

/** Row programs (softmax, cross entropy) on the CPU agree with the mock device, however rows lie, and do not depend on threads. */
import { grad, manualSeed, nn, randn, tensor, type Tensor } from "@troupe/core";
import type { Device } from "@troupe/core/device";
import { mock } from "@troupe/core/testing";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { cpu } from "../src/index.ts";

const single = cpu({ index: 70, threads: 1, memoryLimit: 2 ** 28 });
const team = cpu({ index: 71, threads: 2, memoryLimit: 2 ** 28 });
const oracle = mock();
afterAll(() => Promise.all([single, team, oracle].map((device) => device.close())));

type Layout = "dense" | "transposed" | "sliced";

/** `values` as rows by columns on `device`, laid out in memory as `layout` says. */
function laid(values: readonly number[], [rows, columns]: readonly [number, number], layout: Layout, device: Device): Tensor {
  const dense = tensor(values, { device, dtype: "float32" }).reshape([rows, columns]);
  if (layout === "transposed") return dense.t().contiguous().t();
  if (layout === "sliced") return nn.functional.pad(dense, [3, 2]).narrow(1, 3, columns);
  return dense;
}

const functions: Readonly<Record<string, (x: Tensor, labels: readonly number[], weights: readonly number[]) => Tensor>> = {
  softmax: (x) => x.softmax(1),
  logSoftmax: (x) => x.logSoftmax(1),
  "softmax over rows": (x) => x.softmax(0),
  "cross entropy": (x, labels) =>
    nn.functional.crossEntropy(x, tensor(labels, { device: x.device, dtype: "int64" }), { ignoreIndex: 0, reduction: "none" }),
  "weighted cross entropy": (x, labels, weights) =>
    nn.functional.crossEntropy(x, tensor(labels, { device: x.device, dtype: "int32" }), { weight: tensor(weights, { device: x.device, dtype: "float32" }) }),
};

const element = fc.oneof(
  { weight: 20, arbitrary: fc.float({ min: -30, max: 30, noNaN: true }) },
  { weight: 1, arbitrary: fc.constantFrom(NaN, Infinity, -Infinity, -1e4, 1e4) },
);
const cases = fc.tuple(fc.integer({ min: 1, max: 5 }), fc.constantFrom(1, 3, 8, 9, 17, 32, 40, 70, 300)).chain(([rows, columns]) =>
  fc.record({
    size: fc.constant([rows, columns] as const),
    values: fc.array(element, { minLength: rows * columns, maxLength: rows * columns }),
    slopes: fc.array(fc.float({ min: -2, max: 2, noNaN: true }), { minLength: rows * columns, maxLength: rows * columns }),
    labels: fc.array(fc.integer({ min: 0, max: columns - 1 }), { minLength: rows, maxLength: rows }),
    weights: fc.array(fc.float({ min: 0.5, max: 2, noNaN: true }), { minLength: columns, maxLength: columns }),
    layout: fc.constantFrom<Layout>("dense", "transposed", "sliced"),
  }));

/** What a function and its gradient give. */
async function results(device: Device, name: string, c: typeof cases extends fc.Arbitrary<infer T> ? T : never): Promise<number[][]> {
  const x = laid(c.values, c.size, c.layout, device).detach();
  x.requiresGrad = true;
  const y = functions[name](x, c.labels, c.weights);
  const g = tensor(c.slopes.slice(0, y.numel()), { device, dtype: "float32" }).reshape(y.shape);
  const [slope] = grad(y, x, { gradOutputs: g });
  return Promise.all([y, slope].map(async (t) => Array.from((await t.detach().reshape([-1]).data()) as Float32Array)));
}

function expectClose(seen: readonly number[], wanted: readonly number[]): void {
  expect(seen).toHaveLength(wanted.length);
  seen.forEach((value, i) => {
    const other = wanted[i];
    if (Object.is(value, other) || (Number.isNaN(value) && Number.isNaN(other))) return;
    expect(Math.abs(value - other), `element ${i}: ${value} and ${other}`).toBeLessThanOrEqual(2e-6 + 2e-5 * Math.abs(other));
  });
}

describe("row programs", () => {
  test.each(Object.keys(functions))("%s and its gradient agree with the mock device, however rows lie", async (name) => {
    const law = fc.asyncProperty(cases, async (c) => {
      const [seen, wanted] = await Promise.all([results(single, name, c), results(oracle, name, c)]);
      seen.forEach((values, i) => expectClose(values, wanted[i]));
    });
    await expect(fc.assert(law, { numRuns: 40 })).resolves.toBeUndefined();
  }, 60_000);

  test("two threads give the same bits as one", async () => {
    const bits = async (device: Device): Promise<unknown> => {
      manualSeed(3);
      const x = randn([700, 333], { device });
      x.requiresGrad = true;
      const y = x.softmax(1);
      const [slope] = grad(y, x, { gradOutputs: randn([700, 333], { device }) });
      return [await y.detach().data(), await slope.data()];
    };
    expect(await bits(team)).toEqual(await bits(single));
  });

  test("a training step's cross entropy takes seven launches, one of them over the scores each way", async () => {
    const scores = randn([128, 10], { device: single });
    scores.requiresGrad = true;
    const labels = tensor(new Array<number>(128).fill(3), { device: single, dtype: "int64" });
    const profile = await single.profile(() => nn.functional.crossEntropy(scores, labels).backward());
    const names = profile.events.filter(({ kind }) => kind === "kernel").map(({ name }) => name);
    expect(names).toEqual(["crossEntropy", "sum", "sum", "div", "fill", "div", "crossEntropyBackward"]);
  });
});

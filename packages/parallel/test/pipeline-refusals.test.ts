import {
  AutogradError,
  DeviceClosedError,
  DeviceError,
  manualSeed,
  nn,
  noGrad,
  ones,
  randint,
  randn,
  ShapeError,
  ValueError,
} from "@troupe/core";
import type { Tensor } from "@troupe/core";
import { mock } from "@troupe/core/testing";
import { balance, dataParallel, gpipe, measureSteps, pipeline, ScheduleError } from "@troupe/parallel";
import type { ScheduleName } from "@troupe/parallel";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { cpu } from "@troupe/device-cpu";
import { classes, loss, mlp } from "./pipeline-training.ts";

const mocks = [0, 1, 2].map((index) => mock({ index }));
const cpus = [0, 1].map((index) => cpu({ index, threads: 1 }));
afterAll(() => Promise.allSettled([...mocks, ...cpus].map((device) => device.close())));

describe("stages", () => {
  test("balanced: no contiguous partition has a cheaper dearest stage", () => {
    const dearest = (costs: readonly number[], parts: readonly number[]): number => {
      let at = 0;
      return Math.max(...parts.map((size) => costs.slice(at, (at += size)).reduce((sum, cost) => sum + cost, 0)));
    };
    const every = function* (count: number, stages: number): Generator<number[]> {
      if (stages === 1) yield [count];
      else
        for (let first = 1; first <= count - stages + 1; first++)
          for (const rest of every(count - first, stages - 1)) yield [first, ...rest];
    };
    fc.assert(
      fc.property(
        fc.array(fc.nat(20), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 8 }),
        (costs, wanted) => {
          const stages = Math.min(wanted, costs.length);
          const parts = balance(costs, stages);
          expect(parts.length).toBe(stages);
          expect(parts.every((size) => size > 0)).toBe(true);
          expect(parts.reduce((sum, size) => sum + size, 0)).toBe(costs.length);
          expect(dearest(costs, parts)).toBe(
            Math.min(...Array.from(every(costs.length, stages), (other) => dearest(costs, other))),
          );
        },
      ),
    );
  });

  test("balanced by the clock: the dear layer gets a device of its own, and nothing is changed by measuring", () => {
    const heavy = new nn.Linear(400, 400);
    const net = new nn.Sequential(
      new nn.Linear(4, 400),
      heavy,
      new nn.BatchNorm1d(400),
      new nn.Dropout(),
      new nn.Linear(400, 2),
    ).to(cpus[0]);
    manualSeed(6);
    const sample = randn([256, 4], { device: cpus[0] });
    const [state, next] = [net.stateDict(), randn([]).itemSync()];
    const before = Object.values(state).map((value) => value.dataSync());
    manualSeed(6);
    randn([256, 4]);
    const costs = measureSteps([...net], sample);
    expect(randn([]).itemSync()).toBe(next);
    expect(Object.values(net.stateDict()).map((value) => value.dataSync())).toEqual(before);
    expect(net.parameters().every(({ grad }) => grad === undefined)).toBe(true);
    const total = costs.map(({ forward, backward }) => forward + backward);
    expect(Math.max(...total)).toBe(total[1]);
    const pipe = pipeline(net, { devices: cpus.slice(0, 2), sample, microbatches: 2 });
    expect(pipe.stages.map(({ module }) => module.children().length).reduce((sum, size) => sum + size)).toBe(5);
    expect(pipe.simulation.makespan).toBeGreaterThan(0);
  });
});

describe("what does not fit is refused at the call", () => {
  const net = (): nn.Sequential => mlp().to(mocks[0]);
  const batch = (size: number): [Tensor, Tensor] => [
    ones([size, 5], { device: mocks[0] }),
    randint(classes, [size], { device: mocks[0] }),
  ];

  test("stages", () => {
    const small = new nn.Sequential(new nn.Linear(5, 2), new nn.ReLU()).to(mocks[0]);
    expect(() => pipeline(small, { devices: mocks })).toThrow(ValueError);
    expect(() => pipeline(net(), { devices: mocks, stages: [3, 4] })).toThrow(/2 stages for 3 devices/);
    expect(() => pipeline(net(), { devices: mocks.slice(0, 2), stages: [3, 3] })).toThrow(
      /is 6 children; the network has 7/,
    );
    expect(() => pipeline(net(), { devices: mocks.slice(0, 2), stages: [7, 0] })).toThrow(/at least one/);
    expect(() => pipeline(net(), { devices: mocks.slice(0, 2), stages: { splitAt: [8] } })).toThrow(/at least one/);
    expect(() => pipeline(new nn.Linear(2, 2), { devices: mocks.slice(0, 1) })).toThrow(/order/);
  });

  test("schedules", () => {
    expect(() => pipeline(net(), { devices: mocks, schedule: "zigzag" as ScheduleName })).toThrow(
      /unknown schedule "zigzag"/,
    );
    expect(() => pipeline(net(), { devices: mocks, schedule: gpipe(2, 1) })).toThrow(/is for 2 stages/);
    const { actions, ...rest } = gpipe(3, 2);
    const broken = { ...rest, actions: [actions[0].toReversed(), actions[1], actions[2]] };
    expect(() => pipeline(net(), { devices: mocks, microbatches: 2, schedule: broken })).toThrow(ScheduleError);
    expect(() => pipeline(net(), { devices: mocks, microbatches: 0 })).toThrow(ValueError);
  });

  test("devices", async () => {
    expect(() => pipeline(net(), { devices: [] })).toThrow(ValueError);
    expect(() => pipeline(net(), { devices: [mocks[0], mocks[0]] })).toThrow(DeviceError);
    const gone = mock();
    const pipe = pipeline(net(), { devices: [mocks[0], gone] });
    await gone.close();
    expect(() => pipe.step(...batch(4), loss)).toThrow(DeviceClosedError);
    expect(() => pipe.forward(batch(4)[0])).toThrow(DeviceClosedError);
    expect(() => pipeline(net(), { devices: [mocks[0], gone] })).toThrow(DeviceClosedError);
  });

  test("a network that was moved away, is on a mesh, or shares a parameter between stages", () => {
    const model = net();
    const pipe = pipeline(model, { devices: mocks });
    model.to(mocks[0]);
    expect(() => pipe.step(...batch(4), loss)).toThrow(/is on mock:0, not on mock:1/);
    expect(() => pipeline(dataParallel(net(), { devices: mocks }).module, { devices: mocks })).toThrow(/on a mesh/);
    const [a, b] = [new nn.Linear(4, 4), new nn.Linear(4, 4)];
    b.weight = a.weight;
    expect(() => pipeline(new nn.Sequential(a, b).to(mocks[0]), { devices: mocks.slice(0, 2) })).toThrow(
      /same parameter/,
    );
  });

  test("batches and losses", () => {
    const pipe = pipeline(net(), { devices: mocks, microbatches: 4 });
    expect(() => pipe.step(...batch(3), loss)).toThrow(ValueError);
    expect(() => pipe.step(batch(8)[0], batch(7)[1], loss)).toThrow(ShapeError);
    expect(() => pipe.step(...batch(8), (output) => output)).toThrow(ShapeError);
    expect(() => pipe.step(...batch(8), () => 1 as unknown as Tensor)).toThrow(ValueError);
    expect(() => noGrad(() => pipe.step(...batch(8), loss))).toThrow(AutogradError);
    expect(Number.isFinite(pipe.step(...batch(8), loss).itemSync())).toBe(true);
  });
});

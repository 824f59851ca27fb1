/** What all ways to train on several devices have in common: one device's numbers, the same bits, a way out of a death. */
import { DeviceLostError, manualSeed, randint, randn } from "@troupe/core";
import type { nn, Tensor } from "@troupe/core";
import { cpu } from "@troupe/device-cpu";
import { Gate, sleep } from "../../core/src/testing/promises/harness.ts";
import { afterAll, describe, expect, test } from "vitest";
import { classes, cnn, differences, maxNorm, mlp, single, strategies, trained } from "./strategies.ts";

const devices = Array.from({ length: 8 }, (_, index) => cpu({ index, threads: 1 }));
afterAll(() => Promise.allSettled(devices.map((device) => device.close())));

const networks = { MLP: mlp, CNN: cnn };
const enough = { float32: { rtol: 1e-5, atol: 4e-5 }, float64: { rtol: 1e-9, atol: 1e-9 } };
const exactly = { rtol: 0, atol: 0 };

describe.each(Object.entries(networks))("%s", (_network, network) => {
  describe.each(["float32", "float64"] as const)("in %s", (dtype) => {
    const reference = trained({ network, dtype }, single, devices);

    test("every step's gradients are clipped", async () => {
      const norms = [...(await reference)].filter(([name]) => name.startsWith("norm"));
      expect(norms).toHaveLength(5);
      for (const [, [norm]] of norms) expect(norm).toBeGreaterThan(maxNorm);
    });

    test.each(Object.entries(strategies))(
      "%s: losses, norms, gradients and parameters of five accumulated, clipped steps with dropout are one device's",
      async (_name, strategy) => {
        for (const count of [2, 3]) {
          const actual = await trained({ network, dtype }, strategy, devices.slice(0, count));
          expect(differences(actual, await reference, enough[dtype])).toEqual([]);
        }
      },
    );
  });

  test.each(Object.entries(strategies))("%s: 4 and 8 actors give the same numbers", async (_name, strategy) => {
    const training = { network, steps: 2 };
    const expected = await trained(training, single, devices);
    for (const count of [4, 8]) {
      const actual = await trained(training, strategy, devices.slice(0, count));
      expect(differences(actual, expected, enough.float32)).toEqual([]);
    }
  });

  test.each(Object.entries(strategies))("%s: two runs give the same bits", async (_name, strategy) => {
    const run = (): ReturnType<typeof trained> => trained({ network }, strategy, devices.slice(0, 3));
    const first = await run();
    expect(differences(await run(), first, exactly)).toEqual([]);
  });
});

describe("a member that dies within a collective or a transfer", () => {
  const members = [8, 9, 10].map((index) => cpu({ index, threads: 1 }));
  const [device, , late] = members;
  afterAll(() => Promise.allSettled(members.map((member) => member.close())));

  // A device that dies too often is given up.
  test.each(Object.entries(strategies).map(([name, strategy], i) => [name, strategy, members[i % 2]] as const))(
    "%s: reads reject within a second with typed errors, nothing hangs, and training goes on",
    async (_name, strategy, dying) => {
      const model = mlp.make().to(device);
      // Elsewhere: some of it may be lost.
      const state = Object.entries(model.stateDict()).map(([name, x]) => [name, x.to(devices[0])] as const);
      const restore = (own: nn.Sequential): nn.Sequential => {
        own.loadStateDict(Object.fromEntries(state.map(([name, x]) => [name, x.to(device)])));
        return own;
      };
      const { differentiate } = strategy(model, members, mlp);
      const batch = (): [Tensor, Tensor] => [randn([9, 5], { device }), randint(classes, [9], { device })];
      await differentiate(...batch()).item();
      model.zeroGrad();

      // One member stays away, so that the others come to where they wait for it.
      const gate = new Gate(late, devices[0]);
      const [input, target] = batch();
      const gradients = (): Tensor[] => model.parameters().map(({ grad }) => grad as Tensor);
      let settled = 0;
      const reads = [differentiate(input, target), ...gradients()].map((x) => x.data().finally(() => settled++));
      const outcomes = Promise.allSettled(reads);
      await sleep(150);
      expect(settled).toBe(0);
      await dying.kill();
      const start = performance.now();
      gate.open();
      const errors = (await outcomes).flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
      expect(performance.now() - start).toBeLessThan(1000);
      expect(errors.length).toBeGreaterThan(0);
      for (const error of errors) expect(error).toBeInstanceOf(DeviceLostError);

      model.zeroGrad();
      restore(model);
      const again = single(restore(mlp.make().to(device)), members, mlp);
      const [actual, expected] = [differentiate, again.differentiate].map((step) => {
        manualSeed(3);
        return step(input, target).item();
      });
      expect(await actual).toBeCloseTo(await expected, 5);
      expect((await Promise.all(gradients().map((x) => x.data()))).flatMap((x) => [...x]).every(Number.isFinite)).toBe(
        true,
      );
      await Promise.all(members.map((member) => member.fence()));
    },
  );
});

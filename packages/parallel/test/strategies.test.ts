/** What all ways to train on several devices have in common: one device's numbers, the same bits. */
import { cpu } from "@troupe/device-cpu";
import { afterAll, describe, expect, test } from "vitest";
import { cnn, differences, maxNorm, mlp, single, strategies, trained } from "./strategies.ts";

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

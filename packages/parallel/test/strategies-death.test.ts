/** A member that dies amid a training step, in every strategy. */
import { DeviceLostError, LostError, manualSeed, randint, randn } from "@troupe/core";
import type { nn, Tensor } from "@troupe/core";
import { cpu } from "@troupe/device-cpu";
import { afterAll, expect, test } from "vitest";
import { Gate, sleep } from "../../core/src/testing/promises/harness.ts";
import { classes, mlp, single, strategies } from "./strategies.ts";

const members = [0, 1, 2].map((index) => cpu({ index, threads: 1 }));
const [device, , late] = members;
const safe = cpu({ index: 3, threads: 1 });
afterAll(() => Promise.allSettled([...members, safe].map((member) => member.close())));

const batch = (): [input: Tensor, target: Tensor] => [randn([9, 5], { device }), randint(classes, [9], { device })];

// The members die in turn: one that dies too often is given up.
test.each(Object.entries(strategies).map(([name, strategy], i) => [name, strategy, members[i % 2]] as const))(
  "%s: reads reject within a second with typed errors, nothing hangs, and training goes on",
  async (_name, strategy, dying) => {
    const model = mlp.make().to(device);
    const state = Object.entries(model.stateDict()).map(([name, x]) => [name, x.to(safe)] as const);
    const restore = (own: nn.Sequential): nn.Sequential => {
      own.loadStateDict(Object.fromEntries(state.map(([name, x]) => [name, x.to(device)])));
      return own;
    };
    const gradients = (): Tensor[] => model.parameters().map(({ grad }) => grad as Tensor);
    const { differentiate } = strategy(model, members, mlp);
    await differentiate(...batch()).item();
    model.zeroGrad();

    // One member stays away until another has died where it waits for that one, in a collective or a transfer.
    const gate = new Gate(late, safe);
    let settled = 0;
    const reads = [differentiate(...batch()), ...gradients()].map((x) => x.data().finally(() => settled++));
    const outcomes = Promise.allSettled(reads);
    await sleep(150);
    expect(settled).toBe(0);
    await dying.kill();
    const start = performance.now();
    gate.open();
    const errors = (await outcomes).flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
    expect(performance.now() - start).toBeLessThan(1000);
    expect(errors.length).toBeGreaterThan(0);
    for (const error of errors) expect([DeviceLostError, LostError]).toContain((error as Error).constructor);

    model.zeroGrad();
    restore(model);
    const again = single(restore(mlp.make().to(device)), members, mlp);
    const [input, target] = batch();
    const [actual, expected] = [differentiate, again.differentiate].map((step) => {
      manualSeed(3);
      return step(input, target).item();
    });
    expect(await actual).toBeCloseTo(await expected, 5);
    for (const x of gradients()) expect([...(await x.data())].every(Number.isFinite)).toBe(true);
    await Promise.all(members.map((member) => member.fence()));
  },
);

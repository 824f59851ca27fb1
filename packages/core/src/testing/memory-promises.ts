/** How much device memory tensors take, and when it is given back. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import type { Device } from "../actor/device.ts";
import { hold, noGrad, ones, optim, tensor, tidy, zeros, type Tensor } from "../index.ts";
import type { Make } from "./tensor-promises.ts";

const length = 1 << 14;
const bytes = 4 * length;

/** Lets go of all that nobody holds. */
async function collectAll(device: Device): Promise<void> {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  for (let i = 0; i < 2; i++) {
    gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await device.fence();
}

/** Bytes that are live, in tensors of `length` elements. */
function tensorsLive(device: Device): number {
  device.fenceSync();
  return Math.round(device.stats().bytesLive / bytes);
}

/** `x` through as many ops, each of which saves its result. */
function chainOf(x: Tensor, ops: number): Tensor {
  let y = x;
  for (let i = 0; i < ops; i++) y = y.tanh();
  return y;
}

export function memoryPromises(make: Make): void {
  test("M4 a backward pass takes a few gradients' room, however long the graph", () => {
    const [device] = make(1);
    const x = ones(length, { device, requiresGrad: true });
    const ops = 40;
    const loss = chainOf(x, ops).sum();
    expect(tensorsLive(device)).toBe(ops + 1);
    device.resetPeak();
    loss.backward();
    device.fenceSync();
    const { bytesPeak } = device.stats();
    expect(bytesPeak / bytes).toBeLessThan(ops + 1 + 6);
    // The one gradient that stays.
    expect(tensorsLive(device)).toBe(ops + 2);
  });

  test("M4 a backward pass lets go of what the graph saved, though the loss is still held", async () => {
    const [device] = make(1);
    const x = ones(length, { device, requiresGrad: true });
    const loss = chainOf(x, 40).sum();
    loss.backward(undefined, { retainGraph: true });
    await collectAll(device);
    expect(tensorsLive(device)).toBeGreaterThanOrEqual(40);
    loss.backward();
    await collectAll(device);
    expect(tensorsLive(device)).toBe(2);
    expect(loss.gradFn).toBeDefined();
  });

  test("M4 small tensors that stay alive, however many, do not keep ever more dead ones", async () => {
    const [device] = make(1);
    const kept: Tensor[] = [];
    for (let i = 0; i < 100_000; i++) {
      const x = zeros([], { device });
      if (i % 16 === 0) kept.push(x);
    }
    const live = (): number => {
      device.fenceSync();
      return device.stats().storages;
    };
    // Neighbours share finalisers, as long as there is room. A busy machine runs finalisers late.
    for (let tries = 0; tries < 20 && live() >= 70_000; tries++) await collectAll(device);
    expect(live()).toBeLessThan(70_000);
    expect(kept.every((x) => !x.isDisposed)).toBe(true);
  });

  test("M4 what no gradient needs is not kept by the graph", async () => {
    const [device] = make(1);
    const x = ones(length, { device, requiresGrad: true });
    let y = x.add(1);
    for (let i = 0; i < 20; i++) y = y.add(1).mul(2).neg();
    const loss = y.sum();
    y = loss;
    await collectAll(device);
    expect(tensorsLive(device)).toBe(1);
    loss.backward();
    expect((await x.grad?.data())?.[0]).toBe(2 ** 20);
  });

  test("M4 tidy frees what its body made and does not return, at once; gradients and held tensors stay", () => {
    const [device] = make(1);
    const w = ones(length, { device, requiresGrad: true });
    const outer = tidy(() => {
      const kept = tidy(() => {
        const loss = chainOf(w, 10).sum();
        loss.backward();
        return { loss, more: [w.mul(2)] };
      });
      expect(tensorsLive(device)).toBe(3);
      return kept.loss;
    });
    expect(tensorsLive(device)).toBe(2);
    expect(outer.itemSync()).toBeGreaterThan(0);
    const state = tidy(() => void hold(zeros(length, { device })));
    expect(state).toBeUndefined();
    expect(tensorsLive(device)).toBe(3);
    expect(w.grad?.sum().itemSync()).toBeGreaterThan(0);
  });

  test("M4 a gradient outlives the scope of its backward pass, however it came", () => {
    const [device] = make(1);
    const at = { device, requiresGrad: true };
    const total = (x: Tensor): number | undefined => x.grad?.sum().itemSync();
    const [a, b, c, d] = [ones(4, at), ones(4, at), ones(4, at), ones(2, 2, at)];
    const inner = d.mul(2);
    inner.retainGrad();
    tidy(() => {
      a.add(b).sum().backward();
      a.view(2, 2).mul(3).sum().backward();
      c.backward(ones(4, { device }));
      inner.sum().backward(undefined, { createGraph: true });
    });
    expect([a, b, c, d, inner].map(total)).toEqual([16, 4, 4, 8, 4]);
    tidy(() => d.pow(2).sum().backward(undefined, { createGraph: true }));
    expect(total(d)).toBe(16);
  });

  test("M4 tidy around training steps: live and peak bytes are the same after every step", () => {
    const [device] = make(1);
    const w = ones(length, { device, requiresGrad: true });
    const optimizer = new optim.Adam([w], { lr: 0.01 });
    const live: number[] = [];
    const peaks: number[] = [];
    for (let i = 0; i < 5; i++) {
      device.fenceSync();
      device.resetPeak();
      tidy(() => {
        w.grad = undefined;
        w.mul(3).tanh().pow(2).mean().backward();
        optimizer.step();
      });
      device.fenceSync();
      live.push(device.stats().bytesLive);
      peaks.push(device.stats().bytesPeak);
    }
    // The weight, two moments, and gradients: those that a step replaced wait for a collection.
    expect(live[4] / bytes).toBeLessThan(4 + 5.1);
    expect(Math.max(...peaks) / bytes).toBeLessThan(4 + 5 + 7);
  });

  test("M4 using and dispose free at once, whatever shares the memory", () => {
    const [device] = make(1);
    const x = zeros(length, { device });
    {
      using doubled = x.add(x);
      expect(doubled.t().sum().itemSync()).toBe(0);
      expect(tensorsLive(device)).toBe(2);
    }
    expect(tensorsLive(device)).toBe(1);
    x.view(2, -1).dispose();
    expect(x.isDisposed).toBe(true);
    expect(tensorsLive(device)).toBe(0);
  });

  test("M4 a finaliser never frees a storage that took over its number", async () => {
    const [device] = make(1);
    const make200 = (value: number): Tensor[] => Array.from({ length: 200 }, (_, i) => tensor([value, i], { device }));
    for (const dead of make200(1)) dead.dispose();
    const alive = make200(2);
    await collectAll(device);
    expect(device.stats().storages).toBe(200);
    expect(alive.map((x) => x.tolistSync())).toEqual(alive.map((_, i) => [2, i]));
  });

  test("M4 a loop that awaits once a step runs in flat memory, with no scope and no dispose", async () => {
    // What it leaves behind in all would not fit five times over.
    const [device] = make(1, { memoryLimit: 1 << 26 });
    const w = ones(length, { device, requiresGrad: true });
    const x = ones(length, { device }).mul(0.5);
    const optimizer = new optim.Adam([w], { lr: 0.01 });
    let most = 0;
    let last = Infinity;
    for (let i = 0; i < 300; i++) {
      optimizer.zeroGrad();
      const loss = w.mul(x).tanh().sub(0.25).pow(2).mean();
      loss.backward();
      optimizer.step();
      last = await loss.item();
      if (i >= 50) most = Math.max(most, device.stats().bytesLive);
    }
    expect(last).toBeLessThan(1e-3);
    expect(most).toBeLessThan(3 * 2 ** 24);
  });

  test("a backward pass over 100,000 chained ops works", async () => {
    const [device] = make(1);
    const x = ones([1], { device, requiresGrad: true });
    let y = x;
    for (let i = 0; i < 100_000; i++) y = y.add(1);
    y.backward();
    expect(await y.item()).toBe(100_001);
    expect(await x.grad?.item()).toBe(1);
    noGrad(() => y.zero_());
  });
}

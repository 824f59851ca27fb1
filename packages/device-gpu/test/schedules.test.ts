/** Kernels as they are laid out for GPUs and for software: the same results as a CPU's, whatever the layout. */
import { adapterName } from "./adapter.ts";
import { cpu } from "@troupe/device-cpu";
import { manualSeed, randint, randn, type Tensor } from "@troupe/core";
import { afterAll, describe, expect, test } from "vitest";
import { gpu } from "../src/index.ts";

const here = cpu({ index: 70, threads: 1 });
const devices = [gpu({ index: 70, schedule: "software" }), gpu({ index: 71, schedule: "gpu" })] as const;
afterAll(() => Promise.allSettled([here, ...devices].map((device) => device.close())));

/** The greatest difference between what `f` gives on the device and on the CPU. */
function difference(device: (typeof devices)[number], inputs: readonly Tensor[], f: (...x: Tensor[]) => Tensor): number {
  const there = f(...inputs.map((x) => x.to(device))).to(here);
  return there.to("float32").sub(f(...inputs).to("float32")).abs().max().itemSync();
}

describe.each([["software", devices[0]], ["gpu", devices[1]]] as const)(`the %s schedule on ${adapterName}`, (_name, device) => {
  test("multiplies matrices of any size, transposed or not, in batches", () => {
    manualSeed(5);
    const at = { device: here };
    for (const [m, n, k] of [[16, 16, 16], [33, 17, 20], [32, 10, 65], [8, 12, 40], [70, 66, 8], [12, 20, 18], [1, 64, 32]]) {
      for (const [ta, tb] of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
        const a = ta === 1 ? randn(k, m, at).t() : randn(m, k, at);
        const b = tb === 1 ? randn(n, k, at).t() : randn(k, n, at);
        // Both keep their strides on the way.
        const onDevice = (x: Tensor, transposed: number): Tensor => (transposed === 1 ? x.t().to(device).t() : x.to(device));
        const there = onDevice(a, ta).matmul(onDevice(b, tb)).to(here);
        expect(there.sub(a.matmul(b)).abs().max().itemSync()).toBeLessThan(1e-4);
      }
    }
    expect(difference(device, [randn(2, 3, 9, 12, at), randn(3, 12, 8, at)], (a, b) => a.matmul(b))).toBeLessThan(1e-4);
  });

  test("reduces long rows and columns, with places and with several accumulators", () => {
    manualSeed(6);
    const x = randn(5, 700, { device: here });
    const whole = randint(0, 4, [5, 700], { device: here });
    expect(difference(device, [x], (a) => a.sum(1))).toBeLessThan(1e-3);
    expect(difference(device, [x], (a) => a.t().sum(0))).toBeLessThan(1e-3);
    expect(difference(device, [x], (a) => a.var())).toBeLessThan(1e-4);
    expect(difference(device, [x], (a) => a.logsumexp(1))).toBeLessThan(1e-4);
    expect(difference(device, [x], (a) => a.amax(1))).toBe(0);
    expect(difference(device, [x], (a) => a.gt(3).any(1))).toBe(0);
    expect(difference(device, [whole], (a) => a.sum())).toBe(0);
    // Of equals the first one, wherever the parts of a reduction meet.
    expect(difference(device, [whole], (a) => a.argmax(1))).toBe(0);
    expect(difference(device, [whole], (a) => a.argmin(1))).toBe(0);
    expect(difference(device, [x], (a) => a.softmax(1))).toBeLessThan(1e-6);
    expect(difference(device, [x], (a) => a.softmax(0))).toBeLessThan(1e-6);
    expect(difference(device, [x.view(5, 7, 100)], (a) => a.logSoftmax(1))).toBeLessThan(1e-5);
    expect(difference(device, [x], (a) => a.cumsum(1))).toBeLessThan(1e-3);
  });
});

/** `gpu()` itself: what it refuses, what it says of itself, what a GPU does not hold. */
import { adapterName } from "./adapter.ts";
import { cpu } from "@troupe/device-cpu";
import { DeviceError, DTypeError, DeviceLostError, ones, tensor, ValueError, zeros } from "@troupe/core";
import { afterAll, describe, expect, test } from "vitest";
import { gpu } from "../src/index.ts";

const device = gpu({ index: 60, memoryLimit: 2 ** 26 });
afterAll(() => device.close());

describe(`gpu() on ${adapterName}`, () => {
  test("gives the same device for the same index, and refuses other options", () => {
    expect(gpu({ index: 60 })).toBe(device);
    expect(() => gpu({ index: 60, memoryLimit: 2 ** 27 })).toThrow(DeviceError);
    expect(() => gpu({ index: 61, memory: 1 } as object)).toThrow(ValueError);
    expect(() => gpu({ index: -1 })).toThrow(ValueError);
    expect(() => gpu({ index: 61, schedule: "fast" as "gpu" })).toThrow(ValueError);
    expect(() => gpu({ index: 61, adapter: "" })).toThrow(ValueError);
  });

  test("says which adapter it is on", async () => {
    expect(ones(2, { device }).sum().itemSync()).toBe(2);
    const statistics = await device.statistics() as { adapter: string; launches: number };
    expect(statistics.adapter).not.toBe("");
    expect(statistics.launches).toBeGreaterThan(0);
  });

  test("float64 is refused at the call, and the CPU device named", () => {
    const calls = [
      () => zeros(2, { device, dtype: "float64" }), () => tensor(new Float64Array(2), { device }),
      () => ones(2, { device }).to("float64"), () => ones(2, { device }).double(),
      () => ones(2, { device: cpu({ index: 60, threads: 1 }), dtype: "float64" }).to(device),
    ];
    for (const call of calls) {
      expect(call).toThrow(DTypeError);
      expect(call).toThrow(/CPU device/);
    }
  });

  test("int64 is exact: sums, products, quotients, comparisons, places", () => {
    const values = [2n ** 40n + 3n, -(2n ** 33n), 7n, -1n, 2n ** 62n];
    const x = tensor(values, { device });
    const y = tensor([3n, 2n ** 20n, -2n, 5n, -3n], { device });
    expect(x.add(y).tolistSync()).toEqual([2 ** 40 + 6, -(2 ** 33) + 2 ** 20, 5, 4, 2n ** 62n - 3n]);
    expect(x.mul(y).narrow(0, 0, 4).tolistSync()).toEqual([3 * (2 ** 40 + 3), -(2n ** 53n), -14, -5]);
    expect(x.div(y, { roundingMode: "floor" }).tolistSync()).toEqual([366503875926, -8192, -4, -1, -1537228672809129302n]);
    expect(x.gt(y).tolistSync()).toEqual([true, false, true, false, true]);
    expect(x.narrow(0, 0, 4).sum().itemSync()).toBe(2 ** 40 + 3 - 2 ** 33 + 6);
    expect(x.argmax().itemSync()).toBe(4);
    expect(x.indexSelect(0, tensor([1, 2], { device })).tolistSync()).toEqual([-(2 ** 33), 7]);
  });

  test("NaN and infinities are what they are on a CPU", () => {
    const x = tensor([NaN, Infinity, -Infinity, 0, -0, 1e-45], { device });
    expect(x.isnan().tolistSync()).toEqual([true, false, false, false, false, false]);
    expect(x.ne(x).tolistSync()).toEqual([true, false, false, false, false, false]);
    expect(x.narrow(0, 1, 4).max().itemSync()).toBe(Infinity);
    expect(x.max().itemSync()).toBeNaN();
    expect(x.relu().narrow(0, 0, 4).tolistSync()).toEqual([NaN, Infinity, 0, 0]);
    expect(x.to("int32").tolistSync()).toEqual([0, 2147483647, -2147483648, 0, 0, 0]);
    expect(x.bool().tolistSync()).toEqual([true, true, true, false, false, true]);
  });

  test("an adapter that is not there is said at the first use", async () => {
    const missing = gpu({ index: 62, adapter: "no such adapter" });
    const error = await ones(2, { device: missing }).data().catch((reason: Error) => reason);
    expect(error).toBeInstanceOf(DeviceLostError);
    expect((error as Error).message).toMatch(/no GPU adapter is called "no such adapter"/);
    await missing.close().catch(() => undefined);
  });
});

import { ones } from "@troupe/core";
import {
  createDevice, type Device, device, DeviceError, DeviceLostError, dtypes, OutOfMemoryError, ValueError,
} from "@troupe/core/device";
import { afterAll, describe, expect, test } from "vitest";
import { createActivity } from "../src/activity.ts";
import { createMemory } from "../src/heap.ts";
import { cpu } from "../src/index.ts";
import type { CpuSpec } from "../src/tasks.ts";
import { binaryKernel } from "./kernels.ts";

const made: Device[] = [];

function open(...options: Parameters<typeof cpu>): Device {
  const made1 = cpu(...options);
  made.push(made1);
  return made1;
}

afterAll(() => Promise.all(made.map((each) => each.close())));

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Adds [1, 2, 3, 4] to itself on the device. */
function double(target: Device): number[] {
  const [x, y] = [target.newStorage(16), target.newStorage(16)];
  target.upload(x, 0, bytesOf(new Float32Array([1, 2, 3, 4])));
  const words = [x, 0, x, 0, y, 0, 4, 1, 1, 1];
  const at = target.mailbox.beginRun(target.kernel(binaryKernel("add")), words.length);
  target.mailbox.words.set(words, at);
  target.mailbox.end();
  const bytes = target.read(y, 0, 16).bytesSync();
  for (const storage of [x, y]) target.freeStorage(storage);
  return [...new Float32Array(bytes.buffer, bytes.byteOffset, 4)];
}

describe("cpu()", () => {
  test("gives the same device for the same options, by name too", () => {
    const first = open({ index: 0, threads: 2 });
    expect(cpu({ index: 0, threads: 2 })).toBe(first);
    expect(cpu()).toBe(first);
    expect(device("cpu")).toBe(first);
    expect(device("cpu:1")).toBe(open({ index: 1 }));
  });

  test("refuses other options for a device that exists", () => {
    open({ index: 2, threads: 1 });
    expect(() => cpu({ index: 2, threads: 2 })).toThrow(DeviceError);
    expect(() => cpu({ index: 2, memoryLimit: 2 ** 24 })).toThrow(/memoryLimit/);
  });

  test("refuses options out of range at the call", () => {
    for (const options of [{ index: -1 }, { index: 1.5 }, { threads: 0 }, { threads: 1000 }, { memoryLimit: 10 }]) {
      expect(() => cpu({ index: 9, ...options })).toThrow(ValueError);
    }
  });

  test("refuses unknown options, and options that are no object", () => {
    expect(() => cpu({ indx: 1 } as never)).toThrow("unexpected option 'indx'");
    expect(() => cpu(1 as never)).toThrow("cpu() takes its options in an object, got 1");
  });

  test("computes, and again after it was closed and made anew", async () => {
    expect(double(open({ index: 3, threads: 1 }))).toEqual([2, 4, 6, 8]);
    await cpu({ index: 3 }).close();
    const again = open({ index: 3, threads: 2 });
    expect(double(again)).toEqual([2, 4, 6, 8]);
  });

  test("more than the memory limit is an OutOfMemoryError, and the device goes on", () => {
    const small = open({ index: 4, threads: 1, memoryLimit: 2 ** 20 });
    const storage = small.newStorage(2 ** 21);
    expect(() => small.read(storage, 0, 4).bytesSync()).toThrow(OutOfMemoryError);
    small.freeStorage(storage);
    expect(double(small)).toEqual([2, 4, 6, 8]);
  });

  test("its threads answer for their counts on the control port", async () => {
    const target = open({ index: 5, threads: 1 });
    double(target);
    expect(await target.statistics()).toMatchObject({ launches: 1, splitLaunches: 0, compiled: 1 });
  });

  test("a device that was given up in the middle of a launch leaves the cores to the others", async () => {
    const activity = createActivity();
    const options: CpuSpec = {
      memory: createMemory(2, 2 ** 26), threads: 2, memoryLimit: 2 ** 26, activity, index: 7,
    };
    const target = createDevice({
      type: "cpu", index: 7, dtypes, routines: ["matmul"], hostOptions: options,
      hostModule: import.meta.resolve("@troupe/device-cpu/host"),
    });
    made.push(target);
    target.fenceSync();
    for (let i = 0; i < 3; i++) await target.kill();
    const x = ones(1500, 1500, { device: target });
    for (let i = 0; i < 20; i++) x.matmul(x).dispose();
    const kept = x.matmul(x);
    while (activity[7] >= 0) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await target.kill();
    expect(() => kept.dataSync()).toThrow(DeviceLostError);
    expect(activity[7]).toBe(0);
  });

  test("a question to threads that die is answered all the same", async () => {
    const target = open({ index: 6, threads: 2 });
    double(target);
    const answer = target.statistics();
    await target.kill();
    await answer;
    while (target.stats().starts < 2) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(double(target)).toEqual([2, 4, 6, 8]);
  });
});

import { MessageChannel, Worker } from "node:worker_threads";
import {
  BackendOutOfMemory, type DType, dtypes, type Fault, itemSize, type Kernel, typedArray,
} from "@troupe/core/device";
import { afterAll, describe, expect, test } from "vitest";
import { Activity, createActivity } from "../src/activity.ts";
import { CpuBackend } from "../src/backend.ts";
import { codeSender } from "../src/code.ts";
import { createMemory, Heap } from "../src/heap.ts";
import { resetTeam } from "../src/team.ts";
import { binaryKernel, gatherKernel, rowSumKernel } from "./kernels.ts";

const memoryLimit = 64 * 2 ** 20;

function newBackend({ memory = createMemory(1, memoryLimit), limit = memoryLimit } = {}): CpuBackend {
  return new CpuBackend({ memory, threads: 1, memoryLimit: limit, activity: new Activity(createActivity(), 0) });
}

function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** A block that holds these values. */
function put(backend: CpuBackend, values: ArrayBufferView): number {
  const block = backend.allocate(values.byteLength);
  backend.write(block, 0, bytesOf(values));
  return block;
}

function floats(backend: CpuBackend, block: number, length: number): Float32Array {
  const values = new Float32Array(length);
  backend.readInto(block, 0, bytesOf(values));
  return values;
}

/** Launches with storages 0, 1, ... at these blocks; `words` are the arguments behind the operands. */
function launch(
  backend: CpuBackend, kernel: Kernel, operands: readonly [block: number, offset: number][], words: number[],
): Fault | undefined {
  const all = new Int32Array([...operands.flatMap(([, offset], storage) => [storage, offset]), ...words]);
  return backend.run(backend.prepare(kernel), all, 0, (storage) => operands[storage][0]);
}

describe("backend", () => {
  test("a launch computes from its operands' offsets and strides", () => {
    const backend = newBackend();
    const a = put(backend, new Float32Array([0, 1, 2, 3, 4, 5, 6, 7]));
    const b = put(backend, new Float32Array([10, 20, 30, 40]));
    const y = backend.allocate(16);
    expect(launch(backend, binaryKernel("add"), [[a, 4], [b, 0], [y, 0]], [4, 1, 1, 1])).toBeUndefined();
    expect([...floats(backend, y, 4)]).toEqual([14, 25, 36, 47]);
    // a as a transposed 2 x 2 view, b as [[10, 20], [30, 40]].
    launch(backend, binaryKernel("sub", 2, "any"), [[a, 0], [b, 0], [y, 0]], [2, 2, 1, 2, 2, 1, 2, 1]);
    expect([...floats(backend, y, 4)]).toEqual([-10, -18, -29, -37]);
  });

  test("out of memory throws, and leaves the device usable", () => {
    const backend = newBackend({ limit: 2 ** 20 });
    expect(() => backend.allocate(2 ** 21)).toThrow(BackendOutOfMemory);
    expect(backend.allocate(1000)).toBeGreaterThan(0);
  });

  test("memory grows on demand, and old blocks keep their bytes", () => {
    const backend = newBackend();
    const first = put(backend, new Float32Array([1, 2, 3]));
    const large = backend.allocate(32 * 2 ** 20);
    backend.write(large, 32 * 2 ** 20 - 4, bytesOf(new Float32Array([7])));
    expect([...floats(backend, first, 3)]).toEqual([1, 2, 3]);
    expect(backend.statistics().memoryBytes).toBeGreaterThan(32 * 2 ** 20);
  });

  test("a backend made anew over the same memory keeps the live blocks and gives out others", () => {
    const memory = createMemory(1, memoryLimit);
    const before = newBackend({ memory });
    const blocks = [4, 1000, 100_000].map((length) => (
      { block: put(before, new Float32Array(length).fill(length)), bytes: length * 4 }
    ));
    const after = newBackend({ memory });
    after.restore(blocks);
    for (const { bytes } of blocks) put(after, new Float32Array(bytes / 4).fill(-1));
    for (const { block, bytes } of blocks) {
      expect(new Set(floats(after, block, bytes / 4))).toEqual(new Set([bytes / 4]));
    }
  });

  test("a check that fails is the launch's fault, with its value", () => {
    const backend = newBackend();
    const index = put(backend, new Int32Array([2, 0, 7, -1]));
    const table = put(backend, new Float32Array([10, 11, 12]));
    const y = backend.allocate(16);
    const fault = launch(backend, gatherKernel, [[index, 0], [table, 0], [y, 0]], [4, 1, 0, 1, 3, 1]);
    expect(fault).toEqual({ code: "index-out-of-range", detail: 7 });
    backend.write(index, 8, bytesOf(new Int32Array([1, 1])));
    expect(launch(backend, gatherKernel, [[index, 0], [table, 0], [y, 0]], [4, 1, 0, 1, 3, 1])).toBeUndefined();
    expect([...floats(backend, y, 4)]).toEqual([12, 10, 11, 11]);
  });

  test("kernels of equal structure share their compiled code", () => {
    const backend = newBackend();
    backend.prepare(binaryKernel("add"));
    backend.prepare(binaryKernel("add"));
    expect(backend.statistics().compiled).toBe(1);
  });
});

describe("accumulate", () => {
  const reductions = { sum: (a: number, b: number) => a + b, max: Math.max, min: Math.min };

  const names = ["sum", "max", "min"] as const;

  test.each(dtypes.flatMap((dtype) => names.map((reduction) => [reduction, dtype] as const)))(
    "%s of %s over several pieces",
    (reduction, dtype: DType) => {
      const backend = newBackend();
      const length = 70_001;
      const random = (i: number) => (dtype === "bool" ? (i * 7919) % 2 : (i * 7919) % 101);
      const make = (value: (i: number) => number) => {
        const values = typedArray(dtype, new ArrayBuffer(length * itemSize(dtype)));
        for (let i = 0; i < length; i++) values[i] = dtype === "int64" ? BigInt(value(i)) : value(i);
        return values;
      };
      const target = make(random);
      const source = make((i) => random(i + 50));
      const block = put(backend, target);
      backend.accumulate(block, 0, bytesOf(source), dtype, reduction);
      const result = typedArray(dtype, new ArrayBuffer(target.byteLength));
      backend.readInto(block, 0, bytesOf(result));
      const combine = reductions[reduction];
      const bits = dtype === "bool" && reduction === "sum" ? Math.max : combine;
      expect(result).toEqual(make((i) => bits(random(i), random(i + 50))));
    },
  );

  test("max and min keep NaN", () => {
    const backend = newBackend();
    const block = put(backend, new Float32Array([NaN, 1, 2]));
    backend.accumulate(block, 0, bytesOf(new Float32Array([1, NaN, 3])), "float32", "max");
    expect([...floats(backend, block, 3)]).toEqual([NaN, NaN, 3]);
  });
});

describe("launches over threads", () => {
  const memory = createMemory(2, memoryLimit);
  resetTeam(new Heap(memory));
  const { port1, port2 } = new MessageChannel();
  const helper = new Worker(new URL("helper-thread.ts", import.meta.url), {
    workerData: { memory, rank: 1, port: port2 },
    transferList: [port2],
  });
  const activityWords = createActivity();
  const backend = new CpuBackend({
    memory,
    threads: 2,
    memoryLimit,
    activity: new Activity(activityWords, 0),
    shareCode: codeSender([port1]),
  });
  const ready = new Promise((resolve) => helper.once("online", resolve));
  afterAll(async () => {
    backend.close();
    await helper.terminate();
    port1.close();
  });

  /** Runs until a launch was split: the helper may still be booting. */
  async function split(run: () => void): Promise<void> {
    await ready;
    const { splitLaunches } = backend.statistics();
    for (let tries = 0; backend.statistics().splitLaunches === splitLaunches; tries++) {
      if (tries === 500) throw new Error("no launch was split");
      run();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  test("a large launch runs on two threads and gives what one gives", async () => {
    const length = 1_000_003;
    const values = Float32Array.from({ length }, (_, i) => i % 1000);
    const a = put(backend, values);
    const y = backend.allocate(length * 4);
    await split(() => launch(backend, binaryKernel("mul"), [[a, 0], [a, 0], [y, 0]], [length, 1, 1, 1]));
    expect(floats(backend, y, length)).toEqual(values.map((value) => value * value));
    backend.free(a, length * 4);
    backend.free(y, length * 4);
  });

  test("a reduction's bits do not depend on the number of threads", async () => {
    const [rows, columns] = [7, 200_000];
    const values = Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i));
    const alone = newBackend();
    const results = [alone, backend].map((target) => [target, put(target, values), target.allocate(rows * 4)] as const);
    const sum = (target: CpuBackend, x: number, y: number) =>
      launch(target, rowSumKernel, [[x, 0], [y, 0]], [rows, columns, columns, 1, 1, 0]);
    const [[, x1, y1], [, x2, y2]] = results as [(typeof results)[0], (typeof results)[0]];
    sum(alone, x1, y1);
    await split(() => sum(backend, x2, y2));
    expect(floats(backend, y2, rows)).toEqual(floats(alone, y1, rows));
    backend.free(x2, values.byteLength);
  });

  test("of several faults the first in the range is reported", async () => {
    const length = 600_000;
    const indices = new Int32Array(length);
    indices[length - 1] = 9;
    indices[length - 5] = 8;
    const index = put(backend, indices);
    const table = put(backend, new Float32Array([10, 11, 12]));
    const y = backend.allocate(length * 4);
    let fault;
    await split(() => {
      fault = launch(backend, gatherKernel, [[index, 0], [table, 0], [y, 0]], [length, 1, 0, 1, 3, 1]);
    });
    expect(fault).toEqual({ code: "index-out-of-range", detail: 8 });
  });

  test("while another device is busy, launches stay on this device's share of the cores", () => {
    const other = new Activity(activityWords, 1);
    const { splitLaunches } = backend.statistics();
    const a = put(backend, new Float32Array(1_000_000));
    for (let device = 1; device < 64; device++) new Activity(activityWords, device).begin();
    launch(backend, binaryKernel("mul"), [[a, 0], [a, 0], [a, 0]], [1_000_000, 1, 1, 1]);
    expect(backend.statistics().splitLaunches).toBe(splitLaunches);
    other.end();
  });
});

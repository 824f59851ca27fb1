import { afterAll, describe, expect, test } from "vitest";
import { createDevice, device, Device } from "../src/actor/device.ts";
import { group } from "../src/actor/groups.ts";
import { DeviceError, DeviceLostError, ValueError } from "../src/errors.ts";
import { argumentWords, type Kernel, type LoopKernel, type Node } from "../src/kernel/ir.ts";
import { itemSize, typedArray, type DType } from "../src/tensor/dtype.ts";
import { mock } from "../src/testing/mock/index.ts";
import { binary, cast, unary } from "../src/testing/mock/scalar.ts";
import { Vector } from "../src/testing/vectors.ts";

const actor = mock();
afterAll(() => actor.close());

interface Operand {
  readonly values: readonly (number | bigint)[];
  readonly strides: readonly number[];
  readonly offset?: number;
}

/** Runs a kernel; outputs begin with the given contents. @returns the outputs. */
async function run(
  kernel: Kernel, sizes: readonly number[], operands: readonly Operand[], scalars: readonly number[] = [],
): Promise<(number | bigint)[][]> {
  const dtypes = [...kernel.inputs, ...kernel.outputs].map(({ dtype }) => dtype);
  const storages = operands.map(({ values }, i) => {
    const dtype = dtypes[i];
    const storage = actor.newStorage(values.length * itemSize(dtype));
    const array = typedArray(dtype, new ArrayBuffer(values.length * itemSize(dtype)));
    values.forEach((value, place) => ((array as Record<number, number | bigint>)[place] = value));
    actor.upload(storage, 0, new Uint8Array(array.buffer));
    return storage;
  });
  const number = actor.kernel(kernel);
  const at = actor.mailbox.beginRun(number, argumentWords(kernel));
  actor.mailbox.words.set([
    ...storages.flatMap((storage, i) => [storage, operands[i]?.offset ?? 0]), ...sizes, ...operands.flatMap(({ strides }) => strides), ...scalars,
  ], at);
  actor.mailbox.end();
  return Promise.all(storages.slice(kernel.inputs.length).map(async (storage, i) => {
    const operand = operands[kernel.inputs.length + i];
    const dtype = dtypes[kernel.inputs.length + i];
    const bytes = await actor.read(storage, 0, operand.values.length * itemSize(dtype)).bytes();
    return Array.from(typedArray(dtype, bytes.buffer) as Iterable<number | bigint>);
  }));
}

const any = (dtype: DType): { dtype: DType; inner: "any"; overwrites: boolean } => ({ dtype, inner: "any", overwrites: true });

function loop(parts: Partial<LoopKernel> & Pick<LoopKernel, "axes" | "inputs" | "outputs" | "body" | "stores">): LoopKernel {
  return { kind: "loop", name: "test", reduced: 0, scalars: [], accumulators: [], step: [], epilogue: [], ...parts };
}

const sumStep: readonly Node[] = [
  { op: "load", type: "float32", index: 0 }, { op: "acc", type: "float32", index: 0 }, { op: "add", type: "float32", args: [1, 0] },
];

describe("kernels on the mock device", () => {
  test("a reduction steps over the inner axes and stores once for each outer point, through strides", async () => {
    const kernel = loop({
      axes: 2, reduced: 1, inputs: [any("float32")], outputs: [any("float32")],
      body: sumStep, accumulators: [{ type: "float32", init: "100" }], step: [2],
      epilogue: [{ op: "acc", type: "float32", index: 0 }], stores: [{ output: 0, value: 0, at: "epilogue" }],
    });
    // Columns of a 2 x 3 matrix.
    const operands = [{ values: [1, 2, 3, 4, 5, 6], strides: [1, 3] }, { values: [0, 0, 0], strides: [1, 0] }];
    expect(await run(kernel, [3, 2], operands)).toEqual([[105, 107, 109]]);
    expect(await run(kernel, [3, 0], operands)).toEqual([[100, 100, 100]]);
  });

  test("a store in a reducing body scans", async () => {
    const kernel = loop({
      axes: 1, reduced: 1, inputs: [any("float32")], outputs: [any("float32")],
      body: sumStep, accumulators: [{ type: "float32", init: "0" }], step: [2], stores: [{ output: 0, value: 2, at: "body" }],
    });
    expect(await run(kernel, [4], [{ values: [1, 2, 3, 4], strides: [1] }, { values: [0, 0, 0, 0], strides: [1] }]))
      .toEqual([[1, 3, 6, 10]]);
  });

  test("indirect stores combine where points meet, guarded ones are left out", async () => {
    const kernel = loop({
      axes: 1, inputs: [any("int32"), any("float32")], outputs: [{ ...any("float32"), overwrites: false }], scalars: ["int32"],
      body: [
        { op: "load", type: "int32", index: 0 }, { op: "load", type: "float32", index: 1 }, { op: "const", type: "int32", value: "0" },
        { op: "ge", type: "bool", args: [0, 2] },
      ],
      stores: [{ output: 0, value: 1, at: "body", indirect: [{ value: 0, stride: 0 }], guard: 3, combine: "add" }],
    });
    const operands = [
      { values: [0, 2, 0, -9], strides: [1] }, { values: [1, 2, 3, 4], strides: [1] }, { values: [10, 20, 30], strides: [0] },
    ];
    expect(await run(kernel, [4], operands, [1])).toEqual([[14, 20, 32]]);
  });

  test("a failing check reports its detail, and the op's inputs stay", async () => {
    const kernel = loop({
      axes: 1, inputs: [any("int32"), any("float32")], outputs: [any("float32")], scalars: ["int32"],
      body: [
        { op: "load", type: "int32", index: 0 }, { op: "const", type: "int32", value: "3" }, { op: "lt", type: "bool", args: [0, 1] },
        { op: "check", type: "bool", args: [2, 0], code: "index-out-of-range" },
        { op: "load", type: "float32", index: 1, indirect: [{ value: 0, stride: 0 }] },
      ],
      stores: [{ output: 0, value: 4, at: "body" }],
    });
    const table = { values: [5, 6, 7], strides: [0] };
    const out = { values: [0, 0], strides: [1] };
    expect(await run(kernel, [2], [{ values: [2, 0], strides: [1] }, table, out], [1])).toEqual([[7, 5]]);
    await expect(run(kernel, [2], [{ values: [2, 17], strides: [1] }, table, out], [1])).rejects.toThrow(/index 17 is out of range/);
    await expect(run(kernel, [2], [{ values: [2, 17], strides: [1] }, table, out], [1])).rejects.toThrow(ValueError);
  });

  test("sort is stable, has NaN greatest and works along the last axis", async () => {
    const sort = (descending: boolean): Kernel => ({
      kind: "routine", name: "sort", axes: 2, inputs: [any("float32")], outputs: [any("float32"), any("int64")], scalars: [],
      options: { descending, stable: true },
    });
    const operands = [
      { values: [2, NaN, 1, 2, 3, 3, -1, 0], strides: [4, 1] }, { values: [0, 0, 0, 0, 0, 0, 0, 0], strides: [4, 1] },
      { values: [0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n], strides: [4, 1] },
    ];
    expect(await run(sort(false), [2, 4], operands)).toEqual([[1, 2, 2, NaN, -1, 0, 3, 3], [2n, 0n, 3n, 1n, 2n, 3n, 0n, 1n]]);
    expect(await run(sort(true), [2, 4], operands)).toEqual([[NaN, 2, 2, 1, 3, 3, 0, -1], [1n, 0n, 3n, 2n, 0n, 1n, 3n, 2n]]);
  });

  test("integers wrap, casts truncate and saturate, float32 rounds once", () => {
    expect(binary("add", "int32")(2147483647, 1)).toBe(-2147483648);
    expect(binary("mul", "int64")(2n ** 62n, 2n)).toBe(-(2n ** 63n));
    expect(binary("sub", "uint8")(1, 2)).toBe(255);
    expect(binary("mod", "int32")(-7, 3)).toBe(2);
    expect(binary("fmod", "int32")(-7, 3)).toBe(-1);
    expect(binary("div", "int32")(-7, 0)).toBe(0);
    expect(binary("mulhi", "int32")(-1, -1)).toBe(-2);
    expect(binary("max", "float32")(NaN, 1)).toBeNaN();
    expect(binary("pow", "float64")(1, NaN)).toBe(1);
    expect([0.5, 1.5, -0.5, 2.5000001].map((x) => unary("round", "float64")(x))).toEqual([0, 2, -0, 3]);
    expect([3e9, -3e9, NaN, -1.9].map((x) => cast("float64", "int32")(x))).toEqual([2147483647, -2147483648, 0, -1]);
    expect(cast("float32", "uint8")(-3)).toBe(0);
    expect(cast("float32", "int64")(Infinity)).toBe(2n ** 63n - 1n);
    expect(cast("int64", "float32")(2n ** 60n + 2n ** 36n + 1n)).toBe(2 ** 60 + 2 ** 37);
    expect(cast("float32", "bool")(NaN)).toBe(1);
  });
});

describe("collectives between actors", () => {
  test("of four members on uneven parts: all-gather, reduce-scatter, broadcast, all-reduce in the order of ranks", () => {
    const devices = [actor, mock(), mock(), mock()];
    const everybody = group(devices);
    const rows = devices.map((_, rank) => Array.from({ length: 10 }, (_value, i) => Math.fround(rank * 1.1 + i * 0.3)));
    const fresh = (): Vector[] => devices.map((owner, rank) => Vector.of(owner, rows[rank]));
    const sum = (i: number): number => rows.slice(1).reduce((s, row) => Math.fround(s + (row[i])), rows[0]?.[i]);

    const gathered = fresh();
    everybody.allGather(gathered.map((v) => v.operand));
    const parts = [0, 1, 2, 3].flatMap((rank) => rows[rank]?.slice(rank * 3, rank * 3 + 3) ?? []);
    expect(gathered.map((v) => v.readSync())).toEqual(devices.map(() => parts));

    const scattered = fresh();
    everybody.reduceScatter(scattered.map((v) => v.operand));
    scattered.forEach((v, rank) => {
      expect(v.readSync()).toEqual((rows[rank]).map((own, i) => (Math.floor(i / 3) === rank ? sum(i) : own)));
    });

    const spread = fresh();
    everybody.broadcast(spread.map((v) => v.operand), 2);
    expect(spread.map((v) => v.readSync())).toEqual(devices.map(() => rows[2]));

    const healed = fresh();
    healed[1] = Vector.full(devices[1], 10, -1);
    healed[1].checkedSqrt(healed[1]);
    expect(() => healed[1].readSync()).toThrow(ValueError);
    everybody.broadcast(healed.map((v) => v.operand), 3);
    expect(healed.map((v) => v.readSync())).toEqual(devices.map(() => rows[3]));

    const reduced = fresh();
    everybody.allReduce(reduced.map((v) => v.operand));
    expect(reduced.map((v) => v.readSync())).toEqual(devices.map(() => (rows[0]).map((_, i) => sum(i))));
    return Promise.all(devices.slice(1).map((other) => other.close()));
  });
});

describe("devices by name", () => {
  test("an unknown device names the kinds that are there and the package to import", () => {
    expect(() => device("tpu:0")).toThrow(DeviceError);
    expect(() => device("tpu:0")).toThrow(/mock.*\n.*@troupe\/device-tpu/);
    expect(() => device("what is this")).toThrow(DeviceError);
  });

  test("a name is one device until it is closed", async () => {
    const first = device("mock:900");
    expect(device("mock:900")).toBe(first);
    expect(() => mock({ index: 900 })).toThrow(DeviceError);
    await first.close();
    const second = device("mock:900");
    expect(second).toBeInstanceOf(Device);
    expect(second).not.toBe(first);
    await second.close();
  });

  test("a device whose host does not load is lost, and says why", async () => {
    const broken = createDevice({ type: "broken", index: 0, dtypes: ["float32"], hostModule: "file:///nowhere/host.js" });
    expect(() => Vector.of(broken, [1]).readSync()).toThrow(DeviceLostError);
    expect(() => new Vector(broken, 1)).toThrow(/nowhere/);
    await broken.close();
  });
});

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { group } from "../src/actor/groups.ts";
import type { Device } from "../src/actor/device.ts";
import { DeviceClosedError, DeviceError, ValueError } from "../src/errors.ts";
import { nn, ones, profiler, tensor, zeros, type Tensor } from "../src/index.ts";
import { profile, startProfile } from "../src/profile/index.ts";
import type { Profile, ProfileEvent } from "../src/profile/index.ts";
import { mock, type MockOptions } from "../src/testing/mock/index.ts";
import { begun, Gate, pointsFor, sleep } from "../src/testing/promises/harness.ts";
import { Vector } from "../src/testing/vectors.ts";

const open: Device[] = [];

function make(options?: MockOptions): Device {
  const device = mock(options);
  open.push(device);
  return device;
}

afterEach(() => Promise.allSettled(open.splice(0).map((device) => device.close())));

/** The only event of that name, on that device where one is given, beside the kernel's compilation. */
function only({ events }: Profile, name: string, on?: Device): ProfileEvent {
  const found = events.filter((event) =>
    event.name === name && event.kind !== "compile" && (on === undefined || event.device === on.name));
  expect(found, `events called ${name}`).toHaveLength(1);
  return found[0];
}

const endOf = ({ start, duration }: ProfileEvent): number => start + duration;

describe("a profile", () => {
  test("says of each launch its op, device, sizes, bytes, operations and module", async () => {
    const device = make();
    const [a, b] = [ones([6, 5], { device }), ones([5, 7], { device })];
    const model = new nn.Sequential(new nn.ReLU());
    const result = await profile(device, () => {
      model.forward(a.matmul(b)).dispose();
    });
    expect(only(result, "matmul")).toMatchObject({
      device: device.name, kind: "kernel", sizes: [6, 7, 5], flops: 2 * 6 * 7 * 5, bytes: 4 * (6 * 5 + 5 * 7 + 6 * 7),
    });
    expect(only(result, "relu")).toMatchObject({ bytes: 2 * 4 * 42, flops: 42, site: "0" });
    expect(result.events.map(({ kind }) => kind)).toEqual(["compile", "kernel", "compile", "kernel"]);
    expect(only(result, "relu").sequence).toBeGreaterThan(only(result, "matmul").sequence);
  });

  test("holds exactly what was issued between its start and its stop", async () => {
    const device = make();
    const x = Vector.of(device, [1, 2]);
    x.slowSum(pointsFor(device, 20));
    x.checkedSqrt();
    const recording = startProfile(device);
    const sum = x.add(x);
    const stopped = recording.stop();
    sum.mix(x);
    const names = (await stopped).events.map(({ name }) => name);
    expect(names).toEqual(["add", "add"]);
    await device.fence();
    expect((await recording.stop()).events.map(({ name }) => name)).toEqual(names);
  });

  test("tells of uploads, reads and both ends of copies how many bytes they moved", async () => {
    const [a, b] = [make(), make()];
    const result = await profiler.profile([a, b], async () => {
      await Vector.of(a, [1, 2, 3]).copyTo(b).read();
    });
    expect(only(result, "upload")).toMatchObject({ device: a.name, kind: "upload", bytes: 12 });
    expect(only(result, "send")).toMatchObject({ device: a.name, kind: "copy", bytes: 12, peer: b.name });
    expect(only(result, "receive")).toMatchObject({ device: b.name, kind: "copy", bytes: 12, peer: a.name });
    expect(only(result, "read")).toMatchObject({ device: b.name, kind: "read", bytes: 12 });
  });

  test("counts what a member of a collective takes from its peers", async () => {
    const devices = [make(), make(), make()];
    const all = group(devices);
    const operands = devices.map((device) => Vector.full(device, 7, 1).operand);
    const result = await profile(devices, () => {
      all.allReduce(operands);
      all.reduceScatter(operands);
      all.allGather(operands);
      all.broadcast(operands, 1);
    });
    const bytes = (name: string): number[] => devices.map((device) => only(result, name, device).bytes / 4);
    // Parts of 3, 3 and 1 elements.
    expect(bytes("allReduce")).toEqual([2 * 3 + 4, 2 * 3 + 4, 2 * 1 + 6]);
    expect(bytes("reduceScatter")).toEqual([6, 6, 2]);
    expect(bytes("allGather")).toEqual([4, 4, 6]);
    expect(bytes("broadcast")).toEqual([7, 0, 7]);
    expect(only(result, "allReduce", devices[0])).toMatchObject({ kind: "collective", flops: 6 });
  });

  test("shows a wait for another device inside of the copy or collective that waits", async () => {
    const [late, early, opener] = [make(), make(), make()];
    const pair = group([late, early]);
    const operands = [late, early].map((device) => Vector.full(device, 4, 1).operand);
    const result = await profile([late, early, opener], async () => {
      const gate = new Gate(late, opener);
      pair.allReduce(operands);
      await begun(early);
      await sleep(50);
      gate.open();
    });
    const whole = only(result, "allReduce", early);
    const waits = result.events.filter(({ kind, device }) => kind === "wait" && device === early.name);
    for (const wait of waits) {
      expect(wait).toMatchObject({ name: "wait in allReduce", sequence: whole.sequence });
      expect(wait.start).toBeGreaterThanOrEqual(whole.start);
      expect(endOf(wait)).toBeLessThanOrEqual(endOf(whole));
    }
    const busy = result.busy(early);
    // Nobody could go on before the gate was opened.
    const opened = only(result, "send").start;
    expect(Math.max(...waits.map(endOf))).toBeGreaterThan(opened);
    expect(endOf(only(result, "wait in receive", late))).toBeGreaterThan(opened);
    expect(busy.waits + busy.collectives).toBeCloseTo(whole.duration, 3);
    const rows = result.keyAverages().rows.filter(({ kind }) => kind === "wait");
    const waited = busy.waits + result.busy(late).waits;
    expect(rows.reduce((sum, { total }) => sum + total, 0)).toBeCloseTo(waited, 3);
  });

  test("has one clock for all devices", async () => {
    const [a, b] = [make(), make()];
    const result = await profile([a, b], () => {
      let ball = Vector.of(a, [1]);
      for (let i = 0; i < 20; i++) ball = ball.copyTo(b).copyTo(a);
    });
    const [sends, receives] = ["send", "receive"].map((name) => result.events.filter((event) => event.name === name));
    for (const [i, device] of [a, b].entries()) {
      const from = sends?.filter((event) => event.device === device.name) ?? [];
      const to = receives?.filter((event) => event.device !== device.name) ?? [];
      expect(from).toHaveLength(20);
      // What was sent first has come after that, and what comes back starts from there.
      from.forEach((send, n) => expect(endOf(to[n]), `${i} ${n}`).toBeGreaterThan(send.start));
    }
  });

  test("says how a device spent the span, in parts that add up to it", async () => {
    const [a, b] = [make(), make()];
    const result = await profile([a, b], async () => {
      const x = Vector.full(a, 1000, 1);
      await x.add(x).copyTo(b).read();
    });
    for (const device of [a, b.name]) {
      const parts = result.busy(device);
      const { start, end } = result.span;
      expect(Object.values(parts).reduce((sum, part) => sum + part, 0)).toBeCloseTo(end - start, 3);
      expect(Math.min(...Object.values(parts))).toBeGreaterThanOrEqual(0);
    }
    const add = result.events.find(({ kind }) => kind === "kernel") as ProfileEvent;
    const half = { start: add.start, end: add.start + add.duration / 2 };
    expect(result.busy(a, half)).toMatchObject({ copies: 0, waits: 0 });
    expect(result.busy(a, half).kernels).toBeCloseTo(add.duration / 2, 6);
    expect(result.busy(a, half).idle).toBeCloseTo(0, 6);
  });

  test("of launches that did not start says so, and counts nothing for them", async () => {
    const device = make();
    const [x, bad] = [Vector.of(device, [1]), Vector.of(device, [-1])];
    const result = await device.profile(() => {
      const poisoned = bad.checkedSqrt();
      poisoned.add(x);
      device.guard([poisoned.storage]);
      x.addInPlace(x, true);
      device.guard([]);
    });
    expect(result.events.find(({ name, kind }) => name === "add" && kind === "kernel"))
      .toMatchObject({ skipped: true, bytes: 0, flops: 0 });
    expect(result.events.find(({ name, kind }) => name === "add_" && kind === "kernel"))
      .toMatchObject({ skipped: true, bytes: 0, flops: 0 });
    const rows = result.keyAverages().rows.filter(({ kind }) => kind === "kernel");
    expect(rows.map(({ key }) => key)).toEqual(["checkedSqrt"]);
    await expect(bad.checkedSqrt().read()).rejects.toThrow(ValueError);
    await device.close().catch(() => undefined);
  });

  test("keeps within its capacity and says how much is missing; the next one begins anew", async () => {
    const device = make();
    const x = Vector.of(device, [1]);
    const short = await profile(device, () => {
      for (let i = 0; i < 100; i++) x.addInPlace(x);
    }, { capacity: 1024 });
    expect(short.events.length).toBeGreaterThan(3);
    expect(short.events.length + (short.dropped.get(device.name) ?? 0)).toBe(101);
    const next = await profile(device, () => void x.addInPlace(x));
    expect(next.events.map(({ name }) => name)).toEqual(["add_"]);
    expect(next.dropped.get(device.name)).toBe(0);
  });

  test("of a device that did nothing is empty and does not start it", async () => {
    const device = make();
    const result = await profile(device, () => undefined);
    expect(result.events).toEqual([]);
    expect(result.busy(device)).toEqual({ kernels: 0, copies: 0, collectives: 0, waits: 0, compiles: 0, idle: 0 });
    expect(device.stats().starts).toBe(0);
    expect(result.keyAverages().table()).toContain("# of Calls");
  });
});

describe("bytes of a kernel", () => {
  const bytesOf = async (name: string, device: Device, run: () => Tensor): Promise<number> => {
    const result = await profile(device, run);
    return result.events.find((event) => event.name === name && event.kind === "kernel")?.bytes ?? NaN;
  };

  test("count a broadcast operand once", async () => {
    const device = make();
    const [x, row] = [ones([100, 3], { device }), ones([3], { device })];
    expect(await bytesOf("add", device, () => x.add(row))).toBe(4 * (300 + 3 + 300));
  });

  test("count overlapping windows once", async () => {
    const device = make();
    const x = ones([100], { device });
    expect(await bytesOf("sum", device, () => x.unfold(0, 10, 1).sum(1))).toBe(4 * (100 + 91));
  });

  test("count every element that an index picks", async () => {
    const device = make();
    const table = ones([50, 8], { device });
    const index = tensor([3, 3, 3, 9], { device, dtype: "int64" });
    const result = await profile(device, () => nn.functional.embedding(index, table));
    const [kernel] = result.events.filter(({ kind }) => kind === "kernel");
    expect(kernel?.bytes).toBe(4 * (4 * 8) + 8 * 4 + 4 * (4 * 8));
  });
});

describe("keyAverages", () => {
  test("adds up by name, or by name and sizes, with rates and shares of a peak", async () => {
    const device = make();
    const [small, large] = [ones([10], { device }), ones([1000], { device })];
    const result = await profile(device, () => {
      for (let i = 0; i < 3; i++) small.add(small);
      large.add(large);
    });
    const kernels = result.events.filter(({ kind }) => kind === "kernel");
    const total = kernels.reduce((sum, { duration }) => sum + duration, 0);
    const row = result.keyAverages({ peak: { flops: 1e9 } }).rows.find(({ kind }) => kind === "kernel");
    expect(row).toMatchObject({ key: "add", count: 4, bytes: 3 * 4 * (30 + 1000), flops: 1030 });
    expect(row?.total).toBeCloseTo(total, 6);
    expect(row?.mean).toBeCloseTo(total / 4, 6);
    expect(row?.flopsPerSecond).toBeCloseTo(1030 / (total / 1e6), 3);
    expect(row?.peakShare).toBeCloseTo(1030 / (total / 1e6) / 1e9, 9);
    const bySizes = [...result.keyAverages({ groupByInputShape: true })].filter(({ kind }) => kind === "kernel");
    expect(bySizes.map(({ key, count }) => [key, count])).toEqual(
      expect.arrayContaining([["add 10", 3], ["add 1000", 1]]),
    );
  });

  test("prints a table that can be sorted and cut", async () => {
    const device = make();
    const x = ones([10], { device });
    const averages = (await profile(device, () => {
      x.add(x).add(x).relu();
    })).keyAverages();
    const lines = averages.table({ sortBy: "count", rowLimit: 1 }).split("\n");
    expect(lines[1]).toMatch(/^Name +Kind +Total % +Total +Mean +# of Calls +GB\/s +GFLOP\/s$/);
    expect(lines[3]).toMatch(/^add +kernel +[\d.]+% .* 2 +[\d.]+ +[\d.]+$/);
    expect(lines).toHaveLength(6);
    expect(lines[5]).toMatch(/^Total: /);
  });
});

describe("a trace", () => {
  const folder = mkdtemp(join(tmpdir(), "troupe-profile-"));
  afterAll(async () => rm(await folder, { recursive: true }));

  test("has one named track a device, and every event on its own with its times", async () => {
    const [a, b] = [make(), make()];
    const result = await profile([a, b], async () => {
      const x = Vector.of(a, [1, 2]);
      await x.add(x).copyTo(b).read();
    });
    const path = join(await folder, "trace.json");
    await result.exportChromeTrace(path);
    const trace = JSON.parse(await readFile(path, "utf8")) as profiler.Trace;
    expect(trace).toEqual(JSON.parse(JSON.stringify(result.toTrace())));
    const tracks = trace.traceEvents.filter(({ name }) => name === "thread_name");
    expect(tracks.map(({ tid, args }) => [tid, args["name"]])).toEqual([[0, a.name], [1, b.name]]);
    const slices = trace.traceEvents.filter(({ ph }) => ph === "X");
    expect(slices.map(({ tid, ts, dur }) => [tid, ts, dur])).toEqual(
      result.events.map(({ device, start, duration }) => [device === a.name ? 0 : 1, start, duration]),
    );
    expect(slices.find(({ cat }) => cat === "kernel")).toMatchObject({ name: "add 2", args: { bytes: 24, flops: 2 } });
    const kinds = ["upload", "compile", "kernel", "copy", "read"];
    expect(slices.map(({ cat }) => cat)).toEqual(expect.arrayContaining(kinds));
  });
});

describe("a recording", () => {
  test("survives its device's death: what was done before and after is there", async () => {
    const [device, opener] = [make(), make()];
    const x = Vector.of(device, [1]);
    await device.fence();
    const recording = startProfile(device);
    x.add(x);
    await device.fence();
    const gate = new Gate(device, opener);
    // All but the last message, which frees what the gate uses.
    await begun(device, device.mailbox.messages - 1);
    await device.kill();
    gate.open();
    x.mix(x);
    const result = await recording.stop();
    expect(result.events.filter(({ kind }) => kind === "kernel").map(({ name }) => name)).toEqual(["add", "mix"]);
    const [before, after] = result.events.filter(({ kind }) => kind === "kernel") as [ProfileEvent, ProfileEvent];
    expect(after.start).toBeGreaterThan(endOf(before));
    expect(device.stats().starts).toBe(2);
  });

  test("gives what there is of a device that was closed meanwhile, or that is closing", async () => {
    for (const awaitsClose of [true, false]) {
      const device = make();
      const recording = startProfile([device]);
      const x = Vector.of(device, [1]);
      x.add(x);
      const closed = device.close();
      if (awaitsClose) await closed;
      const result = await recording.stop();
      expect(result.events.map(({ name }) => name)).toEqual(["upload", "add", "add"]);
      await closed;
    }
  });

  test("ends when what it records throws, and the error goes on", async () => {
    const device = make();
    const failure = new Error("the caller's own");
    await expect(profile(device, () => Promise.reject(failure))).rejects.toBe(failure);
    expect((await profile(device, () => zeros([1], { device }))).events.length).toBeGreaterThan(0);
  });

  test("costs nothing once it has ended", async () => {
    const device = make();
    const x = Vector.of(device, [1]);
    await profile(device, () => void x.add(x));
    const bytes = device.memory.recording.byteLength;
    const end = (): number => new Int32Array(device.memory.recording)[1] ?? 0;
    const before = end();
    for (let i = 0; i < 10; i++) x.addInPlace(x);
    await device.fence();
    expect([device.memory.recording.byteLength, end()]).toEqual([bytes, before]);
  });

  test("is refused for no device, a closed one, one named twice or recorded already, and a bad capacity", async () => {
    const [device, closed] = [make(), make()];
    await closed.close();
    expect(() => startProfile([])).toThrow(DeviceError);
    expect(() => startProfile(undefined as unknown as Device)).toThrow(DeviceError);
    expect(() => startProfile([device, closed])).toThrow(DeviceClosedError);
    expect(() => startProfile([device, device.name])).toThrow(/named twice/);
    for (const capacity of [0, 1.5, NaN, 2 ** 28 + 1]) {
      expect(() => startProfile(device, { capacity })).toThrow(ValueError);
    }
    const recording = startProfile(device);
    expect(() => startProfile(device)).toThrow(/being profiled already/);
    await expect(profile(device, () => undefined)).rejects.toThrow(DeviceError);
    const result = await recording.stop();
    expect(() => result.busy("mock:9999")).toThrow(DeviceError);
    await startProfile(device).stop();
  });
});

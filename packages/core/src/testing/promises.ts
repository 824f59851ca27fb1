/**
 * The promises of the actor contract, as one suite for every device: order, visibility, failure, memory. A device
 * package calls `promiseSuite` with a way to make fresh devices.
 */
import { afterEach, describe, expect, test } from "vitest";
import { DeviceClosedError, DeviceLostError, LostError, OutOfMemoryError, TroupeError, ValueError } from "../errors.ts";
import type { Device } from "../actor/device.ts";
import { group } from "../actor/groups.ts";
import { Control } from "../actor/protocol.ts";
import { enterSite, leaveSite } from "../actor/site.ts";
import { Vector } from "./vectors.ts";

export interface PromiseDeviceOptions {
  readonly ringWords?: number;
  readonly stagingBytes?: number;
  readonly memoryLimit?: number;
}

export type MakeDevices = (count: number, options?: PromiseDeviceOptions) => readonly Device[];

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The points of a `slowSum` that takes this device about `ms`. */
export function pointsFor(device: Device, ms: number): number {
  const one = Vector.of(device, [1]);
  for (let points = 1 << 18; ; points *= 2) {
    device.fenceSync();
    const time = (): number => {
      const start = performance.now();
      one.slowSum(points).readSync();
      return performance.now() - start;
    };
    // The least of several: the first run may compile, and others may have the processor meanwhile.
    const took = time() > 20 ? Math.min(time(), time(), time()) : 0;
    if (took > 20) return Math.min(2 ** 31 - 1, Math.ceil((points * ms) / took));
  }
}

export async function rejection(work: Promise<unknown>): Promise<TroupeError> {
  return work.then(
    () => {
      throw new Error("it did not reject");
    },
    (error: unknown) => {
      expect(error).toBeInstanceOf(TroupeError);
      return error as TroupeError;
    },
  );
}

/** Defines the tests for devices of one kind. */
export function promiseSuite(kind: string, makeDevices: MakeDevices): void {
  let open: Device[] = [];
  const make = (count: number, options?: PromiseDeviceOptions): [Device, Device, Device, Device] => {
    const made = makeDevices(count, options);
    open.push(...made);
    // Tests take as many as they asked for.
    return made as unknown as [Device, Device, Device, Device];
  };
  afterEach(async () => {
    const closing = open;
    open = [];
    await Promise.allSettled(closing.map((device) => device.close()));
  });

  describe(`order (${kind})`, () => {
    test("O1 one stream runs in sequence, each op once, also when the ring wraps many times", () => {
      const [device] = make(1, { ringWords: 256 });
      let x = Vector.of(device, [0, 1]);
      const one = Vector.of(device, [1, 1]);
      let expected = [0, 1];
      for (let i = 0; i < 2000; i++) {
        const next = i % 3 === 0 ? x.mix(one) : x.add(one);
        expected = expected.map((v) => (i % 3 === 0 ? v * 3 + 1 : v + 1));
        x.free();
        x = next;
        if (i % 9 === 8) {
          x.set([0, 1]);
          expected = [0, 1];
        }
      }
      expect(x.readSync()).toEqual(expected);
    });

    test("O2 an actor does not wait for another one without a data dependency", async () => {
      const [busy, idle] = make(2);
      const points = pointsFor(busy, 400);
      Vector.of(idle, [0]).readSync();
      const slow = Vector.of(busy, [1]).slowSum(points);
      const order: string[] = [];
      await Promise.all([
        slow.read().then(() => order.push("busy")),
        Vector.of(idle, [7]).read().then(() => order.push("idle")),
      ]);
      expect(order).toEqual(["idle", "busy"]);
    });

    test("O3 all members see a group's collectives in one order", () => {
      const devices = make(3);
      const everybody = group(devices);
      const vectors = devices.map((device, rank) => Vector.of(device, [rank, rank + 10, rank + 20, rank + 30]));
      let model = vectors.map((_, rank) => [rank, rank + 10, rank + 20, rank + 30]);
      for (let i = 0; i < 30; i++) {
        if (i % 2 === 0) {
          everybody.broadcast(vectors.map((v) => v.operand), i % 3);
          model = model.map(() => [...(model[i % 3])]);
        } else {
          everybody.allReduce(vectors.map((v) => v.operand), i % 4 === 1 ? "max" : "min");
          model = model.map(() => [0, 1, 2, 3].map((e) =>
            (i % 4 === 1 ? Math.max : Math.min)(...model.map((row) => row[e]))));
        }
        vectors.forEach((v, rank) => v.addInPlace(Vector.full(devices[rank], 4, rank * (i % 5))));
        model = model.map((row, rank) => row.map((value) => value + rank * (i % 5)));
      }
      expect(vectors.map((v) => v.readSync())).toEqual(model);
    });
  });

  describe(`visibility (${kind})`, () => {
    test("V1 an op sees exactly the writes issued before it", () => {
      const [device, other] = make(2);
      const x = Vector.of(device, [1, 2]);
      const zero = Vector.of(device, [0, 0]);
      const before = x.add(zero);
      const copied = x.copyTo(other);
      x.set([5, 6]);
      const after = x.add(zero);
      x.addInPlace(after);
      expect([before, after, x, copied].map((v) => v.readSync())).toEqual([[1, 2], [5, 6], [10, 12], [1, 2]]);
    });

    test("V2 a read waits for what was issued before it and for its ancestors elsewhere, nothing more", async () => {
      const [busy, other] = make(2);
      const points = pointsFor(busy, 300);
      const order: string[] = [];
      const early = Vector.of(other, [1]);
      const slow = Vector.of(busy, [1]).slowSum(points);
      const reads = [early.read().then(() => order.push("before the copy"))];
      const copied = slow.copyTo(other);
      reads.push(copied.read().then(() => order.push("the copy")));
      const later = Vector.of(busy, [1]).slowSum(points);
      reads.push(later.read().then(() => order.push("issued after")));
      await Promise.all(reads);
      expect(order).toEqual(["before the copy", "the copy", "issued after"]);
    });

    test("V3 a read is a private copy", async () => {
      const [device] = make(1);
      for (const length of [4, 1000]) {
        const x = Vector.full(device, length, 3);
        const ticket = device.read(x.storage, 0, length * 4);
        await device.fence();
        const first = await ticket.bytes();
        first.fill(0);
        expect(x.readSync()).toEqual(new Array(length).fill(3));
        const kept = device.read(x.storage, 0, length * 4);
        x.free();
        const reused = Vector.full(device, length, 9);
        await device.fence();
        expect(new Float32Array((await kept.bytes()).buffer)[length - 1]).toBe(3);
        reused.free();
      }
    });
  });

  describe(`failure (${kind})`, () => {
    test("F1 an op's error poisons its outputs and what depends on them, nothing else", async () => {
      const [device, other] = make(2);
      const bad = Vector.of(device, [4, -1]);
      const fine = Vector.of(device, [1, 2]);
      const root = bad.checkedSqrt();
      const dependent = root.add(fine);
      const far = dependent.copyTo(other);
      const untouched = fine.add(fine);
      for (const poisoned of [root, dependent, far]) {
        expect(await rejection(poisoned.read())).toBeInstanceOf(ValueError);
      }
      expect(await untouched.read()).toEqual([2, 4]);
      expect(await bad.read()).toEqual([4, -1]);
    });

    test("F1 what a poisoned op would have changed keeps its bytes, marked, until overwritten or recovered", async () => {
      const [device] = make(1);
      const weights = Vector.of(device, [1, 2]);
      const root = Vector.of(device, [-1, 1]).checkedSqrt();
      weights.addInPlace(root);
      expect(await rejection(weights.read())).toBeInstanceOf(ValueError);
      device.recover(weights.storage);
      expect(await weights.read()).toEqual([1, 2]);
      const overwritten = Vector.of(device, [0, 0]);
      root.add(root, overwritten);
      await rejection(overwritten.read());
      weights.add(weights, overwritten);
      expect(await overwritten.read()).toEqual([2, 4]);
      root.set([3, 3]);
      expect(await root.read()).toEqual([3, 3]);
    });

    test("F1 a step with a poisoned gradient is skipped whole on all devices, and the next read rejects once", async () => {
      const devices = make(2);
      const everybody = group(devices);
      const parameters = devices.map((device) => [Vector.of(device, [1]), Vector.of(device, [2])] as const);
      const gradients = devices.map((device, rank) =>
        [Vector.of(device, [10]), Vector.of(device, [rank === 1 ? -1 : 4]).checkedSqrt()] as const);
      const step = (): void => {
        devices.forEach((device, rank) => device.guard((gradients[rank] ?? []).map((v) => v.storage)));
        everybody.guard();
        parameters.forEach((pair, rank) => pair.forEach((p, i) => p.addInPlace(gradients[rank]?.[i], true)));
      };
      step();
      for (const pair of parameters) {
        const error = await rejection(pair[0].read());
        expect(error).toBeInstanceOf(ValueError);
        expect(error.place.device).toBe(devices[1].name);
        expect(await Promise.all(pair.map((p) => p.read()))).toEqual([[1], [2]]);
      }
      gradients[1]?.[1].set([5]);
      step();
      expect(await Promise.all(parameters.flat().map((p) => p.read()))).toEqual([[11], [4], [11], [7]]);
    });

    test("F1 a poisoned member still joins its collectives and poisons all results", async () => {
      const devices = make(3);
      const everybody = group(devices);
      const vectors = devices.map((device, rank) => Vector.of(device, [rank === 1 ? -1 : 1, 1, 1]).checkedSqrt());
      everybody.allReduce(vectors.map((v) => v.operand));
      for (const vector of vectors) {
        const error = await rejection(vector.read());
        expect(error).toBeInstanceOf(ValueError);
        expect(error.place.device).toBe(devices[1].name);
      }
      const clean = devices.map((device) => Vector.of(device, [1, 2, 3]));
      everybody.allReduce(clean.map((v) => v.operand));
      expect(await Promise.all(clean.map((v) => v.read()))).toEqual(devices.map(() => [3, 6, 9]));
    });

    test("F2 every poisoned read rejects with the same root: op, module path, device, sequence", async () => {
      const [device, other] = make(2);
      const previous = enterSite("encoder.layer0");
      const root = Vector.of(device, [-7]).checkedSqrt();
      leaveSite(previous);
      const far = root.add(root).copyTo(other);
      const errors = [await rejection(far.read()), await rejection(root.read())];
      for (const error of errors) {
        expect(error.place).toMatchObject({ op: "checkedSqrt", modulePath: "encoder.layer0", device: device.name });
        expect(error.message).toContain("-7");
      }
      expect(errors[0]?.place.sequence).toBe(errors[1]?.place.sequence);
    });

    test("F3 a failure that nothing read is reported once, at close()", async () => {
      const [device, quiet] = make(2);
      Vector.of(device, [-1]).checkedSqrt();
      expect(await rejection(device.close())).toBeInstanceOf(ValueError);
      await rejection(Vector.of(quiet, [-1]).checkedSqrt().read());
      await quiet.close();
    });

    test("F4 an actor's death rejects the reads in flight and the device restarts", async () => {
      const [device] = make(1);
      const points = pointsFor(device, 1500);
      const kept = Vector.of(device, [42]);
      const slow = Vector.of(device, [1]).slowSum(points);
      const reads = [slow.read(), kept.read(), device.fence()].map((work) => rejection(work));
      await sleep(100);
      await device.kill();
      for (const error of await Promise.all(reads)) expect(error).toBeInstanceOf(DeviceLostError);
      expect(await kept.read()).toEqual([42]);
      expect(device.stats().starts).toBe(2);
    });

    test("F4 a coordinator blocked on a dying actor is woken", () => {
      const [device] = make(1);
      const slow = Vector.of(device, [1]).slowSum(pointsFor(device, 3000));
      const ticket = device.read(slow.storage, 0, 4);
      void device.kill();
      const start = performance.now();
      expect(() => ticket.bytesSync()).toThrow(DeviceLostError);
      expect(performance.now() - start).toBeLessThan(2000);
    });

    test("F4 a member that dies in a collective aborts it for all within a second", async () => {
      const devices = make(3);
      const everybody = group(devices);
      const points = pointsFor(devices[0], 2500);
      const vectors = devices.map((device) => Vector.of(device, [1, 1, 1]));
      await Promise.all(devices.map((device) => device.fence()));
      // Rank 0 is late, so that the others are inside; rank 1 dies there.
      Vector.of(devices[0], [1]).slowSum(points);
      everybody.allReduce(vectors.map((v) => v.operand));
      const reads = vectors.map((v) => rejection(v.read()));
      await sleep(100);
      const start = performance.now();
      const killed = devices[1].kill();
      expect(await reads[2]).toBeInstanceOf(DeviceLostError);
      expect(performance.now() - start).toBeLessThan(1000);
      for (const error of await Promise.all(reads)) expect(error).toBeInstanceOf(DeviceLostError);
      await killed;
      const again = devices.map((device) => Vector.of(device, [1, 1, 1]));
      everybody.allReduce(again.map((v) => v.operand));
      expect(await Promise.all(again.map((v) => v.read()))).toEqual(devices.map(() => [3, 3, 3]));
    });

    test("F5 what was written before a death survives, what was being written is lost, the rest goes on", async () => {
      const [device] = make(1);
      const points = pointsFor(device, 200);
      const big = Vector.full(device, 3000, 5);
      const one = Vector.of(device, [1]);
      const counter = Vector.of(device, [0]);
      const slow = Array.from({ length: 8 }, () => new Vector(device, 1));
      const issued = device.mailbox.messages;
      for (const out of slow) {
        one.slowSum(points, out);
        counter.addInPlace(one);
      }
      // In the middle of the fifth.
      while (Atomics.load(device.memory.control, Control.finished) < issued + 8) await sleep(5);
      await sleep(20);
      await device.kill();
      const results = await Promise.allSettled(slow.map((v) => v.read()));
      const lost = results.filter((result) => result.status === "rejected");
      expect(lost.length).toBe(1);
      expect((lost[0]).reason).toBeInstanceOf(LostError);
      expect(await big.read()).toEqual(new Array(3000).fill(5));
      // F7: nothing is executed twice.
      expect(await counter.read()).toEqual([8]);
    });

    test("F6 a device that keeps dying is given up and says so", async () => {
      const [device, other] = make(2);
      const x = Vector.of(device, [1]);
      await device.fence();
      for (let i = 0; i < 4; i++) await device.kill();
      expect(() => new Vector(device, 1)).toThrow(DeviceLostError);
      expect(() => x.readSync()).toThrow(DeviceLostError);
      x.free();
      expect(Vector.of(other, [1]).readSync()).toEqual([1]);
    });

    test("a closed device says so, at the call", async () => {
      const [device] = make(1);
      const x = Vector.of(device, [1]);
      await device.close();
      expect(() => new Vector(device, 1)).toThrow(DeviceClosedError);
      expect(() => x.readSync()).toThrow(DeviceClosedError);
      x.free();
    });
  });

  describe(`memory (${kind})`, () => {
    test("M1 at most C messages and B bytes are in flight: at the cap ops block, and go on", () => {
      const [device] = make(1, { ringWords: 128, stagingBytes: 1024 });
      const { memory } = device;
      Vector.of(device, [1]).slowSum(pointsFor(device, 300));
      const one = Vector.of(device, [1]);
      let most = 0;
      for (let i = 0; i < 200; i++) {
        one.addInPlace(one).set([1]);
        most = Math.max(most, Atomics.load(memory.control, Control.head) - Atomics.load(memory.control, Control.tail));
      }
      // The shortest message has two words.
      expect(device.mailbox.messages - Atomics.load(memory.control, Control.finished)).toBeLessThanOrEqual(128 / 2);
      expect(most).toBeLessThanOrEqual(128);
      const large = Array.from({ length: 5000 }, (_, i) => i);
      expect(Vector.of(device, large).readSync()).toEqual(large);
    });

    test("M2 the accounts equal what is alive, at quiescence", () => {
      const [device] = make(1);
      const alive: Vector[] = [];
      let random = 7;
      const next = (): number => (random = (random * 48271) % 2147483647);
      for (let i = 0; i < 500; i++) {
        if (next() % 3 === 0 && alive.length > 0) alive.splice(next() % alive.length, 1)[0]?.free();
        else alive.push(new Vector(device, 1 + (next() % 700)));
      }
      device.fenceSync();
      const stats = device.stats();
      const bytes = alive.reduce((sum, v) => sum + v.length * 4, 0);
      expect(stats.storages).toBe(alive.length);
      expect(device.bytesIssued).toBe(bytes);
      expect(stats.bytesLive).toBeGreaterThanOrEqual(bytes);
      expect(stats.bytesPeak).toBeGreaterThanOrEqual(stats.bytesLive);
      for (const vector of alive) vector.free();
      device.fenceSync();
      expect(device.stats()).toMatchObject({ bytesLive: 0, storages: 0 });
      device.resetPeak();
      expect(device.stats().bytesPeak).toBe(0);
    });

    test("M3 out of memory poisons that op and leaves the actor usable", async () => {
      const memoryLimit = 1 << 24;
      const [device] = make(1, { memoryLimit });
      const x = Vector.of(device, [1, 2]);
      const huge = new Vector(device, memoryLimit);
      const sum = huge.add(huge, new Vector(device, memoryLimit));
      expect(await rejection(sum.read())).toBeInstanceOf(OutOfMemoryError);
      expect(await rejection(huge.read())).toBeInstanceOf(OutOfMemoryError);
      expect(await x.add(x).read()).toEqual([2, 4]);
      sum.free();
      huge.free();
      for (let i = 0; i < 20; i++) new Vector(device, memoryLimit / 16).free();
      expect(await x.read()).toEqual([1, 2]);
    });

    test("M4 memory is freed after its last use, not before and not much later", async () => {
      const [from, to] = make(2);
      const length = 50_000;
      const busy = Vector.of(to, [1]).slowSum(pointsFor(to, 200));
      const copies: Vector[] = [];
      for (let i = 0; i < 20; i++) {
        const source = Vector.full(from, length, i);
        copies.push(source.copyTo(to));
        source.free();
      }
      const last = (await Promise.all(copies.map((copy) => copy.read()))).map((values) => values[length - 1]);
      expect(last).toEqual(copies.map((_, i) => i));
      busy.free();
      await from.fence();
      expect(from.stats()).toMatchObject({ bytesLive: 0, storages: 0 });
    });

    test("M5 bytes between devices never pass through the coordinator", () => {
      const [from, to] = make(2);
      const one = Vector.of(from, [1]);
      const source = Vector.full(from, 20_000, 6);
      from.fenceSync();
      const slow = one.slowSum(pointsFor(from, 200));
      const before = source.add(source);
      const copy = before.copyTo(to);
      // The coordinator does nothing but wait for the receiver, and its staging memory holds nothing.
      to.fenceSync();
      expect(to.memory.staging.every((byte) => byte === 0)).toBe(true);
      expect(copy.readSync()[19_999]).toBe(12);
      slow.free();
    });
  });
}

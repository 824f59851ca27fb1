/** Memory: what may be in flight, what the accounts say, when memory is free again. */
import { expect, test } from "vitest";
import { group } from "../../actor/groups.ts";
import { Control } from "../../actor/protocol.ts";
import { OutOfMemoryError, type TroupeError } from "../../errors.ts";
import { Vector } from "../vectors.ts";
import { Gate, pointsFor, rejection, type Make } from "./harness.ts";

/** M1 to M5. */
export function memoryPromises(make: Make): void {
  test("M1 at most C messages and B bytes are in flight: at the cap ops block, and go on", () => {
    const [device] = make(1, { ringWords: 128, stagingBytes: 1024 });
    const { memory } = device;
    Vector.of(device, [1]).slowSum(pointsFor(device, 100));
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

  test("M3 a collective with a full member ends for all: with the result, or out of memory", async () => {
    const memoryLimit = 1 << 24;
    const devices = make(2, { memoryLimit });
    const vectors = devices.map((device) => Vector.of(device, [1, 2]));
    for (let length = memoryLimit / 8; length >= 4; length /= 2) {
      for (let i = 0; i < 2; i++) new Vector(devices[0], length);
    }
    group(devices).allReduce(vectors.map((v) => v.operand));
    const ends = await Promise.all(vectors.map((v) => v.read().then(String, (error: TroupeError) => error.name)));
    expect(ends[0]).toMatch(/^(2,4|OutOfMemoryError)$/);
    expect(ends[1]).toBe(ends[0]);
  });

  test("M4 memory is freed after its last use, not before and not much later", async () => {
    const length = 50_000;
    const memoryLimit = 50 * 4 * length;
    const [from, to] = make(2, { memoryLimit });
    const gate = new Gate(to, from);
    const copies: Vector[] = [];
    for (let i = 0; i < 20; i++) {
      const source = Vector.full(from, length, i);
      copies.push(source.copyTo(to));
      source.free();
    }
    // All are offered and given up before the first is taken.
    await from.fence();
    gate.open();
    const last = (await Promise.all(copies.map((copy) => copy.read()))).map((values) => values[length - 1]);
    expect(last).toEqual(copies.map((_, i) => i));
    await from.fence();
    expect(from.stats()).toMatchObject({ bytesLive: 0, storages: 0 });
    // Beside what was offered there would be no room for as much again as this.
    const next = Array.from({ length: 40 }, () => new Vector(from, length));
    await Promise.all(next.map(({ storage }) => from.read(storage, 0, 4).bytes()));
  });

  test("M5 bytes between devices never pass through the coordinator", () => {
    const [from, to] = make(2);
    const one = Vector.of(from, [1]);
    const source = Vector.full(from, 20_000, 6);
    from.fenceSync();
    const slow = one.slowSum(pointsFor(from, 100));
    const before = source.add(source);
    const copy = before.copyTo(to);
    // The coordinator does nothing but wait for the receiver, and its staging memory holds nothing.
    to.fenceSync();
    expect(to.memory.staging.every((byte) => byte === 0)).toBe(true);
    expect(copy.readSync()[19_999]).toBe(12);
    slow.free();
  });
}

/** The end of an actor, by its death or by `close()`: who is woken, what survives, what is said. */
import { expect, test } from "vitest";
import { group } from "../../actor/groups.ts";
import { Control } from "../../actor/protocol.ts";
import { DeviceClosedError, DeviceLostError, LostError, ValueError } from "../../errors.ts";
import { Vector } from "../vectors.ts";
import { pointsFor, rejection, sleep, type Make } from "./harness.ts";

/** F4 to F7, and what a closed device says. */
export function deathPromises(make: Make): void {
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
    const points = pointsFor(devices[0], 2000);
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

  test("F3 what was issued before close() runs, and is reported, though the actor dies on the way", async () => {
    const [device] = make(1);
    const slow = Vector.of(device, [1]).slowSum(pointsFor(device, 600));
    await sleep(100);
    const bad = Vector.of(device, [-1]).checkedSqrt();
    const closing = rejection(device.close());
    void device.kill();
    const error = await closing;
    const all = [error, ...((error.cause as AggregateError | undefined)?.errors ?? [])];
    expect(all.some((one) => one instanceof ValueError && one.place.op === "checkedSqrt")).toBe(true);
    slow.free();
    bad.free();
  });

  test("F3 a device that was given up says so at close(), unless a call has said it before", async () => {
    const [silent, said] = make(2);
    for (const device of [silent, said]) {
      await device.fence();
      for (let i = 0; i < 4; i++) await device.kill();
    }
    expect(await rejection(silent.close())).toBeInstanceOf(DeviceLostError);
    expect(() => new Vector(said, 1)).toThrow(DeviceLostError);
    await said.close();
  });

  test("a closed device says so, at the call", async () => {
    const [device] = make(1);
    const x = Vector.of(device, [1]);
    const one = Vector.of(device, [1]);
    await device.close();
    expect(() => new Vector(device, 1)).toThrow(DeviceClosedError);
    expect(() => x.addInPlace(one)).toThrow(DeviceClosedError);
    expect(() => x.readSync()).toThrow(DeviceClosedError);
    x.free();
  });
}

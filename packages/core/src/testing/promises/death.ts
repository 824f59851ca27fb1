/** The end of an actor, by its death or by `close()`: who is woken, what survives, what is said. */
import { expect, test } from "vitest";
import { group } from "../../actor/groups.ts";
import { Group } from "../../actor/protocol.ts";
import { DeviceClosedError, DeviceLostError, LostError, type TroupeError, ValueError } from "../../errors.ts";
import { Vector } from "../vectors.ts";
import { begun, Gate, pointsFor, rejection, sleep, type Make } from "./harness.ts";

/** F4 to F7, and what a closed device says. @param memory what a thread's death means for its device's memory. */
export function deathPromises(make: Make, memory: "survives" | "dies"): void {
  test("F4 an actor's death rejects the reads in flight and the device restarts", async () => {
    const [device] = make(1);
    const points = pointsFor(device, 1500);
    const kept = Vector.of(device, [42]);
    const slow = Vector.of(device, [1]).slowSum(points);
    await begun(device);
    const reads = [slow.read(), kept.read(), device.fence()].map((work) => rejection(work));
    await device.kill();
    for (const error of await Promise.all(reads)) expect(error).toBeInstanceOf(DeviceLostError);
    const left = await kept.read().catch((error: Error) => error.name);
    expect(left).toEqual(memory === "survives" ? [42] : "LostError");
    kept.set([43]);
    expect(await kept.read()).toEqual([43]);
    expect(device.stats().starts).toBe(2);
  });

  test("F4 a coordinator blocked on a dying actor is woken", async () => {
    const [device] = make(1);
    const slow = Vector.of(device, [1]).slowSum(pointsFor(device, 3000));
    await begun(device);
    const ticket = device.read(slow.storage, 0, 4);
    void device.kill();
    const start = performance.now();
    expect(() => ticket.bytesSync()).toThrow(DeviceLostError);
    expect(performance.now() - start).toBeLessThan(2000);
  });

  test("F4 a member that dies in a collective aborts it for all within a second", async () => {
    const [late, dying, waiting, opener] = make(4);
    const devices = [late, dying, waiting];
    const everybody = group(devices);
    const vectors = devices.map((device) => Vector.of(device, [1, 1, 1]));
    // The first member is late, so that the others are inside; the second dies there.
    const gate = new Gate(late, opener);
    everybody.allReduce(vectors.map((v) => v.operand));
    await Promise.all([begun(dying), begun(waiting)]);
    const reads = vectors.map((v) => rejection(v.read()));
    const start = performance.now();
    const killed = dying.kill();
    expect(await reads[2]).toBeInstanceOf(DeviceLostError);
    expect(performance.now() - start).toBeLessThan(1000);
    gate.open();
    for (const error of await Promise.all(reads)) expect(error).toBeInstanceOf(DeviceLostError);
    await killed;
    const again = devices.map((device) => Vector.of(device, [1, 1, 1]));
    everybody.allReduce(again.map((v) => v.operand));
    expect(await Promise.all(again.map((v) => v.read()))).toEqual(devices.map(() => [3, 3, 3]));
  });

  test("F1 a member that dies in a broadcast loses what it would have got; the root and the others do not", async () => {
    const [root, dying, other, opener] = make(4);
    const devices = [root, dying, other];
    const vectors = devices.map((device, rank) => Vector.of(device, [rank, 7]));
    const gate = new Gate(root, opener);
    group(devices).broadcast(vectors.map((v) => v.operand));
    await begun(dying);
    await dying.kill();
    gate.open();
    expect(await rejection(vectors[1].read())).toBeInstanceOf(LostError);
    expect(await vectors[0].read()).toEqual([0, 7]);
    expect(await vectors[2].read()).toEqual([0, 7]);
  });

  test("F5 what a root broadcast before its death arrives as it was, or is lost, however late a member is", async () => {
    const [root, late, opener] = make(3);
    const source = Vector.full(root, 1000, 1);
    const target = Vector.full(late, 1000, 0);
    const gate = new Gate(late, opener);
    group([root, late]).broadcast([source.operand, target.operand]);
    await root.fence();
    await root.kill();
    source.set(new Array(1000).fill(9));
    // The restarted root waits for its readers, but not for ever.
    expect(await source.read()).toEqual(new Array(1000).fill(9));
    gate.open();
    const seen = await target.read().catch((error: Error) => error.name);
    expect(["LostError", new Array(1000).fill(1)]).toContainEqual(seen);
  });

  if (memory === "survives") survivalPromises(make);
  else lossPromises(make);

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
    const slow = Vector.of(device, [1]).slowSum(pointsFor(device, 1500));
    await begun(device);
    // A device that runs ahead of its kernels waits for this one here.
    const read = rejection(slow.read());
    const bad = Vector.of(device, [-1]).checkedSqrt();
    const closing = rejection(device.close());
    void device.kill();
    const error = await closing;
    const all = [error, ...((error.cause as AggregateError | undefined)?.errors ?? [])];
    expect(all.some((one) => one instanceof ValueError && one.place.op === "checkedSqrt")).toBe(true);
    expect(await read).toBeInstanceOf(DeviceLostError);
    slow.free();
    bad.free();
  });

  test("F3 a death that a read in flight told of is not reported again at close()", async () => {
    const [device] = make(1);
    const slow = Vector.of(device, [1]).slowSum(pointsFor(device, 1500));
    await begun(device);
    const read = rejection(slow.read());
    await device.kill();
    expect(await read).toBeInstanceOf(DeviceLostError);
    slow.free();
    await device.close();
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

  test("what a device sent arrives, however late the receiver is, though the sender is closed meanwhile", async () => {
    const [sender, receiver, opener] = make(3);
    const gate = new Gate(receiver, opener);
    const received = Vector.full(sender, 100, 7).copyTo(receiver);
    await Promise.all([sender.fence(), opener.fence()]);
    const closing = sender.close();
    await Promise.race([closing, sleep(200)]);
    gate.open();
    expect(await received.read()).toEqual(new Array(100).fill(7));
    await closing;
  });

  test("what a restarted actor had still to receive arrives, though all devices are being closed", async () => {
    const [sender, receiver] = make(2);
    const slow = Vector.of(receiver, [1]).slowSum(pointsFor(receiver, 1500));
    await begun(receiver);
    // Checked by the receiver, who otherwise says at close() that something is wrong.
    Vector.full(sender, 100, 7).copyTo(receiver).checkedSqrt();
    slow.free();
    void receiver.kill();
    const ends = await Promise.all([receiver, sender].map((device) => device.close().then(() => undefined, (error: TroupeError) => error)));
    const [end, other] = ends;
    expect(other).toBeUndefined();
    // A device that runs ahead of its kernels may be anywhere by then, between two messages too.
    const told = memory === "survives" ? ["LostError slowSum"] : ["LostError slowSum", "LostError checkedSqrt", "LostError undefined", "nothing"];
    expect(told).toContain(end === undefined ? "nothing" : `${end.name} ${end.place.op}`);
    expect(end?.cause).toBeUndefined();
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

/** F5 where memory outlives the thread. */
function survivalPromises(make: Make): void {
  test("F5 a root that dies in a broadcast keeps what it broadcasts", async () => {
    const [root, late, opener] = make(3);
    const gate = new Gate(late, opener);
    const source = Vector.of(root, [1, 2, 3]);
    const both = group([root, late]);
    // With so many meetings that its peer has not come to, the root stands in the last one.
    for (let i = 0; i <= Group.boards; i++) both.broadcast([source.operand, Vector.of(late, [0, 0, 0]).operand]);
    await begun(root);
    await root.kill();
    expect(await source.read()).toEqual([1, 2, 3]);
    gate.open();
  });

  test("F5 what was written before a death survives, what was being written is lost, the rest goes on", async () => {
    const [device] = make(1);
    const points = pointsFor(device, 60);
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
    await begun(device, issued + 10);
    await device.kill();
    const results = await Promise.allSettled(slow.map((v) => v.read()));
    const lost = results.filter((result) => result.status === "rejected");
    expect(lost.length).toBe(1);
    expect((lost[0]).reason).toBeInstanceOf(LostError);
    expect(await big.read()).toEqual(new Array(3000).fill(5));
    // F7: nothing is executed twice.
    expect(await counter.read()).toEqual([8]);
  });
}

/** F5 where memory dies with the thread. */
function lossPromises(make: Make): void {
  test("F5 what a death took says so until it is written again, on other devices too; the rest goes on", async () => {
    const [device, other] = make(2);
    const big = Vector.full(device, 3000, 5);
    const counter = Vector.of(device, [0]);
    const slow = Vector.of(device, [1]).slowSum(pointsFor(device, 1500));
    await begun(device);
    await device.kill();
    for (const gone of [big, counter, slow, big.copyTo(other)]) expect(await rejection(gone.read())).toBeInstanceOf(LostError);
    counter.set([0]);
    // F7: nothing is executed twice.
    const one = Vector.of(device, [1]);
    for (let i = 0; i < 8; i++) counter.addInPlace(one);
    expect(await counter.read()).toEqual([8]);
    expect(await one.add(counter, new Vector(device, 1)).read()).toEqual([9]);
  });
}

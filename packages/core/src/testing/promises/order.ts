/** Order and visibility: what a stream, a group and a read may count on. */
import { expect, test } from "vitest";
import { group } from "../../actor/groups.ts";
import { Vector } from "../vectors.ts";
import { Gate, type Make } from "./harness.ts";

/** O1 to O3. */
export function orderPromises(make: Make): void {
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
    const gate = new Gate(busy, idle);
    const order: string[] = [];
    const late = Vector.of(busy, [1]).read().then(() => order.push("busy"));
    await Vector.of(idle, [7]).read().then(() => order.push("idle"));
    gate.open();
    await late;
    expect(order).toEqual(["idle", "busy"]);
  });

  test("O2 the root of a broadcast waits for nobody, though others still read the same bytes", async () => {
    const [root, late, other, opener] = make(4);
    const gate = new Gate(late, opener);
    const source = Vector.of(root, [1, 2, 3]);
    const targets = [late, other].map((device) => {
      const target = Vector.of(device, [0, 0, 0]);
      group([root, device]).broadcast([source.operand, target.operand]);
      return target;
    });
    expect(await targets[1].read()).toEqual([1, 2, 3]);
    gate.open();
    expect(await targets[0].read()).toEqual([1, 2, 3]);
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
}

/** V1 to V3. */
export function visibilityPromises(make: Make): void {
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
    const [busy, other, opener] = make(3);
    const order: string[] = [];
    const early = Vector.of(other, [1]);
    const first = new Gate(busy, opener);
    const x = Vector.of(busy, [1]);
    const before = early.read().then(() => order.push("before the copy"));
    const copied = x.add(x).copyTo(other);
    const copy = copied.read().then((values) => order.push(`the copy: ${String(values)}`));
    const second = new Gate(busy, opener);
    const after = x.read().then(() => order.push("issued after"));
    await before;
    first.open();
    await copy;
    second.open();
    await after;
    expect(order).toEqual(["before the copy", "the copy: 2", "issued after"]);
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
}

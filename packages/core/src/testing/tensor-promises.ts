/**
 * The promises of the actor contract as a user of tensors meets them, as one suite for every device: what is
 * seen, what a hand-off means, what a mistake says, what training survives and how much memory it takes.
 */
import { afterEach, describe, expect, test } from "vitest";
import type { Device } from "../actor/device.ts";
import {
  DeviceClosedError, DeviceError, DisposedError, DTypeError, ShapeError, TroupeError, ValueError,
} from "../errors.ts";
import { noGrad, ones, optim, tensor, zeros } from "../index.ts";
import { slice } from "../tensor/indexing.ts";
import { memoryPromises } from "./memory-promises.ts";
import { pointsFor, rejection, type MakeDevices, type PromiseDeviceOptions, type PromiseSuiteOptions } from "./promises.ts";
import { trainingPromises } from "./training-promises.ts";
import { Vector } from "./vectors.ts";

/** Makes devices that are closed after the test. Tests take as many as they asked for. */
export type Make = (count: number, options?: PromiseDeviceOptions) => [Device, Device];

/** A busy machine may take its time, ms. */
const timeout = 30_000;

/** Defines the tests for devices of one kind. */
export function tensorPromiseSuite(
  kind: string, makeDevices: MakeDevices, { memory = "survives" }: PromiseSuiteOptions = {},
): void {
  let open: Device[] = [];
  const make: Make = (count, options) => {
    const made = makeDevices(count, options);
    open.push(...made);
    return made as unknown as [Device, Device];
  };
  afterEach(async () => {
    // Failures that a test left unread are its own matter.
    await Promise.allSettled(open.map((device) => device.close()));
    open = [];
  });

  describe(`visibility of tensors (${kind})`, { timeout }, () => {
    visibilityPromises(make);
  });
  describe(`hand-off of tensors (${kind})`, { timeout }, () => {
    handOffPromises(make);
  });
  describe(`mistakes at the call (${kind})`, { timeout }, () => {
    callPromises(make);
  });
  describe(`failure in training (${kind})`, { timeout }, () => {
    trainingPromises(make, memory);
  });
  describe(`memory of tensors (${kind})`, { timeout }, () => {
    memoryPromises(make);
  });
}

function visibilityPromises(make: Make): void {
  test("V1 an op sees exactly the writes issued before it, through views too", () => {
    const [device, other] = make(2);
    const x = tensor([[1, 2], [3, 4]], { device, dtype: "float32" });
    const row = x.at(1);
    const before = x.add(0);
    const copied = x.to(other);
    row.mul_(10);
    const between = x.sum();
    x.setAt([slice(), 0], tensor(7, { device, dtype: "float32" }));
    const after = row.add(x.at(0));
    x.zero_();
    expect([before, copied, between, after, row].map((t) => t.tolistSync())).toEqual([
      [[1, 2], [3, 4]], [[1, 2], [3, 4]], 73, [14, 42], [0, 0],
    ]);
  });

  test("V1 a write sees the reads issued before it", async () => {
    const [device] = make(1);
    for (const length of [4, 1000]) {
      const x = ones(length, { device });
      const early = x.data();
      const text = x.narrow(0, 1, 2).tolist();
      x.mul_(5);
      const late = x.data();
      expect([...await early]).toEqual(new Array(length).fill(1));
      expect(await text).toEqual([1, 1]);
      expect([...await late]).toEqual(new Array(length).fill(5));
    }
  });

  test("V2 a read waits for what was issued before it and for its ancestors elsewhere, nothing more", async () => {
    const [busy, other] = make(2);
    const points = pointsFor(busy, 150);
    const x = ones(3, { device: busy });
    const y = ones(3, { device: other });
    // Both devices are up and have compiled what follows.
    x.to(other).add(y).sum().itemSync();
    x.sum().itemSync();
    const orderOfReads = async (): Promise<string[]> => {
      const order: string[] = [];
      Vector.of(busy, [1]).slowSum(points);
      const reads = [
        y.sum().item().then(() => order.push("elsewhere")),
        x.to(other).add(y).sum().item().then(() => order.push("from the busy one")),
      ];
      Vector.of(busy, [1]).slowSum(points);
      reads.push(x.sum().item().then(() => order.push("issued last")));
      await Promise.all(reads);
      return order;
    };
    // A read that waits for too much is late every time; a thread that a busy machine lets wait is so now and then.
    let order: string[] = [];
    for (let attempt = 0; attempt < 5 && order[1] !== "from the busy one"; attempt++) order = await orderOfReads();
    expect(order).toEqual(["elsewhere", "from the busy one", "issued last"]);
  });

  test("V3 a read is a private copy, of a tensor that may be gone", async () => {
    const [device] = make(1);
    for (const length of [4, 1000]) {
      const x = ones(length, { device });
      (await x.data() as Float32Array).fill(0);
      (x.dataSync() as Float32Array).fill(0);
      expect(await x.sum().item()).toBe(length);
      const pending = x.data();
      x.dispose();
      const reused = zeros(length, { device });
      expect([...await pending]).toEqual(new Array(length).fill(1));
      reused.dispose();
    }
  });
}

function handOffPromises(make: Make): void {
  test("V4 after a hand-off the sender's access throws, and that of its views", async () => {
    const [device, other] = make(2);
    const x = tensor([[1, 2], [3, 4]], { device, dtype: "float32" });
    const view = x.t();
    const detached = x.detach();
    const moved = x.moveTo(other);
    expect(moved.device).toBe(other);
    for (const gone of [x, view, detached]) {
      expect(() => gone.add(1)).toThrow(DisposedError);
      expect(() => gone.mul_(2)).toThrow(DisposedError);
      expect(() => gone.view(-1)).toThrow(DisposedError);
      expect(() => gone.dataSync()).toThrow(DisposedError);
      expect(await rejection(gone.data())).toBeInstanceOf(DisposedError);
    }
    expect(await moved.tolist()).toEqual([[1, 2], [3, 4]]);
    await device.fence();
    expect(device.stats().storages).toBe(0);
  });

  test("V4 a hand-off carries the history along", async () => {
    const [device, other] = make(2);
    const x = tensor([1, 2, 3], { device, requiresGrad: true });
    const far = x.mul(2).moveTo(other);
    far.mul(far.detach()).sum().backward();
    expect(x.grad?.device).toBe(device);
    expect(await x.grad?.tolist()).toEqual([4, 8, 12]);
    expect(far.moveTo(other)).toBe(far);
  });

  test("a disposed tensor throws at every use, in an optimizer's step and in a backward pass too", () => {
    const [device] = make(1);
    const w = tensor([1, 2], { device, requiresGrad: true });
    const x = tensor([1, 2], { device, dtype: "float32" });
    const loss = w.mul(x).sum();
    x.dispose();
    x.dispose();
    expect(x.isDisposed).toBe(true);
    expect(() => loss.backward()).toThrow(DisposedError);
    w.grad = ones(2, { device });
    const optimizer = new optim.SGD([w], { lr: 0.1 });
    optimizer.step();
    w.dispose();
    expect(() => optimizer.step()).toThrow(DisposedError);
  });
}

function callPromises(make: Make): void {
  /** What the call throws, at once. */
  function thrown(call: () => unknown): TroupeError {
    let error: unknown;
    try {
      call();
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(TroupeError);
    return error as TroupeError;
  }

  test("a shape error is typed, names the op and comes at the call", () => {
    const [device] = make(1);
    const a = zeros(2, 3, { device });
    const mistakes: [string, () => unknown][] = [
      ["mm", () => a.matmul(a)],
      ["add", () => a.add(zeros(4, { device }))],
      ["view", () => a.view(4, 2)],
      ["add", () => zeros(3, { device }).add_(a)],
      ["item", () => a.itemSync()],
    ];
    for (const [op, call] of mistakes) {
      const error = thrown(call);
      expect(error).toBeInstanceOf(ShapeError);
      expect(error.place.op).toBe(op);
    }
  });

  test("a dtype error is typed, names the op and comes at the call", () => {
    const [device] = make(1);
    const whole = tensor([1, 2], { device });
    const mistakes: [string, () => unknown][] = [
      ["add", () => whole.add_(0.5)],
      ["mean", () => whole.mean()],
      ["zeros", () => zeros(2, { device, dtype: "float16" as "float32" })],
    ];
    for (const [op, call] of mistakes) {
      const error = thrown(call);
      expect(error).toBeInstanceOf(DTypeError);
      expect(error.place.op).toBe(op);
    }
  });

  test("an unknown device says which there are, and devices that are mixed say which two", () => {
    const [device, other] = make(2);
    expect(thrown(() => zeros(2, { device: "abacus:0" })).message).toMatch(/abacus[^]*@troupe\/|abacus[^]*import/);
    expect(thrown(() => zeros(2, { device }).to("abacus"))).toBeInstanceOf(DeviceError);
    const error = thrown(() => zeros(2, { device }).add(zeros(2, { device: other })));
    expect(error).toBeInstanceOf(DeviceError);
    expect(error.place.op).toBe("add");
    expect(error.message).toContain(device.name);
    expect(error.message).toContain(other.name);
    const target = zeros(2, { device });
    expect(() => target.add_(zeros(2, { device: other }))).toThrow(DeviceError);
    expect(target.tolistSync()).toEqual([0, 0]);
  });

  test("a closed device says so at the call; its tensors can still be let go", async () => {
    const [device, other] = make(2);
    const x = ones(100, { device, requiresGrad: true });
    const loss = x.mul(2).sum();
    await device.close();
    const calls = [
      () => x.add(1), () => x.dataSync(), () => x.to(other), () => noGrad(() => x.add_(1)), () => zeros(2, { device }),
      () => loss.backward(),
      () => ones(2, { device: other }).to(device), () => ones(2, { device: other }).moveTo(device),
    ];
    for (const call of calls) expect(thrown(call)).toBeInstanceOf(DeviceClosedError);
    expect(await rejection(loss.item())).toBeInstanceOf(DeviceClosedError);
    x.dispose();
    expect(ones(2, { device: other }).tolistSync()).toEqual([1, 1]);
  });

  test("a bad value is refused at the call where it is known there", () => {
    const [device] = make(1);
    expect(() => zeros(2, { device, dvice: "x" } as object)).toThrow(ValueError);
    expect(() => zeros(2, { device }).sum(5)).toThrow(/out of range/);
  });
}

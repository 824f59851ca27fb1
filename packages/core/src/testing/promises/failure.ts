/** Failures of ops: how far they spread, what they say, who is told. */
import { expect, test } from "vitest";
import { group } from "../../actor/groups.ts";
import { enterSite, leaveSite } from "../../actor/site.ts";
import { ValueError } from "../../errors.ts";
import { Vector } from "../vectors.ts";
import { rejection, type Make } from "./harness.ts";

/** F1 to F3. */
export function failurePromises(make: Make): void {
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
}

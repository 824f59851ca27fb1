import { describe, expect, test } from "vitest";
import type { Device } from "../src/actor/device.ts";
import { ValueError } from "../src/errors.ts";
import { mock } from "../src/testing/mock/index.ts";
import { rejection } from "../src/testing/promises.ts";
import { Vector } from "../src/testing/vectors.ts";

const megabyte = 2 ** 20;

describe("a closed device", () => {
  test("lets go of its memory, though its handle is kept and other devices live on", { timeout: 60_000 }, async () => {
    const witness = mock();
    const seen = new Vector(witness, 1);
    const values = new Array<number>(megabyte).fill(1);
    const handles: Device[] = [];
    const resident: number[] = [];
    for (let i = 0; i < 50; i++) {
      const device = mock();
      const large = Vector.of(device, values);
      large.copyTo(witness, new Vector(witness, megabyte)).free();
      seen.set([i]);
      expect(await seen.read()).toEqual([i]);
      await device.close();
      await new Promise((resolve) => setTimeout(resolve, 20));
      handles.push(device);
      resident.push(process.memoryUsage().rss / megabyte);
    }
    // A device that stayed would keep 8 MiB: its staging ring and its storage.
    const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1] ?? 0;
    expect(median(resident.slice(40)) - median(resident.slice(10, 20))).toBeLessThan(80);
    expect(handles.every(({ closed, memory }) => closed && memory.ring.length === 0)).toBe(true);
    await witness.close();
  });

  test("still tells whose failure another device's poison is", async () => {
    const [device, other] = [mock(), mock()];
    const far = Vector.of(device, [-3]).checkedSqrt().copyTo(other);
    expect(await rejection(far.read())).toBeInstanceOf(ValueError);
    await device.close();
    const error = await rejection(far.read());
    expect(error).toBeInstanceOf(ValueError);
    expect(error.message).toContain("-3");
    expect(error.place).toMatchObject({ op: "checkedSqrt", device: device.name });
    await other.close();
  });
});

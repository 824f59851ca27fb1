import { mock } from "@troupe/core/testing";
import { adjoint, deviceMesh, partial, replicate, shard, shardRange } from "@troupe/parallel";
import type { Adjoint, Partial, Replicate, Shard } from "@troupe/parallel";
import fc from "fast-check";
import { afterAll, describe, expect, expectTypeOf, test } from "vitest";

const devices = Array.from({ length: 6 }, (_, index) => mock({ index }));
afterAll(() => Promise.all(devices.map((device) => device.close())));

describe("a mesh", () => {
  const mesh = deviceMesh(devices, { dp: 2, tp: 3 });

  test("has named axes, of which the last runs fastest", () => {
    expect(mesh.axes).toEqual(["dp", "tp"]);
    expect(mesh.sizes).toEqual([2, 3]);
    expect(mesh.coordinates(4)).toEqual([1, 1]);
    expect(mesh.toString()).toBe("DeviceMesh({ dp: 2, tp: 3 }, [mock:0, mock:1, mock:2, mock:3, mock:4, mock:5])");
  });

  test("has lines of devices along each axis, and every device is on one", () => {
    expect(mesh.lines(mesh.axis("dp")).map(({ ranks }) => ranks)).toEqual([
      [0, 3],
      [1, 4],
      [2, 5],
    ]);
    expect(mesh.lines(mesh.axis("tp")).map(({ ranks }) => ranks)).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ]);
    expect(mesh.lines(1)[1].group.devices).toEqual(devices.slice(3));
  });

  test("has parts where some coordinates are fixed", () => {
    expect(mesh.at({ dp: 1 }).devices).toEqual(devices.slice(3));
    expect(mesh.at({ dp: 1 }).axes).toEqual(["tp"]);
    expect(mesh.at({ tp: 2 }).devices).toEqual([devices[2], devices[5]]);
    expect(mesh.at({ dp: 0, tp: 1 }).devices).toEqual([devices[1]]);
  });

  test("is one data-parallel axis by default, and takes names of devices", () => {
    expect(deviceMesh(["mock:1", devices[0]]).axes).toEqual(["dp"]);
    expect(deviceMesh(["mock:1", devices[0]]).devices).toEqual([devices[1], devices[0]]);
  });

  test("refuses sizes that do not fit, devices that come twice, and axes that are not there", () => {
    expect(() => deviceMesh(devices, { dp: 4 })).toThrow(/does not hold 6 devices/);
    expect(() => deviceMesh([devices[0], devices[0]])).toThrow(/twice/);
    expect(() => deviceMesh([])).toThrow(/at least one device/);
    expect(() => mesh.axis("pp")).toThrow(/no axis "pp"[^]*dp, tp/);
    expect(() => mesh.at({ dp: 2 })).toThrow(/no place 2/);
  });
});

describe("placements", () => {
  test("the adjoint of Replicate is Partial, of Partial Replicate, of Shard itself; the types say so", () => {
    expect(adjoint(replicate())).toEqual(partial());
    expect(adjoint(partial())).toEqual(replicate());
    expect(adjoint(shard(2))).toEqual(shard(2));
    expectTypeOf<Adjoint<Replicate>>().toEqualTypeOf<Partial<"sum">>();
    expectTypeOf<Adjoint<Partial<"sum">>>().toEqualTypeOf<Replicate>();
    expectTypeOf<Adjoint<Shard>>().toEqualTypeOf<Shard>();
    expectTypeOf<Adjoint<Partial<"max">>>().toBeNever();
  });

  test("parts of a dimension follow one another, cover it, and none is larger than the first", () => {
    fc.assert(
      fc.property(fc.nat(40), fc.integer({ min: 1, max: 9 }), (size, count) => {
        const parts = Array.from({ length: count }, (_, index) => shardRange(size, index, count));
        expect(parts[0].from).toBe(0);
        expect(parts[count - 1].to).toBe(size);
        parts.slice(1).forEach(({ from, to }, i) => {
          expect(from).toBe(parts[i].to);
          expect(to - from).toBeLessThanOrEqual(parts[0].to);
        });
      }),
    );
  });
});

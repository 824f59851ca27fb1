import { inspect } from "node:util";
import { arange, noGrad, ones, tensor, tidy, zeros, zerosLike } from "@troupe/core";
import type { Tensor } from "@troupe/core";
import { mock } from "@troupe/core/testing";
import {
  collectiveCounts,
  deviceMesh,
  distributeTensor,
  fullTensor,
  meshOf,
  partial,
  placementsOf,
  placementText,
  redistribute,
  replicate,
  shard,
} from "@troupe/parallel";
import type { DeviceMesh, Placement } from "@troupe/parallel";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { numbers } from "./cases.ts";
import { difference, lay, possiblePlacements } from "./lay.ts";

const devices = Array.from({ length: 4 }, (_, index) => mock({ index }));
afterAll(() => Promise.allSettled(devices.map((device) => device.close())));

const [here] = devices;
const pair = deviceMesh(devices.slice(0, 2));
const square = deviceMesh(devices, { dp: 2, tp: 2 });

function textOf(x: Tensor): string | undefined {
  return placementsOf(x)?.map(placementText).join(" ");
}

function matrix(): Tensor {
  return arange(15, { device: here, dtype: "float32" }).reshape(5, 3);
}

const values = matrix().tolistSync();

describe("moving a tensor", () => {
  test("between any two placements on a mesh of two axes keeps what it holds, and its gradient", () => {
    const anyPlacement = (x: Tensor): fc.Arbitrary<Placement> => fc.constantFrom(...possiblePlacements(x));
    const x = numbers(5, 3);
    const own = anyPlacement(x);
    const source = fc.tuple(own, own).filter(([a, b]) => a.kind !== "partial" || b.kind !== "partial");
    fc.assert(
      fc.property(source, fc.tuple(own, own), (from, to) => {
        const before = lay(x, square, from);
        before.requiresGrad = true;
        const after = redistribute(before, to);
        expect(textOf(after)).toBe(to.map(placementText).join(" "));
        expect(difference(after, x)).toBeUndefined();
        after.mul(numbers(5, 3)).sum().backward();
        expect(difference(before.grad as Tensor, x)).toBeUndefined();
        expect(difference(before, x)).toBeUndefined();
      }),
      { numRuns: 60, seed: 11 },
    );
  }, 30_000);

  test("to a mesh and back is differentiable, and the gradient arrives where the tensor is", () => {
    const x = matrix();
    x.requiresGrad = true;
    const spread = distributeTensor(x, pair, [shard(-2)]);
    expect(textOf(spread)).toBe("S(0)");
    const back = fullTensor(spread.mul(3));
    expect(meshOf(back)).toBeUndefined();
    back.sum().backward();
    expect(meshOf(x.grad as Tensor)).toBeUndefined();
    expect((x.grad as Tensor).tolistSync()).toEqual(ones([5, 3], { device: here }).mul(3).tolistSync());
  });

  test("full tensors go to any device of the mesh or outside of it", () => {
    const spread = distributeTensor(matrix(), pair, [shard(1)]);
    for (const device of devices) {
      expect(fullTensor(spread, { device }).device).toBe(device);
      expect(fullTensor(spread, { device }).tolistSync()).toEqual(values);
    }
    expect(spread.to(devices[3]).tolistSync()).toEqual(values);
    expect(meshOf(spread.to(here))).toBeUndefined();
  });

  test("the mesh's tensors share no memory with the tensor they were made of", () => {
    const x = matrix();
    const spread = distributeTensor(x, pair, [shard(0)]);
    spread.add_(1);
    expect(x.tolistSync()).toEqual(values);
    x.dispose();
    expect(spread.sub(1).tolistSync()).toEqual(values);
  });

  test("refuses a shard of a dimension that is not there, another mesh, and tensors on one device", () => {
    expect(() => distributeTensor(matrix(), pair, [shard(2)])).toThrow(/cannot shard dimension 2/);
    expect(() => distributeTensor(matrix(), pair, [replicate(), replicate()])).toThrow(
      /2 placements on a mesh of 1 axes/,
    );
    expect(() => redistribute(matrix(), [replicate()])).toThrow(/on one device/);
    const spread = distributeTensor(matrix(), pair, [shard(0)]);
    expect(() => distributeTensor(spread, square, [shard(0)])).toThrow(/another mesh/);
    expect(() => spread.add(distributeTensor(matrix(), square, []))).toThrow(/same mesh/);
  });
});

describe("a sum over devices", () => {
  const pendingSum = (mesh: DeviceMesh): Tensor => distributeTensor(matrix(), mesh, [shard(0)]).sum(0);

  test("stays pending through linear ops, and is finished once, by the first that needs it", () => {
    const before = collectiveCounts().allReduce;
    const sum = pendingSum(pair);
    const doubled = sum.mul(2).add(sum);
    expect([textOf(sum), textOf(doubled)]).toEqual(["P(sum)", "P(sum)"]);
    expect(collectiveCounts().allReduce).toBe(before);
    expect(sum.tolistSync()).toEqual([30, 35, 40]);
    expect(sum.exp().shape).toEqual([3]);
    expect(sum.tolistSync()).toEqual([30, 35, 40]);
    expect(textOf(sum)).toBe("R");
    expect(collectiveCounts().allReduce).toBe(before + 1);
    expect(doubled.tolistSync()).toEqual([90, 105, 120]);
  });

  test("is finished for all views at once", () => {
    const sum = pendingSum(pair);
    const view = sum.unsqueeze(0);
    expect(sum.tolistSync()).toEqual([30, 35, 40]);
    expect(textOf(view)).toBe("R");
    expect(view.tolistSync()).toEqual([[30, 35, 40]]);
  });

  test("means one thing where it stands in two places of one op", () => {
    const sums = (): Tensor => distributeTensor(matrix(), pair, [shard(0)]).sum(0);
    const [a, b, c] = [sums(), sums(), sums()];
    expect(textOf(a)).toBe("P(sum)");
    expect(a.mul(a).tolistSync()).toEqual([900, 1225, 1600]);
    expect(b.div(b).tolistSync()).toEqual([1, 1, 1]);
    expect(c.mul_(c).tolistSync()).toEqual([900, 1225, 1600]);
    const d = sums();
    expect(d.matmul(d).itemSync()).toBe(3725);
  });

  test("over two axes gives the same bits whatever is finished with it", () => {
    const over = (numbers: readonly number[], placements: readonly Placement[]): Tensor =>
      distributeTensor(tensor(numbers, { device: here, dtype: "float32" }), square, placements).sum();
    const alone = over([1e8, 1, -1e8, 1], [shard(0), shard(0)]);
    const other = over([1, 2], [replicate(), shard(0)]);
    const among = over([1e8, 1, -1e8, 1], [shard(0), shard(0)]);
    const target = distributeTensor(zeros([], { device: here }), square, [replicate(), replicate()]).value;
    target.executor.settle([alone.value], [target]);
    target.executor.settle([other.value, among.value], [target, target]);
    expect([alone, other, among].map((x) => x.itemSync())).toEqual([2, 3, 2]);
  });

  test("goes straight to shards", () => {
    const { allReduce, reduceScatter } = collectiveCounts();
    const spread = redistribute(pendingSum(pair), [shard(0)]);
    expect(spread.tolistSync()).toEqual([30, 35, 40]);
    expect(collectiveCounts().allReduce).toBe(allReduce);
    expect(collectiveCounts().reduceScatter).toBe(reduceScatter + 1);
  });
});

describe("in place", () => {
  for (const placement of [replicate(), shard(0), shard(1), partial()]) {
    test(`writes to ${placementText(placement)} are seen by all views, whatever the operand's placement`, () => {
      for (const other of [replicate(), shard(0), shard(1), partial()]) {
        const x = lay(matrix(), pair, [placement]);
        const view = x.t();
        x.add_(lay(matrix(), pair, [other]))
          .mul_(2)
          .clamp_(-100, 100);
        const expected = matrix().mul(4);
        expect(difference(x, expected)).toBeUndefined();
        expect(difference(view, expected.t())).toBeUndefined();
      }
    });
  }

  test("a write through a view reaches the tensor", () => {
    const x = distributeTensor(matrix(), pair, [shard(0)]);
    x.narrow(1, 1, 1).fill_(-1);
    expect(x.tolistSync()).toEqual((values as number[][]).map(([a, , c]) => [a, -1, c]));
  });

  test("a write through a view whose elements had to be moved throws instead of being lost", () => {
    const x = distributeTensor(matrix(), pair, [shard(0)]);
    expect(() => x.select(0, 1).fill_(0)).toThrow(/would be lost/);
    expect(x.tolistSync()).toEqual(values);
  });

  test("a tensor on one device takes a sharded result", () => {
    const x = matrix();
    x.copy_(distributeTensor(matrix(), pair, [shard(0)]).mul(2));
    expect(meshOf(x)).toBeUndefined();
    expect(x.tolistSync()).toEqual(matrix().mul(2).tolistSync());
  });

  test("a tensor on one device that is written to is seen anew by the mesh", () => {
    const [x, y] = [distributeTensor(matrix(), pair, [shard(0)]), ones([3], { device: here })];
    expect(difference(x.mul(y), matrix())).toBeUndefined();
    y.mul_(2);
    expect(difference(x.mul(y), matrix().mul(2))).toBeUndefined();
  });

  test("autograd notices a change of a saved tensor", () => {
    const w = distributeTensor(ones([3], { device: here }), pair, []);
    w.requiresGrad = true;
    const x = distributeTensor(matrix(), pair, [shard(0)]);
    const y = x.mul(w).sum();
    x.add_(1);
    expect(() => y.backward()).toThrow(/modified by an inplace operation/);
  });
});

describe("memory", () => {
  test("what an op moves along the way is freed when it is done, and dispose frees every part", async () => {
    // Devices of its own: elsewhere the garbage of earlier tests is freed at any moment.
    const fresh = [mock({ index: 10 }), mock({ index: 11 })];
    const settled = async (): Promise<number[]> => {
      for (const device of fresh) await device.fence();
      return fresh.map((device) => device.stats().storages);
    };
    const x = distributeTensor(matrix().to(fresh[0]), deviceMesh(fresh), [shard(0)]);
    const before = await settled();
    const y = x.add(redistribute(x, [shard(1)]));
    const z = y.sort(0);
    y.dispose();
    z.values.dispose();
    z.indices.dispose();
    expect(y.isDisposed).toBe(true);
    expect(() => y.add(1)).toThrow(/disposed/);
    const [kept, other] = await settled();
    // What was moved for the sum is held by a tensor that nobody named.
    expect([kept - before[0], other - before[1]]).toEqual([1, 1]);
    await Promise.all(fresh.map((device) => device.close()));
  });

  test("tidy frees sharded tensors except those that it returns", () => {
    let inner: Tensor | undefined;
    const kept = tidy(() => {
      inner = distributeTensor(matrix(), pair, [shard(0)]);
      return inner.sum(0);
    });
    expect(inner?.isDisposed).toBe(true);
    expect(kept.tolistSync()).toEqual([30, 35, 40]);
  });
});

describe("reading", () => {
  test("gives the whole, asynchronously too", async () => {
    for (const placements of [
      [shard(0), shard(1)],
      [shard(1), shard(1)],
      [replicate(), shard(0)],
    ]) {
      const x = distributeTensor(matrix(), square, placements);
      expect(await x.tolist()).toEqual(values);
      expect(inspect(x.t())).toBe(inspect(matrix().t()));
    }
  });

  test("of a result with a poisoned part rejects with its cause", async () => {
    const x = distributeTensor(tensor([1, 2, 3, 4], { device: here }), pair, [shard(0)]);
    const index = distributeTensor(tensor([0, 1, 9, 0], { device: here }), pair, [shard(0)]);
    const picked = redistribute(x, [replicate()]).gather(0, index);
    await expect(picked.sum().item()).rejects.toThrow(/out of range|index/);
  });

  test("tensors made like a sharded one lie as it does", () => {
    const x = distributeTensor(zeros([5, 3], { device: here }), pair, [shard(0)]);
    expect(textOf(zerosLike(x))).toBe("S(0)");
    expect(textOf(noGrad(() => x.clone()))).toBe("S(0)");
  });
});

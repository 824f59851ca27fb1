/** Laying tensors out in every way, and comparing what comes of it with a single device. */
import { noGrad, stack } from "@troupe/core";
import type { Tensor } from "@troupe/core";
import { distributeTensor, partial, placementsOf, placementText, shard } from "@troupe/parallel";
import type { DeviceMesh, Placement } from "@troupe/parallel";

/** The placements that a tensor of this shape and dtype can have along one axis. */
export function possiblePlacements(x: Tensor): Placement[] {
  const ways: Placement[] = [{ kind: "replicate" }, ...x.shape.map((_, dim) => shard(dim))];
  return x.dtype === "bool" || x.dtype === "uint8" || x.dtype === "int32" ? ways : [...ways, partial()];
}

/** `x` over a mesh; a Partial placement gets addends that are all different from zero and from one another. */
export function lay(x: Tensor, mesh: DeviceMesh, placements: readonly Placement[]): Tensor {
  return noGrad(() => {
    const axis = placements.findIndex(({ kind }) => kind === "partial");
    if (axis < 0) return distributeTensor(x, mesh, placements);
    const count = mesh.sizes[axis];
    const addends: Tensor[] = [];
    let rest = x;
    for (let i = 1; i < count; i++) {
      addends.push(x.mul(i).sub(i));
      rest = rest.sub(addends[addends.length - 1]);
    }
    const stacked = lay(
      stack([rest, ...addends]),
      mesh,
      placements.map((placement, i): Placement => {
        if (i === axis) return shard(0);
        return placement.kind === "shard" ? shard(placement.dim + 1) : placement;
      }),
    );
    const made = stacked.sum(0, { dtype: x.dtype });
    const got = placementsOf(made)?.map(placementText).join(" ");
    const wanted = placements.map(placementText).join(" ");
    if (got !== wanted) throw new Error(`laid out as ${String(got)} instead of ${wanted}`);
    return made;
  });
}

/** The first difference between two tensors, or undefined. */
export function difference(actual: Tensor, expected: Tensor, tolerance = 1e-4): string | undefined {
  if (actual.dtype !== expected.dtype) return `dtype ${actual.dtype} instead of ${expected.dtype}`;
  if (actual.shape.join() !== expected.shape.join())
    return `shape [${actual.shape.join()}] instead of [${expected.shape.join()}]`;
  const [a, b] = [actual.dataSync(), expected.dataSync()];
  for (let i = 0; i < b.length; i++) {
    const [x, y] = [Number(a[i]), Number(b[i])];
    const isClose = Object.is(x, y) || x === y || Math.abs(x - y) <= tolerance * (1 + Math.abs(y));
    if (!isClose) return `element ${i} is ${x} instead of ${y}`;
  }
  return undefined;
}

/** Every change of placements, through collectives between the actors. */
import { allocate, cloneOp, contiguousValue, fillWith, viewOf } from "@troupe/core/executor";
import type { Device, DType, Group, LocalValue, ReductionName } from "@troupe/core/executor";
import { broadcast, gather, narrowed, reduceScatter, reduceStorages, sentTo } from "./collectives.ts";
import { layout } from "./layout.ts";
import type { Layout } from "./layout.ts";
import type { DeviceMesh } from "./mesh.ts";
import { replicate, samePlacement, shardRange } from "./placement.ts";
import type { Placement } from "./placement.ts";
import { ShardedValue } from "./value.ts";
import type { ShardedMemory } from "./value.ts";

/** A layout on its way to another, with one local value a device. */
interface Transit {
  readonly layout: Layout;
  readonly locals: readonly LocalValue[];
}

/**
 * The local values that make up `value` under other placements, for reading only: they may share its memory. Reductions
 * that have to be finished are finished in place, so that all who use the value find them finished.
 */
export function arrange(value: ShardedValue, target: Layout): readonly LocalValue[] {
  if (value.layout === target) return value.locals;
  const { placements } = value.layout;
  placements.forEach((placement, axis) => {
    if (placement.kind !== "partial" || samePlacement(placement, target.placements[axis])) return;
    if (!isScattered(placements, target.placements, axis)) value.settle(axis);
  });
  let transit: Transit = { layout: value.layout, locals: value.locals };
  const undone = axesToUndo(transit.layout.placements, target.placements);
  for (let axis = undone.length - 1; axis >= 0; axis--) {
    if (undone[axis]) transit = undo(transit, axis, target.placements[axis]);
  }
  for (let axis = 0; axis < undone.length; axis++) transit = place(transit, axis, target.placements[axis]);
  return transit.locals;
}

/**
 * Whether a reduction goes straight to shards, which moves half as much: not where an earlier axis begins or ends to
 * split that dimension.
 */
function isScattered(from: readonly Placement[], to: readonly Placement[], axis: number): boolean {
  const wanted = to[axis];
  return (
    wanted.kind === "shard" &&
    to.every(
      (other, earlier) => earlier >= axis || samePlacement(other, wanted) === samePlacement(from[earlier], wanted),
    )
  );
}

/** The value under other placements, in memory of its own (the value itself where nothing changes). */
export function redistribute(value: ShardedValue, placements: readonly Placement[]): ShardedValue {
  const target = layout(value.layout.mesh, value.shape, value.dtype, placements);
  const locals = arrange(value, target);
  if (locals === value.locals) return value;
  const borrowed = new Set(value.memory.storages);
  return new ShardedValue(
    target,
    locals.map((local) => (borrowed.has(local.storage) || !local.isWhole ? copyOf(local) : local)),
  );
}

/** A dense copy on the same device. */
export function copyOf(local: LocalValue): LocalValue {
  return cloneOp.run([local], [], [local])[0];
}

/**
 * Which axes give up their shards before the target's are made. Where two axes split one dimension, the later one
 * splits the earlier one's parts: it has to go before the earlier one changes.
 */
function axesToUndo(from: readonly Placement[], to: readonly Placement[]): boolean[] {
  const undone = from.map((placement, axis) => placement.kind !== "replicate" && !samePlacement(placement, to[axis]));
  from.forEach((placement, axis) => {
    if (samePlacement(placement, to[axis]) && !undone[axis]) return;
    for (let later = axis + 1; later < from.length; later++) {
      const split = from[later];
      if (split.kind !== "shard") continue;
      if (samePlacement(split, placement) || samePlacement(split, to[axis])) undone[later] = true;
    }
  });
  return undone;
}

/** Replicates along one axis, or brings a reduction straight to shards. */
function undo({ layout: from, locals }: Transit, axis: number, wanted: Placement): Transit {
  const placement = from.placements[axis];
  if (placement.kind === "shard") {
    return {
      layout: from.with(axis, replicate()),
      locals: alongLines(from.mesh, axis, locals, (line, group) => gather(group, line, placement.dim)),
    };
  }
  if (placement.kind === "partial" && wanted.kind === "shard") {
    const { dim } = wanted;
    const scattered = alongLines(from.mesh, axis, locals, (line, group) => {
      const sizes = line.map((_, i) => rangeLength(line[0].shape[dim], i, line.length));
      return reduceScatter(group, line, dim, sizes, placement.reduction);
    });
    return { layout: from.with(axis, wanted), locals: scattered };
  }
  return { layout: from, locals };
}

function rangeLength(size: number, index: number, count: number): number {
  const { from, to } = shardRange(size, index, count);
  return to - from;
}

/** From Replicate to the target's placement along one axis: no message is needed. */
function place({ layout: from, locals }: Transit, axis: number, wanted: Placement): Transit {
  if (samePlacement(from.placements[axis], wanted)) return { layout: from, locals };
  const placed = alongLines(from.mesh, axis, locals, (line) =>
    line.map((local, i) => {
      if (wanted.kind === "partial") return wanted.reduction === "sum" && i > 0 ? zeroLike(local) : local;
      if (wanted.kind === "replicate") return local;
      const { from: first, to } = shardRange(local.shape[wanted.dim], i, line.length);
      return narrowed(local, wanted.dim, first, to);
    }),
  );
  return { layout: from.with(axis, wanted), locals: placed };
}

/** Zeros that take one element's memory. */
function zeroLike({ device, shape, dtype }: LocalValue): LocalValue {
  const zero = allocate(device, [], dtype);
  fillWith(zero, 0);
  return viewOf(zero, { shape, strides: shape.map(() => 0), offset: 0 });
}

function alongLines(
  mesh: DeviceMesh,
  axis: number,
  locals: readonly LocalValue[],
  change: (line: readonly LocalValue[], group: Group) => readonly LocalValue[],
): LocalValue[] {
  const result = new Array<LocalValue>(locals.length);
  for (const { ranks, group } of mesh.lines(axis)) {
    const line = ranks.map((rank) => locals[rank]);
    change(line, group).forEach((local, i) => (result[ranks[i]] = local));
  }
  return result;
}

// --- many at once ----------------------------------------------------------------------------------------------------

/** Memory with a reduction pending along the same axis of the same mesh, all of one dtype. */
interface Bucket {
  readonly mesh: DeviceMesh;
  readonly axis: number;
  readonly dtype: DType;
  readonly reduction: ReductionName;
  readonly members: ShardedMemory[];
}

/** Finishes all reductions that are pending in these values, in place: few messages for many values. */
export function settleAll(values: readonly ShardedValue[]): void {
  const buckets = new Map<string, Bucket>();
  const seen = new Set<ShardedMemory>();
  for (const { memory, layout: own } of values) {
    if (seen.has(memory)) continue;
    seen.add(memory);
    const { dtype } = memory;
    memory.pending.forEach((reduction, axis) => {
      if (reduction === undefined) return;
      const key = `${own.mesh.number} ${axis} ${reduction} ${dtype}`;
      let bucket = buckets.get(key);
      if (bucket === undefined) buckets.set(key, (bucket = { mesh: own.mesh, axis, dtype, reduction, members: [] }));
      bucket.members.push(memory);
    });
  }
  // Axis by axis, as `ShardedValue.settle` does: a sum over two axes must not depend on what else is in the list.
  const inOrder = [...buckets.values()].sort((a, b) => a.axis - b.axis);
  for (const { mesh, axis, dtype, reduction, members } of inOrder) {
    for (const { ranks, group } of mesh.lines(axis)) {
      const storages = members.map((memory) => ranks.map((rank) => memory.storages[rank]));
      reduceStorages(group, storages, dtype, reduction);
    }
    for (const memory of members) memory.finish(axis);
  }
}

// --- between one device and a mesh -----------------------------------------------------------------------------------

/** A device's value spread over a mesh, in memory of its own. */
export function spread(value: LocalValue, mesh: DeviceMesh, placements: readonly Placement[]): ShardedValue {
  const target = layout(mesh, value.shape, value.dtype, placements);
  const locals = target.parts.map(({ offset, shape }, rank) => {
    // Of an addend of a sum the first device of each line holds all, the others nothing.
    const isAddend = target.placements.some(
      (placement, axis) =>
        placement.kind === "partial" && placement.reduction === "sum" && mesh.coordinates(rank)[axis] > 0,
    );
    let part = value;
    shape.forEach((size, dim) => (part = narrowed(part, dim, offset[dim], offset[dim] + size)));
    if (!isAddend) return sentTo(part, mesh.devices[rank]);
    const zeros = allocate(mesh.devices[rank], shape, value.dtype);
    fillWith(zeros, 0);
    return zeros;
  });
  return new ShardedValue(target, locals);
}

/** A device's value as every device of the mesh sees it; on its own device it is the value itself. */
export function everywhere(value: LocalValue, mesh: DeviceMesh): ShardedValue {
  const dense = contiguousValue(value);
  const first = mesh.devices.includes(value.device) ? value.device : mesh.devices[0];
  const here = first === value.device ? dense : sentTo(dense, first);
  return new ShardedValue(layout(mesh, value.shape, value.dtype, []), broadcast(mesh.group, here));
}

/** The whole value in one device's memory of its own. */
export function collect(value: ShardedValue, device: Device): LocalValue {
  const { mesh } = value.layout;
  const locals = arrange(value, value.layout.placed(mesh.axes.map(() => replicate())));
  const rank = Math.max(mesh.devices.indexOf(device), 0);
  return sentTo(locals[rank], device);
}

/** Every change of placements, through collectives between the actors. */
import { allocate, cloneOp, contiguousValue, copyInto, fillWith, itemSize, numelOf, viewOf } from "@troupe/core/executor";
import type { Device, LocalValue, ReductionName } from "@troupe/core/executor";
import { broadcast, gather, narrowed, reduceScatter, reduceStorages, reduceTogether, sentTo } from "./collectives.ts";
import { layout } from "./layout.ts";
import type { Layout } from "./layout.ts";
import type { DeviceMesh } from "./mesh.ts";
import { replicate, samePlacement, shard, shardRange } from "./placement.ts";
import type { Placement, Shard } from "./placement.ts";
import { ShardedMemory, ShardedValue } from "./value.ts";

/** A layout on its way to another, with one local value a device. */
interface Transit {
  readonly layout: Layout;
  readonly locals: readonly LocalValue[];
}

/**
 * The local values that make up `value` under other placements, for reading only: they may share its memory. Reductions that have to
 * be finished are finished in place, so that all who use the value find them finished.
 */
export function arrange(value: ShardedValue, target: Layout): readonly LocalValue[] {
  if (value.layout === target) return value.locals;
  value.layout.placements.forEach((placement, axis) => {
    // Into shards a reduction is scattered instead, which moves half as much.
    if (placement.kind === "partial" && !samePlacement(placement, target.placements[axis]) && target.placements[axis].kind !== "shard") value.settle(axis);
  });
  let transit: Transit = { layout: value.layout, locals: value.locals };
  const undone = axesToUndo(transit.layout, target);
  for (let axis = undone.length - 1; axis >= 0; axis--) {
    if (undone[axis]) transit = undo(transit, axis, target.placements[axis]);
  }
  target.placements.forEach((placement, axis) => (transit = apply(transit, axis, placement)));
  return transit.locals;
}

/** The value under other placements, in memory of its own (the value itself where nothing changes). */
export function redistribute(value: ShardedValue, placements: readonly Placement[]): ShardedValue {
  const target = layout(value.layout.mesh, value.shape, value.dtype, placements);
  const locals = arrange(value, target);
  if (locals === value.locals) return value;
  const owned = new Set(value.memory.storages);
  const own = locals.map((local) => (owned.has(local.storage) || !local.isWhole ? cloneOp.run([local], [], [local])[0] : local));
  return new ShardedValue(target, own);
}

/** Which axes have to give up their shards before the target's can be made: where one dimension is split twice, the later split goes first. */
function axesToUndo(source: Layout, target: Layout): boolean[] {
  const undone = source.placements.map((placement, axis) => placement.kind !== "replicate" && !samePlacement(placement, target.placements[axis]));
  source.placements.forEach((placement, axis) => {
    for (const changed of [placement, target.placements[axis]]) {
      if (samePlacement(placement, target.placements[axis]) && !undone[axis]) continue;
      if (changed.kind !== "shard") continue;
      for (let later = axis + 1; later < undone.length; later++) if (samePlacement(source.placements[later], changed)) undone[later] = true;
    }
  });
  return undone;
}

/** Brings one axis to Replicate, or a reduction straight to shards. */
function undo({ layout: from, locals }: Transit, axis: number, wanted: Placement): Transit {
  const placement = from.placements[axis];
  const result = new Array<LocalValue>(locals.length);
  const to = placement.kind === "partial" && wanted.kind === "shard" ? wanted : replicate();
  for (const { ranks, group } of from.mesh.lines(axis)) {
    const own = ranks.map((rank) => locals[rank]);
    const made = placement.kind === "shard" ? gather(group, own, placement.dim) : scattered(own, group, wanted as Shard, (placement as { reduction: ReductionName }).reduction);
    made.forEach((local, i) => (result[ranks[i]] = local));
  }
  return { layout: from.with(axis, to), locals: result };
}

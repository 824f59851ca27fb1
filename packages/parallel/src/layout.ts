/**
 * Layouts: a shape and dtype with placements over a mesh. Equal layouts are one object, so that decisions can be
 * remembered by it.
 */
import { itemSize, numelOf, ShapeError } from "@troupe/core/executor";
import type { DType, Meta, ReductionName, Shape } from "@troupe/core/executor";
import type { DeviceMesh } from "./mesh.ts";
import { placementText, replicate, samePlacement, shardRange } from "./placement.ts";
import type { Placement } from "./placement.ts";

/** What one device holds of a tensor: where its part starts along each dimension, and the part's shape and dtype. */
export interface Part extends Meta {
  readonly offset: Shape;
}

let made = 0;

export class Layout implements Meta {
  readonly mesh: DeviceMesh;
  readonly shape: Shape;
  readonly dtype: DType;
  /** One for each axis of the mesh. */
  readonly placements: readonly Placement[];
  /** By rank. */
  readonly parts: readonly Part[];
  /** The reductions that are pending, by axis. */
  readonly pending: readonly (ReductionName | undefined)[];
  /** Tells layouts apart. */
  readonly number: number = ++made;

  constructor(mesh: DeviceMesh, shape: Shape, dtype: DType, placements: readonly Placement[]) {
    this.mesh = mesh;
    this.shape = shape;
    this.dtype = dtype;
    this.placements = placements;
    this.pending = placements.map((placement) => (placement.kind === "partial" ? placement.reduction : undefined));
    this.parts = mesh.devices.map((_, rank) => partOf(mesh.coordinates(rank), mesh.sizes, shape, dtype, placements));
  }

  /** Bytes of the whole. */
  get bytes(): number {
    return numelOf(this.shape) * itemSize(this.dtype);
  }

  /** The same tensor placed otherwise. */
  placed(placements: readonly Placement[]): Layout {
    return layout(this.mesh, this.shape, this.dtype, placements);
  }

  /** The same tensor placed otherwise along one axis. */
  with(axis: number, placement: Placement): Layout {
    return samePlacement(this.placements[axis], placement) ? this : this.placed(this.placements.with(axis, placement));
  }

  /** Whether some dimension is sharded along more than one axis. */
  get isNested(): boolean {
    const dims = this.placements.flatMap((placement) => (placement.kind === "shard" ? [placement.dim] : []));
    return new Set(dims).size !== dims.length;
  }

  toString(): string {
    return `${this.dtype} [${this.shape.join(", ")}] ${placementsText(this.placements)}`;
  }
}

export function placementsText(placements: readonly Placement[]): string {
  return placements.map(placementText).join(" ");
}

/** Where several axes shard one dimension, the first axis splits it first. */
function partOf(
  coordinates: readonly number[],
  sizes: readonly number[],
  shape: Shape,
  dtype: DType,
  placements: readonly Placement[],
): Part {
  const own = [...shape];
  const offset = shape.map(() => 0);
  placements.forEach((placement, axis) => {
    if (placement.kind !== "shard") return;
    const { dim } = placement;
    const { from, to } = shardRange(own[dim], coordinates[axis], sizes[axis]);
    offset[dim] += from;
    own[dim] = to - from;
  });
  return { shape: own, dtype, offset };
}

const known = new WeakMap<DeviceMesh, Map<string, Layout>>();

/**
 * The layout of a tensor; axes without a placement replicate.
 * @throws ShapeError for a shard of a dimension that is not there, or too many placements
 */
export function layout(mesh: DeviceMesh, shape: Shape, dtype: DType, placements: readonly Placement[]): Layout {
  let layouts = known.get(mesh);
  if (layouts === undefined) known.set(mesh, (layouts = new Map()));
  const key = `${dtype} ${shape.join()} ${placementsText(placements)}`;
  let found = layouts.get(key);
  if (found === undefined) {
    check(mesh, shape, placements);
    const all = mesh.axes.map((_, axis) => placements[axis] ?? replicate());
    const full = all.length === placements.length ? key : `${dtype} ${shape.join()} ${placementsText(all)}`;
    found = layouts.get(full) ?? new Layout(mesh, [...shape], dtype, all);
    layouts.set(full, found);
    layouts.set(key, found);
  }
  return found;
}

function check(mesh: DeviceMesh, shape: Shape, placements: readonly Placement[]): void {
  if (placements.length > mesh.axes.length) {
    throw new ShapeError(
      `${placements.length} placements on a mesh of ${mesh.axes.length} axes (${mesh.axes.join(", ")})`,
    );
  }
  for (const placement of placements) {
    if (placement.kind === "shard" && !(placement.dim >= 0 && placement.dim < shape.length)) {
      throw new ShapeError(`cannot shard dimension ${placement.dim} of a tensor of shape [${shape.join(", ")}]`);
    }
  }
}

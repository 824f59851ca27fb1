/**
 * Placements: how a tensor lies along one axis of a mesh. `Shard(dim)`: each device holds a part of one dimension.
 * `Replicate`: each holds all. `Partial`: each holds an addend (or a candidate) of the whole, which is their sum
 * (maximum, minimum).
 */
import type { ReductionName } from "@troupe/core/executor";

export interface Shard {
  readonly kind: "shard";
  readonly dim: number;
}

export interface Replicate {
  readonly kind: "replicate";
}

export interface Partial<R extends ReductionName = ReductionName> {
  readonly kind: "partial";
  readonly reduction: R;
}

export type Placement = Shard | Replicate | Partial;

const shards: Shard[] = [];

/** Each device of the axis holds its part of dimension `dim`; the same object each time. */
export function shard(dim: number): Shard {
  return (shards[dim] ??= { kind: "shard", dim });
}

const everywhere: Replicate = { kind: "replicate" };

/** Each device of the axis holds all. */
export function replicate(): Replicate {
  return everywhere;
}

const pendings: { readonly [R in ReductionName]: Partial<R> } = {
  sum: { kind: "partial", reduction: "sum" },
  max: { kind: "partial", reduction: "max" },
  min: { kind: "partial", reduction: "min" },
};

/** The whole is the reduction of what the devices of the axis hold. */
export function partial<R extends ReductionName = "sum">(reduction?: R): Partial<R> {
  return pendings[reduction ?? "sum"] as Partial<R>;
}

export function samePlacement(a: Placement, b: Placement): boolean {
  if (a === b) return true;
  if (a.kind === "shard") return b.kind === "shard" && a.dim === b.dim;
  if (a.kind === "partial") return b.kind === "partial" && a.reduction === b.reduction;
  return b.kind === "replicate";
}

/** As text: `S(0)`, `R`, `P(sum)`. */
export function placementText(placement: Placement): string {
  switch (placement.kind) {
    case "shard":
      return `S(${placement.dim})`;
    case "replicate":
      return "R";
    case "partial":
      return `P(${placement.reduction})`;
  }
}

/**
 * How the gradient of a tensor that lies as `P` arrives without communication: what is replicated is used by every
 * device, so its gradient is the sum of theirs; an addend's gradient is the whole's.
 */
export type Adjoint<P extends Placement> = P extends Replicate
  ? Partial<"sum">
  : P extends Partial<"sum">
    ? Replicate
    : P extends Shard
      ? P
      : never;

const adjoints = {
  replicate: () => partial(),
  partial: () => replicate(),
  shard: (placement: Shard) => placement,
} as const;

export function adjoint<P extends Replicate | Shard | Partial<"sum">>(placement: P): Adjoint<P> {
  return adjoints[placement.kind](placement as never) as Adjoint<P>;
}

/**
 * The places `[from, to)` of a dimension of `size` places that belong to part `index` of `count`: parts are equal, but
 * the last ones may be smaller or empty (`torch.chunk`).
 */
export function shardRange(size: number, index: number, count: number): { readonly from: number; readonly to: number } {
  const part = Math.ceil(size / count);
  return { from: Math.min(index * part, size), to: Math.min((index + 1) * part, size) };
}

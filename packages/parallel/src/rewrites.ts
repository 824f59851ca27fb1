/**
 * Ops that no single device can do on its part, as several that all can: moments over a dimension that is split need
 * the mean of all parts first, and a norm's root comes after the sum.
 */
import { mean, mul, powerSumOp, sqrt, square, sub, sum } from "@troupe/core/executor";
import type { Op, ReduceAttrs } from "@troupe/core/executor";
import type { ShardedValue } from "./value.ts";

export type Run = <A>(op: Op<A>, inputs: readonly (ShardedValue | number)[], attrs: A) => ShardedValue;

interface Rewrite {
  readonly applies: (x: ShardedValue, attrs: ReduceAttrs) => boolean;
  readonly run: (run: Run, x: ShardedValue, attrs: ReduceAttrs) => ShardedValue;
}

/** Elements reduced to one, less the correction. */
function divisor({ shape }: ShardedValue, { dims, params: [correction] = [1] }: ReduceAttrs): number {
  return Math.max(dims.reduce((count, dim) => count * shape[dim], 1) - correction, 0);
}

function isSplit(x: ShardedValue, { dims }: ReduceAttrs): boolean {
  return x.layout.placements.some((placement) => placement.kind === "shard" && dims.includes(placement.dim));
}

const variance: Rewrite = {
  applies: isSplit,
  run: (run, x, attrs) => {
    const { dims, keepdim } = attrs;
    const deviation = run(sub.op, [x, run(mean.op, [x], { dims, keepdim: true })], []);
    return run(mul.op, [run(sum.op, [run(square.op, [deviation], [])], { dims, keepdim }), 1 / divisor(x, attrs)], []);
  },
};

const standardDeviation: Rewrite = {
  ...variance,
  run: (run, x, attrs) => run(sqrt.op, [variance.run(run, x, attrs)], []),
};

const euclideanNorm: Rewrite = {
  applies: (x, attrs) => (attrs.params?.[0] ?? 2) === 2 && isSplit(x, attrs),
  run: (run, x, attrs) => run(sqrt.op, [run(powerSumOp, [x], attrs)], []),
};

const rewrites: Readonly<Record<string, Rewrite | undefined>> = {
  var: variance,
  std: standardDeviation,
  norm: euclideanNorm,
  linalgVectorNorm: euclideanNorm,
};

/** The steps of an op that no device can do on its part as the operand lies; undefined for all others. */
export function rewriteOf<A>(
  op: Op<A>,
  [x]: readonly (ShardedValue | number)[],
  attrs: A,
): ((run: Run) => ShardedValue) | undefined {
  if (op.kind !== "reduce" || typeof x === "number") return undefined;
  const rewrite = rewrites[op.name];
  const own = attrs as unknown as ReduceAttrs;
  return rewrite?.applies(x, own) === true ? (run) => rewrite.run(run, x, own) : undefined;
}

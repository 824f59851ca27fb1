/**
 * Elementwise ops: any dimension of the result, with broadcast operands replicated; sums over devices where the kernel
 * is linear.
 */
import { dtypeOfNumber, Graph, isFloat } from "@troupe/core/executor";
import type { DType, ElementwiseOp, Expr, Meta } from "@troupe/core/executor";
import { partial, replicate, shard } from "../placement.ts";
import type { Placement } from "../placement.ts";
import { formsOf } from "./linear.ts";
import { isTensorMeta } from "./rule.ts";
import type { Call, Rule, Way } from "./rule.ts";

export const elementwiseRule: Rule<readonly number[]> = {
  ways: (call) => [...shardedWays(call), ...(call.isPending ? linearWays(call) : [])],
};

/** How an operand of shape `own` lies when dimension `dim` of the result of rank `rank` is sharded. */
export function broadcastShard(own: readonly number[], dim: number, shape: readonly number[]): Placement {
  const at = dim - (shape.length - own.length);
  return at < 0 || own[at] !== shape[dim] ? replicate() : shard(at);
}

function shardedWays({ inputs, outputs: [{ shape }] }: Call<readonly number[]>): Way[] {
  return shape.map((_, dim) => ({
    inputs: inputs.map((input) => (isTensorMeta(input) ? broadcastShard(input.shape, dim, shape) : replicate())),
    outputs: [shard(dim)],
  }));
}

/** For every set of operands in which the kernel is linear: addends of these give addends of the result. */
function linearWays(call: Call<readonly number[]>): Way[] {
  const tensors = call.inputs.flatMap((input, i) => (isTensorMeta(input) ? [i] : []));
  const ways: Way[] = [];
  for (let set = 1; set < 1 << tensors.length; set++) {
    const addends = new Set(tensors.filter((_, bit) => (set >> bit) & 1));
    if (!isLinear(call, addends)) continue;
    ways.push({ inputs: call.inputs.map((_, i) => (addends.has(i) ? partial() : replicate())), outputs: [partial()] });
  }
  return ways;
}

function isLinear(
  { op, inputs, outputs: [{ dtype }] }: Call<readonly number[]>,
  addends: ReadonlySet<number>,
): boolean {
  const { kernel } = (op as ElementwiseOp).entry;
  const compute = computeType(inputs, dtype);
  if (compute === undefined) return false;
  const graph = new Graph();
  const values = inputs.map((input, i): Expr =>
    isTensorMeta(input)
      ? graph.load(i, input.dtype).cast(castOf(op as ElementwiseOp, i, compute))
      : graph.scalar(i, compute),
  );
  for (let param = inputs.length; param < kernel.length; param++) values.push(graph.scalar(param, compute));
  const result = kernel(...values).cast(dtype);
  const { forms, faults } = formsOf(graph.nodes, (operand) => addends.has(operand));
  return !faults && forms[result.id] === "linear";
}

/** The dtype that the kernel computes in, where it can be told from outside: sums of other dtypes do not occur. */
function computeType(inputs: readonly (Meta | number)[], result: DType): DType | undefined {
  const dtypes = new Set(
    inputs
      .map((input) => (isTensorMeta(input) ? input.dtype : dtypeOfNumber(input)))
      .filter((dtype) => dtype !== "bool"),
  );
  if (isFloat(result)) return result;
  return result === "int64" && [...dtypes].every((dtype) => dtype === "int64") ? result : undefined;
}

function castOf({ entry }: ElementwiseOp, operand: number, compute: DType): DType {
  return operand < (entry.conditions ?? 0) ? "bool" : compute;
}

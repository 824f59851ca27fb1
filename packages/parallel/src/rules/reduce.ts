/**
 * Reductions: dimensions that stay may be sharded; over a sharded dimension that goes, each device reduces its part,
 * and what joins the results is read off the reduction's step.
 */
import { Graph, mul, numelOf, sum } from "@troupe/core/executor";
import type { Expr, LocalValue, Meta, Place, ReduceAttrs, ReduceOp, ReductionName } from "@troupe/core/executor";
import { partial, shard, shardRange } from "../placement.ts";
import { formsOf } from "./linear.ts";
import { metaOf } from "./rule.ts";
import type { Call, LocalRun, Rule, Way } from "./rule.ts";

export const reduceRule: Rule<ReduceAttrs> = {
  key: ({ dims, keepdim, dtype }) => `${dims.join()} ${String(keepdim)} ${dtype ?? ""}`,
  ways: (call) => {
    const joint = jointOf(call);
    const { shape } = metaOf(call, 0);
    return [
      ...shape.map((_, dim) => keptWay(call, dim) ?? joinedWay(call, dim, joint)).filter((way) => way !== undefined),
      ...(joint?.isLinear === true ? [{ inputs: [partial()], outputs: call.outputs.map(() => partial()) }] : []),
    ];
  },
  localRun: (call, { inputs: [x] }) =>
    call.op.name === "mean" && x !== undefined && x.parts.some((part) => numelOf(part.shape) !== numelOf(x.shape))
      ? meanOfPart(call)
      : undefined,
};

function keptWay({ attrs: { dims, keepdim }, outputs }: Call<ReduceAttrs>, dim: number): Way | undefined {
  if (dims.includes(dim)) return undefined;
  const out = keepdim ? dim : dim - dims.filter((gone) => gone < dim).length;
  return { inputs: [shard(dim)], outputs: outputs.map(() => shard(out)) };
}

function joinedWay(call: Call<ReduceAttrs>, dim: number, joint: Joint | undefined): Way | undefined {
  if (joint === undefined) return undefined;
  // A part without elements has a sum, but no greatest element.
  const { from, to } = shardRange(metaOf(call, 0).shape[dim], call.count - 1, call.count);
  if (joint.reduction !== "sum" && (from === to || call.isNested)) return undefined;
  return { inputs: [shard(dim)], outputs: call.outputs.map(() => partial(joint.reduction)) };
}

/** How the results of parts make up the result of all. */
interface Joint {
  readonly reduction: ReductionName;
  /** Addends of the operand give addends of the result. */
  readonly isLinear: boolean;
}

function jointOf(call: Call<ReduceAttrs>): Joint | undefined {
  const { entry, name } = call.op as ReduceOp;
  // The mean is a sum divided by the count of all elements, which every device knows.
  if (name === "mean") return { reduction: "sum", isLinear: true };
  const { dtype } = metaOf(call, 0);
  const reduction = typeof entry.reduction === "function" ? entry.reduction(call.attrs) : entry.reduction;
  if (
    entry.issue !== undefined ||
    reduction.finish !== undefined ||
    reduction.ordered === true ||
    call.outputs.length !== 1
  )
    return undefined;
  const { compute } = entry.type(dtype, call.attrs.dtype);
  const accumulators = reduction.accumulators(compute);
  if (accumulators.length !== 1) return undefined;
  const graph = new Graph();
  const state = graph.accumulator(0, accumulators[0].type);
  const place: Place = {
    index: () => graph.axis(0),
    count: () => graph.size(0),
    param: (i) => graph.scalar(i, compute),
  };
  const [next] = reduction.step([state], [graph.load(0, dtype).cast(compute)], place);
  return stepJoint(graph, state, next);
}

const joints: Readonly<Record<string, ReductionName>> = { add: "sum", max: "max", min: "min", or: "max", and: "min" };

/** A step is one operation of the accumulator and a value that does not depend on it. */
function stepJoint(graph: Graph, state: Expr, next: Expr): Joint | undefined {
  const node = graph.nodes[next.id];
  if (!("args" in node) || !(node.op in joints) || node.args[0] !== state.id) return undefined;
  if ((node.op === "and" || node.op === "or") && node.type !== "bool") return undefined;
  const value = node.args[1] as number;
  if (value === undefined || reaches(graph, value, state.id)) return undefined;
  const { forms } = formsOf(graph.nodes, () => true);
  return { reduction: joints[node.op], isLinear: node.op === "add" && forms[value] === "linear" };
}

function reaches(graph: Graph, from: number, to: number): boolean {
  if (from === to) return true;
  const node = graph.nodes[from];
  return "args" in node && node.args.some((arg) => reaches(graph, arg, to));
}

/** The sum of the part, divided by the count of all elements. */
function meanOfPart(call: Call<ReduceAttrs>): LocalRun<ReduceAttrs> {
  const { shape } = metaOf(call, 0);
  const count = call.attrs.dims.reduce((product, dim) => product * shape[dim], 1);
  return (inputs, attrs, outputs: readonly Meta[], target?: LocalValue) => {
    const sums = sum.op.run(inputs, { ...attrs, dtype: outputs[0].dtype }, outputs, target);
    mul.op.run([sums[0], 1 / count], [], outputs, sums[0]);
    return sums;
  };
}

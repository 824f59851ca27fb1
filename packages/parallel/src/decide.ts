/**
 * Choosing how an op runs over a mesh: for each axis the way that moves the least, remembered for operands that lie
 * alike.
 */
import { dtypeOfNumber, getDefaultDtype } from "@troupe/core/executor";
import type { LocalValue, Meta, Op } from "@troupe/core/executor";
import { layout } from "./layout.ts";
import type { Layout } from "./layout.ts";
import type { DeviceMesh } from "./mesh.ts";
import { samePlacement } from "./placement.ts";
import type { Placement } from "./placement.ts";
import { ruleOf } from "./rules/index.ts";
import { everythingReplicated } from "./rules/rule.ts";
import type { Call, LocalRun, Way } from "./rules/rule.ts";

/** How an op runs. */
export interface Plan<A = unknown> {
  /** How each operand has to lie; undefined for numbers, and where it may lie as it does. */
  readonly inputs: readonly (Layout | undefined)[];
  readonly outputs: readonly Layout[];
  /** By rank: shapes and dtypes of that device's results, and how it makes them. */
  readonly parts: readonly (readonly Meta[])[];
  readonly runs: readonly LocalRun<A>[];
}

/** An operand: how it lies, or a number. */
export type Lying = Layout | number;

/** Plans that are remembered for one op. */
const mostPlans = 1000;

const plans = new WeakMap<object, Map<string, Plan<never> | undefined>>();
const misses = new Map<string, number>();

/** Ops that ran without a rule, so that all their operands were replicated, and how often that was decided. */
export function ruleMisses(): ReadonlyMap<string, number> {
  return misses;
}

/**
 * The plan for an op. With `target` its first result must lie like that one; undefined where that cannot be.
 * @throws what the op's inference throws
 */
export function decide<A>(mesh: DeviceMesh, op: Op<A>, inputs: readonly Lying[], attrs: A): Plan<A>;
export function decide<A>(
  mesh: DeviceMesh,
  op: Op<A>,
  inputs: readonly Lying[],
  attrs: A,
  target: Layout,
): Plan<A> | undefined;
export function decide<A>(
  mesh: DeviceMesh,
  op: Op<A>,
  inputs: readonly Lying[],
  attrs: A,
  target?: Layout,
): Plan<A> | undefined {
  let known = plans.get(op);
  if (known === undefined) plans.set(op, (known = new Map()));
  const rule = ruleOf(op);
  let key = target === undefined ? getDefaultDtype() : `${getDefaultDtype()} ${target.number}=`;
  for (const input of inputs) key += typeof input === "number" ? `${dtypeOfNumber(input)} ` : `${input.number} `;
  if (rule === undefined) key += JSON.stringify(attrs);
  else if (rule.key !== undefined) key += rule.key(attrs);
  if (known.has(key)) return known.get(key) as Plan<A> | undefined;
  const plan = planOf(mesh, op, inputs, attrs, target);
  // Attributes that change at every call, such as a slice's start, would gather plans forever.
  if (known.size >= mostPlans) known.clear();
  known.set(key, plan);
  return plan;
}

function planOf<A>(
  mesh: DeviceMesh,
  op: Op<A>,
  inputs: readonly Lying[],
  attrs: A,
  target: Layout | undefined,
): Plan<A> | undefined {
  const outputs = op.infer(inputs, attrs);
  const rule = ruleOf(op);
  if (rule === undefined) misses.set(op.name, (misses.get(op.name) ?? 0) + 1);
  const layouts = inputs.filter((input) => typeof input !== "number");
  const all = target === undefined ? layouts : [...layouts, target];
  const call: Omit<Call<A>, "count"> = {
    op,
    inputs,
    attrs,
    outputs,
    isNested: all.some((own) => own.isNested),
    isPending: all.some(({ placements }) => placements.some(({ kind }) => kind === "partial")),
  };
  const chosen: Way[] = [];
  for (let axis = 0; axis < mesh.axes.length; axis++) {
    const here = { ...call, count: mesh.sizes[axis] };
    const ways = [...(rule?.ways(here) ?? []), everythingReplicated(here as Call)];
    const way = cheapest(ways, inputs, axis, mesh.sizes[axis], target?.placements[axis]);
    if (way === undefined) return undefined;
    chosen.push(way);
  }
  const wanted = inputs.map((input, i) =>
    typeof input === "number" || chosen.every((way) => way.inputs[i] === undefined)
      ? undefined
      : input.placed(chosen.map((way, axis) => way.inputs[i] ?? input.placements[axis])),
  );
  const results = outputs.map(({ shape, dtype }, i) =>
    layout(
      mesh,
      shape,
      dtype,
      chosen.map((way) => way.outputs[i]),
    ),
  );
  const full = { ...call, count: mesh.size };
  return {
    inputs: wanted,
    outputs: results,
    parts: mesh.devices.map((_, rank) => results.map(({ parts }) => parts[rank])),
    runs: mesh.devices.map(
      (_, rank) => rule?.localRun?.(full, { inputs: wanted, outputs: results }, rank) ?? wholeRun(op),
    ),
  };
}

function wholeRun<A>(op: Op<A>): LocalRun<A> {
  return (inputs: readonly (LocalValue | number)[], attrs, outputs, target) => op.run(inputs, attrs, outputs, target);
}

function cheapest(
  ways: readonly Way[],
  inputs: readonly Lying[],
  axis: number,
  count: number,
  result: Placement | undefined,
): Way | undefined {
  let best: Way | undefined;
  let least = Infinity;
  for (const way of ways) {
    if (result !== undefined && !samePlacement(way.outputs[0], result)) continue;
    let cost = 0;
    inputs.forEach((input, i) => {
      const wanted = way.inputs[i];
      if (typeof input !== "number" && wanted !== undefined)
        cost += costOf(input.placements[axis], wanted, input.bytes, count);
    });
    if (cost < least) [best, least] = [way, cost];
  }
  return best;
}

/** What a message costs beside its bytes, in bytes: about 20 us at 2 GB/s. */
const latency = 40_000;
/** A local step that sends nothing, such as taking a part of what is replicated. */
const step = 100;

function costOf(from: Placement, to: Placement, bytes: number, count: number): number {
  if (samePlacement(from, to)) return 0;
  const part = (bytes * (count - 1)) / count;
  switch (from.kind) {
    case "replicate":
      return to.kind === "partial" ? 2 * step : step;
    case "shard":
      return part + latency + (to.kind === "replicate" ? 0 : step);
    case "partial":
      return (to.kind === "shard" ? part : 2 * part) + latency + (to.kind === "partial" ? step : 0);
  }
}

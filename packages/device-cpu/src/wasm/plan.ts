/** What a printer must know about a kernel before it prints: what changes where, what runs in lanes, how it may be split. */
import type { LoopKernel, Node, Store } from "@troupe/core/device";
import { fitsLanes, vectorizable } from "./vector.ts";

/** How often a value must be computed: once a launch, once for every run along the innermost axis, or for every element. */
export const Level = { launch: 0, run: 1, element: 2 } as const;

export interface GraphPlan {
  readonly nodes: readonly Node[];
  /** A `Level` for each node. */
  readonly levels: readonly number[];
  /** Whether a node is needed by a store, a step or a check. */
  readonly live: readonly boolean[];
}

/** The values that a node names. */
function operandsOf(node: Node): readonly number[] {
  if ("args" in node) return node.args;
  if (node.op !== "load") return [];
  const values = node.indirect?.map(({ value }) => value) ?? [];
  return node.guard === undefined ? values : [...values, node.guard];
}

/**
 * @param inner the innermost axis, or -1
 * @param roots the values that are needed
 * @param uniformLoads whether operands with inner stride 0 are read once a run
 */
export function planGraph(
  kernel: LoopKernel,
  nodes: readonly Node[],
  roots: readonly number[],
  inner: number,
  uniformLoads: boolean,
): GraphPlan {
  const levels: number[] = [];
  for (const node of nodes) {
    let level: number = Level.launch;
    if (node.op === "axis") level = node.index === inner ? Level.element : Level.run;
    else if (node.op === "result") level = Level.run;
    else if (node.op === "acc" || node.op === "other") level = Level.element;
    else if (node.op === "load") {
      level = uniformLoads && kernel.inputs[node.index]?.inner === 0 ? Level.run : Level.element;
    }
    for (const id of operandsOf(node)) level = Math.max(level, levels[id] ?? Level.element);
    levels.push(level);
  }
  const live: boolean[] = nodes.map((node) => node.op === "check");
  for (const root of roots) live[root] = true;
  for (let id = nodes.length - 1; id >= 0; id--) {
    const node = nodes[id];
    if (live[id] === true && node !== undefined) for (const used of operandsOf(node)) live[used] = true;
  }
  return { nodes, levels, live };
}

/** The values that stores at `at` name. */
export function storeRoots(stores: readonly Store[], at: Store["at"]): readonly number[] {
  const roots: number[] = [];
  for (const store of stores) {
    if (store.at !== at) continue;
    roots.push(store.value);
    if (store.guard !== undefined) roots.push(store.guard);
    for (const { value } of store.indirect ?? []) roots.push(value);
  }
  return roots;
}

/** Whether an element's address and guard are the same for all elements that share the values below `level`. */
export function movesUniformly(
  { levels }: GraphPlan, level: number, { indirect = [], guard }: Pick<Store, "indirect" | "guard">,
): boolean {
  const ids = guard === undefined ? indirect.map(({ value }) => value) : [...indirect.map(({ value }) => value), guard];
  return ids.every((id) => (levels[id] ?? Level.element) < level);
}

/**
 * Whether every value from `level` up can be computed in lanes along an axis in which the loads that it names are plain.
 * @param moves whether loads may be moved by indirect terms, and guarded, as long as that is the same in all lanes
 */
export function runsInLanes(plan: GraphPlan, level: number, load: (operand: number) => boolean, moves = false): boolean {
  const uniform = (id: number): boolean => (plan.levels[id] ?? Level.element) < level;
  return plan.nodes.every((node, id) => {
    if (plan.live[id] !== true || uniform(id)) return true;
    if (node.op === "load") {
      const plain = node.indirect === undefined && node.guard === undefined;
      if (!load(node.index) || !(plain || (moves && movesUniformly(plan, level, node)))) return false;
    }
    return vectorizable(node, plan.nodes, (argument) => (plan.levels[argument] ?? Level.element) === Level.launch);
  });
}

const monoids = ["add", "mul", "max", "min", "and", "or"] as const;
export type Monoid = (typeof monoids)[number];

/**
 * For each accumulator the monoid by which its step joins a value free of accumulators; undefined when one has no such step (or
 * the kernel says by itself how partial results join): then elements must be taken in order.
 */
export function monoidsOf(kernel: LoopKernel): readonly Monoid[] | undefined {
  if (kernel.combine !== undefined || kernel.reduced === 0 || kernel.stores.some(({ at }) => at === "body")) return undefined;
  const touched: boolean[] = [];
  for (const node of kernel.body) touched.push(node.op === "acc" || operandsOf(node).some((id) => touched[id] === true));
  const result: Monoid[] = [];
  for (const [index, step] of kernel.step.entries()) {
    const node = kernel.body[step];
    const monoid = monoids.find((name) => name === node?.op);
    if (node === undefined || monoid === undefined) return undefined;
    const sides = operandsOf(node);
    const accumulators = sides.filter((id) => touched[id] === true);
    const [own = -1] = accumulators;
    const leaf = kernel.body[own];
    if (accumulators.length !== 1 || leaf?.op !== "acc" || leaf.index !== index) return undefined;
    result.push(monoid);
  }
  return result;
}

/** Whether partial results join in lanes: by monoids, or by a `combine` that is plain arithmetic on both sides. */
export function joinsInLanes(kernel: LoopKernel): boolean {
  if (kernel.combine === undefined) return monoidsOf(kernel) !== undefined;
  const { body } = kernel.combine;
  return !kernel.stores.some(({ at }) => at === "body") && body.every((node) => {
    if (node.op === "acc" || node.op === "other" || node.op === "const") return fitsLanes(node.type);
    return "args" in node && vectorizable(node, body, () => false);
  });
}

/** Whether parts of the non-reduced range may run in any order: no two points write, or read and write, one element. */
export function splittable(stores: readonly Store[]): boolean {
  return stores.every((store) => store.indirect === undefined && store.combine === undefined);
}

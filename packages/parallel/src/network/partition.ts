/** Which children of a network make up which stage: by hand, or balanced by their costs. */
import { ValueError } from "@troupe/core";
import type { nn, Tensor } from "@troupe/core";

/** A part of a network that takes one tensor and gives one. */
export type Step = nn.Module & { forward(x: Tensor): Tensor };

/**
 * A network that is a chain, and lists it: each step gets what the one before gave. `nn.Sequential` and `nn.ModuleList`
 * are.
 */
export type Chain = nn.Module & Iterable<Step>;

/** How many children each stage gets (`[3, 2]`), or before which children to split (`{ splitAt: [3] }`). */
export type StageChoice = readonly number[] | { readonly splitAt: readonly number[] };

/**
 * The steps of a network, in order.
 * @throws ValueError for a module that does not list them
 */
export function stepsOf(model: nn.Module): Step[] {
  if (Symbol.iterator in model) return [...(model as Chain)];
  throw new ValueError(`${model.constructor.name} does not say in which order its children follow each other`, {
    op: "pipeline",
    remedy: "Write the network as an nn.Sequential of the parts that may lie on different devices.",
  });
}

/**
 * The number of children of each stage, as chosen by hand.
 * @throws ValueError unless they are whole numbers from 1, as many as there are stages, and cover all children
 */
export function stageSizes(choice: StageChoice, stages: number, children: number): number[] {
  const sizes = "splitAt" in choice ? sizesBetween([0, ...choice.splitAt, children]) : [...choice];
  const text = "splitAt" in choice ? `splitAt [${choice.splitAt.join(", ")}]` : `stages [${choice.join(", ")}]`;
  if (sizes.length !== stages) {
    throw new ValueError(`${text} makes ${sizes.length} stages for ${stages} devices`, { op: "pipeline" });
  }
  if (sizes.some((size) => !Number.isInteger(size) || size < 1)) {
    throw new ValueError(`${text}: every stage needs at least one of the ${children} children`, { op: "pipeline" });
  }
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (total !== children)
    throw new ValueError(`${text} is ${total} children; the network has ${children}`, { op: "pipeline" });
  return sizes;
}

function sizesBetween(bounds: readonly number[]): number[] {
  return bounds.slice(1).map((bound, i) => bound - bounds[i]);
}

/**
 * The contiguous partition whose dearest stage is as cheap as possible, by dynamic programming over (children, stages)
 * in O(stages * children^2); every stage gets at least one child.
 * @param costs of each child
 * @returns how many children each stage gets
 * @throws ValueError for more stages than children
 */
export function balance(costs: readonly number[], stages: number): number[] {
  const count = costs.length;
  if (stages > count) {
    throw new ValueError(`${count} children cannot make ${stages} stages`, {
      op: "pipeline",
      remedy: "Use fewer devices, or split the network into more parts.",
    });
  }
  const until = [0];
  for (const cost of costs) until.push(until[until.length - 1] + cost);
  // best[n]: the dearest stage's cost when the first n children make up the stages so far; from[s][n]: where the last
  // one begins.
  let best = until.map((cost, n) => (n === 0 ? Infinity : cost));
  const from = [until.map(() => 0)];
  for (let s = 1; s < stages; s++) {
    const next = new Array<number>(count + 1).fill(Infinity);
    const begin = new Array<number>(count + 1).fill(0);
    for (let n = s + 1; n <= count; n++) {
      for (let at = s; at < n; at++) {
        const dearest = Math.max(best[at], until[n] - until[at]);
        if (dearest < next[n]) [next[n], begin[n]] = [dearest, at];
      }
    }
    best = next;
    from.push(begin);
  }
  const sizes: number[] = [];
  for (let s = stages - 1, n = count; s >= 0; n = from[s--][n]) sizes.unshift(n - from[s][n]);
  return sizes;
}

/** A child's cost where nothing was measured: its parameters, and one for the work that goes with any. */
export function sizeOf(step: nn.Module): number {
  return 1 + step.parameters().reduce((sum, parameter) => sum + parameter.numel(), 0);
}

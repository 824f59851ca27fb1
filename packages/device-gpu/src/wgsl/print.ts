/**
 * Prints a loop kernel of the IR as a WGSL module: an invocation for every point of the non-reduced axes, or, where
 * there are few points with much to reduce, a workgroup.
 */
import type { LoopKernel, Node } from "@troupe/core/device";
import { Frame, type Bindings } from "./frame.ts";
import { valueType } from "./scalar.ts";

/** A printed kernel. */
export interface Shader {
  readonly code: string;
  /** By binding: whether the kernel writes it. */
  readonly written: readonly boolean[];
  /** Whether a launch may report a fault. */
  readonly faults: boolean;
  /** Points that one workgroup computes; infinite where one takes all. */
  readonly pointsPerGroup: number;
}

/** Invocations of a workgroup: one a point. */
const groupSize = 64;
/** Invocations that reduce one point together. */
export const teamSize = 256;

/** An invocation a point. */
export function printPoints(kernel: LoopKernel, bindings: Bindings): Shader {
  const frame = new Frame(kernel, bindings);
  const { lines } = frame;
  const outer = kernel.axes - kernel.reduced;
  const { serial } = frame;
  if (serial) lines.push(`for (var index = 0u; index < ${frame.points}; index++) {`);
  else {
    lines.push(`let index = (group.y * groups.x + group.x) * ${groupSize}u + lane;`);
    lines.push(`if (index >= ${frame.points}) { return; }`);
  }
  lines.push("var point = index;");
  frame.unravel("point", 0, outer);
  if (kernel.reduced === 0) {
    frame.stores("body", outer, frame.nodes(kernel.body, outer));
  } else {
    frame.declareAccumulators();
    for (let axis = outer; axis < kernel.axes; axis++) {
      lines.push(`for (var i${axis} = 0i; i${axis} < ${frame.size(axis)}; i${axis}++) {`);
    }
    const names = frame.nodes(kernel.body, kernel.axes);
    frame.step(names);
    frame.stores("body", kernel.axes, names);
    for (let axis = outer; axis < kernel.axes; axis++) lines.push("}");
    frame.stores("epilogue", outer, frame.nodes(kernel.epilogue, outer));
  }
  if (serial) lines.push("}");
  return {
    code: frame.module(serial ? 1 : groupSize), written: frame.written, faults: frame.hasChecks,
    pointsPerGroup: serial ? Infinity : groupSize,
  };
}

/** Ops whose partial results join in any order. */
const monoids: readonly string[] = ["add", "mul", "max", "min", "and", "or", "xor"];

/**
 * How partial results of a reduction join, as a list of nodes and the accumulators' places in it; undefined for a scan,
 * and where a step is no such op of the accumulator and a value free of accumulators.
 */
function combination(kernel: LoopKernel): LoopKernel["combine"] {
  const { body, combine, accumulators } = kernel;
  if (kernel.reduced === 0 || accumulators.length === 0) return undefined;
  if (kernel.stores.some(({ at }) => at === "body")) return undefined;
  if (combine !== undefined) return combine;
  const touched: boolean[] = [];
  for (const node of body) {
    const used: number[] = "args" in node ? [...node.args] : [];
    if (node.op === "load") {
      used.push(...(node.indirect ?? []).map(({ value }) => value));
      if (node.guard !== undefined) used.push(node.guard);
    }
    touched.push(node.op === "acc" || used.some((id) => touched[id]));
  }
  const joined: Node[] = [];
  const out: number[] = [];
  for (const [index, step] of kernel.step.entries()) {
    const node = body[step];
    if (!monoids.includes(node.op) || !("args" in node)) return undefined;
    const own = node.args.filter((id) => touched[id]);
    const leaf = body[own[0] ?? -1];
    if (own.length !== 1 || leaf?.op !== "acc" || leaf.index !== index) return undefined;
    const { type } = accumulators[index];
    const at = joined.length;
    joined.push({ op: "acc", type, index }, { op: "other", type, index }, { ...node, args: [at, at + 1] } as Node);
    out.push(at + 2);
  }
  return { body: joined, out };
}

/** A workgroup a point: each invocation reduces a stretch, then they join as a tree. Undefined where that cannot be. */
export function printTeams(kernel: LoopKernel, bindings: Bindings): Shader | undefined {
  const combine = combination(kernel);
  const frame = new Frame(kernel, bindings);
  if (combine === undefined || frame.serial) return undefined;
  const { lines } = frame;
  const outer = kernel.axes - kernel.reduced;
  lines.push("let index = group.y * groups.x + group.x;", `if (index >= ${frame.points}) { return; }`, "var point = index;");
  frame.unravel("point", 0, outer);
  frame.declareAccumulators();
  const reducedSize = Array.from({ length: kernel.reduced }, (_, i) => `u32(${frame.size(outer + i)})`).join(" * ");
  lines.push(`let total = ${reducedSize};`);
  if (kernel.combine === undefined) {
    // Neighbours read neighbours: any order will do.
    lines.push(`for (var step = lane; step < total; step += ${teamSize}u) {`);
  } else {
    lines.push(`let stretch = (total + ${teamSize - 1}u) / ${teamSize}u;`,
      "for (var step = lane * stretch; step < min(total, (lane + 1u) * stretch); step++) {");
  }
  lines.push("var rest = step;");
  frame.unravel("rest", outer, kernel.axes);
  frame.step(frame.nodes(kernel.body, kernel.axes));
  lines.push("}");
  const all = kernel.accumulators.map((_, i) => i);
  for (const i of all) lines.push(share(kernel, i));
  lines.push(`for (var width = ${teamSize / 2}u; width > 0u; width = width / 2u) {`, "workgroupBarrier();", "if (lane < width) {");
  for (const i of all) lines.push(`let other${i} = ${fetch(kernel, i, "lane + width")};`);
  const names = frame.nodes(combine.body, 0);
  combine.out.forEach((value, i) => lines.push(`acc${i} = ${names[value]};`));
  for (const i of all) lines.push(share(kernel, i));
  lines.push("}", "}", "if (lane == 0u) {");
  frame.stores("epilogue", outer, frame.nodes(kernel.epilogue, outer));
  lines.push("}");
  const declarations = kernel.accumulators.map(({ type }, i) =>
    `var<workgroup> shared${i}: array<${type === "bool" ? "u32" : valueType(type)}, ${teamSize}>;`);
  const code = frame.module(teamSize, declarations.join("\n"));
  return { code, written: frame.written, faults: frame.hasChecks, pointsPerGroup: 1 };
}

/** Bools are words in shared memory. */
function share(kernel: LoopKernel, i: number): string {
  return `shared${i}[lane] = ${kernel.accumulators[i].type === "bool" ? `select(0u, 1u, acc${i})` : `acc${i}`};`;
}

function fetch(kernel: LoopKernel, i: number, at: string): string {
  return kernel.accumulators[i].type === "bool" ? `(shared${i}[${at}] != 0u)` : `shared${i}[${at}]`;
}

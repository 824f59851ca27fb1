/**
 * The routines `softmax` and `logSoftmax`: rows along the last axis of the sizes, in one launch. An invocation takes a
 * row, or on GPUs a workgroup does.
 */
import { argumentWords, type Fault, type RoutineKernel } from "@troupe/core/device";
import type { Launcher, Program } from "../launcher.ts";
import { withLibrary } from "../wgsl/library.ts";
import { teamSize, type Shader } from "../wgsl/print.ts";
import { wordOf } from "./matmul-arguments.ts";

/** What becomes of an element x of a row, by routine. */
const results: Readonly<Record<string, string>> = {
  softmax: "t_exp(x - peak) / total",
  logSoftmax: "(x - peak) - logarithm",
};

/** The routines' names, as core asks for them. */
export const softmaxRoutines: readonly string[] = Object.keys(results);

/** Rows that one workgroup takes where an invocation takes a row. */
const rowsPerGroup = 64;

/** @param team invocations that share a row: 1 or `teamSize`. */
export function printSoftmax(kernel: RoutineKernel, team: 1 | typeof teamSize): Shader {
  const { axes } = kernel;
  const size = (axis: number): string => wordOf(4 + axis);
  const stride = (operand: number, axis: number): string => wordOf(4 + axes + operand * axes + axis);
  const shared = team > 1;
  const points = `u32(${wordOf(argumentWords(kernel))})`;
  const index = "group.y * groups.x + group.x";
  const lines = [
    shared ? `let row = ${index};` : `let row = (${index}) * ${rowsPerGroup}u + lane;`,
    `if (row >= ${points}) { return; }`,
    "var rest = row;", `var x0 = ${wordOf(1)};`, `var y0 = ${wordOf(3)};`,
  ];
  for (let axis = axes - 2; axis >= 0; axis--) {
    lines.push(`let i${axis} = i32(rest % u32(${size(axis)}));`, `rest /= u32(${size(axis)});`,
      `x0 += i${axis} * ${stride(0, axis)};`, `y0 += i${axis} * ${stride(1, axis)};`);
  }
  const each = (body: string): string =>
    `for (var i = ${shared ? "i32(lane)" : "0"}; i < ${size(axes - 1)}; i += ${team}) {\n` +
    `let x = b0[u32(x0 + i * ${stride(0, axes - 1)})];\n${body}\n}`;
  /** Joins what the invocations of a row have of `name`. */
  const join = (name: string, joined: string): string[] => shared
    ? [
      `shared_row[lane] = ${name};`,
      `for (var width = ${team / 2}u; width > 0u; width = width / 2u) {`, "workgroupBarrier();", "if (lane < width) {",
      "let other = shared_row[lane + width];", "let own = shared_row[lane];", `shared_row[lane] = ${joined};`, "}", "}",
      "workgroupBarrier();", `${name} = shared_row[0];`, "workgroupBarrier();",
    ]
    : [];
  lines.push(
    "var peak = -t_infinity();", each("peak = t_max(peak, x);"), ...join("peak", "t_max(own, other)"),
    "var total = 0.0f;", each("total += t_exp(x - peak);"), ...join("total", "own + other"),
    "let logarithm = t_log(total);",
    each(`b1[u32(y0 + i * ${stride(1, axes - 1)})] = ${results[kernel.name]};`),
  );
  const code = withLibrary(`@group(0) @binding(0) var<storage, read> b0: array<f32>;
@group(0) @binding(1) var<storage, read_write> b1: array<f32>;
@group(1) @binding(0) var<uniform> words: array<vec4i, ${Math.ceil((argumentWords(kernel) + 1) / 4)}>;
${shared ? `var<workgroup> shared_row: array<f32, ${team}>;` : ""}
@compute @workgroup_size(${shared ? team : rowsPerGroup})
fn main(
  @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
${lines.join("\n")}
}
`);
  return { code, written: [false, true], faults: false, pointsPerGroup: shared ? 1 : rowsPerGroup };
}

/** Prepares one of the routines. */
export function softmax(kernel: RoutineKernel, launcher: Launcher): {
  run(words: Int32Array, at: number, block: (storage: number) => number): Fault | undefined;
} {
  const { axes } = kernel;
  const shader = printSoftmax(kernel, launcher.teams ? teamSize : 1);
  let program: Program | undefined;
  return {
    run: (words, at, block) => {
      let rows = 1;
      for (let axis = 0; axis < axes - 1; axis++) rows *= words[at + 4 + axis];
      if (rows === 0) return undefined;
      program ??= launcher.program(shader, kernel);
      const blocks = [words[at], words[at + 2]].map((storage) => launcher.block(block(storage)));
      const groups = Math.ceil(rows / shader.pointsPerGroup);
      const count = argumentWords(kernel);
      return launcher.run(program, { blocks, groups, words, at, count, operands: 2, points: rows });
    },
  };
}

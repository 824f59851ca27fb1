/** What both layouts of the matmul print alike: arguments by name, bindings, the batch's offsets. */
import { argumentWords, type LoopKernel } from "@troupe/core/device";
import { withLibrary } from "../wgsl/library.ts";
import type { Shader } from "../wgsl/print.ts";

export function wordOf(index: number): string {
  return `words[${index >> 2}][${index & 3}]`;
}

/** Declares m, n, k, the strides `am ak bk bn cm cn`, and the offsets `a0 b0 c0` of batch `batch` (u32, consumed). */
export function declareArguments({ axes }: LoopKernel, batch: string): string[] {
  const size = (axis: number): string => wordOf(6 + axis);
  const stride = (operand: number, axis: number): string => wordOf(6 + axes + operand * axes + axis);
  const lines = [
    `let m = ${size(axes - 3)};`, `let n = ${size(axes - 2)};`, `let k = ${size(axes - 1)};`,
    `let am = ${stride(0, axes - 3)};`, `let ak = ${stride(0, axes - 1)};`,
    `let bn = ${stride(1, axes - 2)};`, `let bk = ${stride(1, axes - 1)};`,
    `let cm = ${stride(2, axes - 3)};`, `let cn = ${stride(2, axes - 2)};`,
    `var a0 = ${wordOf(1)};`, `var b0 = ${wordOf(3)};`, `var c0 = ${wordOf(5)};`,
  ];
  for (let axis = axes - 4; axis >= 0; axis--) {
    lines.push(`let i${axis} = i32(${batch} % u32(${size(axis)}));`, `${batch} /= u32(${size(axis)});`);
    ["a0", "b0", "c0"].forEach((name, operand) => lines.push(`${name} += i${axis} * ${stride(operand, axis)};`));
  }
  return lines;
}

/** The module around `lines`, and what the launcher wants to know of it. */
export function matmulShader(
  kernel: LoopKernel, size: number, elements: readonly [string, string], lines: readonly string[], declarations = "",
): Shader {
  const code = withLibrary(`@group(0) @binding(0) var<storage, read> a: array<${elements[0]}>;
@group(0) @binding(1) var<storage, read> b: array<${elements[1]}>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
@group(1) @binding(0) var<uniform> words: array<vec4i, ${Math.ceil((argumentWords(kernel) + 1) / 4)}>;
${declarations}
@compute @workgroup_size(${size})
fn main(
  @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
${lines.join("\n")}
}
`);
  return { code, written: [false, false, true], faults: false, pointsPerGroup: 1 };
}

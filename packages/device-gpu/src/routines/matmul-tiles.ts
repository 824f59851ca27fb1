/** The matmul for GPUs: a workgroup computes a tile of the result from stretches of a and b in shared memory. */
import type { LoopKernel } from "@troupe/core/device";
import type { Shader } from "../wgsl/print.ts";
import { declareArguments, matmulShader, wordOf } from "./matmul-arguments.ts";

/** Elements of k in shared memory at a time. */
const depth = 16;
/** Invocations along a tile's side. */
const side = 16;

/**
 * @param tile rows and columns of a tile: 64 or 128, of which an invocation computes a sixteenth of each.
 * @param aAlongK whether neighbours along k are neighbours in memory, for a; `bAlongK` for b.
 */
export function printTiles(kernel: LoopKernel, tile: number, aAlongK: boolean, bAlongK: boolean): Shader {
  const { axes } = kernel;
  const [m, n] = [wordOf(6 + axes - 3), wordOf(6 + axes - 2)];
  const own = tile / side;
  const each = Array.from({ length: own }, (_, i) => i);
  const quads = Array.from({ length: own / 4 }, (_, i) => i);
  const invocations = side * side;
  const lines = [
    `let down = (u32(${m}) + ${tile - 1}u) / ${tile}u;`, `let across = (u32(${n}) + ${tile - 1}u) / ${tile}u;`,
    "let index = group.y * groups.x + group.x;",
    "var batch = index / (down * across);", "let place = index % (down * across);",
    ...declareArguments(kernel, "batch"),
    `let row = i32(place / across) * ${tile};`, `let column = i32(place % across) * ${tile};`,
    `let y = i32(lane / ${side}u);`, `let x = i32(lane % ${side}u);`,
  ];
  for (const r of each) for (const q of quads) lines.push(`var s${r}_${q} = vec4f();`);
  lines.push(`for (var p = 0; p < k; p += ${depth}) {`);
  // Neighbours of a workgroup read neighbours in memory.
  const copy = (name: string, alongK: boolean, first: string, limit: string, stride: string, kStride: string): void => {
    lines.push(`for (var i = i32(lane); i < ${tile * depth}; i += ${invocations}) {`);
    // Beyond the edges there are zeros.
    lines.push(alongK ? `let q = i % ${depth}; let r = i / ${depth};` : `let q = i / ${tile}; let r = i % ${tile};`);
    lines.push("var value = 0.0f;",
      `if (${first} + r < ${limit} && p + q < k) {`,
      `value = ${name}[u32(${name}0 + (${first} + r) * ${stride} + (p + q) * ${kStride})];`, "}",
      `shared_${name}[q * ${tile} + r] = value;`, "}");
  };
  copy("a", aAlongK, "row", "m", "am", "ak");
  copy("b", bAlongK, "column", "n", "bn", "bk");
  lines.push("workgroupBarrier();", `for (var q = 0; q < ${depth}; q++) {`);
  for (const r of each) lines.push(`let u${r} = shared_a[q * ${tile} + y * ${own} + ${r}];`);
  for (const q of quads) {
    const at = (j: number): string => `shared_b[q * ${tile} + x * ${own} + ${4 * q + j}]`;
    lines.push(`let v${q} = vec4f(${[0, 1, 2, 3].map(at).join(", ")});`);
  }
  for (const r of each) for (const q of quads) lines.push(`s${r}_${q} += u${r} * v${q};`);
  lines.push("}", "workgroupBarrier();", "}", `let top = row + y * ${own};`, `let left = column + x * ${own};`);
  for (const r of each) {
    lines.push(`if (top + ${r} < m) {`, `let at = c0 + (top + ${r}) * cm + left * cn;`);
    for (const q of quads) {
      ["x", "y", "z", "w"].forEach((lane, j) =>
        lines.push(`if (left + ${4 * q + j} < n) { c[u32(at + ${4 * q + j} * cn)] = s${r}_${q}.${lane}; }`));
    }
    lines.push("}");
  }
  return matmulShader(kernel, invocations, ["f32", "f32"], lines,
    `var<workgroup> shared_a: array<f32, ${tile * depth}>;\nvar<workgroup> shared_b: array<f32, ${tile * depth}>;`);
}

/**
 * The matmul for software adapters: an invocation computes a block of the result in registers, and shares nothing.
 * Barriers there cost more than reading twice.
 */
import type { LoopKernel } from "@troupe/core/device";
import type { Shader } from "../wgsl/print.ts";
import { declareArguments, matmulShader, wordOf } from "./matmul-arguments.ts";
import type { Reading } from "./matmul.ts";

/** Rows and columns of a block. */
export const blockSize = 8;

const rows = Array.from({ length: blockSize }, (_, i) => i);
const quads = [0, 1];
const lanes = ["x", "y", "z", "w"] as const;

/**
 * @param a how a is read, "other" being along m; `b` likewise along n.
 * @param size invocations of a workgroup.
 */
export function printBlocks(kernel: LoopKernel, a: Reading, b: Reading, size: number): Shader {
  const { axes } = kernel;
  const [m, n] = [wordOf(6 + axes - 3), wordOf(6 + axes - 2)];
  const lines = [
    `let down = (u32(${m}) + ${blockSize - 1}u) / ${blockSize}u;`,
    `let across = (u32(${n}) + ${blockSize - 1}u) / ${blockSize}u;`,
    `let block = (group.y * groups.x + group.x) * ${size}u + lane;`,
    "var batch = block / (down * across);", "let place = block % (down * across);",
    // Blocks behind the last batch compute nothing that is kept; the index words behind the arguments count the points.
    `let kept = block < down * across * (${pointsOf(kernel)} / (u32(${m}) * u32(${n})));`,
    ...declareArguments(kernel, "batch"),
    `let row = i32(place / across) * ${blockSize};`, `let column = i32(place % across) * ${blockSize};`,
  ];
  // Rows and columns beyond the edge repeat the last one, and are not stored.
  for (const r of rows) {
    lines.push(`let a${r + 1} = a0 + min(row + ${r}, m - 1) * am;`, `let b${r + 1} = b0 + min(column + ${r}, n - 1) * bn;`);
  }
  for (const r of rows) for (const q of quads) lines.push(`var s${r}${q} = vec4f();`);
  lines.push("let whole = k & ~3;", "for (var p = 0; p < whole; p += 4) {", ...readA(a), ...readB(b));
  for (const x of lanes) {
    for (const r of rows) for (const q of quads) lines.push(`s${r}${q} += x${r}.${x} * y${lanes.indexOf(x)}${q};`);
  }
  lines.push("}");
  lines.push("for (var p = whole; p < k; p++) {", ...readOne(a, b));
  for (const r of rows) for (const q of quads) lines.push(`s${r}${q} += x${r} * y${q};`);
  lines.push("}");
  for (const r of rows) {
    lines.push(`if (kept && row + ${r} < m) {`, `let at = c0 + (row + ${r}) * cm + column * cn;`);
    for (const q of quads) {
      lanes.forEach((x, i) => lines.push(`if (column + ${4 * q + i} < n) { c[u32(at + ${4 * q + i} * cn)] = s${r}${q}.${x}; }`));
    }
    lines.push("}");
  }
  return matmulShader(kernel, size, [a === "one" ? "f32" : "vec4f", b === "one" ? "f32" : "vec4f"], lines);
}

function pointsOf({ axes }: LoopKernel): string {
  return `u32(${wordOf(6 + axes + 3 * axes)})`;
}

/** `x<r>`: four elements of row r along k. */
function readA(reading: Reading): string[] {
  switch (reading) {
    case "k": return rows.map((r) => `let x${r} = a[u32(a${r + 1} + p) >> 2u];`);
    case "one":
      return rows.map((r) => `let x${r} = vec4f(${lanes.map((_, i) => `a[u32(a${r + 1} + (p + ${i}) * ak)]`).join(", ")});`);
    case "other":
      return [
        ...lanes.flatMap((_, i) => quads.map((q) =>
          `let u${i}${q} = a[u32(a0 + min(row + ${4 * q}, m - 4) + (p + ${i}) * ak) >> 2u];`)),
        ...rows.map((r) => `let x${r} = vec4f(${lanes.map((_, i) => `u${i}${r >> 2}.${lanes[r & 3]}`).join(", ")});`),
      ];
  }
}

/** `y<i><q>`: elements of row i of b, columns 4q to 4q + 3. */
function readB(reading: Reading): string[] {
  switch (reading) {
    case "other":
      return lanes.flatMap((_, i) => quads.map((q) =>
        `let y${i}${q} = b[u32(b0 + min(column + ${4 * q}, n - 4) + (p + ${i}) * bk) >> 2u];`));
    case "one":
      return lanes.flatMap((_, i) => quads.map((q) =>
        `let y${i}${q} = vec4f(${lanes.map((_x, j) => `b[u32(b${4 * q + j + 1} + (p + ${i}) * bk)]`).join(", ")});`));
    case "k":
      return [
        ...rows.map((j) => `let w${j} = b[u32(b${j + 1} + p) >> 2u];`),
        ...lanes.flatMap((x, i) => quads.map((q) =>
          `let y${i}${q} = vec4f(${[0, 1, 2, 3].map((j) => `w${4 * q + j}.${x}`).join(", ")});`)),
      ];
  }
}

/** One step along k for what is left of a multiple of 4: `x<r>` and `y<q>`. */
function readOne(a: Reading, b: Reading): string[] {
  const element = (name: string, reading: Reading, at: string): string =>
    reading === "one" ? `${name}[${at}]` : `${name}[(${at}) >> 2u][(${at}) & 3u]`;
  return [
    ...rows.map((r) => `let x${r} = ${element("a", a, `u32(a${r + 1} + p * ak)`)};`),
    ...quads.map((q) => {
      const four = [0, 1, 2, 3].map((j) => element("b", b, `u32(b${4 * q + j + 1} + p * bk)`));
      return `let y${q} = vec4f(${four.join(", ")});`;
    }),
  ];
}

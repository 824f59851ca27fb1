/** Whether the compiler's fused 256-bit code computes what it should: a matmul and an exponential against scalar arithmetic. */
import type { LoopKernel } from "@troupe/core/device";
import { revectorizes, switchRevectorizationOff } from "./flags.ts";
import { matmul } from "./routines/matmul.ts";
import { writeArguments } from "./wasm/arguments.ts";
import { printKernel } from "./wasm/print.ts";
import { instantiate, type Program, type RunKernel } from "./wasm/program.ts";

const product: LoopKernel = {
  kind: "loop", name: "matmul", axes: 3, reduced: 1,
  inputs: [{ dtype: "float32", inner: "any" }, { dtype: "float32", inner: "any" }],
  outputs: [{ dtype: "float32", inner: 0, overwrites: true }], scalars: [],
  body: [
    { op: "load", type: "float32", index: 0 },
    { op: "load", type: "float32", index: 1 },
    { op: "mul", type: "float32", args: [0, 1] },
    { op: "acc", type: "float32", index: 0 },
    { op: "add", type: "float32", args: [3, 2] },
  ],
  accumulators: [{ type: "float32", init: "0" }], step: [4],
  epilogue: [{ op: "acc", type: "float32", index: 0 }], stores: [{ output: 0, value: 0, at: "epilogue" }],
};

const exponential: LoopKernel = {
  kind: "loop", name: "exp", axes: 1, reduced: 0,
  inputs: [{ dtype: "float32", inner: 1 }], outputs: [{ dtype: "float32", inner: 1, overwrites: true }], scalars: [],
  body: [{ op: "load", type: "float32", index: 0 }, { op: "exp", type: "float32", args: [0] }],
  accumulators: [], step: [], epilogue: [], stores: [{ output: 0, value: 1, at: "body" }],
};

/** Byte addresses of the argument block, three arrays and scratch. */
const argumentsAt = 1024;
const arraysAt = [4096, 20480, 36864] as const;
const scratchAt = 65536;

/**
 * Tests the compiler's fused vectors and switches them off where they compute something else. For the thread that prints an
 * actor's kernels, before the first of them; takes a few milliseconds.
 */
export function ensureCorrectVectors(): void {
  if (revectorizes() && !vectorsAreCorrect()) switchRevectorizationOff();
}

/** Runs the self-test on a memory of its own. */
export function vectorsAreCorrect(): boolean {
  const memory = new WebAssembly.Memory({ initial: 20, maximum: 20, shared: true });
  return productIsCorrect(memory) && exponentialIsCorrect(memory);
}

function prepare(memory: WebAssembly.Memory, program: Program, words: readonly number[]): RunKernel {
  const all = Int32Array.from(words);
  const at = (storage: number): number => arraysAt[storage] ?? 0;
  writeArguments(program.kernel, program.layout, new Int32Array(memory.buffer), argumentsAt / 4, all, 0, at);
  return instantiate(new WebAssembly.Module(program.bytes), memory);
}

/** A product of small whole numbers, which any order of summation gives exactly. */
function productIsCorrect(memory: WebAssembly.Memory): boolean {
  const [m, n, k] = [13, 37, 19];
  const program = matmul(product, 16);
  if (program === undefined) return false;
  const words = [0, 0, 1, 0, 2, 0, m, n, k, k, 0, 1, 0, 1, n, n, 1, 0];
  const [a, b, c] = arraysAt.map((address) => new Float32Array(memory.buffer, address, 4096));
  if (a === undefined || b === undefined || c === undefined) return false;
  for (let i = 0; i < m * k; i++) a[i] = (i % 7) - 3;
  for (let i = 0; i < k * n; i++) b[i] = (i % 11) - 5;
  const run = prepare(memory, program, words);
  run(argumentsAt, 0, program.extent(Int32Array.from(words), 0), scratchAt);
  for (let row = 0; row < m; row++) {
    for (let column = 0; column < n; column++) {
      let sum = 0;
      for (let i = 0; i < k; i++) sum += (a[row * k + i] ?? 0) * (b[i * n + column] ?? 0);
      if (c[row * n + column] !== sum) return false;
    }
  }
  return true;
}

/** Elements in vectors against the same elements one at a time, which scalar instructions compute. */
function exponentialIsCorrect(memory: WebAssembly.Memory): boolean {
  const count = 64;
  const run = prepare(memory, printKernel(exponential), [0, 0, 1, 0, count, 1, 1]);
  const [x, y] = arraysAt.map((address) => new Float32Array(memory.buffer, address, count));
  if (x === undefined || y === undefined) return false;
  for (let i = 0; i < count; i++) x[i] = (i - 32) * 3.7;
  run(argumentsAt, 0, count, scratchAt);
  const inVectors = y.slice();
  for (let i = 0; i < count; i++) run(argumentsAt, i, i + 1, scratchAt);
  return inVectors.every((value, i) => value === y[i]);
}

/** The tuned matmul equals the generic kernel that it overrides. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { LoopKernel, Node } from "@troupe/core/device";
import { matmul, matmulWithEpilogue } from "../src/routines/matmul.ts";
import { vectorsAreCorrect } from "../src/self-test.ts";
import { printKernel } from "../src/wasm/print.ts";
import { launchWords, runProgram, type LaunchArguments, type View } from "./harness.ts";
import { copyLaunch, Random } from "./random-kernels.ts";

function matmulKernel(batches: number): LoopKernel {
  return {
    kind: "loop", name: "matmul", axes: batches + 3, reduced: 1,
    inputs: [{ dtype: "float32", inner: "any" }, { dtype: "float32", inner: "any" }],
    outputs: [{ dtype: "float32", inner: 0, overwrites: true }],
    scalars: [],
    body: [
      { op: "load", type: "float32", index: 0 },
      { op: "load", type: "float32", index: 1 },
      { op: "mul", type: "float32", args: [0, 1] },
      { op: "acc", type: "float32", index: 0 },
      { op: "add", type: "float32", args: [3, 2] },
    ],
    accumulators: [{ type: "float32", init: "0" }],
    step: [4],
    epilogue: [{ op: "acc", type: "float32", index: 0 }],
    stores: [{ output: 0, value: 0, at: "epilogue" }],
  };
}

/** A matrix view of whole numbers, row-major, column-major or with gaps, as strides along [batch..., m, n, k]. */
function matrix(random: Random, batch: readonly number[], rows: number, columns: number, axes: readonly [number, number], shared: boolean): View {
  const kind = random.integer(0, 3);
  const gap = kind === 2 ? random.integer(1, 3) : 0;
  const [rowStride, columnStride] = kind === 1 ? [1, rows] : kind === 3 ? [2 * columns, 2] : [columns + gap, 1];
  const size = (Math.max(rows, 1) * (columns + gap) + 2) * 2 + 2 * rows;
  const strides = Array.from<number>({ length: batch.length + 3 }).fill(0);
  let span = size;
  for (let axis = batch.length - 1; axis >= 0; axis--) {
    if (shared && random.next() < 0.3) continue;
    strides[axis] = span;
    span *= batch[axis] ?? 1;
  }
  strides[batch.length + axes[0]] = rowStride;
  strides[batch.length + axes[1]] = columnStride;
  const offset = random.integer(0, 2);
  return { array: Float32Array.from({ length: span + offset }, () => random.integer(-3, 3)), offset, strides };
}

function randomMatmul(seed: number): { kernel: LoopKernel; launch: LaunchArguments } {
  const random = new Random(seed);
  const batch = Array.from({ length: random.integer(0, 2) }, () => random.integer(1, 3));
  const size = (): number => random.pick([0, 1, 1, 2, 5, 6, 7, 8, 12, 13, 15, 16, 17, 31, 33, 64, 70]);
  const [m, n] = [size(), size()];
  const k = random.next() < 0.15 ? random.pick([255, 256, 257, 520]) : size();
  const operands = [
    matrix(random, batch, m, k, [0, 2], true),
    matrix(random, batch, k, n, [2, 1], true),
    matrix(random, batch, m, n, [0, 1], false),
  ];
  return { kernel: matmulKernel(batch.length), launch: { sizes: [...batch, m, n, k], operands } };
}

/** A random matmul that goes on from its sums: biases, residuals, masks, scaling and activations in any order. */
function randomEpilogue(seed: number): { kernel: LoopKernel; launch: LaunchArguments } {
  const { kernel, launch } = randomMatmul(seed);
  const random = new Random(~seed);
  const batch = launch.sizes.slice(0, -3);
  const [m = 0, n = 0] = launch.sizes.slice(-3);
  const [a, b, c] = launch.operands as [View, View, View];
  const epilogue: Node[] = [...kernel.epilogue];
  const extra: View[] = [];
  const add = (node: Node): number => epilogue.push(node) - 1;
  const operand = (type: "float32" | "bool"): number => {
    const kind = random.pick(["row", "column", "matrix", "matrix"]);
    const view = matrix(random, batch, kind === "row" ? 1 : m, kind === "column" ? 1 : n, [0, 1], true);
    const strides = view.strides.with(batch.length + (kind === "row" ? 0 : 1), kind === "matrix" ? view.strides[batch.length + 1] ?? 0 : 0);
    const array = type === "bool" ? Uint8Array.from(view.array as Float32Array, (value) => (value > 0 ? 1 : 0)) : view.array;
    return add({ op: "load", type, index: 1 + extra.push({ ...view, array, strides }) });
  };
  let value = 0;
  const length = random.integer(1, 4);
  for (let i = 0; i < length; i++) {
    switch (random.pick(["add", "scale", "relu", "mask", "tanh"])) {
      case "add": value = add({ op: "add", type: "float32", args: [value, operand("float32")] }); break;
      case "scale": value = add({ op: "mul", type: "float32", args: [value, add({ op: "scalar", type: "float32", index: 0 })] }); break;
      case "relu": value = add({ op: "max", type: "float32", args: [value, add({ op: "const", type: "float32", value: "0" })] }); break;
      case "mask": {
        const mask = operand("bool");
        value = add({ op: "select", type: "float32", args: [mask, value, add({ op: "const", type: "float32", value: "0" })] });
        break;
      }
      default: value = add({ op: "tanh", type: "float32", args: [value] });
    }
  }
  const inputs = extra.map(({ array }) => ({ dtype: array instanceof Uint8Array ? ("bool" as const) : ("float32" as const), inner: 0 as const }));
  return {
    kernel: {
      ...kernel, name: "matmul+more", inputs: [...kernel.inputs, ...inputs], scalars: ["float32"], epilogue,
      stores: [{ output: 0, value, at: "epilogue" }],
    },
    launch: { sizes: launch.sizes, operands: [a, b, ...extra, c], scalars: [random.pick([0.5, -3, 0.1])] },
  };
}

describe("the tuned matmul", () => {
  test.each([8, 16])("goes on from its sums as the generic kernel does, for any operands and splits (panels of %i)", (panel) => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 3 }), (seed, parts) => {
        const { kernel, launch } = randomEpilogue(seed);
        const words = launchWords(kernel, launch, []);
        const program = matmulWithEpilogue(kernel, panel)?.program(words, 0);
        if (program === undefined) throw new Error("not recognised");
        const [tuned, generic] = [copyLaunch(launch), copyLaunch(launch)];
        runProgram(program, tuned, parts);
        runProgram(printKernel(kernel), generic);
        expect(tuned.operands.at(-1)?.array).toEqual(generic.operands.at(-1)?.array);
      }),
      { numRuns: 100 },
    );
  });

  test.each([8, 16])("equals the generic kernel for any sizes, strides, batches and splits (panels of %i)", (panel) => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 3 }), (seed, parts) => {
        const { kernel, launch } = randomMatmul(seed);
        const program = matmul(kernel, panel);
        if (program === undefined) throw new Error("not recognised");
        const [tuned, generic] = [copyLaunch(launch), copyLaunch(launch)];
        runProgram(program, tuned, parts);
        runProgram(printKernel(kernel), generic);
        // Small whole numbers: sums are exact in any order. What lies between the rows must not change.
        expect(tuned.operands[2]?.array).toEqual(generic.operands[2]?.array);
      }),
      { numRuns: 120 },
    );
  }, 30_000);

  test("crosses its blocks along every axis", () => {
    const random = new Random(3);
    for (const [m, n, k] of [[200, 40, 300], [7, 530, 20], [400, 20, 1100]] as const) {
      const kernel = matmulKernel(0);
      const a = { array: Float32Array.from({ length: m * k }, () => random.integer(-3, 3)), offset: 0, strides: [k, 0, 1] };
      const b = { array: Float32Array.from({ length: k * n }, () => random.integer(-3, 3)), offset: 0, strides: [0, 1, n] };
      const c = { array: new Float32Array(m * n), offset: 0, strides: [n, 1, 0] };
      const launch = { sizes: [m, n, k], operands: [a, b, c] };
      const generic = copyLaunch(launch);
      for (const panel of [8, 16]) {
        const program = matmul(kernel, panel);
        if (program === undefined) throw new Error("not recognised");
        const tuned = copyLaunch(launch);
        runProgram(program, tuned);
        runProgram(printKernel(kernel), generic);
        expect(tuned.operands[2]?.array).toEqual(generic.operands[2]?.array);
      }
    }
  });

  test("passes the self-test that an actor runs when it starts", () => {
    expect(vectorsAreCorrect()).toBe(true);
  });

  test("leaves kernels that are more than a product to the generic printer", () => {
    const kernel = matmulKernel(0);
    expect(matmul({ ...kernel, epilogue: [...kernel.epilogue, { op: "exp", type: "float32", args: [0] }], stores: [{ output: 0, value: 1, at: "epilogue" }] })).toBeUndefined();
    expect(matmul({ ...kernel, inputs: [{ dtype: "float64", inner: "any" }, { dtype: "float64", inner: "any" }] })).toBeUndefined();
  });
});

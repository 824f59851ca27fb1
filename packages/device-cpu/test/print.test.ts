/** Printed kernels do what their IR says. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { LoopKernel } from "@troupe/core/device";
import { printKernel } from "../src/wasm/print.ts";
import { interpret, runProgram, type LaunchArguments } from "./harness.ts";
import { copyLaunch, Random, randomElementwise, randomReduction, type Case } from "./random-kernels.ts";

/** Compares all operands, bit for bit but for zeros' signs and NaN's payloads. */
function expectSame(printed: LaunchArguments, interpreted: LaunchArguments): void {
  for (const [i, { array }] of printed.operands.entries()) {
    const expected = interpreted.operands[i]?.array ?? [];
    for (let k = 0; k < array.length; k++) {
      const [seen, wanted] = [array[k], expected[k]];
      if (seen !== wanted && !(Number.isNaN(seen) && Number.isNaN(wanted))) {
        expect(`operand ${i}[${k}] = ${String(seen)}`).toBe(`operand ${i}[${k}] = ${String(wanted)}`);
      }
    }
  }
}

function expectAgreement({ kernel, launch }: Case, parts: number): void {
  const [printed, interpreted] = [copyLaunch(launch), copyLaunch(launch)];
  const fault = runProgram(printKernel(kernel), printed, parts);
  expect(fault).toEqual(interpret(kernel, interpreted));
  expectSame(printed, interpreted);
}

describe("printed kernels", () => {
  test("elementwise kernels of any dtype, stride and size agree with interpretation, whole or in parts", () => {
    const law = fc.property(fc.integer(), fc.integer({ min: 1, max: 3 }), (seed, parts) =>
      expectAgreement(randomElementwise(seed), parts));
    expect(() => fc.assert(law, { numRuns: 700 })).not.toThrow();
  }, 30_000);

  test("reductions and scans agree with interpretation, whole or in parts", () => {
    const law = fc.property(fc.integer(), fc.integer({ min: 1, max: 3 }), (seed, parts) =>
      expectAgreement(randomReduction(seed), parts));
    expect(() => fc.assert(law, { numRuns: 350 })).not.toThrow();
  }, 30_000);

  test("a gather with a bad index reports the first one and reads nothing out of bounds", () => {
    const kernel: LoopKernel = {
      kind: "loop", name: "gather", axes: 1, reduced: 0,
      inputs: [{ dtype: "float32", inner: 0 }, { dtype: "int64", inner: 1 }],
      outputs: [{ dtype: "float32", inner: 1, overwrites: true }], scalars: ["int32", "int32"],
      body: [
        { op: "load", type: "int64", index: 1 },
        { op: "cast", type: "int32", args: [0] },
        { op: "scalar", type: "int32", index: 0 },
        { op: "const", type: "int32", value: "0" },
        { op: "ge", type: "bool", args: [1, 3] },
        { op: "lt", type: "bool", args: [1, 2] },
        { op: "and", type: "bool", args: [4, 5] },
        { op: "check", type: "bool", args: [6, 1], code: "index-out-of-range" },
        { op: "load", type: "float32", index: 0, indirect: [{ value: 1, stride: 1 }], guard: 6 },
      ],
      accumulators: [], step: [], epilogue: [], stores: [{ output: 0, value: 8, at: "body" }],
    };
    const table = { array: Float32Array.of(10, 11, 12, 13), offset: 0, strides: [0] };
    const output = { array: new Float32Array(5), offset: 0, strides: [1] };
    const launch = (...indices: bigint[]): LaunchArguments => ({
      sizes: [5], scalars: [4, 1],
      operands: [table, { array: BigInt64Array.from(indices), offset: 0, strides: [1] }, output],
    });
    const program = printKernel(kernel);
    expect(program.faults).toBe(true);
    expect(runProgram(program, launch(3n, 0n, 1n, 2n, 3n))).toBeUndefined();
    expect([...output.array]).toEqual([13, 10, 11, 12, 13]);
    expect(runProgram(program, launch(3n, 2n, 7n, -1n, 0n))).toEqual({ code: "index-out-of-range", detail: 7 });
    expect([...output.array]).toEqual([13, 12, 0, 0, 10]);
  });

  test("a scatter combines points that meet in the order of the nest, and is not split", () => {
    const kernel: LoopKernel = {
      kind: "loop", name: "scatterAdd", axes: 1, reduced: 0,
      inputs: [{ dtype: "float32", inner: 1 }, { dtype: "int32", inner: 1 }],
      outputs: [{ dtype: "float32", inner: 0, overwrites: false }], scalars: ["int32"],
      body: [{ op: "load", type: "float32", index: 0 }, { op: "load", type: "int32", index: 1 }],
      accumulators: [], step: [], epilogue: [],
      stores: [{ output: 0, value: 0, at: "body", indirect: [{ value: 1, stride: 0 }], combine: "add" }],
    };
    const program = printKernel(kernel);
    expect(program.splittable).toBe(false);
    const output = Float32Array.of(0.5, 0, 0);
    runProgram(program, {
      sizes: [4], scalars: [1],
      operands: [
        { array: Float32Array.of(1e8, 1, -1e8, 2), offset: 0, strides: [1] },
        { array: Int32Array.of(2, 2, 2, 0), offset: 0, strides: [1] },
        { array: output, offset: 0, strides: [0] },
      ],
    });
    expect([...output]).toEqual([2.5, 0, 0]);
  });

  test.each([["contiguous", 1, 1], ["strided", "any", 2]] as const)("a %s sum of a million float32 stays accurate", (_, inner, stride) => {
    const kernel: LoopKernel = {
      kind: "loop", name: "sum", axes: 1, reduced: 1,
      inputs: [{ dtype: "float32", inner }], outputs: [{ dtype: "float32", inner: 0, overwrites: true }], scalars: [],
      body: [
        { op: "load", type: "float32", index: 0 },
        { op: "acc", type: "float32", index: 0 },
        { op: "add", type: "float32", args: [1, 0] },
      ],
      accumulators: [{ type: "float32", init: "0" }], step: [2],
      epilogue: [{ op: "acc", type: "float32", index: 0 }], stores: [{ output: 0, value: 0, at: "epilogue" }],
    };
    const count = 1_000_000;
    const array = new Float32Array(count * stride).fill(0.1);
    const output = new Float32Array(1);
    runProgram(printKernel(kernel), {
      sizes: [count], operands: [{ array, offset: 0, strides: [stride] }, { array: output, offset: 0, strides: [0] }],
    });
    const exact = count * Math.fround(0.1);
    expect(Math.abs((output[0] ?? 0) - exact) / exact).toBeLessThan(5e-6);
  });

  test("a float32 extreme is NaN exactly where a NaN stands, in rows, columns and parts", () => {
    const law = fc.property(
      fc.record({
        op: fc.constantFrom("max", "min"), isColumn: fc.boolean(), start: fc.constantFrom("0", "infinite"),
        points: fc.integer({ min: 1, max: 45 }), length: fc.oneof(fc.integer({ min: 1, max: 80 }), fc.constantFrom(256, 300)),
      }),
      fc.integer(), fc.integer({ min: 1, max: 3 }),
      ({ op, isColumn, start, points, length }, seed, parts) => {
        const random = new Random(seed);
        const init = start === "0" ? "0" : op === "max" ? "-Infinity" : "Infinity";
        const kernel: LoopKernel = {
          kind: "loop", name: op, axes: 2, reduced: 1,
          inputs: [{ dtype: "float32", inner: isColumn ? "any" : 1 }],
          outputs: [{ dtype: "float32", inner: 0, overwrites: true }], scalars: [],
          body: [
            { op: "load", type: "float32", index: 0 },
            { op: "acc", type: "float32", index: 0 },
            { op: op === "max" ? "max" : "min", type: "float32", args: random.next() < 0.5 ? [0, 1] : [1, 0] },
          ],
          accumulators: [{ type: "float32", init }], step: [2],
          epilogue: [{ op: "acc", type: "float32", index: 0 }], stores: [{ output: 0, value: 0, at: "epilogue" }],
        };
        const array = Float32Array.from({ length: points * length }, () =>
          random.next() < 0.5 / length ? NaN : random.next() < 0.05 ? random.pick([Infinity, -Infinity]) : random.next() - 0.5);
        const [point, step] = isColumn ? [1, points] : [length, 1];
        const output = new Float32Array(points);
        runProgram(printKernel(kernel), {
          sizes: [points, length],
          operands: [{ array, offset: 0, strides: [point, step] }, { array: output, offset: 0, strides: [1, 0] }],
        }, parts);
        const wanted = Array.from(output, (_, k) => {
          const own = Array.from({ length }, (__, i) => array[k * point + i * step] ?? 0);
          return Math[op === "max" ? "max" : "min"](Number(init), ...own);
        });
        expect([...output]).toEqual(wanted);
      },
    );
    expect(() => fc.assert(law, { numRuns: 200 })).not.toThrow();
  }, 30_000);

  test("a small kernel is printed in a fraction of a millisecond", () => {
    const { kernel } = randomElementwise(1);
    for (let i = 0; i < 200; i++) printKernel(kernel);
    const start = performance.now();
    for (let i = 0; i < 200; i++) printKernel(kernel);
    expect((performance.now() - start) / 200).toBeLessThan(0.5);
  });
});

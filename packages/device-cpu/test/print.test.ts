/** Printed kernels do what their IR says. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { printKernel } from "../src/wasm/print.ts";
import { interpret, runProgram, type LaunchArguments } from "./harness.ts";
import { copyLaunch, randomElementwise, randomReduction, type Case } from "./random-kernels.ts";

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

function check({ kernel, launch }: Case, parts: number): void {
  const [printed, interpreted] = [copyLaunch(launch), copyLaunch(launch)];
  const fault = runProgram(printKernel(kernel), printed, parts);
  expect(fault).toEqual(interpret(kernel, interpreted));
  expectSame(printed, interpreted);
}

describe("printed kernels", () => {
  test("elementwise kernels of any dtype, stride and size agree with interpretation, whole or in parts", () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 3 }), (seed, parts) => check(randomElementwise(seed), parts)),
      { numRuns: 1500 },
    );
  });

  test("reductions and scans agree with interpretation, whole or in parts", () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 3 }), (seed, parts) => check(randomReduction(seed), parts)),
      { numRuns: 600 },
    );
  });
});


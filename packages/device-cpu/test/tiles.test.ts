/** Operands that lie across each other meet in tiles, which is seen in time only. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { DType, LoopKernel, Node } from "@troupe/core/device";
import { printKernel } from "../src/wasm/print.ts";
import { interpret, runProgram, type LaunchArguments, type View } from "./harness.ts";
import { copyLaunch, growGraph, Random, randomArray, randomView } from "./random-kernels.ts";

const laneTypes = ["float32", "int32", "uint8", "bool"] as const;

type Way = "along" | "across" | "constant" | "strided";

/** A view that is contiguous along the last axis, along axis `turned`, or neither. */
function viewOf(random: Random, dtype: DType, sizes: readonly number[], turned: number, way: Way): View {
  if (way === "strided") return randomView(random, dtype, sizes, "any", true);
  const last = sizes.length - 1;
  const first = way === "across" ? turned : last;
  const strides = sizes.map(() => 0);
  let span = 1;
  for (const axis of [first, ...sizes.keys().filter((axis) => axis !== first)]) {
    if (way === "constant" && axis === last) continue;
    strides[axis] = span;
    span *= (sizes[axis] ?? 1) + (axis === first && way !== "constant" ? random.integer(0, 2) : 0);
  }
  const offset = random.integer(0, 3);
  return { array: randomArray(random, dtype, span + offset + 4), offset, strides };
}

const innerOf = { along: 1, across: "any", constant: 0, strided: "any" } as const;

interface Case {
  readonly seed: number;
  readonly dtypes: readonly DType[];
  readonly ways: readonly Way[];
  readonly output: "along" | "across" | "strided";
  readonly sizes: readonly number[];
  readonly work: number;
}

function caseOf({ seed, dtypes, ways, output, sizes, work }: Case): { kernel: LoopKernel; launch: LaunchArguments } {
  const random = new Random(seed);
  const body: Node[] = ways.map((_, index) => ({ op: "load", type: dtypes[index] ?? "float32", index }));
  growGraph(random, body, work, true);
  const value = body.length - 1;
  const dtype = body[value]?.type ?? "float32";
  const turned = random.integer(0, Math.max(0, sizes.length - 2));
  const inputs = ways.map((way, i) => ({ dtype: dtypes[i] ?? "float32", inner: innerOf[way] }));
  const kernel: LoopKernel = {
    kind: "loop", name: "turn", axes: sizes.length, reduced: 0, inputs,
    outputs: [{ dtype, inner: innerOf[output], overwrites: true }], scalars: [],
    body, accumulators: [], step: [], epilogue: [], stores: [{ output: 0, value, at: "body" }],
  };
  const operands = [
    ...inputs.map((input, i) => viewOf(random, input.dtype, sizes, turned, ways[i] ?? "along")),
    viewOf(random, dtype, sizes, turned, output),
  ];
  return { kernel, launch: { sizes, operands } };
}

const cases: fc.Arbitrary<Case> = fc.record({
  seed: fc.integer(),
  dtypes: fc.array(fc.constantFrom<DType>("float32", ...laneTypes), { minLength: 2, maxLength: 2 }),
  ways: fc.array(fc.constantFrom<Way>("along", "across", "across", "constant", "strided"), { minLength: 1, maxLength: 2 }),
  output: fc.constantFrom<Case["output"]>("along", "along", "across", "strided"),
  sizes: fc.tuple(
    fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 1 }),
    fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constantFrom(16, 64, 71)),
    fc.integer({ min: 1, max: 37 }),
  ).map(([outer, rows, columns]) => [...outer, rows, columns]),
  work: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 12 })),
});

describe("transposed operands", () => {
  test("an elementwise kernel agrees with interpretation, however its operands lie, whole or in parts", () => {
    const law = fc.property(cases, fc.integer({ min: 1, max: 3 }), (one, parts) => {
      const { kernel, launch } = caseOf(one);
      const [printed, interpreted] = [copyLaunch(launch), copyLaunch(launch)];
      runProgram(printKernel(kernel), printed, parts);
      interpret(kernel, interpreted);
      const [seen, wanted] = [printed, interpreted].map(({ operands }) =>
        Array.from(operands.at(-1)?.array as ArrayLike<number>));
      expect(seen.findIndex((value, k) => value !== wanted[k] && !(Number.isNaN(value) && Number.isNaN(wanted[k])))).toBe(-1);
    });
    expect(() => fc.assert(law, { numRuns: 300 })).not.toThrow();
  }, 30_000);

  test.each(laneTypes)("a transposed copy of %s is the transpose, for axes in any order", (dtype) => {
    const law = fc.property(
      fc.integer(), fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 2, maxLength: 4 }), fc.integer({ min: 1, max: 3 }),
      (seed, sizes, parts) => {
        const random = new Random(seed);
        const order = [...sizes.keys()].toSorted(() => random.next() - 0.5);
        const from = sizes.map(() => 0);
        const to = sizes.map(() => 0);
        let span = 1;
        for (const axis of order.toReversed()) {
          from[axis] = span;
          span *= sizes[axis] ?? 1;
        }
        let step = 1;
        for (let axis = sizes.length - 1; axis >= 0; axis--) {
          to[axis] = step;
          step *= sizes[axis] ?? 1;
        }
        const source = randomArray(random, dtype, span);
        const target = randomArray(random, dtype, span);
        const kernel: LoopKernel = {
          kind: "loop", name: "copy", axes: sizes.length, reduced: 0,
          inputs: [{ dtype, inner: "any" }], outputs: [{ dtype, inner: 1, overwrites: true }], scalars: [],
          body: [{ op: "load", type: dtype, index: 0 }],
          accumulators: [], step: [], epilogue: [], stores: [{ output: 0, value: 0, at: "body" }],
        };
        const operands = [{ array: source, offset: 0, strides: from }, { array: target, offset: 0, strides: to }];
        runProgram(printKernel(kernel), { sizes, operands }, parts);
        for (let k = 0; k < span; k++) {
          const place = sizes.reduce((sum, size, axis) => sum + (Math.floor(k / (to[axis] ?? 1)) % size) * (from[axis] ?? 0), 0);
          if (!Object.is(target[k], source[place])) return false;
        }
        return true;
      },
    );
    expect(() => fc.assert(law, { numRuns: 60 })).not.toThrow();
  }, 30_000);
});

/** Rows that indices name are moved as rows, and land where one element after the other would. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isFloat, type DType, type LoopKernel, type Node, type Store } from "@troupe/core/device";
import { printKernel } from "../src/wasm/print.ts";
import { interpret, runProgram, type LaunchArguments } from "./harness.ts";
import { copyLaunch, Random, randomArray, randomView } from "./random-kernels.ts";

const dtypes = ["float32", "float64", "int32", "int64", "uint8", "bool"] as const;

interface Shape {
  readonly side: "source" | "target";
  readonly dtype: DType;
  readonly index: "int32" | "int64";
  readonly rows: number;
  readonly features: number;
  readonly table: number;
  /** How the features lie in the table and in the list of rows. */
  readonly inner: 1 | "any";
  readonly combine: Store["combine"];
  /** An index that stands for nothing. */
  readonly ignored: number | undefined;
  /** Whether there are indices outside of the table. */
  readonly wild: boolean;
}

/** Rows of a table by index, or rows into a table; the index is checked and guards what it moves. */
function kernelOf({ side, dtype, index, inner, combine, ignored }: Shape): LoopKernel {
  const operand = { dtype, inner };
  const body: Node[] = [{ op: "load", type: index, index: 0 }];
  const push = (node: Node): number => body.push(node) - 1;
  const place = push({ op: "cast", type: "int32", args: [0] });
  const size = push({ op: "scalar", type: "int32", index: 0 });
  const zero = push({ op: "const", type: "int32", value: "0" });
  const above = push({ op: "ge", type: "bool", args: [place, zero] });
  const below = push({ op: "lt", type: "bool", args: [place, size] });
  let guard = push({ op: "and", type: "bool", args: [above, below] });
  push({ op: "check", type: "bool", args: [guard, place], code: "index-out-of-range" });
  if (ignored !== undefined) {
    const nothing = push({ op: "const", type: "int32", value: String(ignored) });
    guard = push({ op: "and", type: "bool", args: [guard, push({ op: "ne", type: "bool", args: [place, nothing] })] });
  }
  const moved = { indirect: [{ value: place, stride: 1 }], guard };
  const value = push({ op: "load", type: dtype, index: 1, ...(side === "source" ? moved : {}) });
  return {
    kind: "loop", name: "move", axes: 2, reduced: 0,
    inputs: [{ dtype: index, inner: 0 }, operand], outputs: [{ ...operand, overwrites: side === "source" }],
    scalars: ["int32", "int32"], body, accumulators: [], step: [], epilogue: [],
    stores: [{
      output: 0, value, at: "body",
      ...(side === "target" ? { ...moved, ...(combine === undefined ? {} : { combine }) } : {}),
    }],
  };
}

function launchOf(shape: Shape, seed: number): LaunchArguments {
  const random = new Random(seed);
  const { side, dtype, index, rows, features, table, inner, wild } = shape;
  const list = randomView(random, dtype, [rows, features], inner, true);
  const looked = randomView(random, dtype, [table, features], inner, true);
  const [step, across] = looked.strides;
  const array = index === "int32" ? new Int32Array(rows) : new BigInt64Array(rows);
  for (let i = 0; i < rows; i++) {
    const at = wild && random.next() < 0.2 ? random.pick([-1, table, 2 ** 31 - 1]) : random.integer(0, table - 1);
    array[i] = typeof array[i] === "bigint" ? BigInt(at) : at;
  }
  const tableView = { ...looked, array: randomArray(random, dtype, looked.array.length), strides: [0, across ?? 0] };
  const indices = { array, offset: 0, strides: [1, 0] };
  return {
    sizes: [rows, features], scalars: [table, step ?? 0],
    operands: side === "source" ? [indices, tableView, list] : [indices, list, tableView],
  };
}

const shapes: fc.Arbitrary<Shape> = fc.record({
  side: fc.constantFrom<Shape["side"]>("source", "target"),
  dtype: fc.constantFrom(...dtypes),
  index: fc.constantFrom("int32", "int64"),
  rows: fc.integer({ min: 1, max: 9 }),
  features: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(8, 16, 64)),
  table: fc.integer({ min: 1, max: 6 }),
  inner: fc.constantFrom<Shape["inner"]>(1, "any"),
  combine: fc.constantFrom(undefined, "add", "mul", "max", "min"),
  ignored: fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined }),
  wild: fc.boolean(),
});

describe("rows by index", () => {
  test("gathers and scatters of any dtype, stride and combination agree with interpretation, element by element", () => {
    const law = fc.property(shapes, fc.integer(), fc.integer({ min: 1, max: 3 }), (shape, seed, parts) => {
      const kernel = kernelOf(shape);
      const launch = launchOf(shape, seed);
      const [printed, interpreted] = [copyLaunch(launch), copyLaunch(launch)];
      const program = printKernel(kernel);
      expect(runProgram(program, printed, program.splittable ? parts : 1)).toEqual(interpret(kernel, interpreted));
      for (const [i, { array }] of printed.operands.entries()) {
        const wanted = interpreted.operands[i]?.array ?? [];
        const differs = Array.from(array as ArrayLike<number | bigint>).findIndex((seen, k) =>
          seen !== wanted[k] && !(isFloat(shape.dtype) && Number.isNaN(seen) && Number.isNaN(wanted[k])));
        expect(differs).toBe(-1);
      }
    });
    expect(() => fc.assert(law, { numRuns: 400 })).not.toThrow();
  }, 30_000);
});

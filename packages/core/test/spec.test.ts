/** Malformed kernels are refused with the node that is wrong. */
import { describe, expect, test } from "vitest";
import { InternalError } from "../src/errors.ts";
import type { LoopKernel, Node, RowKernel, Sweep } from "../src/kernel/ir.ts";
import { validateKernel } from "../src/kernel/spec.ts";

const sum: LoopKernel = {
  kind: "loop", name: "sum", axes: 2, reduced: 1,
  inputs: [{ dtype: "float32", inner: 1 }], outputs: [{ dtype: "float32", inner: 0, overwrites: true }], scalars: ["int32"],
  body: [
    { op: "load", type: "float32", index: 0 },
    { op: "acc", type: "float32", index: 0 },
    { op: "add", type: "float32", args: [1, 0] },
  ],
  accumulators: [{ type: "float32", init: "0" }],
  step: [2],
  epilogue: [{ op: "acc", type: "float32", index: 0 }],
  stores: [{ output: 0, value: 0, at: "epilogue" }],
};

function withNode(node: Node): LoopKernel {
  return { ...sum, body: [...sum.body, node] };
}

describe("a kernel's validation", () => {
  test("accepts a sum, with every kind of leaf beside it", () => {
    const leaves: readonly Node[] = [
      { op: "const", type: "int64", value: "9223372036854775807" },
      { op: "axis", type: "int32", index: 1 },
      { op: "size", type: "int32", index: 1 },
      { op: "scalar", type: "int32", index: 0 },
      { op: "bitcast", type: "int32", args: [0] },
    ];
    for (const kernel of [sum, ...leaves.map(withNode)]) expect(() => validateKernel(kernel)).not.toThrow();
  });

  const wrong: readonly [string, LoopKernel][] = [
    ["more reduction axes than axes", { ...sum, reduced: 3 }],
    ["a value that is used before it is made", withNode({ op: "neg", type: "float32", args: [3] })],
    ["mixed types", withNode({ op: "add", type: "int32", args: [0, 1] })],
    ["a function of floats on integers", { ...sum, body: [...sum.body, { op: "size", type: "int32", index: 0 }, { op: "exp", type: "int32", args: [3] }] }],
    ["a comparison that gives no bool", withNode({ op: "lt", type: "float32", args: [0, 1] })],
    ["an unknown input", withNode({ op: "load", type: "float32", index: 1 })],
    ["a load of another type", withNode({ op: "load", type: "int32", index: 0 })],
    ["an axis that is not there", withNode({ op: "axis", type: "int32", index: 2 })],
    ["a reduced axis in the epilogue", { ...sum, epilogue: [...sum.epilogue, { op: "axis", type: "int32", index: 1 }] }],
    ["an unknown scalar", withNode({ op: "scalar", type: "int32", index: 1 })],
    ["a constant that is no number", withNode({ op: "const", type: "float32", value: "one" })],
    ["a constant out of range", withNode({ op: "const", type: "uint8", value: "256" })],
    ["a guard that is no bool", withNode({ op: "load", type: "float32", index: 0, guard: 1 })],
    ["an indirect index that is no int32", withNode({ op: "load", type: "float32", index: 0, indirect: [{ value: 1, stride: 0 }] })],
    ["a check without a condition", withNode({ op: "check", type: "bool", args: [0, 0], code: "division-by-zero" })],
    ["the right side outside of combine", withNode({ op: "other", type: "float32", index: 0 })],
    ["an accumulator without a step", { ...sum, step: [] }],
    ["a step of another type", { ...sum, body: [...sum.body, { op: "size", type: "int32", index: 0 }], step: [3] }],
    ["a store of another type", { ...sum, outputs: [{ dtype: "int32", inner: 0, overwrites: true }] }],
    ["an output that nothing is stored to", { ...sum, stores: [] }],
    ["a store to no output", { ...sum, stores: [...sum.stores, { output: 1, value: 0, at: "epilogue" }] }],
  ];
  test.each(wrong)("refuses %s", (_, kernel) => {
    expect(() => validateKernel(kernel)).toThrow(InternalError);
  });

  test("names the node that is wrong", () => {
    expect(() => validateKernel(withNode({ op: "neg", type: "float32", args: [7] }))).toThrow(/"op":"neg".*"args":\[7\]/);
  });
});

/** x less the sum of its row. */
const difference: RowKernel = {
  kind: "rows", name: "difference", axes: 2, reduced: 1,
  inputs: [{ dtype: "float32", inner: 1 }], outputs: [{ dtype: "float32", inner: 1, overwrites: true }], scalars: [],
  sweeps: [
    { body: sum.body, accumulators: sum.accumulators, step: sum.step, epilogue: sum.epilogue, stores: [], results: [0] },
    {
      body: [
        { op: "load", type: "float32", index: 0 },
        { op: "result", type: "float32", index: 0 },
        { op: "sub", type: "float32", args: [0, 1] },
      ],
      accumulators: [], step: [], epilogue: [], stores: [{ output: 0, value: 2, at: "body" }], results: [],
    },
  ],
};

describe("a row kernel's validation", () => {
  const [reducing, mapping] = difference.sweeps;
  const withSweeps = (...sweeps: Sweep[]): RowKernel => ({ ...difference, sweeps });

  test("accepts sweeps that use what earlier ones found", () => {
    expect(() => validateKernel(difference)).not.toThrow();
  });

  const wrong: readonly [string, RowKernel][] = [
    ["rows without a reduction axis", { ...difference, reduced: 0 }],
    ["a result that no earlier sweep has", withSweeps(mapping, reducing)],
    ["a result of another type", withSweeps(reducing, { ...mapping, body: [...mapping.body, { op: "result", type: "int32", index: 0 }] })],
    ["a result that is no value of the epilogue", withSweeps({ ...reducing, results: [1] }, mapping)],
    ["results of a sweep that reduces nothing", withSweeps(reducing, { ...mapping, results: [0] })],
    ["a reducing sweep that stores in its body", withSweeps({ ...reducing, stores: [{ output: 0, value: 2, at: "body" }] }, mapping)],
    ["an output that nothing is stored to", withSweeps(reducing, { ...mapping, stores: [] })],
  ];
  test.each(wrong)("refuses %s", (_, kernel) => {
    expect(() => validateKernel(kernel)).toThrow(InternalError);
  });
});

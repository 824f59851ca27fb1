/**
 * Row programs: several sweeps over the dimensions that go, for every point of those that stay (softmax, layer norm, cross
 * entropy). One launch of a row kernel where rows lie densely and the device takes such kernels, else a loop kernel for each sweep,
 * with the sweeps' results in temporary memory.
 */
import { innerStride } from "../../kernel/ir.ts";
import { Graph } from "../../kernel/build.ts";
import type { Expr, LoadOptions } from "../../kernel/build.ts";
import type {
  Accumulator, InnerStride, LoopKernel, Node, Operand, OutputOperand, RowKernel, Store, Sweep,
} from "../../kernel/ir.ts";
import type { DType } from "../../tensor/dtype.ts";
import { broadcastStrides, numelOf } from "../../tensor/shape.ts";
import type { Shape } from "../../tensor/shape.ts";
import { allocate } from "../../tensor/value.ts";
import type { LocalValue } from "../../tensor/value.ts";
import { collapse } from "../iteration.ts";
import type { Iteration } from "../iteration.ts";
import { KernelCache, launch } from "../launch.ts";
import type { Bound } from "../launch.ts";
import { byStride, stridesOfKept } from "./reduction.ts";

/** What the scalar expressions of a sweep may ask for. */
export interface RowScope {
  readonly graph: Graph;
  /** Operand `i` at the current place, in the dtype computed in. */
  readonly value: (i: number) => Expr;
  /** Operand `i` in its own dtype. */
  readonly load: (i: number, options?: LoadOptions) => Expr;
  /** Result `i` of the earlier sweeps. */
  readonly result: (i: number) => Expr;
  /** The current place along the only reduced dimension (int32). */
  readonly index: () => Expr;
  /** How many elements a row has (int32). */
  readonly count: () => Expr;
  /** Run-time number `i` of the launch. */
  readonly param: (i: number) => Expr;
}

/** A sweep that reduces: `finish` gives what later sweeps and `stores` may use. */
export interface ReducingSweep {
  readonly accumulators: (compute: DType) => readonly Accumulator[];
  readonly step: (state: readonly Expr[], at: RowScope) => readonly Expr[];
  /** The results; default: the accumulators. */
  readonly finish?: (state: readonly Expr[], at: RowScope) => readonly Expr[];
  /** By output, what is stored once a row. */
  readonly stores?: (results: readonly Expr[], at: RowScope) => Readonly<Record<number, Expr>>;
}

/** The sweep that gives the outputs of the operands' shape; the last one. */
export interface MappingSweep {
  readonly map: (at: RowScope) => Readonly<Record<number, Expr>>;
}

/**
 * How an operand moves: `row` through all dimensions (repeated where it has size 1), `point` through those that stay, `table` not
 * at all (it is found by indirect loads).
 */
export type RowOperand = "row" | "point" | "table";

export interface RowProgram {
  readonly name: string;
  readonly operands: readonly RowOperand[];
  readonly outputs: readonly ("row" | "point")[];
  readonly sweeps: readonly (ReducingSweep | MappingSweep)[];
  /** Dtypes of the run-time numbers, `compute` for the one computed in. */
  readonly params?: readonly (DType | "compute")[];
}

/** A launch of a program: operands and outputs with their strides over the axes that stay and those that go. */
interface RowLaunch {
  readonly program: RowProgram;
  readonly compute: DType;
  readonly values: readonly LocalValue[];
  readonly outer: Iteration;
  readonly reduced: Iteration;
  readonly params: readonly number[];
}

const kernels = new WeakMap<RowProgram, KernelCache<string>>();

function cached<K extends RowKernel | LoopKernel>(program: RowProgram, key: string, make: () => K): K {
  let cache = kernels.get(program);
  if (cache === undefined) kernels.set(program, (cache = new KernelCache()));
  return cache.get(key, make) as K;
}

/**
 * Runs `program` on `inputs` over `dims` of `shape` (ascending), into `outputs`. Tables have any shape; points have that of `shape`
 * without `dims`, or with these as 1.
 */
export function launchRows(
  program: RowProgram,
  compute: DType,
  inputs: readonly LocalValue[],
  shape: Shape,
  dims: readonly number[],
  outputs: readonly LocalValue[],
  params: readonly number[] = [],
): void {
  if (outputs.every((output) => numelOf(output.shape) === 0)) return;
  const kept = shape.map((_, dim) => dim).filter((dim) => !dims.includes(dim));
  const values = [...inputs, ...outputs];
  const kinds = [...program.operands, ...program.outputs];
  /** Strides along every dimension, 0 where the operand does not move. */
  const strides = values.map((value, k) => {
    if (kinds[k] === "table") return shape.map(() => 0);
    if (kinds[k] === "row") return broadcastStrides(value.shape, value.strides, shape);
    const own = stridesOfKept(value, dims, kept);
    return shape.map((_, dim) => (dims.includes(dim) ? 0 : own[kept.indexOf(dim)]));
  });
  const along = (order: readonly number[]): Iteration =>
    collapse(order.map((dim) => shape[dim]), strides.map((own) => order.map((dim) => own[dim])));
  const outer = along(byStride(kept, strides));
  const reduced = along(byStride(dims, strides));
  // Axes of one element are contiguous by convention; what does not move must not say so.
  const still = reduced.strides.map((own, k) => (kinds[k] === "row" ? own : own.map(() => 0)));
  const row: RowLaunch = { program, compute, values, outer, reduced: { sizes: reduced.sizes, strides: still }, params };
  if (values[0].device.routines.has("rows") && isDense(row)) launchAsOne(row);
  else launchSweeps(row);
}

/** Whether all that moves along rows lies densely there. */
function isDense({ program, reduced: { strides } }: RowLaunch): boolean {
  return [...program.operands, ...program.outputs].every((kind, k) => {
    const step = strides[k][strides[k].length - 1];
    return kind !== "row" || step === 0 || step === 1;
  });
}

function keyOf({ compute, values, outer, reduced }: RowLaunch, inner: readonly InnerStride[], kind: string): string {
  const dtypes = values.map(({ dtype }) => dtype);
  return [kind, compute, outer.sizes.length, reduced.sizes.length, ...dtypes, ...inner].join(" ");
}

function scalarsOf({ program, compute }: RowLaunch): DType[] {
  return (program.params ?? []).map((type) => (type === "compute" ? compute : type));
}

function operandsOf({ program, values }: RowLaunch, inner: readonly InnerStride[]): {
  readonly inputs: Operand[];
  readonly outputs: OutputOperand[];
} {
  const count = program.operands.length;
  return {
    inputs: values.slice(0, count).map(({ dtype }, k) => ({ dtype, inner: inner[k] })),
    outputs: values.slice(count).map(({ dtype }, k) => ({ dtype, inner: inner[count + k], overwrites: true })),
  };
}

// --- one launch ------------------------------------------------------------------------------------------------------

function launchAsOne(row: RowLaunch): void {
  const { program, values, outer, reduced, params } = row;
  const inner = reduced.strides.map((own) => innerStride(own[own.length - 1]));
  const kernel = cached(program, keyOf(row, inner, "rows"), () => rowKernel(row, inner));
  const operands = values.map((value, k): Bound => ({ value, strides: [...outer.strides[k], ...reduced.strides[k]] }));
  launch(kernel, operands, [...outer.sizes, ...reduced.sizes], params);
}

function rowKernel(row: RowLaunch, inner: readonly InnerStride[]): RowKernel {
  const { program, outer, reduced } = row;
  const sweeps: Sweep[] = [];
  let results = 0;
  for (const sweep of program.sweeps) {
    const made = build(row, sweep, outer.sizes.length, (graph, i) => graph.result(i, row.compute));
    sweeps.push(made);
    results += made.results.length;
  }
  return {
    kind: "rows",
    name: program.name,
    axes: outer.sizes.length + reduced.sizes.length,
    reduced: reduced.sizes.length,
    ...operandsOf(row, inner),
    scalars: scalarsOf(row),
    sweeps,
  };
}

/**
 * A sweep's lists. `first` is the number of the first reduced axis.
 * @param result how a graph reaches a result of an earlier sweep
 */
function build(
  row: RowLaunch,
  sweep: ReducingSweep | MappingSweep,
  first: number,
  result: (graph: Graph, i: number) => Expr,
): Sweep {
  const { compute, values } = row;
  const scalars = scalarsOf(row);
  const scopeOf = (graph: Graph): RowScope => ({
    graph,
    value: (i) => graph.load(i, values[i].dtype).cast(compute),
    load: (i, options) => graph.load(i, values[i].dtype, options),
    result: (i) => result(graph, i),
    index: () => graph.axis(first),
    count: () => {
      let count = graph.size(first);
      for (let axis = 1; axis < row.reduced.sizes.length; axis++) count = count.mul(graph.size(first + axis));
      return count;
    },
    param: (i) => graph.scalar(i, scalars[i]),
  });
  const storesOf = (stored: Readonly<Record<number, Expr>>, at: Store["at"]): Store[] =>
    Object.entries(stored).map(([output, value]) => ({
      output: Number(output),
      value: value.cast(values[row.program.operands.length + Number(output)].dtype).id,
      at,
    }));
  const body = new Graph();
  if ("map" in sweep) {
    const stores = storesOf(sweep.map(scopeOf(body)), "body");
    return { body: body.nodes, accumulators: [], step: [], epilogue: [], stores, results: [] };
  }
  const accumulators = sweep.accumulators(compute);
  const stateOf = (graph: Graph): Expr[] => accumulators.map(({ type }, i) => graph.accumulator(i, type));
  const step = sweep.step(stateOf(body), scopeOf(body)).map(({ id }) => id);
  const epilogue = new Graph();
  const at = scopeOf(epilogue);
  const state = stateOf(epilogue);
  const results = sweep.finish?.(state, at) ?? state;
  const stores = storesOf(sweep.stores?.(results, at) ?? {}, "epilogue");
  return { body: body.nodes, accumulators, step, epilogue: epilogue.nodes, stores, results: results.map(({ id }) => id) };
}

// --- a launch a sweep ------------------------------------------------------------------------------------------------

/** An operand of a sweep's own kernel. */
interface Moving {
  readonly value: LocalValue;
  /** Over the axes that stay, then those that go. */
  readonly strides: readonly number[];
}

function launchSweeps(row: RowLaunch): void {
  const { program, compute, values, outer, reduced } = row;
  const still = reduced.sizes.map(() => 0);
  const found: Moving[] = [];
  for (const [number, sweep] of program.sweeps.entries()) {
    const order = "map" in sweep ? mapOrder(row) : outer.sizes.concat(reduced.sizes).map((_, axis) => axis);
    const first = order.indexOf(outer.sizes.length);
    const inputs = program.operands.length;
    const made = build(row, sweep, first, (graph, i) => graph.load(inputs + i, compute));
    const fresh = made.results.map((): Moving => {
      const value = allocate(values[0].device, outer.sizes, compute);
      return { value, strides: [...value.strides, ...still] };
    });
    const own = values.map((value, k): Moving => ({ value, strides: [...outer.strides[k], ...reduced.strides[k]] }));
    launchSweep(row, made, number, order, [...own.slice(0, inputs), ...found], [...own.slice(inputs), ...fresh]);
    found.push(...fresh);
  }
  for (const { value } of found) value.storage.dispose();
}

/** All axes, those with the greatest steps of the mapped output first. */
function mapOrder({ program, outer, reduced }: RowLaunch): number[] {
  const output = program.operands.length + program.outputs.indexOf("row");
  const strides = [...outer.strides[output], ...reduced.strides[output]];
  return [...strides.keys()].sort((a, b) => strides[b] - strides[a]);
}

/** Launches the operands that the sweep uses; its results are stored as further outputs. */
function launchSweep(
  row: RowLaunch,
  sweep: Sweep,
  number: number,
  order: readonly number[],
  inputs: readonly Moving[],
  outputs: readonly Moving[],
): void {
  const { program, outer, reduced, params } = row;
  const results = sweep.results.map((value, i): Store => ({
    output: program.outputs.length + i,
    value,
    at: "epilogue",
  }));
  const stores = [...sweep.stores, ...results];
  const read = inputs.filter((_, k) => [...sweep.body, ...sweep.epilogue].some((node) => node.op === "load" && node.index === k));
  const written = outputs.filter((_, k) => stores.some(({ output }) => output === k));
  const operands = [...read, ...written].map(({ value, strides }): Bound => ({
    value,
    strides: order.map((axis) => strides[axis]),
  }));
  const inner = operands.map(({ strides }) => innerStride(strides[strides.length - 1]));
  const kernel = cached(program, keyOf(row, inner, `sweep ${number} ${order.join(",")}`), (): LoopKernel => {
    const operand = ({ value: { dtype } }: Moving, k: number): Operand => ({ dtype, inner: inner[k] });
    const place = <T>(from: readonly T[], to: readonly T[], k: number): number => to.indexOf(from[k]);
    const relabel = (node: Node): Node => (node.op === "load" ? { ...node, index: place(inputs, read, node.index) } : node);
    return {
      kind: "loop",
      name: program.name,
      axes: order.length,
      reduced: sweep.accumulators.length > 0 ? reduced.sizes.length : 0,
      inputs: read.map(operand),
      outputs: written.map((output, k) => ({ ...operand(output, read.length + k), overwrites: true })),
      scalars: scalarsOf(row),
      body: sweep.body.map(relabel),
      accumulators: sweep.accumulators,
      step: sweep.step,
      epilogue: sweep.epilogue.map(relabel),
      stores: stores.map((store) => ({ ...store, output: place(outputs, written, store.output) })),
    };
  });
  const sizes = [...outer.sizes, ...reduced.sizes];
  launch(kernel, operands, order.map((axis) => sizes[axis]), params);
}

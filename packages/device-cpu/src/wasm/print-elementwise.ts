/** Kernels without reduction axes: rows along the innermost axis, in pairs of vectors where operands allow. */
import { itemSize } from "@troupe/core/device";
import { type FunctionBuilder, Op, Type } from "./assembler.ts";
import { GraphEmitter } from "./emit.ts";
import type { KernelFrame } from "./frame.ts";
import { Level, movesUniformly, planGraph, runsInLanes, storeRoots } from "./plan.ts";
import { tilePrinter, type TurnedAxes } from "./print-tiles.ts";
import { fitsLanes } from "./vector.ts";

/** Vectors computed, then stored, side by side: what V8 can fuse into 256-bit instructions. */
const PAIR = 2;
/** As many where a body is short, so that counting costs less than what is counted. */
const SHORT = { units: 8, work: 3 } as const;

/** @returns what the launch may turn axes by, where there is a way in tiles */
export function printElementwise(frame: KernelFrame): TurnedAxes | undefined {
  const { f, kernel } = frame;
  const inner = kernel.axes - 1;
  const outer = Array.from({ length: Math.max(inner, 0) }, (_, axis) => axis);
  const roots = storeRoots(kernel.stores, "body");
  const plan = planGraph(kernel, kernel.body, roots, inner, true);
  const graph = new GraphEmitter(frame, plan);
  const operands = graph.usedOperands();
  const stored = kernel.stores.map(({ value }) => value);
  const vector = inner >= 0 && mapsInLanes(graph, true);

  const position = f.local(Type.i32);
  const count = f.local(Type.i32);
  f.get(frame.begin);
  f.get(frame.end);
  f.op(Op.i32GeU);
  f.if();
  f.op(Op.return);
  f.end();
  frame.loadSizes();
  const tiles = vector ? undefined : tilePrinter(frame);
  tiles?.prepare();
  const steps = operands.map((operand) => frame.step(operand, inner));
  graph.scalars(Level.launch);
  if (vector) graph.splats(Level.launch, Level.element, stored);
  frame.decompose(inner < 0 ? [] : [...outer, inner]);
  f.get(frame.begin);
  f.set(position);

  f.loop();
  tiles?.band(position, outer);
  // The rest of the row, or of the range.
  f.get(frame.end);
  f.get(position);
  f.op(Op.i32Sub);
  f.set(count);
  if (inner >= 0) {
    const row = f.local(Type.i32);
    f.get(frame.size[inner] ?? 0);
    f.get(frame.index[inner] ?? 0);
    f.op(Op.i32Sub);
    f.tee(row);
    f.get(count);
    f.get(row);
    f.get(count);
    f.op(Op.i32LtU);
    f.op(Op.select);
    f.set(count);
  }
  for (const operand of operands) {
    frame.address(operand, frame.operand(operand).inner === 0 || inner < 0 ? outer : [...outer, inner]);
    f.set(graph.pointer(operand));
  }
  f.get(position);
  f.get(count);
  f.op(Op.i32Add);
  f.set(position);
  graph.scalars(Level.run);
  graph.movePointers();
  if (vector) {
    graph.splats(Level.run, Level.element, stored);
    const guards = graph.guards();
    for (const [k, guard] of guards.entries()) {
      graph.push(guard);
      if (k > 0) f.op(Op.i32And);
    }
    if (guards.length > 0) f.if();
    printGroups(graph, operands, count);
    if (guards.length > 0) f.end();
  }
  f.block();
  if (vector) {
    f.get(count);
    f.op(Op.i32Eqz);
    f.branchIf(0);
  }
  f.loop();
  graph.scalars(Level.element);
  for (const store of kernel.stores) graph.store(store);
  for (const [k, operand] of operands.entries()) for (const pointer of graph.pointers(operand)) steps[k]?.(pointer);
  if (graph.counts(inner)) increase(f, frame.index[inner] ?? 0, 1);
  f.get(count);
  f.i32(1);
  f.op(Op.i32Sub);
  f.tee(count);
  f.branchIf(0);
  f.end();
  f.end();
  if (inner >= 0) {
    f.i32(0);
    f.set(frame.index[inner] ?? 0);
  }
  if (outer.length > 0) frame.advance(outer, 1);
  f.get(position);
  f.get(frame.end);
  f.op(Op.i32LtU);
  f.branchIf(0);
  f.end();
  return tiles?.turned;
}

/**
 * Whether a body of stores can be computed in lanes along the innermost axis.
 * @param moves whether the printer moves pointers, and asks for guards, once a run
 */
export function mapsInLanes({ frame: { kernel }, plan }: GraphEmitter, moves = false): boolean {
  const { stores } = kernel;
  const plain = stores.every((store) => store.indirect === undefined && store.guard === undefined && store.combine === undefined);
  return (
    runsInLanes(plan, Level.element, (operand) => kernel.inputs[operand]?.inner === 1, moves) &&
    stores.every(({ output, value }) =>
      kernel.outputs[output]?.inner === 1 && fitsLanes(plan.nodes[value]?.type ?? "int64")) &&
    (plain || (moves && stores.length === 1 && stores.every((store) => movesUniformly(plan, Level.element, store))))
  );
}

/**
 * The part of a row that fills whole groups of vectors.
 * @param count the local of the elements left of the row
 */
export function printGroups(graph: GraphEmitter, operands: readonly number[], count: number): void {
  const { frame } = graph;
  const { f, kernel } = frame;
  const inner = kernel.axes - 1;
  const { plan } = graph;
  const work = plan.nodes.filter((_, id) => plan.live[id] === true && plan.levels[id] === Level.element).length;
  for (const units of work <= SHORT.work ? [SHORT.units, PAIR] : [PAIR]) {
    const group = 4 * units;
    f.get(count);
    f.i32(group);
    f.op(Op.i32GeU);
    f.if();
    f.loop();
    for (let unit = 0; unit < units; unit++) graph.vectors(unit, Level.element);
    for (const store of kernel.stores) graph.storeVectors(store, units);
    for (const operand of operands) {
      const { dtype, inner: stride } = frame.operand(operand);
      if (stride !== 1) continue;
      for (const pointer of graph.pointers(operand)) increase(f, pointer, group * itemSize(dtype));
    }
    if (graph.counts(inner)) increase(f, frame.index[inner] ?? 0, group);
    graph.forgetVectors();
    f.get(count);
    f.i32(group);
    f.op(Op.i32Sub);
    f.tee(count);
    f.i32(group);
    f.op(Op.i32GeU);
    f.branchIf(0);
    f.end();
    f.end();
  }
}

function increase(f: FunctionBuilder, local: number, by: number): void {
  f.get(local);
  f.i32(by);
  f.op(Op.i32Add);
  f.set(local);
}

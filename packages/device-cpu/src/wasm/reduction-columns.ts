/** Reductions in lanes along the last axis that remains: each lane reduces a point of its own, in the scalar way's order. */
import { itemSize } from "@troupe/core/device";
import type { Partials } from "./accumulators.ts";
import { Scratch } from "./arguments.ts";
import { Op, Simd, Type } from "./assembler.ts";
import type { GraphEmitter } from "./emit.ts";
import type { KernelFrame } from "./frame.ts";
import { Level } from "./plan.ts";
import { maxUnits, unitsFor, type ReductionNest } from "./reduction-nest.ts";
import { emitLoad } from "./scalar.ts";
import { emitSplat, emitVectorLoad } from "./vector.ts";

/** Vectors side by side where columns are few. */
const narrow = [4, 2];

/**
 * `begin` prints the way in lanes beside the scalar way, which `end` closes; then follows the point's epilogue, and `next` repeats
 * that for every lane and moves on.
 */
export interface ColumnPrinter {
  begin(): void;
  end(): void;
  next(): void;
}

/**
 * The way in lanes along the last outer axis.
 * @param position the local of the current point
 */
export function columnPrinter(nest: ReductionNest, graph: GraphEmitter, position: number): ColumnPrinter {
  const { frame, accumulators } = nest;
  const { f, index, size, layout } = frame;
  const { outer } = nest.axes;
  const axis = outer.at(-1) ?? 0;
  const units = unitsFor(graph.plan, frame.kernel, maxUnits.columns);
  const totals = accumulators.vectorTotals(units, true);
  const levels = accumulators.levelsOf(totals);
  graph.vectorAccumulators.push(...levels[0].vectors.map((unit) => [...unit]));
  graph.extremeSteps = accumulators.extremeSteps();
  graph.scalars(Level.launch);
  graph.splats(Level.launch, Level.run, []);
  const steps = nest.steps(graph);
  // Lanes are possible where every operand is contiguous or constant along the axis.
  const possible = f.local(Type.i32);
  const contiguous = new Map<number, number>();
  f.i32(1);
  for (const operand of graph.usedOperands()) {
    const stride = f.local(Type.i32);
    contiguous.set(operand, stride);
    frame.argument(layout.stride(operand, axis));
    f.tee(stride);
    f.i32(1);
    f.op(Op.i32LeU);
    f.op(Op.i32And);
  }
  f.set(possible);
  const lanes = f.local(Type.i32);
  const lane = f.local(Type.i32);

  /** The way in lanes over `own` vectors, where so many columns are left. */
  const way = (own: number): void => {
    f.get(possible);
    for (const [end, start] of [[size[axis] ?? 0, index[axis] ?? 0], [frame.end, position]] as const) {
      f.get(end);
      f.get(start);
      f.op(Op.i32Sub);
      f.i32(4 * own);
      f.op(Op.i32GeU);
      f.op(Op.i32And);
    }
    f.if();
    const part = (partials: Partials): Partials => ({ scalars: [], vectors: partials.vectors.slice(0, own) });
    const [block, middle, all] = levels;
    accumulators.initialiseVectors(part(totals), "initial");
    nest.forEachRun(() => {
      nest.startRun(graph);
      nest.blocks(true, graph, [part(block), part(middle), part(all)], () => {
        printLeaves(frame, graph, contiguous, own, axis);
        for (let unit = 0; unit < own; unit++) {
          graph.vectors(unit, Level.run, ({ op }) => op === "load" || op === "axis");
        }
        for (let unit = 0; unit < own; unit++) accumulators.step(graph, unit);
        nest.advance(steps);
      });
    });
    accumulators.stash(part(totals), units, Scratch.headerBytes);
    for (const level of levels) accumulators.forgetVectors(part(level));
    f.i32(4 * own);
    f.set(lanes);
    f.else();
  };
  const ways = [units, ...narrow.filter((own) => own < units)];
  const begin = (): void => {
    for (const own of ways) way(own);
    f.i32(1);
    f.set(lanes);
  };
  const end = (): void => {
    for (let open = ways.length; open > 0; open--) f.end();
    f.i32(0);
    f.set(lane);
    f.loop();
    f.get(lanes);
    f.i32(1);
    f.op(Op.i32GtU);
    f.if();
    accumulators.takeLane(lane, units, Scratch.headerBytes);
    f.end();
  };
  const next = (): void => {
    nest.bump(index[axis] ?? 0, 1);
    nest.bump(position, 1);
    f.get(lane);
    f.i32(1);
    f.op(Op.i32Add);
    f.tee(lane);
    f.get(lanes);
    f.op(Op.i32LtU);
    f.branchIf(0);
    f.end();
    frame.advance(outer, 0);
  };
  return { begin, end, next };
}

/** Loads and indices of a column tile, which are alike for all its vectors or differ by the operand's stride. */
function printLeaves(
  frame: KernelFrame,
  graph: GraphEmitter,
  contiguous: ReadonlyMap<number, number>,
  units: number,
  axis: number,
): void {
  const { f, index } = frame;
  const unitNumbers = Array.from({ length: units }, (_, unit) => unit);
  for (const [id, node] of graph.plan.nodes.entries()) {
    if (graph.plan.live[id] !== true) continue;
    const locals = unitNumbers.map((unit) => graph.vectorLocal(id, unit));
    if (node.op === "axis") {
      for (const [unit, local] of locals.entries()) {
        f.get(index[node.index] ?? 0);
        f.simd(Simd.i32x4Splat);
        if (node.index === axis) {
          frame.laneNumbers();
          f.simd(Simd.i32x4Add);
          frame.constant(4 * unit);
          f.simd(Simd.i32x4Add);
        }
        f.set(local);
      }
    } else if (node.op === "load") {
      f.get(contiguous.get(node.index) ?? 0);
      f.if();
      for (const [unit, local] of locals.entries()) {
        f.get(graph.pointer(node.index));
        emitVectorLoad(f, node.type, unit * 4 * itemSize(node.type), graph.source(unit));
        f.set(local);
      }
      f.else();
      f.get(graph.pointer(node.index));
      emitLoad(f, node.type);
      emitSplat(f, node.type);
      for (const local of locals.slice(1)) f.tee(local);
      f.set(locals[0] ?? 0);
      f.end();
    }
  }
}

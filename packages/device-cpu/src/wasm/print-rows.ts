/** Row kernels: for every point of the outer axes one sweep after the other, while the row is in the nearest cache. */
import type { RowKernel, Sweep } from "@troupe/core/device";
import { Accumulators } from "./accumulators.ts";
import { Op, Type } from "./assembler.ts";
import { GraphEmitter } from "./emit.ts";
import type { KernelFrame } from "./frame.ts";
import { Level, planGraph, storeRoots } from "./plan.ts";
import { mapsInLanes, printGroups } from "./print-elementwise.ts";
import { ReductionPrinter } from "./print-reduction.ts";
import { reductionAxes, ReductionNest } from "./reduction-nest.ts";

/** What to print once a launch, and at each point. */
interface SweepPrinter {
  prepare(): void;
  point(): void;
}

/** @param frames a frame for each of the kernel's sweeps */
export function printRows(kernel: RowKernel, frames: readonly KernelFrame[]): void {
  const [frame] = frames;
  if (frame === undefined) return;
  const { f } = frame;
  const { outer } = reductionAxes(frame.kernel);
  const position = f.local(Type.i32);
  f.get(frame.begin);
  f.get(frame.end);
  f.op(Op.i32GeU);
  f.if();
  f.op(Op.return);
  f.end();
  frame.loadSizes();
  // Results are numbered in the order of the sweeps, and a sweep's printers need those before it.
  const sweeps = kernel.sweeps.map((sweep, i) => sweepPrinter(frames[i] ?? frame, sweep));
  for (const sweep of sweeps) sweep.prepare();
  frame.decompose(outer);
  f.get(frame.begin);
  f.set(position);
  f.loop();
  for (const sweep of sweeps) sweep.point();
  f.get(position);
  f.i32(1);
  f.op(Op.i32Add);
  f.set(position);
  if (outer.length > 0) frame.advance(outer, 1);
  f.get(position);
  f.get(frame.end);
  f.op(Op.i32LtU);
  f.branchIf(0);
  f.end();
}

function sweepPrinter(frame: KernelFrame, sweep: Sweep): SweepPrinter {
  return sweep.accumulators.length > 0 ? reducingSweep(frame, sweep) : mappingSweep(frame);
}

function reducingSweep(frame: KernelFrame, { epilogue, results }: Sweep): SweepPrinter {
  const reduction = new ReductionPrinter(frame, false, results);
  const locals = results.map((id) => frame.addResult(epilogue[id]?.type ?? "float32"));
  return {
    prepare: () => reduction.prepare(),
    point: () => {
      reduction.reduce();
      reduction.point();
      for (const [i, id] of results.entries()) {
        reduction.push(id);
        frame.f.set(locals[i] ?? 0);
      }
    },
  };
}

function mappingSweep(frame: KernelFrame): SweepPrinter {
  const { f, kernel } = frame;
  const axes = reductionAxes(kernel);
  const accumulators = new Accumulators(frame, undefined);
  const nest = new ReductionNest(frame, axes, accumulators);
  const plan = planGraph(kernel, kernel.body, storeRoots(kernel.stores, "body"), axes.inner, true);
  const graph = new GraphEmitter(frame, plan);
  const stored = kernel.stores.map(({ value }) => value);
  const lanes = mapsInLanes(graph);
  let steps: readonly (() => void)[] = [];
  return {
    prepare: () => {
      graph.scalars(Level.launch);
      if (lanes) graph.splats(Level.launch, Level.element, stored);
      steps = nest.steps(graph);
    },
    point: () => {
      nest.forEachRun(() => {
        nest.startRun(graph);
        graph.scalars(Level.run);
        if (lanes) {
          graph.splats(Level.run, Level.element, stored);
          printGroups(graph, graph.usedOperands(), nest.count);
        }
        const totals = accumulators.scalarTotals();
        nest.blocks(false, graph, [totals, totals, totals], () => {
          graph.scalars(Level.element);
          for (const store of kernel.stores) graph.store(store);
          nest.advance(steps);
        });
      });
      f.i32(0);
      f.set(frame.index[axes.inner] ?? 0);
    },
  };
}

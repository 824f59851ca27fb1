/** Reductions in lanes along the innermost axis: each lane takes every so many elements, and the lanes join at a point's end. */
import { itemSize } from "@troupe/core/device";
import { Scratch } from "./arguments.ts";
import { Op, Type } from "./assembler.ts";
import type { GraphEmitter } from "./emit.ts";
import { Level } from "./plan.ts";
import { maxUnits, unitsFor, type ReductionNest } from "./reduction-nest.ts";

/** What to print where a point begins, in each run, and where it ends. */
export interface RowPrinter {
  begin(): void;
  run(): void;
  end(): void;
}

/** The way in lanes along the innermost axis; what is left of a run is for the scalar way. */
export function rowPrinter(nest: ReductionNest, graph: GraphEmitter): RowPrinter {
  const { frame, accumulators } = nest;
  const { f, index, size } = frame;
  const { inner } = nest.axes;
  const units = unitsFor(graph.plan, frame.kernel, maxUnits.rows);
  const group = 4 * units;
  const totals = accumulators.vectorTotals(units, false);
  const levels = accumulators.levelsOf(totals);
  graph.vectorAccumulators.push(...levels[0].vectors.map((unit) => [...unit]));
  graph.extremeSteps = accumulators.extremeSteps();
  const rest = f.local(Type.i32);
  const whenWide = (print: () => void): void => {
    f.get(size[inner] ?? 0);
    f.i32(group);
    f.op(Op.i32GeU);
    f.if();
    print();
    f.end();
  };
  const run = (): void => {
    graph.splats(Level.run, Level.element, []);
    f.get(nest.count);
    f.i32(group - 1);
    f.op(Op.i32And);
    f.set(rest);
    f.get(nest.count);
    f.i32(Math.log2(group));
    f.op(Op.i32ShrU);
    f.set(nest.count);
    nest.blocks(true, graph, levels, () => {
      for (let unit = 0; unit < units; unit++) graph.vectors(unit, Level.element);
      for (let unit = 0; unit < units; unit++) accumulators.step(graph, unit);
      for (const operand of graph.usedOperands()) {
        const { dtype, inner: stride } = frame.operand(operand);
        if (stride === 1) nest.bump(graph.pointer(operand), group * itemSize(dtype));
      }
      nest.bump(index[inner] ?? 0, group);
    });
    f.get(rest);
    f.set(nest.count);
  };
  return {
    begin: () => whenWide(() => accumulators.initialiseVectors(totals, "identity")),
    run: () => whenWide(run),
    end: () => whenWide(() => {
      accumulators.joinLanes(totals, Scratch.headerBytes);
      for (const level of levels) accumulators.forgetVectors(level);
    }),
  };
}

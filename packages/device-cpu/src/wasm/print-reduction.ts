/**
 * Kernels with reduction axes. Three ways through the reduced nest, chosen by the kernel and the launch's strides:
 * - in lanes along the innermost axis, where it is contiguous and partial results join;
 * - in lanes along the last outer axis, where operands are contiguous (or constant) along that: each lane reduces alone;
 * - one scalar point after the other, which gives the same bits as the way before.
 */
import type { LoopKernel, RowKernel } from "@troupe/core/device";
import { Accumulators, type Levels } from "./accumulators.ts";
import { Op, Type } from "./assembler.ts";
import { GraphEmitter } from "./emit.ts";
import type { KernelFrame } from "./frame.ts";
import { joinsInLanes, Level, monoidsOf, planGraph, runsInLanes, storeRoots } from "./plan.ts";
import { columnPrinter } from "./reduction-columns.ts";
import { maxUnits, reductionAxes, ReductionNest } from "./reduction-nest.ts";
import { rowPrinter, type RowPrinter } from "./reduction-rows.ts";
import { fitsLanes } from "./vector.ts";

/** Scratch that lanes pass through on their way to scalars. */
export function reductionScratchBytes(kernel: LoopKernel | RowKernel): number {
  const sweeps = kernel.kind === "rows" ? kernel.sweeps : [kernel];
  return Math.max(...sweeps.map(({ accumulators }) => accumulators.length)) * maxUnits.columns * 16;
}

export function printReduction(frame: KernelFrame): undefined {
  new ReductionPrinter(frame, true).print();
}

/** Prints one reduction; `prepare`, `reduce` and `point` are for those who print what lies around by themselves. */
export class ReductionPrinter {
  readonly #frame: KernelFrame;
  readonly #kernel: LoopKernel;
  readonly #outer: readonly number[];
  readonly #nest: ReductionNest;
  readonly #body: GraphEmitter;
  readonly #epilogue: GraphEmitter;
  /** The body in lanes along the last outer axis, if it can be. */
  readonly #columns: GraphEmitter | undefined;
  readonly #lanes: boolean;
  readonly #accumulators: Accumulators;
  /** The sums of a block, of a block of blocks, and in all, of the scalar way. */
  readonly #levels: Levels;
  #rows: RowPrinter | undefined;
  #steps: readonly (() => void)[] = [];

  /**
   * @param columns whether lanes may lie along the last outer axis
   * @param results values of the epilogue that are needed beside what is stored
   */
  constructor(frame: KernelFrame, columns: boolean, results: readonly number[] = []) {
    const { kernel } = frame;
    this.#frame = frame;
    this.#kernel = kernel;
    const axes = reductionAxes(kernel);
    this.#outer = axes.outer;
    const roots = [...kernel.step, ...storeRoots(kernel.stores, "body")];
    this.#body = new GraphEmitter(frame, planGraph(kernel, kernel.body, roots, axes.inner, true));
    this.#epilogue = new GraphEmitter(
      frame,
      planGraph(kernel, kernel.epilogue, [...storeRoots(kernel.stores, "epilogue"), ...results], -1, false),
    );
    const monoids = monoidsOf(kernel);
    const fits = kernel.accumulators.every(({ type }) => fitsLanes(type));
    const stores = kernel.stores.some(({ at }) => at === "body");
    this.#lanes =
      joinsInLanes(kernel) && fits &&
      runsInLanes(this.#body.plan, Level.element, (operand) => kernel.inputs[operand]?.inner === 1);
    const columnPlan = planGraph(kernel, kernel.body, roots, this.#outer.at(-1) ?? -1, false);
    if (columns && !this.#lanes && !stores && fits && this.#outer.length > 0 && runsInLanes(columnPlan, Level.run, () => true)) {
      this.#columns = new GraphEmitter(frame, columnPlan);
    }
    this.#accumulators = new Accumulators(frame, monoids);
    const totals = this.#accumulators.scalarTotals();
    this.#levels = this.#lanes ? [totals, totals, totals] : this.#accumulators.levelsOf(totals);
    this.#body.accumulators.push(...this.#levels[0].scalars);
    this.#epilogue.accumulators.push(...this.#accumulators.totals);
    this.#nest = new ReductionNest(frame, axes, this.#accumulators);
  }

  print(): void {
    const frame = this.#frame;
    const { f } = frame;
    const nest = this.#nest;
    const position = f.local(Type.i32);
    f.get(frame.begin);
    f.get(frame.end);
    f.op(Op.i32GeU);
    f.if();
    f.op(Op.return);
    f.end();
    frame.loadSizes();
    this.prepare();
    const columns = this.#columns === undefined ? undefined : columnPrinter(nest, this.#columns, position);
    frame.decompose(this.#outer);
    f.get(frame.begin);
    f.set(position);

    f.loop();
    columns?.begin();
    this.reduce();
    columns?.end();
    this.point();
    if (columns === undefined) {
      f.get(position);
      f.i32(1);
      f.op(Op.i32Add);
      f.set(position);
      if (this.#outer.length > 0) frame.advance(this.#outer, 1);
    } else columns.next();
    f.get(position);
    f.get(frame.end);
    f.op(Op.i32LtU);
    f.branchIf(0);
    f.end();
  }

  /** What a launch needs once, after its sizes. */
  prepare(): void {
    this.#body.scalars(Level.launch);
    this.#epilogue.scalars(Level.launch);
    if (this.#lanes) this.#body.splats(Level.launch, Level.element, []);
    this.#steps = this.#nest.steps(this.#body);
    this.#rows = this.#lanes ? rowPrinter(this.#nest, this.#body) : undefined;
  }

  /** Reduces the current point, in lanes along the innermost axis or one element after the other. */
  reduce(): void {
    const nest = this.#nest;
    this.#accumulators.initialise();
    this.#rows?.begin();
    nest.forEachRun(() => {
      nest.startRun(this.#body);
      this.#body.scalars(Level.run);
      this.#rows?.run();
      nest.blocks(!this.#lanes, this.#body, this.#levels, () => {
        this.#body.scalars(Level.element);
        for (const store of this.#kernel.stores) if (store.at === "body") this.#body.store(store);
        this.#accumulators.step(this.#body);
        nest.advance(this.#steps);
      });
    });
    this.#rows?.end();
  }

  /** Pushes a value of the current point's epilogue. */
  push(id: number): void {
    this.#epilogue.push(id);
  }

  /** The epilogue and its stores at the current point. */
  point(): void {
    for (const operand of this.#epilogue.usedOperands()) {
      this.#frame.address(operand, this.#outer);
      this.#frame.f.set(this.#epilogue.pointer(operand));
    }
    this.#epilogue.scalars(Level.run, Level.element);
    for (const store of this.#kernel.stores) if (store.at === "epilogue") this.#epilogue.store(store);
  }
}

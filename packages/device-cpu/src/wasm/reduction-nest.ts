/** The reduced nest of a kernel: loops over the reduced axes, and the blocks in which a run along the innermost one is taken. */
import type { LoopKernel } from "@troupe/core/device";
import { blockLength, type Accumulators, type Levels } from "./accumulators.ts";
import { Op, Type } from "./assembler.ts";
import type { GraphEmitter } from "./emit.ts";
import type { KernelFrame } from "./frame.ts";
import { Level, type GraphPlan } from "./plan.ts";

/** Axes that remain, axes that are reduced except the innermost, and that. */
export interface ReductionAxes {
  readonly outer: readonly number[];
  readonly middle: readonly number[];
  readonly inner: number;
}

export function reductionAxes({ axes, reduced }: LoopKernel): ReductionAxes {
  const all = Array.from({ length: axes }, (_, axis) => axis);
  return { outer: all.slice(0, axes - reduced), middle: all.slice(axes - reduced, -1), inner: axes - 1 };
}

/** Vectors side by side at most: along the innermost axis, and along the last that remains. */
export const maxUnits = { rows: 8, columns: 16 } as const;

/**
 * Vectors side by side: many for short steps, which wait for each other (or, in columns, for a few lines of every row, which no
 * prefetcher foresees); few where registers run short.
 */
export function unitsFor(plan: GraphPlan, kernel: LoopKernel, most: number): number {
  let work = kernel.accumulators.length - 1;
  for (const [id, node] of plan.nodes.entries()) {
    if (plan.live[id] === true && plan.levels[id] !== Level.launch && node.op !== "acc") work += 1;
  }
  return Math.min(most, work <= 3 ? most : work <= 8 ? 4 : 2);
}

/** Prints the loops over what a point reduces, for any of the ways through it. */
export class ReductionNest {
  readonly frame: KernelFrame;
  readonly axes: ReductionAxes;
  readonly accumulators: Accumulators;
  /** The local of the elements (or groups of vectors) left of a run. */
  readonly count: number;
  /** Elements left of a block of blocks, and of a block. */
  readonly #blockCounts: readonly [number, number];

  constructor(frame: KernelFrame, axes: ReductionAxes, accumulators: Accumulators) {
    this.frame = frame;
    this.axes = axes;
    this.accumulators = accumulators;
    this.count = frame.f.local(Type.i32);
    this.#blockCounts = [frame.f.local(Type.i32), frame.f.local(Type.i32)];
  }

  /** What advances a graph's pointers along the innermost axis. */
  steps(graph: GraphEmitter): readonly (() => void)[] {
    return graph.usedOperands().map((operand) => {
      const step = this.frame.step(operand, this.axes.inner);
      return () => step(graph.pointer(operand));
    });
  }

  /** Moves on by one element along the innermost axis. */
  advance(steps: readonly (() => void)[]): void {
    for (const step of steps) step();
    this.bump(this.frame.index[this.axes.inner] ?? 0, 1);
  }

  /** `local += by`. */
  bump(local: number, by: number): void {
    const { f } = this.frame;
    f.get(local);
    f.i32(by);
    f.op(Op.i32Add);
    f.set(local);
  }

  /** Loops over the reduced axes but the innermost; nothing where a reduced axis is empty. */
  forEachRun(run: () => void): void {
    const { f, index, size } = this.frame;
    f.block();
    for (const axis of [...this.axes.middle, this.axes.inner]) {
      f.get(size[axis] ?? 0);
      f.op(Op.i32Eqz);
      f.branchIf(0);
    }
    for (const axis of this.axes.middle) {
      f.i32(0);
      f.set(index[axis] ?? 0);
      f.loop();
    }
    run();
    for (const axis of this.axes.middle.toReversed()) {
      this.bump(index[axis] ?? 0, 1);
      f.get(index[axis] ?? 0);
      f.get(size[axis] ?? 0);
      f.op(Op.i32LtU);
      f.branchIf(0);
      f.end();
    }
    f.end();
  }

  /** Points a graph at the start of a run along the innermost axis. */
  startRun(graph: GraphEmitter): void {
    const { f, index, size } = this.frame;
    for (const operand of graph.usedOperands()) {
      this.frame.address(operand, [...this.axes.outer, ...this.axes.middle]);
      f.set(graph.pointer(operand));
    }
    f.i32(0);
    f.set(index[this.axes.inner] ?? 0);
    f.get(size[this.axes.inner] ?? 0);
    f.set(this.count);
  }

  /** Runs `element` as often as the run's count says, in blocks of blocks where sums need them. */
  blocks(blocks: boolean, graph: GraphEmitter, [block, middle, totals]: Levels, element: () => void): void {
    const { f } = this.frame;
    const { count } = this;
    const accumulators = this.accumulators;
    const [inMiddle, inBlock] = this.#blockCounts;
    const blocked = blocks && accumulators.blocked;
    const again = (counter: number): void => {
      f.get(counter);
      f.branchIf(0);
      f.end();
    };
    const take = (length: number, from: number, counter: number): void => {
      this.#least(from, length);
      f.set(counter);
      f.get(from);
      f.get(counter);
      f.op(Op.i32Sub);
      f.set(from);
    };
    const elements = (counter: number): void => {
      f.loop();
      element();
      graph.forgetVectors();
      this.bump(counter, -1);
      again(counter);
    };
    f.block();
    f.get(count);
    f.op(Op.i32Eqz);
    f.branchIf(0);
    if (blocked) {
      f.loop();
      take(blockLength * blockLength, count, inMiddle);
      accumulators.startBlock(middle);
      f.loop();
      take(blockLength, inMiddle, inBlock);
      accumulators.startBlock(block);
      elements(inBlock);
      accumulators.endBlock(block, middle);
      again(inMiddle);
      accumulators.endBlock(middle, totals);
      again(count);
    } else elements(count);
    f.end();
  }

  /** Pushes the lesser of a local and a number. */
  #least(local: number, limit: number): void {
    const { f } = this.frame;
    f.get(local);
    f.i32(limit);
    f.get(local);
    f.i32(limit);
    f.op(Op.i32LtU);
    f.op(Op.select);
  }
}

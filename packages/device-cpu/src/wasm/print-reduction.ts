/**
 * Kernels with reduction axes. Three ways through the reduced nest, chosen by the kernel and the launch's strides:
 * - in lanes along the innermost axis, where it is contiguous and partial results join;
 * - in lanes along the last outer axis, where operands are contiguous (or constant) along that: each lane reduces alone;
 * - one scalar point after the other, which gives the same bits as the way before.
 */
import { itemSize, type LoopKernel } from "@troupe/core/device";
import { Accumulators, blockLength, type Partials } from "./accumulators.ts";
import { Scratch } from "./arguments.ts";
import { Op, Simd, Type } from "./assembler.ts";
import { GraphEmitter } from "./emit.ts";
import type { KernelFrame } from "./frame.ts";
import { Level, monoidsOf, planGraph, runsInLanes, storeRoots, type GraphPlan } from "./plan.ts";
import { emitLoad } from "./scalar.ts";
import { emitSplat, emitVectorLoad, fitsLanes } from "./vector.ts";

const maxUnits = 8;

/** Partial results of a block, of a block of blocks, and in all. */
type Levels = readonly [Partials, Partials, Partials];

/** Scratch that lanes pass through on their way to scalars. */
export function reductionScratchBytes(kernel: LoopKernel): number {
  return kernel.accumulators.length * maxUnits * 16;
}

/** Vectors side by side: many for short steps, which wait for each other otherwise; few where registers run short. */
function unitsFor(plan: GraphPlan, kernel: LoopKernel, most: number): number {
  let work = kernel.accumulators.length - 1;
  for (const [id, node] of plan.nodes.entries()) {
    if (plan.live[id] === true && plan.levels[id] !== Level.launch && node.op !== "acc") work += 1;
  }
  return Math.min(most, work <= 3 ? 8 : work <= 8 ? 4 : 2);
}

export function printReduction(frame: KernelFrame): void {
  new ReductionPrinter(frame).print();
}

class ReductionPrinter {
  readonly #frame: KernelFrame;
  readonly #kernel: LoopKernel;
  /** Axes that remain, axes that are reduced except the innermost, and that. */
  readonly #outer: readonly number[];
  readonly #middle: readonly number[];
  readonly #inner: number;
  readonly #body: GraphEmitter;
  readonly #epilogue: GraphEmitter;
  /** The body in lanes along the last outer axis, if it can be. */
  readonly #columns: GraphEmitter | undefined;
  readonly #lanes: boolean;
  readonly #accumulators: Accumulators;
  /** The sums of a block, of a block of blocks, and in all, of the scalar way. */
  readonly #levels: Levels;
  /** Elements left of a run, of a block of blocks, and of a block. */
  readonly #counts: readonly [number, number, number];

  constructor(frame: KernelFrame) {
    const { kernel, f } = frame;
    this.#frame = frame;
    this.#kernel = kernel;
    const axes = Array.from({ length: kernel.axes }, (_, axis) => axis);
    this.#outer = axes.slice(0, kernel.axes - kernel.reduced);
    this.#middle = axes.slice(kernel.axes - kernel.reduced, -1);
    this.#inner = kernel.axes - 1;
    const roots = [...kernel.step, ...storeRoots(kernel.stores, "body")];
    this.#body = new GraphEmitter(frame, planGraph(kernel, kernel.body, roots, this.#inner, true));
    this.#epilogue = new GraphEmitter(
      frame,
      planGraph(kernel, kernel.epilogue, storeRoots(kernel.stores, "epilogue"), -1, false),
    );
    const monoids = monoidsOf(kernel);
    const fits = kernel.accumulators.every(({ type }) => fitsLanes(type));
    const stores = kernel.stores.some(({ at }) => at === "body");
    this.#lanes =
      monoids !== undefined && fits &&
      runsInLanes(this.#body.plan, Level.element, (operand) => kernel.inputs[operand]?.inner === 1);
    const columnPlan = planGraph(kernel, kernel.body, roots, this.#outer.at(-1) ?? -1, false);
    if (!this.#lanes && !stores && fits && this.#outer.length > 0 && runsInLanes(columnPlan, Level.run, () => true)) {
      this.#columns = new GraphEmitter(frame, columnPlan);
    }
    this.#accumulators = new Accumulators(frame, monoids);
    const totals = this.#accumulators.scalarTotals();
    this.#levels = this.#lanes ? [totals, totals, totals] : this.#levelsOf(totals);
    this.#body.accumulators.push(...this.#levels[0].scalars);
    this.#epilogue.accumulators.push(...this.#accumulators.totals);
    this.#counts = [f.local(Type.i32), f.local(Type.i32), f.local(Type.i32)];
  }

  #levelsOf(totals: Partials): Levels {
    const middle = this.#accumulators.blockOf(totals);
    return [this.#accumulators.blockOf(middle), middle, totals];
  }

  print(): void {
    const { f } = this.#frame;
    const frame = this.#frame;
    const position = f.local(Type.i32);
    f.get(frame.begin);
    f.get(frame.end);
    f.op(Op.i32GeU);
    f.if();
    f.op(Op.return);
    f.end();
    frame.loadSizes();
    this.#body.scalars(Level.launch);
    this.#epilogue.scalars(Level.launch);
    if (this.#lanes) this.#body.splats(Level.launch, Level.element, []);
    const bodySteps = this.#steps(this.#body);
    const runs = this.#lanes ? this.#laneGroups() : undefined;
    const columns = this.#columns === undefined ? undefined : this.#columnTile(this.#columns, position);
    frame.decompose(this.#outer);
    f.get(frame.begin);
    f.set(position);

    f.loop();
    columns?.begin();
    this.#accumulators.initialise();
    runs?.begin();
    this.#nest(() => {
      this.#startRun(this.#body);
      this.#body.scalars(Level.run);
      runs?.run();
      this.#blocks(!this.#lanes, this.#body, this.#levels, () => {
        this.#body.scalars(Level.element);
        for (const store of this.#kernel.stores) if (store.at === "body") this.#body.store(store);
        this.#accumulators.step(this.#body);
        this.#advance(bodySteps);
      });
    });
    runs?.end();
    columns?.end();
    this.#point();
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

  /** The epilogue and its stores at the current point. */
  #point(): void {
    for (const operand of this.#epilogue.usedOperands()) {
      this.#frame.address(operand, this.#outer);
      this.#frame.f.set(this.#epilogue.pointer(operand));
    }
    this.#epilogue.scalars(Level.run, Level.element);
    for (const store of this.#kernel.stores) if (store.at === "epilogue") this.#epilogue.store(store);
  }

  /** What advances a graph's pointers along the innermost axis. */
  #steps(graph: GraphEmitter): readonly (() => void)[] {
    return graph.usedOperands().map((operand) => {
      const step = this.#frame.step(operand, this.#inner);
      return () => step(graph.pointer(operand));
    });
  }

  #advance(steps: readonly (() => void)[]): void {
    for (const step of steps) step();
    this.#bump(this.#frame.index[this.#inner] ?? 0, 1);
  }

  #bump(local: number, by: number): void {
    const { f } = this.#frame;
    f.get(local);
    f.i32(by);
    f.op(Op.i32Add);
    f.set(local);
  }

  /** Loops over the reduced axes but the innermost. */
  #nest(run: () => void): void {
    const { f, index, size } = this.#frame;
    f.block();
    for (const axis of [...this.#middle, this.#inner]) {
      f.get(size[axis] ?? 0);
      f.op(Op.i32Eqz);
      f.branchIf(0);
    }
    for (const axis of this.#middle) {
      f.i32(0);
      f.set(index[axis] ?? 0);
      f.loop();
    }
    run();
    for (const axis of this.#middle.toReversed()) {
      this.#bump(index[axis] ?? 0, 1);
      f.get(index[axis] ?? 0);
      f.get(size[axis] ?? 0);
      f.op(Op.i32LtU);
      f.branchIf(0);
      f.end();
    }
    f.end();
  }

  /** Points a graph at the start of a run along the innermost axis. */
  #startRun(graph: GraphEmitter): void {
    const { f, index, size } = this.#frame;
    for (const operand of graph.usedOperands()) {
      this.#frame.address(operand, [...this.#outer, ...this.#middle]);
      f.set(graph.pointer(operand));
    }
    f.i32(0);
    f.set(index[this.#inner] ?? 0);
    f.get(size[this.#inner] ?? 0);
    f.set(this.#counts[0]);
  }

  /** Runs `element` as often as the run's count says, in blocks of blocks where sums need them. */
  #blocks(blocks: boolean, graph: GraphEmitter, [block, middle, totals]: Levels, element: () => void): void {
    const { f } = this.#frame;
    const accumulators = this.#accumulators;
    const [count, inMiddle, inBlock] = this.#counts;
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
      this.#bump(counter, -1);
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
    const { f } = this.#frame;
    f.get(local);
    f.i32(limit);
    f.get(local);
    f.i32(limit);
    f.op(Op.i32LtU);
    f.op(Op.select);
  }

  /** The way in lanes along the innermost axis: what to print where a point begins, in each run, and where it ends. */
  #laneGroups(): { begin(): void; run(): void; end(): void } {
    const { f, index, size } = this.#frame;
    const graph = this.#body;
    const accumulators = this.#accumulators;
    const units = unitsFor(graph.plan, this.#kernel, maxUnits);
    const group = 4 * units;
    const totals = accumulators.vectorTotals(units);
    const levels = this.#levelsOf(totals);
    graph.vectorAccumulators.push(...levels[0].vectors.map((unit) => [...unit]));
    const rest = f.local(Type.i32);
    const whenWide = (print: () => void): void => {
      f.get(size[this.#inner] ?? 0);
      f.i32(group);
      f.op(Op.i32GeU);
      f.if();
      print();
      f.end();
    };
    const run = (): void => {
      graph.splats(Level.run, Level.element, []);
      f.get(this.#counts[0]);
      f.i32(group - 1);
      f.op(Op.i32And);
      f.set(rest);
      f.get(this.#counts[0]);
      f.i32(Math.log2(group));
      f.op(Op.i32ShrU);
      f.set(this.#counts[0]);
      this.#blocks(true, graph, levels, () => {
        for (let unit = 0; unit < units; unit++) graph.vectors(unit, Level.element);
        for (let unit = 0; unit < units; unit++) accumulators.step(graph, unit);
        for (const operand of graph.usedOperands()) {
          const { dtype, inner } = this.#frame.operand(operand);
          if (inner === 1) this.#bump(graph.pointer(operand), group * itemSize(dtype));
        }
        this.#bump(index[this.#inner] ?? 0, group);
      });
      f.get(rest);
      f.set(this.#counts[0]);
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

  /**
   * The way in lanes along the last outer axis: `begin` prints it beside the scalar way, which `end` closes; then follows the
   * point's epilogue, and `next` repeats that for every lane and moves on.
   */
  #columnTile(graph: GraphEmitter, position: number): { begin(): void; end(): void; next(): void } {
    const frame = this.#frame;
    const { f, index, size, layout } = frame;
    const axis = this.#outer.at(-1) ?? 0;
    const accumulators = this.#accumulators;
    const units = unitsFor(graph.plan, this.#kernel, 4);
    const tile = 4 * units;
    const totals = accumulators.vectorTotals(units);
    const levels = this.#levelsOf(totals);
    graph.vectorAccumulators.push(...levels[0].vectors.map((unit) => [...unit]));
    graph.scalars(Level.launch);
    graph.splats(Level.launch, Level.run, []);
    const steps = this.#steps(graph);
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

    const begin = (): void => {
      f.get(possible);
      for (const [end, start] of [[size[axis] ?? 0, index[axis] ?? 0], [frame.end, position]] as const) {
        f.get(end);
        f.get(start);
        f.op(Op.i32Sub);
        f.i32(tile);
        f.op(Op.i32GeU);
        f.op(Op.i32And);
      }
      f.if();
      accumulators.initialiseVectors(totals, "initial");
      this.#nest(() => {
        this.#startRun(graph);
        this.#blocks(true, graph, levels, () => {
          this.#columnLeaves(graph, contiguous, units, axis);
          for (let unit = 0; unit < units; unit++) {
            graph.vectors(unit, Level.run, ({ op }) => op === "load" || op === "axis");
          }
          for (let unit = 0; unit < units; unit++) accumulators.step(graph, unit);
          this.#advance(steps);
        });
      });
      accumulators.stash(totals, Scratch.headerBytes);
      for (const level of levels) accumulators.forgetVectors(level);
      f.i32(tile);
      f.set(lanes);
      f.else();
      f.i32(1);
      f.set(lanes);
    };
    const end = (): void => {
      f.end();
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
      this.#bump(index[axis] ?? 0, 1);
      this.#bump(position, 1);
      f.get(lane);
      f.i32(1);
      f.op(Op.i32Add);
      f.tee(lane);
      f.get(lanes);
      f.op(Op.i32LtU);
      f.branchIf(0);
      f.end();
      frame.advance(this.#outer, 0);
    };
    return { begin, end, next };
  }

  /** Loads and indices of a column tile, which are alike for all its vectors or differ by the operand's stride. */
  #columnLeaves(graph: GraphEmitter, contiguous: ReadonlyMap<number, number>, units: number, axis: number): void {
    const { f, index } = this.#frame;
    const unitNumbers = Array.from({ length: units }, (_, unit) => unit);
    for (const [id, node] of graph.plan.nodes.entries()) {
      if (graph.plan.live[id] !== true) continue;
      const locals = unitNumbers.map((unit) => graph.vectorLocal(id, unit));
      if (node.op === "axis") {
        for (const [unit, local] of locals.entries()) {
          f.get(index[node.index] ?? 0);
          f.simd(Simd.i32x4Splat);
          if (node.index === axis) {
            this.#frame.laneNumbers();
            f.simd(Simd.i32x4Add);
            this.#frame.constant(4 * unit);
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
}

/**
 * Elementwise kernels whose operands lie across each other: some contiguous along the innermost axis, others along the one before it
 * (a transposed copy). Vectors of both kinds meet in tiles of 4 x 4 elements, which shuffles transpose. Tiles are taken in bands
 * of rows, so that a line of memory is used up while it is in the nearest caches.
 */
import { itemSize } from "@troupe/core/device";
import type { ArgumentLayout } from "./arguments.ts";
import { type FunctionBuilder, Op, Type } from "./assembler.ts";
import { GraphEmitter } from "./emit.ts";
import type { KernelFrame } from "./frame.ts";
import { Level, planGraph, runsInLanes, storeRoots } from "./plan.ts";
import { emitLoad } from "./scalar.ts";
import { emitSplat, emitVectorLoad, emitVectorStore, fitsLanes } from "./vector.ts";

const TILE = 4;
/** Rows of a band at most: whole lines, few enough pages. */
const BAND = 64;
/** Tiles side by side, where a body is short: a line of 32-bit elements. Else code would grow. */
const WIDE = 4;
const shortBody = 8;

/** Pushes how many bytes an operand moves from row to row, and from column to column. */
interface Steps {
  readonly rows: () => void;
  readonly columns: () => void;
}

/** The way in tiles of a kernel, if there is one. */
export function tilePrinter(frame: KernelFrame): TilePrinter | undefined {
  const { kernel } = frame;
  const inner = kernel.axes - 1;
  if (inner < 1 || ![...kernel.inputs, ...kernel.outputs].some((operand) => operand.inner === "any")) return undefined;
  const plan = planGraph(kernel, kernel.body, storeRoots(kernel.stores, "body"), inner, false);
  const fits = kernel.stores.every(({ output, indirect, guard, combine }) => {
    const operand = kernel.outputs[output];
    const plain = indirect === undefined && guard === undefined && combine === undefined;
    return plain && operand !== undefined && operand.inner !== 0 && fitsLanes(operand.dtype);
  });
  const turns = plan.nodes.every(({ op }) => op !== "axis" && op !== "size");
  if (!fits || !turns || !runsInLanes(plan, Level.element, () => true)) return undefined;
  return new TilePrinter(frame, new GraphEmitter(frame, plan));
}

/**
 * Puts the axis along which strided operands are contiguous before the innermost one, where the printed code looks for it.
 * @param words,at the argument block
 */
export function turnAxes({ layout, operands, axes }: TurnedAxes, words: Int32Array, at: number): void {
  const word = (offset: number): number => at + (offset >> 2);
  const contiguous = (axis: number): boolean => operands.every((operand) => words[word(layout.stride(operand, axis))] === 1);
  const target = axes - 2;
  if (contiguous(target)) return;
  let found = target - 1;
  while (found >= 0 && !(contiguous(found) && (words[word(layout.size(found))] ?? 0) >= TILE)) found--;
  if (found < 0) return;
  const turn = (first: number): void => {
    const moved = words[first + found] ?? 0;
    words.copyWithin(first + found, first + found + 1, first + target + 1);
    words[first + target] = moved;
  };
  turn(word(layout.size(0)));
  for (let operand = 0; operand < layout.operands; operand++) turn(word(layout.stride(operand, 0)));
}

/** What `turnAxes` must know of a kernel. */
export interface TurnedAxes {
  readonly layout: ArgumentLayout;
  readonly axes: number;
  /** The operands that are strided along the innermost axis. */
  readonly operands: readonly number[];
}

export class TilePrinter {
  readonly #frame: KernelFrame;
  readonly #f: FunctionBuilder;
  readonly #graph: GraphEmitter;
  readonly #operands: readonly number[];
  readonly #steps = new Map<number, Steps>();
  readonly #bases = new Map<number, number>();
  readonly #possible: number;
  readonly #temporaries: readonly number[];

  constructor(frame: KernelFrame, graph: GraphEmitter) {
    this.#frame = frame;
    this.#f = frame.f;
    this.#graph = graph;
    this.#operands = graph.usedOperands();
    this.#possible = frame.f.local(Type.i32);
    this.#temporaries = Array.from({ length: 2 * TILE }, () => frame.f.local(Type.v128));
  }

  /** What the launch may turn axes by. */
  get turned(): TurnedAxes {
    const { layout, kernel } = this.#frame;
    return { layout, axes: kernel.axes, operands: this.#operands.filter((operand) => this.#isAcross(operand)) };
  }

  get #rowAxis(): number {
    return this.#frame.kernel.axes - 2;
  }

  #isAcross(operand: number): boolean {
    return this.#frame.operand(operand).inner === "any";
  }

  /** Once a launch, after its sizes: the values that are the same everywhere, and whether operands lie as tiles need. */
  prepare(): void {
    const f = this.#f;
    const frame = this.#frame;
    const { layout, kernel } = frame;
    this.#graph.scalars(Level.launch);
    this.#graph.splats(Level.launch, Level.element, kernel.stores.map(({ value }) => value));
    f.get(frame.size[this.#rowAxis + 1] ?? 0);
    f.i32(TILE);
    f.op(Op.i32GeU);
    f.set(this.#possible);
    for (const operand of this.#operands) {
      const { dtype, inner } = frame.operand(operand);
      const strided = (axis: number): (() => void) => {
        const step = f.local(Type.i32);
        frame.argument(layout.stride(operand, axis));
        frame.toBytes(operand);
        f.set(step);
        return () => f.get(step);
      };
      const element = (): void => f.i32(itemSize(dtype));
      if (inner === "any") {
        f.get(this.#possible);
        frame.argument(layout.stride(operand, this.#rowAxis));
        f.i32(1);
        f.op(Op.i32Eq);
        f.op(Op.i32And);
        f.set(this.#possible);
        this.#steps.set(operand, { rows: element, columns: strided(this.#rowAxis + 1) });
      } else {
        this.#steps.set(operand, { rows: strided(this.#rowAxis), columns: inner === 1 ? element : () => f.i32(0) });
      }
      this.#bases.set(operand, f.local(Type.i32));
    }
  }

  /**
   * At a point of the range: takes a band of whole rows, if one begins here, and goes back to the loop around it.
   * @param position the local of the current point
   * @param outer the axes but the innermost
   */
  band(position: number, outer: readonly number[]): void {
    const f = this.#f;
    const frame = this.#frame;
    const rows = f.local(Type.i32);
    const rowIndex = frame.index[this.#rowAxis] ?? 0;
    const width = frame.size[this.#rowAxis + 1] ?? 0;
    f.block();
    f.get(this.#possible);
    f.op(Op.i32Eqz);
    f.branchIf(0);
    f.get(frame.index[this.#rowAxis + 1] ?? 0);
    f.branchIf(0);
    f.get(frame.end);
    f.get(position);
    f.op(Op.i32Sub);
    f.get(width);
    f.op(Op.i32DivU);
    f.set(rows);
    this.#atMost(rows, () => {
      f.get(frame.size[this.#rowAxis] ?? 0);
      f.get(rowIndex);
      f.op(Op.i32Sub);
    });
    this.#atMost(rows, () => f.i32(BAND));
    f.get(rows);
    f.i32(-TILE);
    f.op(Op.i32And);
    f.tee(rows);
    f.op(Op.i32Eqz);
    f.branchIf(0);
    this.#columns(outer, rows, width);
    f.get(position);
    f.get(rows);
    f.get(width);
    f.op(Op.i32Mul);
    f.op(Op.i32Add);
    f.set(position);
    f.get(rowIndex);
    f.get(rows);
    f.op(Op.i32Add);
    f.i32(1);
    f.op(Op.i32Sub);
    f.set(rowIndex);
    frame.advance(outer, 1);
    f.get(position);
    f.get(frame.end);
    f.op(Op.i32LtU);
    f.branchIf(1);
    f.op(Op.return);
    f.end();
  }

  /** The columns of a band: wide tiles, tiles, and what is left one element after the other. */
  #columns(outer: readonly number[], rows: number, width: number): void {
    const f = this.#f;
    const left = f.local(Type.i32);
    const row = f.local(Type.i32);
    for (const [operand, base] of this.#bases) {
      this.#frame.address(operand, outer);
      f.set(base);
    }
    f.get(width);
    f.set(left);
    const each = (columns: number, rowsEach: number, print: () => void): void => {
      f.block();
      f.loop();
      f.get(left);
      f.i32(columns);
      f.op(Op.i32LtU);
      f.branchIf(1);
      for (const [operand, base] of this.#bases) {
        f.get(base);
        f.set(this.#graph.pointer(operand));
      }
      f.get(rows);
      f.set(row);
      f.loop();
      print();
      for (const operand of this.#operands) this.#bump(this.#graph.pointer(operand), rowsEach, this.#steps.get(operand)?.rows);
      f.get(row);
      f.i32(rowsEach);
      f.op(Op.i32Sub);
      f.tee(row);
      f.branchIf(0);
      f.end();
      for (const [operand, base] of this.#bases) this.#bump(base, columns, this.#steps.get(operand)?.columns);
      f.get(left);
      f.i32(columns);
      f.op(Op.i32Sub);
      f.set(left);
      f.branch(0);
      f.end();
      f.end();
    };
    const { plan } = this.#graph;
    const work = plan.nodes.filter((_, id) => plan.live[id] === true && plan.levels[id] === Level.element).length;
    for (const tiles of work <= shortBody ? [WIDE, 1] : [1]) each(tiles * TILE, TILE, () => this.#tiles(tiles));
    each(1, 1, () => {
      this.#graph.scalars(Level.element);
      for (const store of this.#frame.kernel.stores) this.#graph.store(store);
    });
  }

  /** Tiles side by side. */
  #tiles(count: number): void {
    const f = this.#f;
    const graph = this.#graph;
    const { kernel } = this.#frame;
    const pointers = new Map(this.#operands.map((operand) => [operand, this.#pointers(operand)]));
    const at = (operand: number, line: number): void => f.get(pointers.get(operand)?.[line] ?? 0);
    const lines = Array.from({ length: TILE }, (_, line) => line);
    for (let tile = 0; tile < count; tile++) {
      for (const [id, node] of graph.plan.nodes.entries()) {
        if (node.op !== "load" || graph.plan.live[id] !== true) continue;
        const lanes = lines.map((line) => graph.vectorLocal(id, line));
        const { inner, dtype } = this.#frame.operand(node.index);
        if (inner === 0 && tile > 0) continue;
        for (const line of lines) {
          at(node.index, line);
          if (inner === 0) {
            emitLoad(f, dtype);
            emitSplat(f, dtype);
          } else emitVectorLoad(f, dtype, inner === 1 ? tile * TILE * itemSize(dtype) : 0, graph.source(line));
          f.set(lanes[line] ?? 0);
        }
        if (inner === "any") this.#transpose(lanes);
        if (inner === "any" && tile + 1 < count) this.#nextTile(node.index, pointers.get(node.index) ?? []);
      }
      for (const line of lines) graph.vectors(line, Level.element, ({ op }) => op === "load");
      for (const store of kernel.stores) {
        const operand = kernel.inputs.length + store.output;
        const across = this.#isAcross(operand);
        const { dtype } = this.#frame.operand(operand);
        const lanes = this.#temporaries.slice(TILE);
        for (const line of lines) {
          graph.pushVector(store.value, line);
          f.set(lanes[line] ?? 0);
        }
        if (across) this.#transpose(lanes);
        for (const line of lines) {
          at(operand, line);
          f.get(lanes[line] ?? 0);
          emitVectorStore(f, dtype, across ? 0 : tile * TILE * itemSize(dtype), graph.source(line), this.#temporaries[0] ?? 0);
        }
        if (across && tile + 1 < count) this.#nextTile(operand, pointers.get(operand) ?? []);
      }
    }
    graph.forgetVectors();
  }

  /** Locals with the addresses of a tile's rows, or of its columns where the operand lies across. */
  #pointers(operand: number): readonly number[] {
    const f = this.#f;
    const step = this.#isAcross(operand) ? this.#steps.get(operand)?.columns : this.#steps.get(operand)?.rows;
    const pointers = Array.from({ length: TILE }, () => f.local(Type.i32));
    for (const [line, pointer] of pointers.entries()) {
      f.get(line === 0 ? this.#graph.pointer(operand) : (pointers[line - 1] ?? 0));
      if (line > 0) {
        step?.();
        f.op(Op.i32Add);
      }
      f.set(pointer);
    }
    return pointers;
  }

  /** Moves the addresses of columns on to the next tile. */
  #nextTile(operand: number, pointers: readonly number[]): void {
    for (const pointer of pointers) this.#bump(pointer, TILE, this.#steps.get(operand)?.columns);
  }

  /** `pointer += count * step`. */
  #bump(pointer: number, count: number, step: (() => void) | undefined): void {
    const f = this.#f;
    f.get(pointer);
    step?.();
    if (count > 1) {
      f.i32(Math.log2(count));
      f.op(Op.i32Shl);
    }
    f.op(Op.i32Add);
    f.set(pointer);
  }

  /** Exchanges rows and columns of four vectors. */
  #transpose(lanes: readonly number[]): void {
    const f = this.#f;
    const [a = 0, b = 0, c = 0, d = 0] = lanes;
    const halves = this.#temporaries;
    const shuffle = (left: number, right: number, order: readonly [number, number, number, number], to: number): void => {
      f.get(left);
      f.get(right);
      f.shuffle32(...order);
      f.set(to);
    };
    const [ab = 0, cd = 0, abHigh = 0, cdHigh = 0] = halves;
    shuffle(a, b, [0, 4, 1, 5], ab);
    shuffle(c, d, [0, 4, 1, 5], cd);
    shuffle(a, b, [2, 6, 3, 7], abHigh);
    shuffle(c, d, [2, 6, 3, 7], cdHigh);
    shuffle(ab, cd, [0, 1, 4, 5], a);
    shuffle(ab, cd, [2, 3, 6, 7], b);
    shuffle(abHigh, cdHigh, [0, 1, 4, 5], c);
    shuffle(abHigh, cdHigh, [2, 3, 6, 7], d);
  }

  /** `local = min(local, limit)`, unsigned; the limit is pushed twice. */
  #atMost(local: number, limit: () => void): void {
    const f = this.#f;
    f.get(local);
    limit();
    f.get(local);
    limit();
    f.op(Op.i32LtU);
    f.op(Op.select);
    f.set(local);
  }
}

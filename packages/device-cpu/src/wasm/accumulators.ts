/** The accumulators of a printed reduction: their identities, how partial results join, two-level sums. */
import { InternalError, type DType, type LoopKernel, type Node } from "@troupe/core/device";
import { type FunctionBuilder, Op, Simd, Type } from "./assembler.ts";
import type { GraphEmitter } from "./emit.ts";
import type { KernelFrame } from "./frame.ts";
import type { Monoid } from "./plan.ts";
import { emitConstant, emitLoad, emitScalar, valueType } from "./scalar.ts";
import { emitSplat, emitVector } from "./vector.ts";

/**
 * A float32 sum is taken in blocks of so many elements (or groups of vectors), and blocks of so many blocks: rounding errors grow
 * with the block's length, not with the number of elements.
 */
export const blockLength = 128;

/** The locals of one set of partial results: scalars, and for each vector of a group its lanes. */
export interface Partials {
  readonly scalars: readonly number[];
  readonly vectors: readonly (readonly number[])[];
}

/** A step that takes the greater or lesser of an accumulator and a value, and keeps NaNs apart. */
export interface ExtremeStep {
  /** The accumulator. */
  readonly index: number;
  readonly value: number;
  readonly greatest: boolean;
  /** The local with the lanes in which a vector has met a NaN. */
  readonly notNumbers: (unit: number) => number;
}

/** Partial results of a block, of a block of blocks, and in all. */
export type Levels = readonly [Partials, Partials, Partials];

type Combine = NonNullable<LoopKernel["combine"]>;

const INT32_MIN = -0x80000000;
const INT32_MAX = 0x7fffffff;

/** The neutral element, as in the IR's constants. */
function identity(monoid: Monoid, type: DType): string {
  if (monoid === "add" || monoid === "or") return "0";
  if (monoid === "mul") return "1";
  if (monoid === "and") return type === "bool" ? "1" : "-1";
  const greatest = monoid === "min";
  switch (type) {
    case "float32":
    case "float64": return greatest ? "Infinity" : "-Infinity";
    case "int32": return String(greatest ? INT32_MAX : INT32_MIN);
    case "int64": return greatest ? "9223372036854775807" : "-9223372036854775808";
    case "uint8": return greatest ? "255" : "0";
    case "bool": return greatest ? "1" : "0";
  }
}

const bits = new DataView(new ArrayBuffer(4));

/** The bits that the identity has in a lane. */
function identityBits(monoid: Monoid, type: DType): number {
  const text = identity(monoid, type);
  if (type === "bool") return text === "1" ? -1 : 0;
  if (type !== "float32") return Number(text);
  bits.setFloat32(0, Number(text));
  return bits.getInt32(0);
}

/** Accumulators in the order of the kernel's, with the monoids by which they join, if they do. */
export class Accumulators {
  readonly #frame: KernelFrame;
  readonly #f: FunctionBuilder;
  readonly #kernel: LoopKernel;
  readonly #monoids: readonly Monoid[] | undefined;
  /** For vectors of a group the lanes in which a float32 extreme has met a NaN, by accumulator. */
  #notNumbers: readonly (readonly number[])[] = [];
  /** Whether there is a float32 sum, so that elements are taken in blocks. */
  readonly blocked: boolean;
  /** The scalar locals of the results. */
  readonly totals: readonly number[];

  constructor(frame: KernelFrame, monoids: readonly Monoid[] | undefined) {
    this.#frame = frame;
    this.#f = frame.f;
    this.#kernel = frame.kernel;
    this.#monoids = monoids;
    this.blocked = frame.kernel.accumulators.some((_, index) => this.#isBlocked(index));
    this.totals = frame.kernel.accumulators.map(({ type }) => frame.f.local(valueType(type)));
  }

  #isBlocked(index: number): boolean {
    return this.#monoids?.[index] === "add" && this.#type(index) === "float32";
  }

  #type(index: number): DType {
    const accumulator = this.#kernel.accumulators[index];
    if (accumulator === undefined) throw new InternalError(`kernel ${this.#kernel.name} has no accumulator ${index}`);
    return accumulator.type;
  }

  #monoid(index: number): Monoid {
    const monoid = this.#monoids?.[index];
    if (monoid === undefined) throw new InternalError(`accumulator ${index} of ${this.#kernel.name} does not join`);
    return monoid;
  }

  /** Whether NaNs are kept beside an accumulator: one comparison a vector, where an extreme that passes them on takes eight. */
  #isExtreme(index: number): boolean {
    const monoid = this.#monoids?.[index];
    return (monoid === "max" || monoid === "min") && this.#type(index) === "float32";
  }

  /**
   * Vector totals of `units` vectors each.
   * @param apart whether lanes of different vectors are different points
   */
  vectorTotals(units: number, apart: boolean): Partials {
    this.#notNumbers = Array.from({ length: apart ? units : Math.min(units, 2) }, () =>
      this.totals.map((_, index) => (this.#isExtreme(index) ? this.#f.local(Type.v128) : -1)));
    return { scalars: [], vectors: Array.from({ length: units }, () => this.totals.map(() => this.#f.local(Type.v128))) };
  }

  scalarTotals(): Partials {
    return { scalars: this.totals, vectors: [] };
  }

  /** Locals for the partial results of a block of `totals`: the totals themselves where sums need no blocks. */
  blockOf(totals: Partials): Partials {
    const own = (locals: readonly number[], type: typeof Type.f32 | typeof Type.v128): readonly number[] =>
      locals.map((local, index) => (this.#isBlocked(index) ? this.#f.local(type) : local));
    return { scalars: own(totals.scalars, Type.f32), vectors: totals.vectors.map((unit) => own(unit, Type.v128)) };
  }

  /** Locals for `totals` and for the blocks that they are summed by. */
  levelsOf(totals: Partials): Levels {
    const middle = this.blockOf(totals);
    return [this.blockOf(middle), middle, totals];
  }

  /** Gives the totals their initial values. */
  initialise(): void {
    for (const [index, { type, init }] of this.#kernel.accumulators.entries()) {
      emitConstant(this.#f, type, init);
      this.#f.set(this.totals[index] ?? 0);
    }
  }

  /**
   * Gives vector totals the identity, or the accumulators' initial values. Partial results that the kernel joins by itself start from
   * the latter.
   */
  initialiseVectors(totals: Partials, from: "identity" | "initial"): void {
    for (const unit of this.#notNumbers) {
      for (const [index, local] of unit.entries()) {
        if (!this.#isExtreme(index)) continue;
        this.#frame.constant(0);
        this.#f.set(local);
      }
    }
    for (const unit of totals.vectors) {
      for (const [index, local] of unit.entries()) {
        if (from === "identity" && this.#monoids !== undefined) this.#frame.constant(identityBits(this.#monoid(index), this.#type(index)));
        else {
          emitConstant(this.#f, this.#type(index), this.#kernel.accumulators[index]?.init ?? "0");
          emitSplat(this.#f, this.#type(index));
        }
        this.#f.set(local);
      }
    }
  }

  /** The steps of a graph in lanes that are float32 extremes, which `vectors` then prints as such. */
  extremeSteps(): ReadonlyMap<number, ExtremeStep> {
    const steps = new Map<number, ExtremeStep>();
    for (const [index, id] of this.#kernel.step.entries()) {
      const node = this.#kernel.body[id];
      if (!this.#isExtreme(index) || node === undefined || !("args" in node)) continue;
      const [value = 0] = node.args.filter((argument) => this.#kernel.body[argument]?.op !== "acc");
      const locals = this.#notNumbers.map((unit) => unit[index] ?? 0);
      steps.set(id, { index, value, greatest: node.op === "max", notNumbers: (unit) => locals[unit % locals.length] ?? 0 });
    }
    return steps;
  }

  /** Makes NaN of the lanes that have met one. */
  #markNaNs({ vectors }: Partials): void {
    for (const [unit, locals] of this.#notNumbers.entries()) {
      for (const [index, notNumbers] of locals.entries()) {
        const total = vectors[unit]?.[index];
        if (total !== undefined && this.#isExtreme(index)) this.#into(total, notNumbers, Simd.or);
      }
    }
  }

  /**
   * Brings a float32 extreme and its NaNs into the first lane of a vector, without a branch. They pass through scratch in pairs:
   * neighbouring stores are where V8 starts to look for vectors to fuse.
   */
  #joinExtremes(index: number, vectors: readonly (readonly number[])[], offset: number): number {
    const join = this.#monoid(index) === "max" ? Simd.f32x4Pmax : Simd.f32x4Pmin;
    const totals = vectors.map((unit) => unit[index] ?? 0);
    for (let count = totals.length; count > 2; count /= 2) {
      for (let i = 0; i < count / 2; i++) this.#into(totals[i] ?? 0, totals[i + count / 2] ?? 0, join);
    }
    this.#stash(totals.slice(0, 2), offset);
    this.#stash(this.#notNumbers.map((unit) => unit[index] ?? 0), offset + 32);
    const [total = 0, notNumbers = 0] = totals;
    for (const [local, from, into] of [[total, offset, join], [notNumbers, offset + 32, Simd.or]] as const) {
      for (const half of [0, 16]) {
        this.#f.get(this.#frame.scratch);
        this.#f.simdMemory(Simd.load, from + half);
      }
      this.#f.simd(into);
      this.#f.set(local);
      for (const [a, b, c, d] of [[2, 3, 0, 1], [1, 0, 3, 2]] as const) {
        this.#f.get(local);
        this.#f.get(local);
        this.#f.get(local);
        this.#f.shuffle32(a, b, c, d);
        this.#f.simd(into);
        this.#f.set(local);
      }
    }
    this.#into(total, notNumbers, Simd.or);
    return total;
  }

  /** `into = into op from`, in lanes. */
  #into(into: number, from: number, op: typeof Simd.or | typeof Simd.f32x4Pmax | typeof Simd.f32x4Pmin): void {
    this.#f.get(into);
    this.#f.get(from);
    this.#f.simd(op);
    this.#f.set(into);
  }

  /** Sets the sums of a new block to 0. */
  startBlock(block: Partials): void {
    for (const index of this.totals.keys()) {
      if (!this.#isBlocked(index)) continue;
      const scalar = block.scalars[index];
      if (scalar !== undefined) {
        this.#f.f32(0);
        this.#f.set(scalar);
      }
      for (const unit of block.vectors) {
        this.#frame.constant(0);
        this.#f.set(unit[index] ?? 0);
      }
    }
  }

  /** Adds a block's sums to those of what it is a block of. */
  endBlock(block: Partials, whole: Partials): void {
    for (const index of this.totals.keys()) {
      if (!this.#isBlocked(index)) continue;
      const scalar = block.scalars[index];
      if (scalar !== undefined) this.#joinScalars(index, whole.scalars[index] ?? 0, () => this.#f.get(scalar));
      for (const [unit, locals] of block.vectors.entries()) {
        this.#joinVectors(index, whole.vectors[unit]?.[index] ?? 0, locals[index] ?? 0);
      }
    }
  }

  /** Sets the lanes to 0 once they are not needed (`GraphEmitter.forgetVectors` says why). */
  forgetVectors({ vectors }: Partials): void {
    for (const local of vectors.flat()) {
      this.#frame.constant(0);
      this.#f.set(local);
    }
  }

  /** Moves the step's values into the accumulators of `graph`; `unit` for those of a vector. */
  step(graph: GraphEmitter, unit?: number): void {
    const { step } = this.#kernel;
    for (const value of step) {
      if (unit === undefined) graph.push(value);
      else graph.pushVector(value, unit);
    }
    const locals = unit === undefined ? graph.accumulators : (graph.vectorAccumulators[unit] ?? []);
    for (let index = step.length - 1; index >= 0; index--) this.#f.set(locals[index] ?? 0);
  }

  #joinScalars(index: number, into: number, push: () => void): void {
    const type = this.#type(index);
    const [nodes, node] = joining(this.#monoid(index), type);
    emitScalar(this.#f, node, {
      nodes,
      push: (id) => (id === 0 ? this.#f.get(into) : push()),
      imported: (name) => this.#frame.imported(name),
      integerPower: (width) => this.#frame.integerPower(width),
    });
    this.#f.set(into);
  }

  #joinVectors(index: number, into: number, from: number): void {
    const [nodes, node] = joining(this.#monoid(index), this.#type(index));
    emitVector(this.#f, node, {
      nodes,
      push: (id) => this.#f.get(id === 0 ? into : from),
      pushScalar: () => {
        throw new InternalError("no scalar joins lanes");
      },
      constant: (value) => this.#frame.constant(value),
    });
    this.#f.set(into);
  }

  /** Joins the lanes of all vector totals, in a fixed tree, into the scalar totals. `offset`: bytes from the scratch's start. */
  joinLanes({ vectors }: Partials, offset: number): void {
    const { combine } = this.#kernel;
    if (combine !== undefined) {
      this.#combineLanes(combine, vectors, offset);
      return;
    }
    for (const index of this.totals.keys()) {
      if (this.#isExtreme(index)) {
        const total = this.#joinExtremes(index, vectors, offset);
        this.#joinScalars(index, this.totals[index] ?? 0, () => {
          this.#f.get(total);
          this.#f.simdLane(Simd.f32x4ExtractLane, 0);
        });
        continue;
      }
      const locals = vectors.map((unit) => unit[index] ?? 0);
      let count = locals.length;
      for (; count > 2; count /= 2) {
        for (let i = 0; i < count / 2; i++) this.#joinVectors(index, locals[i] ?? 0, locals[i + count / 2] ?? 0);
      }
      this.#stash(locals.slice(0, count), offset);
      for (let lane = 0; lane < 4 * count; lane++) {
        this.#joinScalars(index, this.totals[index] ?? 0, () => this.#fromScratch(index, offset + 4 * lane));
      }
    }
  }

  /** As `joinLanes`, by what the kernel says. */
  #combineLanes(combine: Combine, vectors: readonly (readonly number[])[], offset: number): void {
    const f = this.#f;
    const [first = []] = vectors;
    for (let count = vectors.length; count > 1; count /= 2) {
      for (let i = 0; i < count / 2; i++) this.#combineVectors(combine, vectors[i] ?? [], vectors[i + count / 2] ?? []);
    }
    for (const [index, local] of first.entries()) this.#stash([local], offset + 16 * index);
    const others = this.totals.map((_, index) => f.local(valueType(this.#type(index))));
    for (let lane = 0; lane < 4; lane++) {
      for (const [index, other] of others.entries()) {
        this.#fromScratch(index, offset + 16 * index + 4 * lane);
        f.set(other);
      }
      this.#combineScalars(combine, others);
    }
  }

  /** `into = combine(into, from)`, a vector of lanes each. */
  #combineVectors({ body, out }: Combine, into: readonly number[], from: readonly number[]): void {
    const f = this.#f;
    const lanes: number[] = [];
    const push = (id: number): void => {
      const node = body[id];
      if (node?.op === "const") {
        emitConstant(f, node.type, node.value);
        emitSplat(f, node.type);
      } else if (node?.op === "acc") f.get(into[node.index] ?? 0);
      else if (node?.op === "other") f.get(from[node.index] ?? 0);
      else f.get(lanes[id] ?? 0);
    };
    const pushScalar = (): void => {
      throw new InternalError("no scalar joins lanes");
    };
    const source = { nodes: body, push, pushScalar, constant: (bits: number) => this.#frame.constant(bits) };
    for (const [id, node] of body.entries()) {
      if (!("args" in node)) continue;
      emitVector(f, node, source);
      f.set((lanes[id] = f.local(Type.v128)));
    }
    for (const id of out) push(id);
    for (let index = out.length - 1; index >= 0; index--) f.set(into[index] ?? 0);
  }

  /** `totals = combine(totals, others)`. */
  #combineScalars({ body, out }: Combine, others: readonly number[]): void {
    const f = this.#f;
    const locals: number[] = [];
    const push = (id: number): void => {
      const node = body[id];
      if (node?.op === "const") emitConstant(f, node.type, node.value);
      else if (node?.op === "acc") f.get(this.totals[node.index] ?? 0);
      else if (node?.op === "other") f.get(others[node.index] ?? 0);
      else f.get(locals[id] ?? 0);
    };
    for (const [id, node] of body.entries()) {
      if (!("args" in node)) continue;
      emitScalar(f, node, {
        nodes: body,
        push,
        imported: (name) => this.#frame.imported(name),
        integerPower: (width) => this.#frame.integerPower(width),
      });
      f.set((locals[id] = f.local(valueType(node.type))));
    }
    for (const id of out) push(id);
    for (let index = out.length - 1; index >= 0; index--) f.set(this.totals[index] ?? 0);
  }

  /** Stores the lanes of every accumulator to scratch, with room for `units` vectors each. */
  stash(totals: Partials, units: number, offset: number): void {
    this.#markNaNs(totals);
    for (const index of this.totals.keys()) {
      this.#stash(totals.vectors.map((unit) => unit[index] ?? 0), offset + index * 16 * units);
    }
  }

  #stash(locals: readonly number[], offset: number): void {
    for (const [unit, local] of locals.entries()) {
      this.#f.get(this.#frame.scratch);
      this.#f.get(local);
      this.#f.simdMemory(Simd.store, offset + 16 * unit);
    }
  }

  /** Takes the totals of lane `lane` (a local) from what `stash` stored for `units` vectors. */
  takeLane(lane: number, units: number, offset: number): void {
    for (const [index, total] of this.totals.entries()) {
      this.#fromScratch(index, offset + index * 16 * units, lane);
      this.#f.set(total);
    }
  }

  #fromScratch(index: number, offset: number, lane?: number): void {
    const type = this.#type(index);
    this.#f.get(this.#frame.scratch);
    if (lane !== undefined) {
      this.#f.get(lane);
      this.#f.i32(2);
      this.#f.op(Op.i32Shl);
      this.#f.op(Op.i32Add);
    }
    // Lanes are 32 bits wide whatever the type; the first byte of a mask or a uint8 is its value.
    emitLoad(this.#f, type, offset);
    if (type === "bool") {
      this.#f.i32(1);
      this.#f.op(Op.i32And);
    }
  }
}

/** The nodes of `monoid` on two partial results, and the last of them. */
function joining(monoid: Monoid, type: DType): readonly [readonly Node[], Node] {
  const node: Node = { op: monoid, type, args: [0, 1] };
  return [[{ op: "acc", type, index: 0 }, { op: "other", type, index: 0 }, node], node];
}

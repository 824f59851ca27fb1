/** Prints the values of one graph of a kernel, as scalars or in lanes, at the places that its printer chooses. */
import { InternalError, itemSize, type DType, type Node, type Store } from "@troupe/core/device";
import type { ExtremeStep } from "./accumulators.ts";
import { faultCodes, Scratch } from "./arguments.ts";
import { Op, Simd, Type } from "./assembler.ts";
import type { KernelFrame } from "./frame.ts";
import { type GraphPlan, Level, movesUniformly } from "./plan.ts";
import { emitConstant, emitLoad, emitScalar, emitStore, valueType } from "./scalar.ts";
import { emitSplat, emitVector, emitVectorLoad, emitVectorStore, type VectorSource } from "./vector.ts";
import { storeOrder } from "./pairs.ts";

/** The values of one graph. Scalars and lanes live in locals of their own; each is printed once per place. */
export class GraphEmitter {
  readonly frame: KernelFrame;
  readonly plan: GraphPlan;
  /** The address of the current element of each operand. */
  readonly #pointers: number[] = [];
  /** The accumulators: scalar locals, and for each vector of a group its v128 locals. */
  readonly accumulators: number[] = [];
  readonly vectorAccumulators: number[][] = [];
  /** Steps that `vectors` prints as extremes that keep NaNs apart. */
  extremeSteps: ReadonlyMap<number, ExtremeStep> = new Map();
  readonly #scalars: number[] = [];
  readonly #splats: number[] = [];
  readonly #vectors: number[][] = [];
  /** The addresses of loads (by number) and stores that indirect terms move once a run. */
  readonly #moved = new Map<number | Store, { readonly operand: number; readonly pointer: number }>();
  #indirect: number | undefined;
  #lanes: number | undefined;

  constructor(frame: KernelFrame, plan: GraphPlan) {
    this.frame = frame;
    this.plan = plan;
  }

  node(id: number): Node {
    const node = this.plan.nodes[id];
    if (node === undefined) throw new InternalError(`kernel ${this.frame.kernel.name} has no value ${id}`);
    return node;
  }

  /** The operands that the graph reads, and the outputs that its kernel stores to. */
  usedOperands(): readonly number[] {
    const { kernel } = this.frame;
    const used = new Set<number>();
    for (const [id, node] of this.plan.nodes.entries()) {
      if (node.op === "load" && this.plan.live[id] === true) used.add(node.index);
    }
    const place = this.plan.nodes === kernel.body ? "body" : "epilogue";
    for (const store of kernel.stores) if (store.at === place) used.add(kernel.inputs.length + store.output);
    return [...used];
  }

  pointer(operand: number): number {
    return (this.#pointers[operand] ??= this.frame.f.local(Type.i32));
  }

  /** An operand's pointers that are in use: to the current element, and to those that indirect terms moved. */
  pointers(operand: number): readonly number[] {
    const moved = [...this.#moved.values()].filter((one) => one.operand === operand);
    const { inputs, stores } = this.frame.kernel;
    const uses = operand < inputs.length
      ? this.plan.nodes.filter((node, id) =>
          node.op === "load" && node.index === operand && this.plan.live[id] === true && this.plan.levels[id] === Level.element)
      : stores.filter(({ output }) => inputs.length + output === operand);
    const pointers = moved.map(({ pointer }) => pointer);
    return uses.length > moved.length ? [this.pointer(operand), ...pointers] : pointers;
  }

  /** Whether a value names the index along `axis`. */
  counts(axis: number): boolean {
    return this.plan.nodes.some((node, id) => node.op === "axis" && node.index === axis && this.plan.live[id] === true);
  }

  /** Moves, for a run, what its indirect terms move alike: a row that an index names is then read like any other. */
  movePointers(): void {
    const { f, kernel } = this.frame;
    const move = (key: number | Store, operand: number, indirect: Store["indirect"]): void => {
      if (indirect === undefined || !movesUniformly(this.plan, Level.element, { indirect })) return;
      const pointer = f.local(Type.i32);
      this.elementAddress(operand, indirect);
      f.set(pointer);
      this.#moved.set(key, { operand, pointer });
    };
    for (const [id, node] of this.plan.nodes.entries()) {
      if (node.op !== "load" || this.plan.live[id] !== true || this.plan.levels[id] !== Level.element) continue;
      move(id, node.index, node.indirect);
    }
    for (const store of kernel.stores) move(store, kernel.inputs.length + store.output, store.indirect);
  }

  /** Pushes the address of a load's or a store's current element. */
  #address(key: number | Store, operand: number, indirect: Store["indirect"]): void {
    const moved = this.#moved.get(key);
    if (moved === undefined) this.elementAddress(operand, indirect);
    else this.frame.f.get(moved.pointer);
  }

  /** The guards that lanes share: where one does not hold, nothing of a run may be taken in lanes. */
  guards(): readonly number[] {
    const guards = new Set<number>();
    for (const [id, node] of this.plan.nodes.entries()) {
      if (node.op === "load" && node.guard !== undefined && this.plan.live[id] === true) guards.add(node.guard);
    }
    for (const { guard } of this.frame.kernel.stores) if (guard !== undefined) guards.add(guard);
    return [...guards];
  }

  /** Pushes a value that was computed (or a constant). */
  push(id: number): void {
    const { f } = this.frame;
    const node = this.node(id);
    if (node.op === "const") emitConstant(f, node.type, node.value);
    else if (node.op === "acc") f.get(this.accumulators[node.index] ?? 0);
    else if (node.op === "axis") f.get(this.frame.index[node.index] ?? 0);
    else if (node.op === "size") f.get(this.frame.size[node.index] ?? 0);
    else if (node.op === "result") f.get(this.frame.results[node.index] ?? 0);
    else f.get(this.#scalars[id] ?? 0);
  }

  /** Prints the scalar values of the given levels, in order. */
  scalars(...levels: readonly number[]): void {
    for (const [id, node] of this.plan.nodes.entries()) {
      if (this.plan.live[id] === true && levels.includes(this.plan.levels[id] ?? Level.element)) this.#scalar(id, node);
    }
  }

  #scalar(id: number, node: Node): void {
    const { frame } = this;
    const { f } = frame;
    if (node.op === "const" || node.op === "acc" || node.op === "axis" || node.op === "size" || node.op === "result") return;
    if (node.op === "check") {
      this.#check(node.args[0], node.args[1], faultCodes.indexOf(node.code));
      return;
    }
    if (node.op === "scalar") {
      f.get(frame.args);
      emitLoad(f, node.type, frame.layout.scalarOffsets[node.index] ?? 0);
    } else if (node.op === "load") {
      if (node.guard !== undefined) {
        this.push(node.guard);
        f.if(valueType(node.type));
      }
      this.#address(id, node.index, node.indirect);
      emitLoad(f, node.type);
      if (node.guard !== undefined) {
        f.else();
        emitConstant(f, node.type, "0");
        f.end();
      }
    } else {
      emitScalar(f, node, {
        nodes: this.plan.nodes,
        push: (argument) => this.push(argument),
        imported: (name) => frame.imported(name),
        integerPower: (type) => frame.integerPower(type),
      });
    }
    f.set((this.#scalars[id] ??= f.local(valueType(node.type))));
  }

  #check(condition: number, detail: number, code: number): void {
    const { f, scratch } = this.frame;
    this.push(condition);
    f.op(Op.i32Eqz);
    f.if();
    f.get(scratch);
    f.memory(Op.i32Load, Scratch.fault * 4);
    f.op(Op.i32Eqz);
    f.if();
    f.get(scratch);
    f.i32(code + 1);
    f.memory(Op.i32Store, Scratch.fault * 4);
    f.get(scratch);
    this.push(detail);
    f.memory(Op.i32Store, Scratch.detail * 4);
    f.end();
    f.end();
  }

  /** Pushes the address of an operand's current element, moved by indirect terms. */
  elementAddress(operand: number, indirect: Store["indirect"]): void {
    const { frame } = this;
    const { f } = frame;
    f.get(this.pointer(operand));
    for (const { value, stride } of indirect ?? []) {
      this.push(value);
      f.get(frame.args);
      f.memory(Op.i32Load, frame.layout.scalarOffsets[stride] ?? 0);
      f.op(Op.i32Mul);
      frame.toBytes(operand);
      f.op(Op.i32Add);
    }
  }

  /** Prints a store of a scalar value. */
  store(store: Store): void {
    const { frame } = this;
    const { f } = frame;
    const operand = frame.kernel.inputs.length + store.output;
    const { dtype } = frame.operand(operand);
    if (store.guard !== undefined) {
      this.push(store.guard);
      f.if();
    }
    this.#address(store, operand, store.indirect);
    if (store.combine === undefined) this.push(store.value);
    else this.#combined(store.combine, dtype, store.value);
    emitStore(f, dtype);
    if (store.guard !== undefined) f.end();
  }

  /** Pushes what the element at the address on the stack becomes, under that address. */
  #combined(op: NonNullable<Store["combine"]>, dtype: DType, value: number): void {
    const { f } = this.frame;
    const address = (this.#indirect ??= f.local(Type.i32));
    const old = f.local(valueType(dtype));
    f.tee(address);
    f.get(address);
    emitLoad(f, dtype);
    f.set(old);
    const [nodes, combined] = combination(op, dtype);
    emitScalar(f, combined, {
      nodes,
      push: (id) => (id === 0 ? f.get(old) : this.push(value)),
      imported: (name) => this.frame.imported(name),
      integerPower: (type) => this.frame.integerPower(type),
    });
  }

  /** Whether lanes need a value that is the same in all of them. */
  #splatUsers(id: number, from: number, stored: readonly number[]): boolean {
    if (stored.includes(id)) return true;
    return this.plan.nodes.some(
      (node, user) =>
        this.plan.live[user] === true &&
        (this.plan.levels[user] ?? Level.element) >= from &&
        "args" in node &&
        (node.args as readonly number[]).some((argument, k) => argument === id && !(k === 1 && isShift(node))),
    );
  }

  /**
   * Copies scalars of `level` that lanes use into all lanes.
   * @param from the level from which values are computed in lanes
   * @param stored the values that are stored from lanes
   */
  splats(level: number, from: number, stored: readonly number[]): void {
    const { f } = this.frame;
    for (const [id, node] of this.plan.nodes.entries()) {
      if (this.plan.levels[id] !== level || this.plan.live[id] !== true || node.op === "check") continue;
      if (!this.#splatUsers(id, from, stored)) continue;
      const local = (this.#splats[id] ??= f.local(Type.v128));
      if (node.op === "const" && node.type === "float32") f.f32x4(Number(node.value));
      else {
        this.push(id);
        emitSplat(f, node.type);
      }
      f.set(local);
    }
  }

  /** How vector `unit` of a group reaches its values. */
  source(unit: number): VectorSource {
    return {
      nodes: this.plan.nodes,
      push: (id) => this.pushVector(id, unit),
      pushScalar: (id) => this.push(id),
      constant: (bits) => this.frame.constant(bits),
    };
  }

  pushVector(id: number, unit: number): void {
    const { f } = this.frame;
    const node = this.node(id);
    const splat = this.#splats[id];
    if (splat !== undefined) f.get(splat);
    else if (node.op === "acc") f.get(this.vectorAccumulators[unit]?.[node.index] ?? 0);
    else f.get(this.#vectors[unit]?.[id] ?? 0);
  }

  /** The local that holds a value's lanes in vector `unit`. */
  vectorLocal(id: number, unit: number): number {
    const vectors = (this.#vectors[unit] ??= []);
    return (vectors[id] ??= this.frame.f.local(Type.v128));
  }

  /**
   * Prints the values from level `from` up in the lanes of vector `unit` (elements 4 * unit and on).
   * @param printed tells which values are there already
   */
  vectors(unit: number, from: number, printed: (node: Node) => boolean = () => false): void {
    const { f } = this.frame;
    const source = this.source(unit);
    for (const [id, node] of this.plan.nodes.entries()) {
      if (this.plan.live[id] !== true || (this.plan.levels[id] ?? Level.element) < from) continue;
      if (node.op === "acc" || printed(node)) continue;
      if (node.op === "load") {
        this.#address(id, node.index, node.indirect);
        emitVectorLoad(f, node.type, unit * 4 * itemSize(node.type), source);
      } else if (node.op === "axis") {
        f.get(this.frame.index[node.index] ?? 0);
        f.i32(unit * 4);
        f.op(Op.i32Add);
        f.simd(Simd.i32x4Splat);
        this.frame.laneNumbers();
        f.simd(Simd.i32x4Add);
      } else if (!this.#extreme(id, unit)) emitVector(f, node, source);
      f.set(this.vectorLocal(id, unit));
    }
  }

  /** Pushes an extreme of an accumulator that is never NaN, and notes where the value is; false where the step is none. */
  #extreme(id: number, unit: number): boolean {
    const step = this.extremeSteps.get(id);
    if (step === undefined) return false;
    const { f } = this.frame;
    const notNumbers = step.notNumbers(unit);
    f.get(notNumbers);
    this.pushVector(step.value, unit);
    this.pushVector(step.value, unit);
    f.simd(Simd.f32x4Ne);
    f.simd(Simd.or);
    f.set(notNumbers);
    f.get(this.vectorAccumulators[unit]?.[step.index] ?? 0);
    this.pushVector(step.value, unit);
    f.simd(step.greatest ? Simd.f32x4Pmax : Simd.f32x4Pmin);
    return true;
  }

  /**
   * Sets the locals of all lanes to 0, at the end of each turn of a loop. Else V8 carries their last values around the loop,
   * though nobody reads them, and that keeps it from fusing vectors in pairs. It costs no instruction.
   */
  forgetVectors(): void {
    for (const local of new Set(this.#vectors.flat())) {
      this.frame.constant(0);
      this.frame.f.set(local);
    }
  }

  /** Stores the lanes of a value, in `units` vectors side by side (an even number). */
  storeVectors(store: Store, units: number): void {
    const { frame } = this;
    const { f } = frame;
    const operand = frame.kernel.inputs.length + store.output;
    const { dtype } = frame.operand(operand);
    const vectorBytes = 4 * itemSize(dtype);
    const combined: number[] = [];
    if (store.combine !== undefined) {
      for (let unit = 0; unit < units; unit++) combined.push(this.#combinedVector(store, operand, unit, vectorBytes));
    }
    for (const unit of storeOrder(units)) {
      this.#address(store, operand, store.indirect);
      const lanes = combined[unit];
      if (lanes === undefined) this.pushVector(store.value, unit);
      else f.get(lanes);
      this.#lanes ??= f.local(Type.v128);
      emitVectorStore(f, dtype, unit * vectorBytes, this.source(unit), this.#lanes);
    }
    for (const lanes of combined) {
      frame.constant(0);
      f.set(lanes);
    }
  }

  /** The local with what lanes in memory become. */
  #combinedVector(store: Store, operand: number, unit: number, vectorBytes: number): number {
    const { f } = this.frame;
    const { dtype } = this.frame.operand(operand);
    const source = this.source(unit);
    const old = f.local(Type.v128);
    this.#address(store, operand, store.indirect);
    emitVectorLoad(f, dtype, unit * vectorBytes, source);
    f.set(old);
    const [nodes, node] = combination(store.combine ?? "add", dtype);
    emitVector(f, node, { ...source, nodes, push: (id) => (id === 0 ? f.get(old) : this.pushVector(store.value, unit)) });
    f.set(old);
    return old;
  }
}

/** What a combining store computes: nodes for the element in memory and the value, and the one that joins them. */
function combination(op: NonNullable<Store["combine"]>, type: DType): readonly [readonly Node[], Node] {
  const node: Node = { op, type, args: [0, 1] };
  return [[{ op: "acc", type, index: 0 }, { op: "acc", type, index: 1 }, node], node];
}

function isShift(node: Node): boolean {
  return node.op === "shl" || node.op === "shr" || node.op === "sar";
}

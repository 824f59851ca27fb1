/** Whole-number code for hand-written kernels: expressions over 32-bit variables, loops and conditions. */
import { type FunctionBuilder, Op, Type } from "../wasm/assembler.ts";

export type Value = Int | number;

type Code = (typeof Op)[keyof typeof Op];

/** An expression. Its code is repeated wherever it is used, so what is used often belongs in a variable. */
export class Int {
  readonly #f: FunctionBuilder;
  readonly push: () => void;

  constructor(f: FunctionBuilder, push: () => void) {
    this.#f = f;
    this.push = push;
  }

  add(other: Value): Int {
    return other === 0 ? this : this.#with(other, Op.i32Add);
  }

  sub(other: Value): Int {
    return other === 0 ? this : this.#with(other, Op.i32Sub);
  }

  mul(other: Value): Int {
    if (other === 1) return this;
    const shift = typeof other === "number" ? Math.log2(other) : NaN;
    return Number.isInteger(shift) ? this.#with(shift, Op.i32Shl) : this.#with(other, Op.i32Mul);
  }

  /** Quotient and remainder of numbers that are not negative. */
  div(other: Value): Int {
    return this.#with(other, Op.i32DivU);
  }

  rem(other: Value): Int {
    return this.#with(other, Op.i32RemU);
  }

  and(other: Value): Int {
    return this.#with(other, Op.i32And);
  }

  eq(other: Value): Int {
    return this.#with(other, Op.i32Eq);
  }

  ne(other: Value): Int {
    return this.#with(other, Op.i32Ne);
  }

  lt(other: Value): Int {
    return this.#with(other, Op.i32LtS);
  }

  le(other: Value): Int {
    return this.#with(other, Op.i32LeS);
  }

  ge(other: Value): Int {
    return this.#with(other, Op.i32GeS);
  }

  #with(other: Value, code: Code): Int {
    const f = this.#f;
    return new Int(f, () => {
      this.push();
      pushValue(f, other);
      f.op(code);
    });
  }
}

/** A local of the function. */
export class Variable extends Int {
  readonly #f: FunctionBuilder;
  readonly local: number;

  constructor(f: FunctionBuilder, local: number) {
    super(f, () => f.get(local));
    this.#f = f;
    this.local = local;
  }

  set(value: Value): void {
    pushValue(this.#f, value);
    this.#f.set(this.local);
  }

  increase(amount: Value): void {
    this.set(this.add(amount));
  }
}

function pushValue(f: FunctionBuilder, value: Value): void {
  if (typeof value === "number") f.i32(value);
  else value.push();
}

/** Writes whole-number code into a function. */
export class Ints {
  readonly f: FunctionBuilder;

  constructor(f: FunctionBuilder) {
    this.f = f;
  }

  /** The function's parameters. */
  parameters(count: number): Variable[] {
    return Array.from({ length: count }, (_, i) => new Variable(this.f, i));
  }

  /** A new variable with this value. */
  variable(value: Value = 0): Variable {
    const made = new Variable(this.f, this.f.local(Type.i32));
    made.set(value);
    return made;
  }

  constant(value: number): Int {
    return new Int(this.f, () => this.f.i32(value));
  }

  load(address: Int, offset = 0): Int {
    return new Int(this.f, () => {
      address.push();
      this.f.memory(Op.i32Load, offset);
    });
  }

  store(address: Int, value: Value, offset = 0): void {
    address.push();
    pushValue(this.f, value);
    this.f.memory(Op.i32Store, offset);
  }

  min(a: Value, b: Value): Int {
    return this.#select(a, b, Op.i32LtS);
  }

  max(a: Value, b: Value): Int {
    return this.#select(a, b, Op.i32GtS);
  }

  choose(condition: Int, yes: Value, no: Value): Int {
    return new Int(this.f, () => {
      pushValue(this.f, yes);
      pushValue(this.f, no);
      condition.push();
      this.f.op(Op.select);
    });
  }

  #select(a: Value, b: Value, code: Code): Int {
    return new Int(this.f, () => {
      for (const value of [a, b, a, b]) pushValue(this.f, value);
      this.f.op(code);
      this.f.op(Op.select);
    });
  }

  product(factors: readonly Value[]): Int {
    return factors.reduce<Int>((product, factor) => product.mul(factor), this.constant(1));
  }

  call(functionIndex: number, ...args: readonly Value[]): void {
    for (const value of args) pushValue(this.f, value);
    this.f.call(functionIndex);
  }

  if(condition: Int, then: () => void, otherwise?: () => void): void {
    condition.push();
    this.f.if();
    then();
    if (otherwise !== undefined) {
      this.f.else();
      otherwise();
    }
    this.f.end();
  }

  while(condition: () => Int, body: () => void): void {
    this.f.block();
    this.f.loop();
    condition().push();
    this.f.op(Op.i32Eqz);
    this.f.branchIf(1);
    body();
    this.f.branch(0);
    this.f.end();
    this.f.end();
  }

  /** `for (i = from; i < end; i += step) body(i)`. */
  for(end: Value, body: (i: Variable) => void, from: Value = 0, step: Value = 1): void {
    const i = this.variable(from);
    this.while(() => i.lt(end), () => {
      body(i);
      i.increase(step);
    });
  }

  /** One loop in another: `body` gets all counters, the first one's being the outermost. */
  nest(ends: readonly Value[], body: (counters: readonly Variable[]) => void, outer: readonly Variable[] = []): void {
    const [end, ...rest] = ends;
    if (end === undefined) body(outer);
    else this.for(end, (i) => this.nest(rest, body, [...outer, i]));
  }

  /** Fills memory with zeros. */
  clear(address: Int, bytes: Value): void {
    address.push();
    this.f.i32(0);
    pushValue(this.f, bytes);
    this.f.memoryFill();
  }
}

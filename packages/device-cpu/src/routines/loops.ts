/** Loops and address arithmetic for hand-written kernels. */
import { type FunctionBuilder, Op } from "../wasm/assembler.ts";

/** Pushes a number: a local or a constant. */
export type Push = () => void;

/** `for (counter = 0; counter < end; counter += step) body()`, signed. */
export function countUp(f: FunctionBuilder, counter: number, end: Push, step: Push, body: Push): void {
  f.i32(0);
  f.set(counter);
  f.block();
  f.loop();
  f.get(counter);
  end();
  f.op(Op.i32GeS);
  f.branchIf(1);
  body();
  f.get(counter);
  step();
  f.op(Op.i32Add);
  f.set(counter);
  f.branch(0);
  f.end();
  f.end();
}

/** `do body() while ((counter -= step) >= step)` for a counter that holds at least `step`. */
export function countDown(f: FunctionBuilder, counter: number, step: number, body: Push): void {
  f.loop();
  body();
  f.get(counter);
  f.i32(step);
  f.op(Op.i32Sub);
  f.tee(counter);
  f.i32(step);
  f.op(Op.i32GeS);
  f.branchIf(0);
  f.end();
}

/** `if (left >= right) body()`, signed. */
export function whenAtLeast(f: FunctionBuilder, left: Push, right: Push, body: Push): void {
  left();
  right();
  f.op(Op.i32GeS);
  f.if();
  body();
  f.end();
}

/** Pushes the lesser of two signed numbers; each is pushed twice. */
export function least(f: FunctionBuilder, a: Push, b: Push): void {
  a();
  b();
  a();
  b();
  f.op(Op.i32LtS);
  f.op(Op.select);
}

/** Pushes `base + index * stride`. */
export function offsetBy(f: FunctionBuilder, base: Push, index: Push, stride: Push): void {
  base();
  index();
  stride();
  f.op(Op.i32Mul);
  f.op(Op.i32Add);
}

/** `local += amount`. */
export function increase(f: FunctionBuilder, local: number, amount: Push): void {
  f.get(local);
  amount();
  f.op(Op.i32Add);
  f.set(local);
}

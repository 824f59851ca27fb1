/**
 * Gradient rules of elementwise entries as one launch. The formula is written once, over what kernel expressions and
 * tensors have in common: as an expression it is a kernel; where the gradient itself is recorded, it runs as tensor
 * ops, so that every order of derivative follows.
 */
import { isGradEnabled } from "../autograd/mode.ts";
import { Expr } from "../kernel/build.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { apply } from "./dispatch.ts";
import { defineElementwise } from "./kinds/elementwise.ts";
import type { Params } from "./kinds/elementwise.ts";
import { from } from "./op.ts";
import type { GradientRule, InputName, Saved } from "./op.ts";

/** What formulas may use: scalar arithmetic that an `Expr` and a `Tensor` spell alike. */
export interface Algebra {
  add(other: Algebra | number): Algebra;
  sub(other: Algebra | number): Algebra;
  mul(other: Algebra | number): Algebra;
  div(other: Algebra | number): Algebra;
  gt(other: Algebra | number): Algebra;
  ge(other: Algebra | number): Algebra;
  lt(other: Algebra | number): Algebra;
  le(other: Algebra | number): Algebra;
  neg(): Algebra;
  abs(): Algebra;
  sign(): Algebra;
  square(): Algebra;
  sqrt(): Algebra;
  rsqrt(): Algebra;
  exp(): Algebra;
  log(): Algebra;
  log1p(): Algebra;
  tanh(): Algebra;
  sigmoid(): Algebra;
  erf(): Algebra;
}

/**
 * The gradient from the output's gradient, the saved tensors in the order of their letters, then the op's params. A
 * param is a plain number where the formula runs on tensors: use it as an argument only (`x.mul(param)`).
 */
export type Formula = (...values: Algebra[]) => Algebra;

/** `yes` where `condition` holds, `no` elsewhere; one of them may be a number. */
export function choose(condition: Algebra, yes: Algebra | number, no: Algebra | number): Algebra {
  if (condition instanceof Expr) return condition.where(yes as Expr | number, no as Expr | number);
  const mask = condition as unknown as Tensor;
  if (typeof yes !== "number")
    return (yes as unknown as Tensor).where(mask, no as unknown as Tensor | number) as unknown as Algebra;
  return (no as unknown as Tensor).where(mask.logicalNot(), yes) as unknown as Algebra;
}

/** In an elementwise entry's `grad` table: `fused("sigmoidBackward", "y", (g, y) => ...)`. */
export function fused(name: string, saves: string, formula: Formula): GradientRule<Params> {
  const op = defineElementwise(name, {
    kernel: formula as unknown as (...values: Expr[]) => Expr,
    operands: 1 + saves.length,
  });
  return from(saves, (g, saved, params) => {
    const values = [g, ...Array.from(saves, (letter) => savedTensor(saved, letter))];
    if (!isGradEnabled()) return apply(op, values, params);
    return formula(...([...values, ...params] as unknown as Algebra[])) as unknown as Tensor;
  });
}

function savedTensor(saved: Saved, letter: string): Tensor | number {
  return letter === "y" ? saved.y : saved.operand(letter as InputName);
}

/** How the elementwise tables (arithmetic, transcendental, comparison, ...) make public functions of their entries. */
import { DTypeError } from "../errors.ts";
import { shown } from "../arguments.ts";
import { isTensor } from "../tensor/tensor.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { apply, applyTo } from "./dispatch.ts";
import { defineElementwise } from "./kinds/elementwise.ts";
import type { ElementwiseEntry } from "./kinds/elementwise.ts";
import type { InputName, Op, OpFunction, Saved } from "./op.ts";

/** What stands where an operand may: a tensor, a number or a boolean. */
export type Operand = Tensor | number | boolean;

type Unary = OpFunction<(x: Tensor) => Tensor, readonly number[]>;
type Binary = OpFunction<(x: Operand, y: Operand) => Tensor, readonly number[]>;

export const none: readonly number[] = [];

/** An entry of one operand, as a function. */
export function unary(name: string, entry: ElementwiseEntry): Unary {
  const op = defineElementwise(name, entry);
  return Object.assign((x: Tensor) => apply(op, [tensorOperand(name, x)], none), { op });
}

/** An entry of two operands, as a function. */
export function binary(name: string, entry: ElementwiseEntry): Binary {
  const op = defineElementwise(name, entry);
  return Object.assign((x: Operand, y: Operand) => apply(op, operands(name, x, y), none), { op });
}

/** @throws DTypeError for what is no tensor; `name` is the argument's, as in PyTorch */
export function tensorOperand(op: string, x: unknown, name = "input"): Tensor {
  if (isTensor(x)) return x;
  const remedy = x instanceof Promise ? "Is an await missing?" : Array.isArray(x) ? "tensor([...]) makes one." : undefined;
  throw new DTypeError(`${op}(): argument '${name}' must be Tensor, not ${shown(x)}`, { op, remedy });
}

/**
 * Operands as the dispatcher takes them. A boolean is the number 0 or 1, except beside a bool tensor, where the number would
 * promote: there it becomes a bool tensor too.
 * @throws DTypeError for anything that is no operand
 */
export function operands(op: string, ...given: Operand[]): (Tensor | number)[] {
  const like = given.find((x) => isTensor(x));
  for (let i = 0; i < given.length; i++) {
    const x = given[i];
    if (typeof x === "number" || isTensor(x)) continue;
    if (typeof x !== "boolean" || like === undefined) {
      throw new DTypeError(`${op}(): an operand must be Tensor or number, not ${x === null ? "null" : typeof x}`, { op });
    }
    given[i] = like.dtype === "bool" ? like.newFull([], x) : Number(x);
  }
  return given as (Tensor | number)[];
}

type Tail<F> = F extends (x: never, ...args: infer A) => unknown ? A : never;
type InPlace<T> = { readonly [K in keyof T & string as `${K}_`]: (x: Tensor, ...args: Tail<T[K]>) => Tensor };

/** The forms of entries that write to their first operand. */
export function inPlace<T extends Readonly<Record<string, { readonly op: Op<readonly number[]> }>>>(table: T): InPlace<T> {
  const made: Record<string, (x: Tensor, ...args: Operand[]) => Tensor> = {};
  for (const [name, { op }] of Object.entries(table)) made[`${name}_`] = (x, ...args) => applyTo(op, x, operands(name, x, ...args), none);
  return made as unknown as InPlace<T>;
}

// --- for gradient rules ---------------------------------------------------------------------------------------------------------

export function times(g: Tensor, saved: Saved, letter: InputName): Tensor {
  return g.mul(saved.operand(letter));
}

export function oneMinus(saved: Saved, letter: InputName): Tensor | number {
  const value = saved.operand(letter);
  return typeof value === "number" ? 1 - value : value.neg().add(1);
}

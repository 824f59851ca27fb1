/** Integer powers by repeated squaring, as a function of the printed module. */
import { type ModuleBuilder, Op, Type } from "./assembler.ts";

/**
 * Adds `(base, exponent) -> power` to the module; products wrap. A negative exponent gives the reciprocal rounded to zero: 1 or
 * -1 for those bases, else 0.
 * @returns the function's index
 */
export function integerPower(module: ModuleBuilder, type: "int32" | "int64"): number {
  const wide = type === "int64";
  const value = wide ? Type.i64 : Type.i32;
  const f = module.function([value, value], [value]);
  const [base, exponent] = [0, 1];
  const result = f.local(value);
  const number = (n: number): void => (wide ? f.i64(BigInt(n)) : f.i32(n));

  f.get(exponent);
  number(0);
  f.op(wide ? Op.i64LtS : Op.i32LtS);
  f.if();
  // 1 for an even exponent, else the base; 0 unless the base is 1 or -1.
  number(1);
  f.get(base);
  f.get(exponent);
  number(1);
  f.op(wide ? Op.i64And : Op.i32And);
  f.op(wide ? Op.i64Eqz : Op.i32Eqz);
  f.op(Op.select);
  number(0);
  for (const unit of [1, -1]) {
    f.get(base);
    number(unit);
    f.op(wide ? Op.i64Eq : Op.i32Eq);
  }
  f.op(Op.i32Or);
  f.op(Op.select);
  f.op(Op.return);
  f.end();

  number(1);
  f.set(result);
  f.block();
  f.loop();
  f.get(exponent);
  f.op(wide ? Op.i64Eqz : Op.i32Eqz);
  f.branchIf(1);
  f.get(result);
  f.get(base);
  number(1);
  f.get(exponent);
  number(1);
  f.op(wide ? Op.i64And : Op.i32And);
  if (wide) f.op(Op.i32WrapI64);
  f.op(Op.select);
  f.op(wide ? Op.i64Mul : Op.i32Mul);
  f.set(result);
  f.get(base);
  f.get(base);
  f.op(wide ? Op.i64Mul : Op.i32Mul);
  f.set(base);
  f.get(exponent);
  number(1);
  f.op(wide ? Op.i64ShrU : Op.i32ShrU);
  f.set(exponent);
  f.branch(0);
  f.end();
  f.end();
  f.get(result);
  return f.index;
}

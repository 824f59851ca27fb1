/** The matmul's `run`: what a range of units of work is of the batch, its matrices and their rows or columns. */
import { itemSize, type LoopKernel } from "@troupe/core/device";
import { type ArgumentLayout, Scratch } from "../wasm/arguments.ts";
import { ModuleBuilder, Op, Type } from "../wasm/assembler.ts";
import { increase, least, offsetBy, type Push } from "./loops.ts";
import { printGemm } from "./matmul-blocks.ts";
import type { Epilogue } from "./matmul-epilogue.ts";
import { tileRows } from "./matmul-tiles.ts";

/** Rows of one unit of work where the product is narrow. */
const unitRows = 4 * tileRows;

/** Units of work in a launch: panels of columns, or some rows each where there are few columns. `printUnits` prints the same. */
export function unitsOf(batch: number, m: number, n: number, panel: number): number {
  const narrow = n < m && n < 4 * panel;
  return batch * (narrow ? Math.ceil(m / unitRows) * Math.min(n, 1) : Math.ceil(n / panel) * Math.min(m, 1));
}

/** The module of `run(args, begin, end, scratch)` over units of work. */
export function printUnits(
  kernel: LoopKernel, layout: ArgumentLayout, panel: number, epilogue?: Epilogue,
): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  epilogue?.printInto(module);
  const gemm = printGemm(module, panel, epilogue);
  const f = module.function([Type.i32, Type.i32, Type.i32, Type.i32], [], "run");
  const [args, begin, end, scratch] = [0, 1, 2, 3];
  const batches = kernel.axes - 3;
  const local = (): number => f.local(Type.i32);
  const argument = (offset: number): void => {
    f.get(args);
    f.memory(Op.i32Load, offset);
  };
  const bytes = (operand: number, axis: number): void => {
    argument(layout.stride(operand, axis));
    f.i32(itemSize([...kernel.inputs, ...kernel.outputs][operand].dtype));
    f.op(Op.i32Mul);
  };
  const out = kernel.inputs.length;
  const [m, n, k] = [local(), local(), local()];
  for (const [i, size] of [m, n, k].entries()) {
    argument(layout.size(batches + i));
    f.set(size);
  }
  // A unit of work is a panel of columns, or some rows where there are few columns.
  const narrow = local();
  const length = local();
  const unit = local();
  const units = local();
  f.get(n);
  f.get(m);
  f.op(Op.i32LtS);
  f.get(n);
  f.i32(4 * panel);
  f.op(Op.i32LtS);
  f.op(Op.i32And);
  f.set(narrow);
  const byShape = (rows: Push, columns: Push): void => {
    rows();
    columns();
    f.get(narrow);
    f.op(Op.select);
  };
  byShape(() => f.get(m), () => f.get(n));
  f.set(length);
  byShape(() => f.i32(unitRows), () => f.i32(panel));
  f.set(unit);
  f.get(length);
  f.get(unit);
  f.op(Op.i32Add);
  f.i32(1);
  f.op(Op.i32Sub);
  f.get(unit);
  f.op(Op.i32DivU);
  f.set(units);

  const [first, count, rest, index] = [local(), local(), local(), local()];
  const bases = Array.from({ length: out + 1 }, local);
  const block = (): void => {
    f.get(scratch);
    f.i32(Scratch.headerBytes);
    f.op(Op.i32Add);
  };
  epilogue?.printSetup(f, argument, block, layout, batches);
  f.block();
  f.loop();
  f.get(begin);
  f.get(end);
  f.op(Op.i32GeU);
  f.branchIf(1);
  f.get(begin);
  f.get(units);
  f.op(Op.i32RemU);
  f.set(first);
  least(f, () => {
    f.get(units);
    f.get(first);
    f.op(Op.i32Sub);
  }, () => {
    f.get(end);
    f.get(begin);
    f.op(Op.i32Sub);
  });
  f.set(count);
  f.get(begin);
  f.get(units);
  f.op(Op.i32DivU);
  f.set(rest);
  for (const [operand, base] of bases.entries()) {
    argument(layout.address(operand));
    f.set(base);
  }
  for (let axis = batches - 1; axis >= 0; axis--) {
    f.get(rest);
    argument(layout.size(axis));
    f.op(Op.i32RemU);
    f.set(index);
    f.get(rest);
    argument(layout.size(axis));
    f.op(Op.i32DivU);
    f.set(rest);
    for (const [operand, base] of bases.entries()) {
      offsetBy(f, () => f.get(base), () => f.get(index), () => bytes(operand, axis));
      f.set(base);
    }
  }
  // From here `first` counts rows or columns; `rest` becomes how many.
  f.get(first);
  f.get(unit);
  f.op(Op.i32Mul);
  f.set(first);
  least(f, () => {
    f.get(count);
    f.get(unit);
    f.op(Op.i32Mul);
  }, () => {
    f.get(length);
    f.get(first);
    f.op(Op.i32Sub);
  });
  f.set(rest);
  const zero = (): void => f.i32(0);
  const [a = 0, b = 0] = bases;
  const firstOf = (operand: number): void =>
    offsetBy(f, () => f.get(bases[operand] ?? 0), () => f.get(first), () =>
      byShape(() => bytes(operand, batches), () => bytes(operand, batches + 1)));
  epilogue?.printBases(f, block, firstOf);
  offsetBy(f, () => f.get(a), () => byShape(() => f.get(first), zero), () => bytes(0, batches));
  bytes(0, batches);
  bytes(0, batches + 2);
  offsetBy(f, () => f.get(b), () => byShape(zero, () => f.get(first)), () => bytes(1, batches + 1));
  bytes(1, batches + 2);
  bytes(1, batches + 1);
  firstOf(out);
  bytes(out, batches);
  bytes(out, batches + 1);
  byShape(() => f.get(rest), () => f.get(m));
  byShape(() => f.get(n), () => f.get(rest));
  f.get(k);
  block();
  f.i32(epilogue?.bytes ?? 0);
  f.op(Op.i32Add);
  f.call(gemm);
  increase(f, begin, () => f.get(count));
  f.branch(0);
  f.end();
  f.end();
  return module.finish();
}

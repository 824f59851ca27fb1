/** The matmul's packers: matrices copied into panels, along which the micro kernels read one vector after the other. */
import { type FunctionBuilder, type ModuleBuilder, Op, Simd, Type } from "../wasm/assembler.ts";
import { storeOrder } from "../wasm/pairs.ts";
import { countDown, countUp, increase, offsetBy, whenAtLeast } from "./loops.ts";

/**
 * Adds `pack(source, alongK, across, k, width, target)`: copies k x width elements (strides in bytes) into panels of `panel`
 * columns, [k][panel] each; the last panel is filled up with zeros.
 */
export function packer(module: ModuleBuilder, panel: number): number {
  const f = module.function(Array.from({ length: 6 }, () => Type.i32));
  const [source, alongK, across, k, width, target] = [0, 1, 2, 3, 4, 5];
  const left = f.local(Type.i32);
  const row = f.local(Type.i32);
  const from = f.local(Type.i32);
  const column = f.local(Type.i32);
  const rows = Array.from({ length: 4 }, () => f.local(Type.v128));
  const mixed = Array.from({ length: 4 }, () => f.local(Type.v128));
  const nextRow = (steps: number): void => {
    increase(f, row, () => {
      f.get(alongK);
      f.i32(steps);
      f.op(Op.i32Mul);
    });
    increase(f, target, () => f.i32(steps * panel * 4));
  };

  f.get(k);
  f.op(Op.i32Eqz);
  f.if();
  f.op(Op.return);
  f.end();
  f.block();
  f.loop();
  f.get(width);
  f.i32(0);
  f.op(Op.i32LeS);
  f.branchIf(1);
  f.get(source);
  f.set(row);
  f.get(k);
  f.set(left);
  f.get(width);
  f.i32(panel);
  f.op(Op.i32GeS);
  f.if();
  {
    f.get(across);
    f.i32(4);
    f.op(Op.i32Eq);
    f.if();
    countDown(f, left, 1, () => {
      for (const j of storeOrder(panel >> 2)) copyVector(f, target, row, 16 * j);
      for (let j = panel & ~3; j < panel; j++) copyElement(f, target, 4 * j, row, 4 * j);
      nextRow(1);
    });
    f.else();
    f.get(alongK);
    f.i32(4);
    f.op(Op.i32Eq);
    f.if();
    whenAtLeast(f, () => f.get(left), () => f.i32(4), () =>
      countDown(f, left, 4, () => {
        f.get(row);
        f.set(from);
        for (let j = 0; j + 4 <= panel; j += 4) transposeFour(f, target, panel, j, from, across, rows, mixed);
        for (let j = panel & ~3; j < panel; j++) {
          for (let step = 0; step < 4; step++) copyElement(f, target, (step * panel + j) * 4, from, 4 * step);
          increase(f, from, () => f.get(across));
        }
        nextRow(4);
      }));
    f.end();
    whenAtLeast(f, () => f.get(left), () => f.i32(1), () =>
      countDown(f, left, 1, () => {
        f.get(row);
        f.set(from);
        for (let j = 0; j < panel; j++) {
          copyElement(f, target, 4 * j, from, 0);
          increase(f, from, () => f.get(across));
        }
        nextRow(1);
      }));
    f.end();
  }
  f.else();
  countDown(f, left, 1, () => {
    f.get(row);
    f.set(from);
    countUp(f, column, () => f.i32(panel), () => f.i32(1), () => {
      offsetBy(f, () => f.get(target), () => f.get(column), () => f.i32(4));
      f.get(column);
      f.get(width);
      f.op(Op.i32LtS);
      f.if(Type.f32);
      f.get(from);
      f.memory(Op.f32Load);
      f.else();
      f.f32(0);
      f.end();
      f.memory(Op.f32Store);
      increase(f, from, () => f.get(across));
    });
    nextRow(1);
  });
  f.end();
  increase(f, source, () => {
    f.get(across);
    f.i32(panel);
    f.op(Op.i32Mul);
  });
  increase(f, width, () => f.i32(-panel));
  f.branch(0);
  f.end();
  f.end();
  return f.index;
}

function copyVector(f: FunctionBuilder, target: number, source: number, offset: number): void {
  f.get(target);
  f.get(source);
  f.simdMemory(Simd.load, offset);
  f.simdMemory(Simd.store, offset);
}

function copyElement(f: FunctionBuilder, target: number, to: number, source: number, from: number): void {
  f.get(target);
  f.get(source);
  f.memory(Op.f32Load, from);
  f.memory(Op.f32Store, to);
}

type Lanes = [number, number, number, number];

/** Packs four columns, contiguous along k, of four rows; `from` moves on by four columns. */
function transposeFour(
  f: FunctionBuilder,
  target: number,
  panel: number,
  column: number,
  from: number,
  across: number,
  rows: readonly number[],
  mixed: readonly number[],
): void {
  for (const row of rows) {
    f.get(from);
    f.simdMemory(Simd.load);
    f.set(row);
    increase(f, from, () => f.get(across));
  }
  const [r0 = 0, r1 = 0, r2 = 0, r3 = 0] = rows;
  const [m0 = 0, m1 = 0, m2 = 0, m3 = 0] = mixed;
  const low: Lanes = [0, 4, 1, 5];
  const high: Lanes = [2, 6, 3, 7];
  const mixes = [[m0, r0, r1, low], [m1, r0, r1, high], [m2, r2, r3, low], [m3, r2, r3, high]] as [number, number, number, Lanes][];
  for (const [to, a, b, lanes] of mixes) {
    f.get(a);
    f.get(b);
    f.shuffle32(...lanes);
    f.set(to);
  }
  const first: Lanes = [0, 1, 4, 5];
  const second: Lanes = [2, 3, 6, 7];
  const columns = [[m0, m2, first], [m0, m2, second], [m1, m3, first], [m1, m3, second]] as [number, number, Lanes][];
  for (const [step, [a, b, lanes]] of columns.entries()) {
    f.get(target);
    f.get(a);
    f.get(b);
    f.shuffle32(...lanes);
    f.simdMemory(Simd.store, (step * panel + column) * 4);
  }
}

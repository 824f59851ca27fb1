/** The matmul's micro kernels, which keep a tile of the product in registers. */
import { type ModuleBuilder, Op, Simd, Type } from "../wasm/assembler.ts";
import { storeOrder } from "../wasm/pairs.ts";
import { countDown, increase, whenAtLeast } from "./loops.ts";

/** Rows of a tile: with two (or four) vectors a row, as many accumulators as there are registers to spare. */
export const tileRows = 6;
/** Steps along k for each turn of a micro kernel's loop. */
const unroll = 2;

/**
 * Adds `micro(a, rowBytes, b, c, cRowBytes, k, accumulate)`: a tile of `rows` x `panel` of the product with a packed panel of b,
 * stored to (or, with `accumulate`, added to) c. A is a packed panel [k][rows], or `direct`: rows of `rowBytes`, contiguous
 * along k.
 */
export function microKernel(module: ModuleBuilder, rows: number, panel: number, direct: boolean): number {
  const f = module.function(Array.from({ length: 7 }, () => Type.i32));
  const [a, rowBytes, b, c, cRowBytes, k, accumulate] = [0, 1, 2, 3, 4, 5, 6];
  const vectors = panel / 4;
  const sums = Array.from({ length: rows }, () => Array.from({ length: vectors }, () => f.local(Type.v128)));
  const bs = Array.from({ length: vectors }, () => f.local(Type.v128));
  const av = f.local(Type.v128);
  const row = f.local(Type.i32);
  const pointers = direct ? [a, ...Array.from({ length: rows - 1 }, () => f.local(Type.i32))] : [a];
  for (const [i, pointer] of pointers.entries()) {
    if (i === 0) continue;
    f.get(pointers[i - 1] ?? a);
    f.get(rowBytes);
    f.op(Op.i32Add);
    f.set(pointer);
  }
  const step = (u: number): void => {
    for (const [j, local] of bs.entries()) {
      f.get(b);
      f.simdMemory(Simd.load, (u * panel + 4 * j) * 4);
      f.set(local);
    }
    for (const [i, sum] of sums.entries()) {
      f.get(pointers[direct ? i : 0] ?? a);
      f.simdMemory(Simd.load32Splat, direct ? 4 * u : (u * rows + i) * 4);
      f.set(av);
      for (const [j, local] of sum.entries()) {
        f.get(av);
        f.get(bs[j] ?? 0);
        f.get(local);
        f.simd(Simd.f32x4RelaxedMadd);
        f.set(local);
      }
    }
  };
  const steps = (count: number): void => {
    whenAtLeast(f, () => f.get(k), () => f.i32(count), () =>
      countDown(f, k, count, () => {
        for (let u = 0; u < count; u++) step(u);
        for (const pointer of pointers) increase(f, pointer, () => f.i32(4 * count * (direct ? 1 : rows)));
        increase(f, b, () => f.i32(4 * count * panel));
      }));
  };
  for (const local of sums.flat()) {
    f.f32x4(0);
    f.set(local);
  }
  steps(unroll);
  steps(1);
  const store = (added: boolean): void => {
    f.get(c);
    f.set(row);
    for (const sum of sums) {
      for (const j of storeOrder(vectors)) {
        f.get(row);
        if (added) {
          f.get(row);
          f.simdMemory(Simd.load, 16 * j);
        }
        f.get(sum[j]);
        if (added) f.simd(Simd.f32x4Add);
        f.simdMemory(Simd.store, 16 * j);
      }
      increase(f, row, () => f.get(cRowBytes));
    }
  };
  f.get(accumulate);
  f.if();
  store(true);
  f.else();
  store(false);
  f.end();
  return f.index;
}

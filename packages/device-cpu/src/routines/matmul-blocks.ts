/** The matmul's loops over blocks of k, m and n, which pack panels of B (and of A), and send every tile to a micro kernel. */
import { type FunctionBuilder, type ModuleBuilder, Op, Type } from "../wasm/assembler.ts";
import { countUp, least, offsetBy, type Push } from "./loops.ts";
import type { Epilogue } from "./matmul-epilogue.ts";
import { packer } from "./matmul-pack.ts";
import { microKernel, tileRows } from "./matmul-tiles.ts";

/** Blocks along k, m and n: a panel of B and a block of A stay in the caches. */
const blockK = 256;
const blockM = 32 * tileRows;
const blockN = 512;
/** Rows of A further apart than this (in bytes) are packed. */
const directRowBytes = 4096;
/** Bytes of the tile that catches a product which does not fit its place. */
const tileBytes = 4096;
const packedABytes = blockK * blockM * 4;

/** Bytes of scratch that `gemm` takes: a tile, a block of A, a block of B with its last panel filled up. */
export function gemmScratchBytes(n: number, k: number, panel: number): number {
  return tileBytes + packedABytes + Math.min(k, blockK) * (Math.min(n, blockN) + panel) * 4;
}

/**
 * Adds `gemm(a, aRow, aColumn, b, bRow, bColumn, c, cRow, cColumn, m, n, k, scratch)`, strides in bytes. An epilogue's block lies
 * before `scratch`.
 */
export function printGemm(module: ModuleBuilder, panel: number, epilogue?: Epilogue): number {
  const packA = packer(module, tileRows);
  const packB = packer(module, panel);
  const direct = Array.from({ length: tileRows }, (_, i) => microKernel(module, i + 1, panel, true));
  const packed = microKernel(module, tileRows, panel, false);
  const f = module.function(Array.from({ length: 13 }, () => Type.i32));
  const [a, aRow, aColumn, b, bRow, bColumn, c, cRow, cColumn, m, n, k, scratch] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
  const local = (): number => f.local(Type.i32);
  const get = (index: number): Push => () => f.get(index);
  const [j, p, i, jTile, iTile] = [local(), local(), local(), local(), local()];
  const [nBlock, kBlock, mBlock, rows, columns] = [local(), local(), local(), local(), local()];
  const [isDirect, packedA, packedB, aTile, bTile, cTile, to, toRow, accumulate] =
    [local(), local(), local(), local(), local(), local(), local(), local(), local()];
  const [x, y] = [local(), local()];
  const remaining = (size: number, from: number) => (): void => {
    f.get(size);
    f.get(from);
    f.op(Op.i32Sub);
  };
  const element = (base: number, row: Push, rowBytes: number, column: Push, columnBytes: number): void => {
    offsetBy(f, () => offsetBy(f, get(base), row, get(rowBytes)), column, get(columnBytes));
  };
  const plus = (left: number, right: number) => (): void => {
    f.get(left);
    f.get(right);
    f.op(Op.i32Add);
  };

  f.get(scratch);
  f.i32(tileBytes);
  f.op(Op.i32Add);
  f.tee(packedA);
  f.i32(packedABytes);
  f.op(Op.i32Add);
  f.set(packedB);
  // Direct where A is contiguous along k and its rows are near each other (or there is only one).
  f.get(aColumn);
  f.i32(4);
  f.op(Op.i32Eq);
  f.get(aRow);
  f.i32(directRowBytes);
  f.op(Op.i32LeU);
  f.get(m);
  f.i32(1);
  f.op(Op.i32Eq);
  f.op(Op.i32Or);
  f.op(Op.i32And);
  f.set(isDirect);

  const tile = (): void => {
    element(c, plus(i, iTile), cRow, plus(j, jTile), cColumn);
    f.set(cTile);
    f.get(nBlock);
    f.get(jTile);
    f.op(Op.i32Sub);
    f.set(columns);
    least(f, remaining(mBlock, iTile), () => f.i32(tileRows));
    f.set(rows);
    // A tile goes to its place where that takes whole rows of vectors, else by way of scratch.
    f.get(columns);
    f.i32(panel);
    f.op(Op.i32GeS);
    f.get(cColumn);
    f.i32(4);
    f.op(Op.i32Eq);
    f.op(Op.i32And);
    f.get(isDirect);
    f.get(rows);
    f.i32(tileRows);
    f.op(Op.i32Eq);
    f.op(Op.i32Or);
    f.op(Op.i32And);
    f.if();
    f.get(cTile);
    f.set(to);
    f.get(cRow);
    f.set(toRow);
    f.get(p);
    f.set(accumulate);
    f.else();
    f.get(scratch);
    f.set(to);
    f.i32(panel * 4);
    f.set(toRow);
    f.i32(0);
    f.set(accumulate);
    f.end();
    const call = (micro: number): void => {
      for (const parameter of [aTile, aRow, bTile, to, toRow, kBlock, accumulate]) f.get(parameter);
      f.call(micro);
    };
    f.get(isDirect);
    f.if();
    element(a, plus(i, iTile), aRow, get(p), aColumn);
    f.set(aTile);
    for (let count = tileRows; count >= 1; count--) {
      f.get(rows);
      f.i32(count);
      f.op(Op.i32Eq);
      f.if();
      call(direct[count - 1] ?? packed);
      f.else();
    }
    for (let count = tileRows; count >= 1; count--) f.end();
    f.else();
    offsetBy(f, get(packedA), get(iTile), () => {
      f.get(kBlock);
      f.i32(2);
      f.op(Op.i32Shl);
    });
    f.set(aTile);
    call(packed);
    f.end();
    f.get(to);
    f.get(scratch);
    f.op(Op.i32Eq);
    f.if();
    copyTile(f, { scratch, panel, cTile, cRow, cColumn, rows, columns, accumulate: p, x, y });
    f.end();
  };

  const byK = (body: Push): void => {
    // At least once: an empty sum is 0.
    f.i32(0);
    f.set(p);
    f.loop();
    body();
    f.get(p);
    f.i32(blockK);
    f.op(Op.i32Add);
    f.tee(p);
    f.get(k);
    f.op(Op.i32LtS);
    f.branchIf(0);
    f.end();
  };
  countUp(f, j, get(n), () => f.i32(blockN), () => {
    least(f, remaining(n, j), () => f.i32(blockN));
    f.set(nBlock);
    byK(() => {
      least(f, remaining(k, p), () => f.i32(blockK));
      f.set(kBlock);
      element(b, get(p), bRow, get(j), bColumn);
      for (const parameter of [bRow, bColumn, kBlock, nBlock, packedB]) f.get(parameter);
      f.call(packB);
      countUp(f, i, get(m), () => f.i32(blockM), () => {
        least(f, remaining(m, i), () => f.i32(blockM));
        f.set(mBlock);
        f.get(isDirect);
        f.op(Op.i32Eqz);
        f.if();
        element(a, get(i), aRow, get(p), aColumn);
        for (const parameter of [aColumn, aRow, kBlock, mBlock, packedA]) f.get(parameter);
        f.call(packA);
        f.end();
        f.get(packedB);
        f.set(bTile);
        countUp(f, jTile, get(nBlock), () => f.i32(panel), () => {
          countUp(f, iTile, get(mBlock), () => f.i32(tileRows), tile);
          offsetBy(f, get(bTile), get(kBlock), () => f.i32(panel * 4));
          f.set(bTile);
        });
        if (epilogue === undefined) return;
        // Once the sums are whole, and while they are near.
        plus(p, kBlock)();
        f.get(k);
        f.op(Op.i32GeS);
        f.if();
        epilogue.printCall(f, scratch, { row: i, column: j, rows: mBlock, columns: nBlock });
        f.end();
      });
    });
  });
  return f.index;
}

interface TileCopy {
  readonly scratch: number;
  readonly panel: number;
  readonly cTile: number;
  readonly cRow: number;
  readonly cColumn: number;
  readonly rows: number;
  readonly columns: number;
  /** Not 0: add to what is there. */
  readonly accumulate: number;
  readonly x: number;
  readonly y: number;
}

/** Copies the part of the scratch tile that belongs to c. */
function copyTile(f: FunctionBuilder, { scratch, panel, cTile, cRow, cColumn, rows, columns, accumulate, x, y }: TileCopy): void {
  const get = (index: number): Push => () => f.get(index);
  const place = (): void => {
    offsetBy(f, () => offsetBy(f, get(cTile), get(x), get(cRow)), get(y), get(cColumn));
  };
  countUp(f, x, get(rows), () => f.i32(1), () => {
    countUp(f, y, () => least(f, get(columns), () => f.i32(panel)), () => f.i32(1), () => {
      place();
      offsetBy(f, () => offsetBy(f, get(scratch), get(x), () => f.i32(panel * 4)), get(y), () => f.i32(4));
      f.memory(Op.f32Load);
      f.get(accumulate);
      f.if(Type.f32);
      place();
      f.memory(Op.f32Load);
      f.else();
      f.f32(0);
      f.end();
      f.op(Op.f32Add);
      f.memory(Op.f32Store);
    });
  });
}

/**
 * The tuned float32 matmul: Goto's blocking (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008),
 * with B packed into panels and A read in place or packed. It overrides loop kernels named "matmul", which stay its oracle.
 *
 * Axes [batch..., m, n, k], reduced 1; a does not depend on n, b not on m. Any strides. The order of summation depends on k only.
 */
import { DeviceError, type Kernel, type LoopKernel } from "@troupe/core/device";
import { revectorizes } from "../flags.ts";
import { ArgumentLayout, Scratch } from "../wasm/arguments.ts";
import { type FunctionBuilder, ModuleBuilder, Op, Type } from "../wasm/assembler.ts";
import type { Program } from "../wasm/program.ts";
import { countUp, increase, least, offsetBy, type Push } from "./loops.ts";
import { microKernel, packer, tileRows } from "./matmul-tiles.ts";

/** Blocks along k, m and n: a panel of B and a block of A stay in the caches. */
const blockK = 256;
const blockM = 32 * tileRows;
const blockN = 512;
/** Rows of A further apart than this (in bytes) are packed. */
const directRowBytes = 4096;
/** Rows of one unit of work where the product is narrow. */
const unitRows = 4 * tileRows;
/** Bytes of the tile that catches a product which does not fit its place. */
const tileBytes = 4096;

/** Whether `kernel` is a sum over k of a times b, and nothing more. */
function isPlain(kernel: Kernel): kernel is LoopKernel {
  if (kernel.kind !== "loop" || kernel.axes < 3 || kernel.reduced !== 1) return false;
  const { inputs, outputs, accumulators, body, epilogue, step, stores } = kernel;
  if (inputs.length !== 2 || outputs.length !== 1 || accumulators.length !== 1 || stores.length !== 1) return false;
  if (![...inputs, ...outputs].every(({ dtype }) => dtype === "float32") || Number(accumulators[0]?.init) !== 0) return false;
  const [store] = stores;
  const result = epilogue[store?.value ?? -1];
  if (store?.at !== "epilogue" || result?.op !== "acc") return false;
  if (store.guard !== undefined || store.indirect !== undefined || store.combine !== undefined) return false;
  const sum = body[step[0] ?? -1];
  if (sum?.op !== "add") return false;
  const terms = sum.args.map((id) => body[id]);
  const product = terms.find((node) => node?.op === "mul");
  if (!terms.some((node) => node?.op === "acc") || product?.op !== "mul") return false;
  const factors = product.args.map((id) => body[id]);
  const loads = factors.flatMap((node) =>
    node?.op === "load" && node.guard === undefined && node.indirect === undefined ? [node.index] : []);
  return loads.length === 2 && loads.includes(0) && loads.includes(1);
}

/**
 * The program for a matmul kernel; undefined where it is not a plain float32 one.
 * @param panel columns of a tile: 16 where 128-bit vectors are fused in pairs, else 8
 * @throws DeviceError when a panel is no multiple of 8
 */
export function matmul(kernel: Kernel, panel = revectorizes() ? 16 : 8): Program | undefined {
  if (!isPlain(kernel)) return undefined;
  if (panel % 8 !== 0) throw new DeviceError(`a matmul panel has 8 or 16 columns, not ${panel}`);
  const layout = new ArgumentLayout(kernel);
  const batches = kernel.axes - 3;
  const sizesOf = (words: Int32Array, at: number): { batch: number; m: number; n: number; k: number } => {
    const size = (axis: number): number => words[at + 6 + axis] ?? 0;
    let batch = 1;
    for (let axis = 0; axis < batches; axis++) batch *= size(axis);
    return { batch, m: size(batches), n: size(batches + 1), k: size(batches + 2) };
  };
  return {
    kernel,
    layout,
    bytes: print(kernel, layout, panel),
    splittable: true,
    faults: false,
    extent: (words, at) => {
      const { batch, m, n } = sizesOf(words, at);
      return batch * (n < m && n < 4 * panel ? Math.ceil(m / unitRows) * Math.min(n, 1) : Math.ceil(n / panel) * Math.min(m, 1));
    },
    work: (words, at) => {
      const { batch, m, n, k } = sizesOf(words, at);
      // A multiply-add takes a fraction of a scalar operation.
      return (batch * m * n * (k + 8)) / 4;
    },
    scratchBytes: (words, at) => {
      const { n, k } = sizesOf(words, at);
      return Scratch.headerBytes + tileBytes + packedABytes + Math.min(k, blockK) * (Math.min(n, blockN) + panel) * 4;
    },
  };
}

const packedABytes = blockK * blockM * 4;

function print(kernel: LoopKernel, layout: ArgumentLayout, panel: number): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const gemm = printGemm(module, panel);
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
    f.i32(2);
    f.op(Op.i32Shl);
  };
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
  const bases = [local(), local(), local()];
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
  const [a = 0, b = 0, c = 0] = bases;
  offsetBy(f, () => f.get(a), () => byShape(() => f.get(first), zero), () => bytes(0, batches));
  bytes(0, batches);
  bytes(0, batches + 2);
  offsetBy(f, () => f.get(b), () => byShape(zero, () => f.get(first)), () => bytes(1, batches + 1));
  bytes(1, batches + 2);
  bytes(1, batches + 1);
  offsetBy(f, () => f.get(c), () => f.get(first), () => byShape(() => bytes(2, batches), () => bytes(2, batches + 1)));
  bytes(2, batches);
  bytes(2, batches + 1);
  byShape(() => f.get(rest), () => f.get(m));
  byShape(() => f.get(n), () => f.get(rest));
  f.get(k);
  f.get(scratch);
  f.i32(Scratch.headerBytes);
  f.op(Op.i32Add);
  f.call(gemm);
  increase(f, begin, () => f.get(count));
  f.branch(0);
  f.end();
  f.end();
  return module.finish();
}

/** Adds `gemm(a, aRow, aColumn, b, bRow, bColumn, c, cRow, cColumn, m, n, k, scratch)`, strides in bytes. */
function printGemm(module: ModuleBuilder, panel: number): number {
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

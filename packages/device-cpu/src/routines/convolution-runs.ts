/**
 * Runs: columns of a tile that are neighbours in the image, or in the result. They are copied with few vectors, of which the
 * last ones overlap those before, so that nothing beyond a run is read or written.
 */
import { type ModuleBuilder, Op, Simd, Type } from "../wasm/assembler.ts";
import { storeOrder } from "../wasm/pairs.ts";
import { type Int, Ints, type Variable } from "./ints.ts";

/** Four elements or one, at `base + offset` bytes. */
interface Part {
  readonly base: Int | undefined;
  readonly offset: number;
  readonly isVector: boolean;
}

/** Calls `body` with the parts that cover `length` elements, 1 to `panel`: code for each way to divide them. */
function byLength(code: Ints, length: Variable, panel: number, body: (parts: readonly Part[]) => void): void {
  const vectors = (offsets: readonly number[], base?: Int): Part[] =>
    offsets.map((offset) => ({ base, offset, isVector: true }));
  const last = code.variable(length.sub(4).mul(4));
  const lastTwo = code.variable(last.sub(16));
  const elements = (count: number): void =>
    body(Array.from({ length: count }, (_, i) => ({ base: undefined, offset: 4 * i, isVector: false })));
  const cases: readonly (readonly [condition: Int, then: () => void])[] = [
    [length.eq(panel), () => body(vectors(Array.from({ length: panel / 4 }, (_, j) => 16 * j)))],
    ...(panel > 8 ? [[length.ge(8), () => body([...vectors([0, 16]), ...vectors([0, 16], lastTwo)])] as const] : []),
    [length.ge(4), () => body([...vectors([0]), ...vectors([0], last)])],
    [length.eq(3), () => elements(3)],
    [length.eq(2), () => elements(2)],
  ];
  cases.reduceRight<() => void>((otherwise, [condition, then]) => () => code.if(condition, then, otherwise), () =>
    elements(1))();
}

/** The address of a part, without its offset. */
function partOf(address: Int, { base }: Part): Int {
  return base === undefined ? address : address.add(base);
}

/**
 * Adds `pack(image, table, k, target, length)`: for each of k steps the `length` elements at `image + table[k]`, put down a
 * panel's row from the ones before.
 */
export function runPacker(module: ModuleBuilder, panel: number): number {
  const code = new Ints(module.function(Array.from({ length: 5 }, () => Type.i32)));
  const { f } = code;
  const [image, table, k, target, length] = code.parameters(5);
  const at = code.variable();
  byLength(code, length, panel, (parts) => {
    code.while(() => k.ge(1), () => {
      at.set(image.add(code.load(table)));
      for (const part of storeOrder(parts.length).map((i) => parts[i])) {
        partOf(target, part).push();
        partOf(at, part).push();
        if (part.isVector) {
          f.simdMemory(Simd.load, part.offset);
          f.simdMemory(Simd.store, part.offset);
        } else {
          f.memory(Op.f32Load, part.offset);
          f.memory(Op.f32Store, part.offset);
        }
      }
      table.increase(4);
      target.increase(4 * panel);
      k.increase(-1);
    });
  });
  return f.index;
}

/**
 * Adds `write(tile, target, targetRow, targetStep, rows, length)`: stores (or, with `adds`, adds) the first `length` columns of
 * a tile to a result whose rows are `targetRow` bytes apart and whose columns `targetStep`.
 */
export function runWriter(module: ModuleBuilder, panel: number, adds: boolean): number {
  const code = new Ints(module.function(Array.from({ length: 6 }, () => Type.i32)));
  const { f } = code;
  const [tile, target, targetRow, targetStep, rows, length] = code.parameters(6);
  const forRows = (body: () => void): void => {
    code.while(() => rows.ge(1), () => {
      body();
      tile.increase(4 * panel);
      target.increase(targetRow);
      rows.increase(-1);
    });
  };
  const vectors = Array.from({ length: panel / 4 }, () => f.local(Type.v128));
  const elements = Array.from({ length: 3 }, () => f.local(Type.f32));
  const sum = (from: Int, to: Int, load: () => void, add: () => void): void => {
    from.push();
    load();
    if (!adds) return;
    to.push();
    load();
    add();
  };
  code.if(targetStep.eq(4), () => {
    byLength(code, length, panel, (parts) => {
      forRows(() => {
        // All are read before one is written: they overlap.
        parts.forEach((part, i) => {
          const { offset, isVector } = part;
          const load = (): void => (isVector ? f.simdMemory(Simd.load, offset) : f.memory(Op.f32Load, offset));
          const add = (): void => (isVector ? f.simd(Simd.f32x4Add) : f.op(Op.f32Add));
          sum(partOf(tile, part), partOf(target, part), load, add);
          f.set(isVector ? vectors[i] : elements[i]);
        });
        for (const i of storeOrder(parts.length)) {
          const part = parts[i];
          partOf(target, part).push();
          f.get(part.isVector ? vectors[i] : elements[i]);
          if (part.isVector) f.simdMemory(Simd.store, part.offset);
          else f.memory(Op.f32Store, part.offset);
        }
      });
    });
  }, () => {
    const to = code.variable();
    forRows(() => {
      to.set(target);
      code.for(length, (column) => {
        to.push();
        sum(tile.add(column.mul(4)), to, () => f.memory(Op.f32Load), () => f.op(Op.f32Add));
        f.memory(Op.f32Store);
        to.increase(targetStep);
      });
    });
  });
  return f.index;
}

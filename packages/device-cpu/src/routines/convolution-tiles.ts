/** The convolutions' micro kernels, beside the matmul's: what is not packed is read from the image, through tables of offsets. */
import { type ModuleBuilder, Simd, Type } from "../wasm/assembler.ts";
import { storeOrder } from "../wasm/pairs.ts";
import { Vectors } from "./convolution-vectors.ts";
import { Ints, type Int, type Variable } from "./ints.ts";

/**
 * Adds `micro(a, table, image, c, cRowBytes, k, accumulate)`: the matmul's micro kernel for a packed tile of a, where step
 * k of b is the `panel` elements at `image + table[k]`.
 */
export function imageKernel(module: ModuleBuilder, rows: number, panel: number): number {
  const code = new Ints(module.function(Array.from({ length: 7 }, () => Type.i32)));
  const [a, table, image, c, cRow, k, accumulate] = code.parameters(7);
  const vectors = new Vectors(code);
  const sums = Array.from({ length: rows }, () => vectors.make(panel / 4));
  const bs = vectors.make(panel / 4);
  const [factor] = vectors.make(1);
  vectors.zero(sums.flat());
  const at = code.variable();
  code.while(() => k.ge(1), () => {
    at.set(image.add(code.load(table)));
    bs.forEach((b, j) => vectors.load(b, at, 16 * j));
    sums.forEach((row, i) => {
      vectors.load(factor, a, 4 * i, Simd.load32Splat);
      row.forEach((sum, j) => vectors.multiplyAdd(sum, factor, bs[j]));
    });
    a.increase(4 * rows);
    table.increase(4);
    k.increase(-1);
  });
  const write = (store: (row: Int, vector: number, offset: number) => void) => (): void => {
    sums.forEach((row, i) => {
      for (const j of storeOrder(row.length)) store(c, row[j], 16 * j);
      if (i < rows - 1) c.increase(cRow);
    });
  };
  code.if(
    accumulate,
    write((row, vector, offset) => vectors.addTo(row, vector, offset)),
    write((row, vector, offset) => vectors.store(vector, row, offset)),
  );
  return code.f.index;
}

/** Stores vectors one after the other. */
function storeAll(vectors: Vectors, all: readonly number[], at: Int): void {
  for (const i of storeOrder(all.length)) vectors.store(all[i], at, 16 * i);
}

/** The rows of an image that a tile reads: one for each entry of a table of offsets. */
function pointersInto(code: Ints, rows: number, image: Variable, table: Variable): Variable[] {
  return Array.from({ length: rows }, (_, i) => code.variable(image.add(code.load(table, 4 * i))));
}

/**
 * Adds `micro(image, table, b, sums, lines, length, gap)`: adds to `rows` x `panel` sums, over `lines` lines of `length`
 * neighbouring places, an element of the image (at `table[row]` from each place) times a row of a packed panel of b.
 * `gap` bytes lie between two lines.
 */
export function gradientKernel(module: ModuleBuilder, rows: number, panel: number): number {
  const code = new Ints(module.function(Array.from({ length: 7 }, () => Type.i32)));
  const [image, table, b, sumsAt, lines, length, gap] = code.parameters(7);
  const vectors = new Vectors(code);
  const sums = Array.from({ length: rows }, () => vectors.make(panel / 4));
  const bs = vectors.make(panel / 4);
  const [factor] = vectors.make(1);
  sums.flat().forEach((sum, i) => vectors.load(sum, sumsAt, 16 * i));
  const pointers = pointersInto(code, rows, image, table);
  const left = code.variable();
  const steps = (count: number): void => {
    code.while(() => left.ge(count), () => {
      for (let u = 0; u < count; u++) {
        bs.forEach((vector, j) => vectors.load(vector, b, 4 * u * panel + 16 * j));
        sums.forEach((row, i) => {
          vectors.load(factor, pointers[i], 4 * u, Simd.load32Splat);
          row.forEach((sum, j) => vectors.multiplyAdd(sum, factor, bs[j]));
        });
      }
      for (const pointer of pointers) pointer.increase(4 * count);
      b.increase(4 * count * panel);
      left.increase(-count);
    });
  };
  code.while(() => lines.ge(1), () => {
    left.set(length);
    steps(2);
    steps(1);
    for (const pointer of pointers) pointer.increase(gap);
    lines.increase(-1);
  });
  storeAll(vectors, sums.flat(), sumsAt);
  return code.f.index;
}

/**
 * Adds `micro(image, table, b, sums, lines, length, gap, bGap)`: adds to `rows` x `panel` sums, whose columns are to be
 * added up in the end, the products of the image's lines (at `table[row]`) with lines of b.
 */
export function dotKernel(module: ModuleBuilder, rows: number, panel: number): number {
  const code = new Ints(module.function(Array.from({ length: 8 }, () => Type.i32)));
  const [image, table, b, sumsAt, lines, length, gap, bGap] = code.parameters(8);
  const vectors = new Vectors(code);
  const sums = Array.from({ length: rows }, () => vectors.make(panel / 4));
  const bs = vectors.make(panel / 4);
  const factors = vectors.make(panel / 4);
  sums.flat().forEach((sum, i) => vectors.load(sum, sumsAt, 16 * i));
  const pointers = pointersInto(code, rows, image, table);
  const left = code.variable();
  /** While there are so many elements left, takes them in vectors; a single one is a vector's first. */
  const steps = (count: number): void => {
    const load = count === 1 ? Simd.load32Zero : Simd.load;
    const taken = bs.slice(0, Math.max(1, count / 4));
    code.while(() => left.ge(count), () => {
      taken.forEach((vector, j) => vectors.load(vector, b, 16 * j, load));
      sums.forEach((row, i) => {
        taken.forEach((_, j) => vectors.load(factors[j], pointers[i], 16 * j, load));
        taken.forEach((vector, j) => vectors.multiplyAdd(row[j], factors[j], vector));
      });
      for (const pointer of pointers) pointer.increase(4 * count);
      b.increase(4 * count);
      left.increase(-count);
    });
  };
  code.while(() => lines.ge(1), () => {
    left.set(length);
    for (const count of new Set([panel, 8, 4, 1])) steps(count);
    for (const pointer of pointers) pointer.increase(gap);
    b.increase(bGap);
    lines.increase(-1);
  });
  storeAll(vectors, sums.flat(), sumsAt);
  return code.f.index;
}

/**
 * Adds `row(weights, table, image, target, k, length)`: `length` neighbouring elements of a result, each the sum over k steps
 * of `weights[k]` times the element of the image at `table[k]` from its place.
 */
export function rowKernel(module: ModuleBuilder, panel: number): number {
  const code = new Ints(module.function(Array.from({ length: 6 }, () => Type.i32)));
  const [weights, table, image, target, k, length] = code.parameters(6);
  const vectors = new Vectors(code);
  const sums = vectors.make(panel / 2);
  const [factor, value] = vectors.make(2);
  const [factors, offsets, left, at] = [code.variable(), code.variable(), code.variable(), code.variable()];
  /** The next `count` elements; a single one is a vector's first. */
  const block = (count: number): void => {
    const taken = sums.slice(0, Math.max(1, count / 4));
    vectors.zero(taken);
    factors.set(weights);
    offsets.set(table);
    left.set(k);
    code.while(() => left.ge(1), () => {
      vectors.load(factor, factors, 0, Simd.load32Splat);
      at.set(image.add(code.load(offsets)));
      taken.forEach((sum, j) => {
        vectors.load(value, at, 16 * j, count === 1 ? Simd.load32Zero : Simd.load);
        vectors.multiplyAdd(sum, factor, value);
      });
      factors.increase(4);
      offsets.increase(4);
      left.increase(-1);
    });
    if (count === 1) vectors.storeFirst(taken[0], target);
    else for (const j of storeOrder(taken.length)) vectors.store(taken[j], target, 16 * j);
  };
  const advance = (elements: Int): void => {
    image.increase(elements.mul(4));
    target.increase(elements.mul(4));
  };
  const isLong = code.variable(length.ge(4));
  for (const count of [2 * panel, panel, 8, 4]) {
    code.while(() => length.ge(count), () => {
      block(count);
      advance(code.constant(count));
      length.increase(-count);
    });
  }
  // The rest of a long row together with what has been computed already.
  code.if(isLong.and(length.ge(1)), () => {
    advance(length.sub(4));
    block(4);
    length.set(0);
  });
  code.while(() => length.ge(1), () => {
    block(1);
    advance(code.constant(1));
    length.increase(-1);
  });
  return code.f.index;
}

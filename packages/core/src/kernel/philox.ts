/**
 * Counter-based random numbers as kernel expressions: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
 * SC11) on (seed, op, element index), so that every element's bits are the same on any device and under any placement.
 */
import type { DType } from "../tensor/dtype.ts";
import type { Expr } from "./build.ts";
import type { Kernel } from "./ir.ts";

/** The seed (two words) and the op's number in the generator's stream (two words), as int32 expressions. */
export interface RandomState {
  readonly key: readonly [Expr, Expr];
  readonly stream: readonly [Expr, Expr];
}

const randomKernels = new WeakSet<Kernel>();

/** Marks a kernel whose first four numbers are a RandomState, seed first: who issues it again gives it another one. */
export function markRandom(kernel: Kernel): Kernel {
  randomKernels.add(kernel);
  return kernel;
}

export function isRandom(kernel: Kernel): boolean {
  return randomKernels.has(kernel);
}

const MULTIPLIERS = [0xd2511f53 | 0, 0xcd9e8d57 | 0] as const;
const WEYL = [0x9e3779b9 | 0, 0xbb67ae85 | 0] as const;
const ROUNDS = 10;

/** Four random 32-bit words for element `index` (int32). */
export function randomWords(index: Expr, { key, stream }: RandomState): readonly [Expr, Expr, Expr, Expr] {
  let [c0, c1, c2, c3] = [index, index.constant(0), stream[0], stream[1]];
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const [high0, low0] = [c0.mulhi(MULTIPLIERS[0]), c0.mul(MULTIPLIERS[0])];
    const [high1, low1] = [c2.mulhi(MULTIPLIERS[1]), c2.mul(MULTIPLIERS[1])];
    [c0, c1, c2, c3] = [high1.xor(c1).xor(k0), low1, high0.xor(c3).xor(k1), low0];
    [k0, k1] = [k0.add(WEYL[0]), k1.add(WEYL[1])];
  }
  return [c0, c1, c2, c3];
}

/** Uniform in [0, 1): 24 bits of one word for float32, 53 bits of two for float64. */
export function uniform(type: DType, first: Expr, second: Expr): Expr {
  if (type === "float64") {
    const high = first.shr(5).cast("float64").mul(2 ** 26);
    return high.add(second.shr(6).cast("float64")).mul(2 ** -53);
  }
  return first.shr(8).cast("float32").mul(2 ** -24);
}

/** Standard normal, from four words (Box and Muller). */
export function normal(type: DType, [w0, w1, w2, w3]: readonly [Expr, Expr, Expr, Expr]): Expr {
  // 1 - u lies in (0, 1]: its logarithm is finite.
  const radius = uniform(type, w0, w1).neg().add(1).log().mul(-2).sqrt();
  return radius.mul(uniform(type, w2, w3).mul(2 * Math.PI).cos());
}

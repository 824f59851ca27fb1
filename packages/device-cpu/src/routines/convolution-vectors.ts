/** Vector code for hand-written kernels, beside whole numbers (ints.ts). */
import { Simd, Type } from "../wasm/assembler.ts";
import type { Int, Ints } from "./ints.ts";

/** Vectors in registers, and the few instructions that the kernels need. */
export class Vectors {
  readonly #code: Ints;

  constructor(code: Ints) {
    this.#code = code;
  }

  make(count: number): number[] {
    return Array.from({ length: count }, () => this.#code.f.local(Type.v128));
  }

  zero(vectors: readonly number[]): void {
    for (const vector of vectors) {
      this.#code.f.f32x4(0);
      this.#code.f.set(vector);
    }
  }

  load(vector: number, address: Int, offset = 0, code: 0 | 9 | 92 = Simd.load): void {
    address.push();
    this.#code.f.simdMemory(code, offset);
    this.#code.f.set(vector);
  }

  store(vector: number, address: Int, offset: number): void {
    address.push();
    this.#code.f.get(vector);
    this.#code.f.simdMemory(Simd.store, offset);
  }

  /** Stores the first of a vector's elements. */
  storeFirst(vector: number, address: Int): void {
    address.push();
    this.#code.f.get(vector);
    this.#code.f.simdStoreLane(Simd.store32Lane, 0, 0);
  }

  addTo(address: Int, vector: number, offset: number): void {
    const { f } = this.#code;
    address.push();
    address.push();
    f.simdMemory(Simd.load, offset);
    f.get(vector);
    f.simd(Simd.f32x4Add);
    f.simdMemory(Simd.store, offset);
  }

  /** `sum += a * b` */
  multiplyAdd(sum: number, a: number, b: number): void {
    const { f } = this.#code;
    f.get(a);
    f.get(b);
    f.get(sum);
    f.simd(Simd.f32x4RelaxedMadd);
    f.set(sum);
  }
}

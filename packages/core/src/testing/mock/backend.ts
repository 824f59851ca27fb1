/**
 * The mock device's memory and kernels: plain JavaScript over one SharedArrayBuffer. Simple enough to be every device's
 * oracle.
 */
import type { Backend, Fault, Prepared, SharedBytes } from "../../actor/backend.ts";
import type { ReductionName } from "../../actor/protocol.ts";
import type { Kernel } from "../../kernel/ir.ts";
import { dtypes, itemSize, typedArray, type DType, type TypedArray } from "../../tensor/dtype.ts";
import { compileLoop, readScalars, type OperandMemory } from "./compile.ts";
import { granularity, MockHeap } from "./heap.ts";
import { routine, type RoutineCall } from "./routines.ts";
import { binary, type Scalar } from "./scalar.ts";

interface MockPrepared extends Prepared {
  run(call: RoutineCall): Fault | undefined;
}

export class MockBackend implements Backend {
  readonly granularity = granularity;
  readonly #memory: SharedArrayBuffer;
  readonly #bytes: Uint8Array;
  readonly #views = new Map<DType, TypedArray>();
  readonly #heap: MockHeap;

  constructor(memory: SharedArrayBuffer) {
    this.#memory = memory;
    this.#bytes = new Uint8Array(memory);
    this.#heap = new MockHeap(memory.byteLength);
    for (const dtype of dtypes) this.#views.set(dtype, typedArray(dtype, memory));
  }

  allocate(bytes: number): number {
    return this.#heap.allocate(bytes);
  }

  free(block: number): void {
    this.#heap.free(block);
  }

  restore(blocks: Iterable<{ readonly block: number; readonly bytes: number }>): void {
    this.#heap.restore(blocks);
  }

  pooledBytes(): number {
    return 0;
  }

  prepare(kernel: Kernel): MockPrepared {
    if (kernel.kind !== "routine") {
      const loop = compileLoop(kernel);
      return { kernel, run: ({ operands, sizes, strides, scalars }) => loop(operands, sizes, strides, scalars) };
    }
    const run = routine(kernel);
    return {
      kernel,
      run: (call) => {
        run(call);
        return undefined;
      },
    };
  }

  run(prepared: Prepared, words: Int32Array, at: number, block: (storage: number) => number): Fault | undefined {
    const { kernel } = prepared;
    const operands = [...kernel.inputs, ...kernel.outputs];
    const memories = operands.map(({ dtype }, i) =>
      this.#operand(dtype, block(words[at + 2 * i]), words[at + 2 * i + 1]));
    const sizesAt = at + 2 * operands.length;
    const sizes = Array.from(words.subarray(sizesAt, sizesAt + kernel.axes));
    const stridesAt = sizesAt + kernel.axes;
    const strides = operands.map((_, i) =>
      Array.from(words.subarray(stridesAt + i * kernel.axes, stridesAt + (i + 1) * kernel.axes)));
    const scalars = readScalars(kernel.scalars, words, stridesAt + operands.length * kernel.axes);
    return (prepared as MockPrepared).run({ operands: memories, sizes, strides, scalars });
  }

  write(block: number, byteOffset: number, source: Uint8Array): void {
    this.#bytes.set(source, block + byteOffset);
  }

  readInto(block: number, byteOffset: number, target: Uint8Array): void {
    target.set(this.#bytes.subarray(block + byteOffset, block + byteOffset + target.length));
  }

  share(block: number, byteOffset: number): SharedBytes {
    return { buffer: this.#memory, address: block + byteOffset };
  }

  accumulate(block: number, byteOffset: number, source: Uint8Array, dtype: DType, reduction: ReductionName): void {
    const combine = binary(reduction === "sum" ? "add" : reduction, dtype);
    const length = source.length / itemSize(dtype);
    // The source may lie anywhere; a copy is aligned.
    const from = typedArray(dtype, new Uint8Array(source).buffer, 0, length) as Record<number, Scalar>;
    const into = typedArray(dtype, this.#memory, block + byteOffset, length) as Record<number, Scalar>;
    for (let i = 0; i < length; i++) into[i] = combine(into[i], from[i]);
  }

  synchronize(): void {
    // Everything runs when it is issued.
  }

  close(): void {
    // The host owns the memory.
  }

  #operand(dtype: DType, block: number, offset: number): OperandMemory {
    const low = block / itemSize(dtype);
    return {
      view: this.#views.get(dtype) as Record<number, Scalar>,
      offset: low + offset,
      low,
      high: low + this.#heap.bytes(block) / itemSize(dtype),
    };
  }
}

/**
 * What a fused matmul makes of its sums: a bias, an activation, a residual. It is an elementwise kernel, printed as any other, that
 * changes a block of the result in place while that is in the caches.
 *
 * Behind the header of the thread's scratch lies the kernel's argument block, filled for one block of the result after the other,
 * and the addresses at which the operands' blocks begin to count.
 */
import { itemSize, type InnerStride, type LoopKernel, type Node } from "@troupe/core/device";
import { ArgumentLayout } from "../wasm/arguments.ts";
import { type FunctionBuilder, type ModuleBuilder, Op } from "../wasm/assembler.ts";
import { printInner } from "../wasm/print.ts";
import { offsetBy, type Push } from "./loops.ts";

/** Inputs of the product itself. */
const factors = 2;

/** A block of the result, as locals. */
interface Block {
  readonly row: number;
  readonly column: number;
  readonly rows: number;
  readonly columns: number;
}

export class Epilogue {
  /** Bytes of scratch that it takes, a multiple of a cache line. */
  readonly bytes: number;
  readonly #kernel: LoopKernel;
  readonly #layout: ArgumentLayout;
  readonly #fused: LoopKernel;
  /** For each of its operands the fused kernel's: the sums, what else it reads, the result. */
  readonly #operands: readonly number[];
  #function = 0;

  /** @param inner how each operand of the fused kernel moves along n */
  constructor(fused: LoopKernel, inner: readonly InnerStride[]) {
    const out = fused.inputs.length;
    const [output] = fused.outputs;
    const inputs = fused.inputs.map(({ dtype }, k) => ({ dtype, inner: inner[k] }));
    this.#fused = fused;
    this.#operands = [out, ...inputs.keys().drop(factors), out];
    this.#kernel = {
      ...fused,
      axes: 2,
      reduced: 0,
      inputs: [{ dtype: output.dtype, inner: inner[out] }, ...inputs.slice(factors)],
      outputs: [{ ...output, inner: inner[out] }],
      body: fused.epilogue.map(asBody),
      accumulators: [],
      step: [],
      epilogue: [],
      stores: fused.stores.map((store) => ({ ...store, at: "body" as const })),
    };
    this.#layout = new ArgumentLayout(this.#kernel);
    this.bytes = Math.ceil((this.#layout.bytes + 4 * this.#operands.length) / 64) * 64;
  }

  /** Adds the kernel to a module that has no function yet: it may import some. */
  printInto(module: ModuleBuilder): void {
    this.#function = printInner(this.#kernel, this.#layout, module);
  }

  /**
   * Copies what is the same for all blocks.
   * @param argument pushes a word of the launch's argument block, whose layout is `layout`
   * @param block pushes the address of the epilogue's own
   * @param rows the axis of the rows, before that of the columns
   */
  printSetup(f: FunctionBuilder, argument: (offset: number) => void, block: Push, layout: ArgumentLayout, rows: number): void {
    const copyWord = (to: number, from: number): void => {
      block();
      argument(from);
      f.memory(Op.i32Store, to);
    };
    for (const [own, operand] of this.#operands.entries()) {
      for (const axis of [0, 1]) copyWord(this.#layout.stride(own, axis), layout.stride(operand, rows + axis));
    }
    for (const [k, from] of layout.scalarOffsets.entries()) {
      const words = itemSize(this.#fused.scalars[k]) === 8 ? 2 : 1;
      for (let word = 0; word < words; word++) copyWord(this.#layout.scalarOffsets[k] + 4 * word, from + 4 * word);
    }
  }

  /** Stores where operands begin; `address` pushes that of the fused kernel's operand. */
  printBases(f: FunctionBuilder, block: Push, address: (operand: number) => void): void {
    for (const [own, operand] of this.#operands.entries()) {
      block();
      address(operand);
      f.memory(Op.i32Store, this.#base(own));
    }
  }

  /** Runs over a block; the epilogue's own block ends at the address in local `end`. */
  printCall(f: FunctionBuilder, end: number, { row, column, rows, columns }: Block): void {
    const block = (): void => {
      f.get(end);
      f.i32(this.bytes);
      f.op(Op.i32Sub);
    };
    const read = (offset: number): void => {
      block();
      f.memory(Op.i32Load, offset);
    };
    for (const [own, operand] of this.#operands.entries()) {
      const step = (axis: number) => (): void => {
        read(this.#layout.stride(own, axis));
        f.i32(itemSize([...this.#fused.inputs, ...this.#fused.outputs][operand].dtype));
        f.op(Op.i32Mul);
      };
      block();
      offsetBy(f, () => offsetBy(f, () => read(this.#base(own)), () => f.get(row), step(0)), () => f.get(column), step(1));
      f.memory(Op.i32Store, this.#layout.address(own));
    }
    for (const [axis, size] of [rows, columns].entries()) {
      block();
      f.get(size);
      f.memory(Op.i32Store, this.#layout.size(axis));
    }
    block();
    f.i32(0);
    f.get(rows);
    f.get(columns);
    f.op(Op.i32Mul);
    block();
    f.call(this.#function);
  }

  #base(own: number): number {
    return this.#layout.bytes + 4 * own;
  }
}

/** A value of the epilogue where the sum is the first operand, and others have moved up behind it. */
function asBody(node: Node): Node {
  if (node.op === "acc") return { op: "load", type: node.type, index: 0 };
  return node.op === "load" ? { ...node, index: node.index - factors + 1 } : node;
}

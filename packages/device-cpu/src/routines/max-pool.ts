/**
 * Max pooling of float32 over windows of one or two dimensions, with the place of each maximum. It overrides core's loop
 * kernels "maxPool1d" and "maxPool2d" (ops/kinds/window-max.ts), which stay its oracle: of equal values the first one, NaN
 * above all, -1 where a window is all padding.
 *
 * Four neighbouring windows a vector, where they lie within their rows and one or two elements apart.
 */
import type { Kernel, LoopKernel } from "@troupe/core/device";
import { ArgumentLayout, Scratch } from "../wasm/arguments.ts";
import { ModuleBuilder, Op, Simd, Type } from "../wasm/assembler.ts";
import type { Program } from "../wasm/program.ts";
import { Vectors } from "./convolution-vectors.ts";
import { type Int, Ints, type Variable } from "./ints.ts";

export const maxPoolNames: readonly string[] = ["maxPool1d", "maxPool2d"];

/** Input, maxima, places. */
const operands = 3;
const itemBytes = [4, 4, 8] as const;

/** The program for a max pooling kernel; undefined where it is not a float32 one. */
export function maxPool(kernel: Kernel): Program | undefined {
  const rank = 1 + maxPoolNames.indexOf(kernel.name);
  if (rank === 0 || !isMaxPool(kernel, rank)) return undefined;
  const layout = new ArgumentLayout(kernel);
  const count = (words: Int32Array, at: number, axes: number): number => {
    let product = 1;
    for (let axis = 0; axis < axes; axis++) product *= words[at + 2 * operands + axis];
    return product;
  };
  return {
    kernel,
    layout,
    bytes: new MaxPoolPrinter(layout, rank).print(),
    splittable: true,
    faults: false,
    // A unit of work is a line of windows.
    extent: (words, at) => (count(words, at, 2 + rank) === 0 ? 0 : count(words, at, 1 + rank)),
    work: (words, at) => count(words, at, 2 + 2 * rank),
    scratchBytes: () => Scratch.headerBytes,
  };
}

/** Whether the kernel has the arguments that core's have. */
function isMaxPool(kernel: Kernel, rank: number): kernel is LoopKernel {
  const dtypes = [...kernel.inputs, ...kernel.outputs].map(({ dtype }) => dtype);
  return (
    kernel.kind === "loop" && dtypes.join() === "float32,float32,int64" &&
    kernel.axes === 2 + 2 * rank && kernel.reduced === rank && kernel.scalars.length === 5 * rank + 1
  );
}

/** One spatial dimension: places of windows, elements of one, and how they lie in the input. */
interface Dimension {
  readonly windows: Variable;
  readonly taps: Variable;
  readonly size: Variable;
  readonly stride: Variable;
  readonly dilation: Variable;
  readonly padding: Variable;
  /** In bytes. */
  readonly step: Variable;
}

/** A line of windows. */
interface Line {
  /** The input's plane. */
  readonly plane: Variable;
  /** The row (below 0 or beyond the last one: padding) in which windows begin. */
  readonly row: Variable;
  /** Where its first maximum and place go. */
  readonly values: Variable;
  readonly places: Variable;
}

class MaxPoolPrinter {
  readonly #layout: ArgumentLayout;
  readonly #rank: number;
  readonly #module = new ModuleBuilder();
  readonly #code: Ints;
  readonly #vectors: Vectors;
  readonly #args: Variable;

  constructor(layout: ArgumentLayout, rank: number) {
    this.#layout = layout;
    this.#rank = rank;
    this.#code = new Ints(this.#module.function([Type.i32, Type.i32, Type.i32, Type.i32], [], "run"));
    this.#vectors = new Vectors(this.#code);
    [this.#args] = this.#code.parameters(1);
  }

  print(): Uint8Array<ArrayBuffer> {
    const code = this.#code;
    const [, begin, end] = code.parameters(3);
    const rank = this.#rank;
    const channels = this.#argument(this.#layout.size(1));
    const across = this.#dimension(rank - 1);
    const down = rank === 1 ? undefined : this.#dimension(0);
    const bases = itemBytes.map((_, operand) => this.#argument(this.#layout.address(operand)));
    const step = (operand: number, axis: number): Variable =>
      code.variable(this.#argument(this.#layout.stride(operand, axis)).mul(itemBytes[operand]));
    const images = itemBytes.map((_, operand) => step(operand, 0));
    const planes = itemBytes.map((_, operand) => step(operand, 1));
    const rows = itemBytes.map((_, operand) => (down === undefined ? code.variable() : step(operand, 2)));
    const steps = [step(1, 1 + rank), step(2, 1 + rank)] as const;

    // The windows [from, to) of a line lie within their rows; less than a vector of them is not worth one.
    const from = code.variable(code.min(across.padding.add(across.stride).sub(1).div(across.stride), across.windows));
    const room = code.variable(across.size.sub(1).add(across.padding).sub(across.taps.sub(1).mul(across.dilation)));
    const to = code.variable(
      code.choose(room.ge(0), code.min(code.max(room, 0).div(across.stride).add(1), across.windows), 0),
    );
    const dense = across.step.eq(4).and(steps[0].eq(4)).and(steps[1].eq(8)).and(across.stride.le(2));
    const inVectors = code.variable(dense.and(to.sub(from).ge(4)));

    code.for(end, (unit) => {
      const lines = down === undefined ? code.constant(1) : down.windows;
      const line = code.variable(unit.rem(lines));
      const plane = code.variable(unit.div(lines));
      const channel = code.variable(plane.rem(channels));
      const image = code.variable(plane.div(channels));
      const place = (operand: number): Variable =>
        code.variable(bases[operand].add(image.mul(images[operand])).add(channel.mul(planes[operand])));
      const own: Line = {
        plane: place(0),
        row: code.variable(down === undefined ? 0 : line.mul(down.stride).sub(down.padding)),
        values: code.variable(place(1).add(line.mul(rows[1]))),
        places: code.variable(place(2).add(line.mul(rows[2]))),
      };
      const window = code.variable();
      code.while(() => window.lt(across.windows), () => {
        code.if(inVectors.and(window.eq(from)), () => {
          code.if(across.stride.eq(1), () => this.#vectorsOf(own, down, across, from, to, 1), () =>
            this.#vectorsOf(own, down, across, from, to, 2));
          window.set(to);
        }, () => {
          this.#window(own, down, across, window, steps);
          window.increase(1);
        });
      });
    }, begin);
    return this.#module.finish();
  }

  #argument(offset: number): Variable {
    return this.#code.variable(this.#code.load(this.#args, offset));
  }

  #dimension(d: number): Dimension {
    const layout = this.#layout;
    const rank = this.#rank;
    const scalar = (index: number): Variable => this.#argument(layout.scalarOffsets[index]);
    return {
      windows: this.#argument(layout.size(2 + d)),
      taps: this.#argument(layout.size(2 + rank + d)),
      size: scalar(4 * d),
      stride: scalar(4 * d + 1),
      dilation: scalar(4 * d + 2),
      padding: scalar(4 * d + 3),
      step: this.#code.variable(scalar(4 * rank + d).mul(4)),
    };
  }

  /** Calls `body` with each row of the input that a line's windows reach, and its first element's number in the plane. */
  #forRows({ plane, row }: Line, down: Dimension | undefined, width: Int, body: (at: Variable, number: Variable) => void): void {
    const code = this.#code;
    if (down === undefined) {
      body(plane, code.variable(0));
      return;
    }
    const y = code.variable(row);
    code.for(down.taps, () => {
      code.if(y.ge(0).and(y.lt(down.size)), () => {
        body(code.variable(plane.add(y.mul(down.step))), code.variable(y.mul(width)));
      });
      y.increase(down.dilation);
    });
  }

  /** One window, element by element. */
  #window(
    line: Line, down: Dimension | undefined, across: Dimension, window: Variable, [valueStep, placeStep]: readonly [Int, Int],
  ): void {
    const code = this.#code;
    const { f } = code;
    const best = f.local(Type.f32);
    const value = f.local(Type.f32);
    const place = code.variable(-1);
    f.f32(-Infinity);
    f.set(best);
    this.#forRows(line, down, across.size, (at, number) => {
      const x = code.variable(window.mul(across.stride).sub(across.padding));
      code.for(across.taps, () => {
        code.if(x.ge(0).and(x.lt(across.size)), () => {
          at.add(x.mul(across.step)).push();
          f.memory(Op.f32Load);
          f.set(value);
          // Better, or NaN, or the first.
          f.get(value);
          f.get(best);
          f.op(Op.f32Gt);
          f.get(value);
          f.get(value);
          f.op(Op.f32Ne);
          f.op(Op.i32Or);
          place.lt(0).push();
          f.op(Op.i32Or);
          f.if();
          f.get(value);
          f.set(best);
          place.set(number.add(x));
          f.end();
        });
        x.increase(across.dilation);
      });
    });
    line.values.add(window.mul(valueStep)).push();
    f.get(best);
    f.memory(Op.f32Store);
    const target = code.variable(line.places.add(window.mul(placeStep)));
    code.store(target, place);
    // The sign of the other half.
    code.store(target, code.choose(place.lt(0), -1, 0), 4);
  }

  /** The windows [from, to) of a line, four at a time; the last four may overlap those before. */
  #vectorsOf(line: Line, down: Dimension | undefined, across: Dimension, from: Variable, to: Variable, stride: 1 | 2): void {
    const code = this.#code;
    const { f } = code;
    const vectors = this.#vectors;
    const [best, place, value, other, wins, number] = vectors.make(6);
    code.for(to, (next) => {
      const first = code.variable(code.min(next, to.sub(4)));
      f.f32x4(-Infinity);
      f.set(best);
      f.i32x4Splat(-1);
      f.set(place);
      this.#forRows(line, down, across.size, (at, rowNumber) => {
        const x = code.variable(first.mul(stride).sub(across.padding));
        const address = code.variable(at.add(x.mul(4)));
        code.for(across.taps, () => {
          vectors.load(value, address);
          if (stride === 2) {
            // Elements 0, 2 and 4, 6: nothing is read beyond the last.
            vectors.load(other, address, 12);
            f.get(value);
            f.get(other);
            f.shuffle32(0, 2, 5, 7);
            f.set(value);
          }
          rowNumber.add(x).push();
          f.simd(Simd.i32x4Splat);
          f.i32x4(0, stride, 2 * stride, 3 * stride);
          f.simd(Simd.i32x4Add);
          f.set(number);
          f.get(value);
          f.get(best);
          f.simd(Simd.f32x4Gt);
          f.get(value);
          f.get(value);
          f.simd(Simd.f32x4Ne);
          f.simd(Simd.or);
          f.get(place);
          f.i32x4Splat(0);
          f.simd(Simd.i32x4LtS);
          f.simd(Simd.or);
          f.set(wins);
          for (const [chosen, kept] of [[value, best], [number, place]] as const) {
            f.get(chosen);
            f.get(kept);
            f.get(wins);
            f.simd(Simd.bitselect);
            f.set(kept);
          }
          x.increase(across.dilation);
          address.increase(across.dilation.mul(4));
        });
      });
      vectors.store(best, line.values.add(first.mul(4)), 0);
      // Places become int64: each beside its sign.
      f.get(place);
      f.i32x4Splat(0);
      f.simd(Simd.i32x4LtS);
      f.set(other);
      const target = code.variable(line.places.add(first.mul(8)));
      for (const [offset, a, b] of [[0, 0, 1], [16, 2, 3]] as const) {
        target.push();
        f.get(place);
        f.get(other);
        f.shuffle32(a, 4 + a, b, 4 + b);
        f.simdMemory(Simd.store, offset);
      }
    }, from, 4);
  }
}

/**
 * The `sort` routine (`torch.sort`): inputs [values], outputs [sorted values, int64 indices], along the last axis of the
 * sizes. Always stable; NaN counts as the greatest value. Computed by the device's thread: values are read, put in
 * order, and written.
 */
import { itemSize, type Backend, type DType, type Fault, type RoutineKernel } from "@troupe/core/device";

/** Values as numbers or bigints whose order is that of the dtype. */
function viewOf(dtype: DType, buffer: ArrayBuffer): ArrayLike<number> | ArrayLike<bigint> {
  switch (dtype) {
    case "float32": return new Float32Array(buffer);
    case "int32": return new Int32Array(buffer);
    case "int64": return new BigInt64Array(buffer);
    case "float64": return new Float64Array(buffer);
    case "uint8":
    case "bool": return new Uint8Array(buffer);
  }
}

function ascending(a: number | bigint, b: number | bigint): number {
  const aNaN = Number.isNaN(a);
  const bNaN = Number.isNaN(b);
  if (aNaN || bNaN) return Number(aNaN) - Number(bNaN);
  return a < b ? -1 : a > b ? 1 : 0;
}

type Bytes = Pick<Backend, "readInto" | "write">;

/** A strided operand of a launch: where its elements are, among the bytes that hold them all. */
class Operand {
  readonly block: number;
  readonly width: number;
  readonly strides: readonly number[];
  /** The bytes' beginning in the block. */
  readonly start: number;
  readonly bytes: Uint8Array<ArrayBuffer>;

  constructor(block: number, offset: number, dtype: DType, sizes: readonly number[], strides: readonly number[]) {
    this.block = block;
    this.width = itemSize(dtype);
    this.strides = strides;
    this.start = offset * this.width;
    const last = sizes.reduce((sum, size, axis) => sum + (size - 1) * strides[axis], 0);
    this.bytes = new Uint8Array((last + 1) * this.width);
  }

  /** Moves an element of `source` here. */
  put(index: number, source: Uint8Array, from: number): void {
    const { width } = this;
    for (let i = 0; i < width; i++) this.bytes[index * width + i] = source[from * width + i];
  }
}

/** Prepares a sort on the memory behind `memory`. */
export function sort(kernel: RoutineKernel, memory: Bytes): {
  run(words: Int32Array, at: number, block: (storage: number) => number): Fault | undefined;
} {
  const dtype = kernel.inputs[0].dtype;
  const direction = kernel.options["descending"] === true ? -1 : 1;
  const { axes } = kernel;
  return {
    run: (words, at, block) => {
      const sizes = Array.from(words.subarray(at + 6, at + 6 + axes));
      if (sizes.includes(0)) return undefined;
      const operands = ([dtype, dtype, "int64"] as const).map((type, i) => {
        const stridesAt = at + 6 + axes + i * axes;
        const strides = Array.from(words.subarray(stridesAt, stridesAt + axes));
        return new Operand(block(words[at + 2 * i]), words[at + 2 * i + 1], type, sizes, strides);
      });
      const [input, values, places] = operands;
      for (const { block: from, start, bytes } of operands) memory.readInto(from, start, bytes);
      const view = viewOf(dtype, input.bytes.buffer);
      const places64 = new BigInt64Array(places.bytes.buffer);
      const length = sizes.at(-1) ?? 1;
      const steps = operands.map(({ strides }) => strides.at(-1) ?? 1);
      forRows(sizes.slice(0, -1), operands, ([row, valueRow, placeRow]) => {
        const order = Array.from({ length }, (_, i) => i);
        order.sort((a, b) => direction * ascending(view[row + a * steps[0]], view[row + b * steps[0]]) || a - b);
        order.forEach((from, place) => {
          values.put(valueRow + place * steps[1], input.bytes, row + from * steps[0]);
          places64[placeRow + place * steps[2]] = BigInt(from);
        });
      });
      for (const { block: to, start, bytes } of [values, places]) memory.write(to, start, bytes);
      return undefined;
    },
  };
}

/** Visits the first element of every row, of all operands at once. */
function forRows(outer: readonly number[], operands: readonly Operand[], visit: (starts: readonly number[]) => void): void {
  const rows = outer.reduce((product, size) => product * size, 1);
  for (let row = 0; row < rows; row++) {
    let rest = row;
    const starts = operands.map(() => 0);
    for (let axis = outer.length - 1; axis >= 0; axis--) {
      const index = rest % outer[axis];
      rest = Math.floor(rest / outer[axis]);
      operands.forEach(({ strides }, i) => { starts[i] += index * strides[axis]; });
    }
    visit(starts);
  }
}

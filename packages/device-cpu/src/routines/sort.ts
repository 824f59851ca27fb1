/**
 * The `sort` routine (`torch.sort`): inputs [values], outputs [sorted values, int64 indices], along the last axis of
 * the sizes. Options: `descending`. Always stable; NaN counts as the greatest value, -0 equals 0.
 *
 * Values become unsigned keys in the order asked for (one 32-bit word, or two for 64-bit dtypes), and the keys are
 * sorted with their positions: short rows by insertion, long ones by a radix sort that skips the digits that all keys
 * share.
 */
import { itemSize, type DType, type RoutineKernel } from "@troupe/core/device";
import type { Heap } from "../heap.ts";
import type { Launch } from "./routine.ts";

/** Rows up to this long are sorted by insertion. */
const insertionLimit = 40;
const digitBits = 8;
const buckets = 1 << digitBits;

/** Reusable room for one row: keys, high words of 64-bit keys, the order and its copy, and the row's own words. */
class Row {
  length = 0;
  low = new Uint32Array(0);
  high = new Uint32Array(0);
  order = new Uint32Array(0);
  spare = new Uint32Array(0);
  words = new Int32Array(0);

  reserve(length: number): void {
    if (length > this.order.length) {
      this.low = new Uint32Array(length);
      this.high = new Uint32Array(length);
      this.order = new Uint32Array(length);
      this.spare = new Uint32Array(length);
      this.words = new Int32Array(length * 2);
    }
    this.length = length;
  }
}

const row = new Row();
const counts = new Uint32Array(buckets);

/** Reads element words at a byte address into `row.words` (one or two a value). */
function readRow(heap: Heap, bytes: number, address: number, stride: number): void {
  const { length, words } = row;
  for (let i = 0; i < length; i++) {
    const at = address + i * stride * bytes;
    if (bytes === 1) words[i] = heap.bytes[at];
    else if (bytes === 4) words[i] = heap.words[at >>> 2];
    else {
      words[2 * i] = heap.words[at >>> 2];
      words[2 * i + 1] = heap.words[(at >>> 2) + 1];
    }
  }
}

/** Writes the row's values in sorted order, and their positions. */
function writeRow(
  heap: Heap, bytes: number, values: number, stride: number, indices: number, indexStride: number,
): void {
  const { length, words, order } = row;
  for (let i = 0; i < length; i++) {
    const from = order[i];
    const at = values + i * stride * bytes;
    if (bytes === 1) heap.bytes[at] = words[from];
    else if (bytes === 4) heap.words[at >>> 2] = words[from];
    else {
      heap.words[at >>> 2] = words[2 * from];
      heap.words[(at >>> 2) + 1] = words[2 * from + 1];
    }
    const index = (indices + i * indexStride * 8) >>> 2;
    heap.words[index] = from;
    heap.words[index + 1] = 0;
  }
}

/** Makes keys of 32 bits of the row's words: their unsigned order is the values' order (reversed by `flip` = -1). */
function keys32(dtype: DType, flip: number): void {
  const { length, words, low } = row;
  for (let i = 0; i < length; i++) {
    const word = words[i];
    let key = word;
    if (dtype === "float32") {
      const magnitude = word & 0x7fffffff;
      if (magnitude > 0x7f800000) key = -1;
      else if (magnitude === 0) key = 1 << 31;
      else key = word < 0 ? ~word : word ^ (1 << 31);
    } else if (dtype === "int32") key = word ^ (1 << 31);
    low[i] = key ^ flip;
  }
}

/** As `keys32`, for 64-bit dtypes: the high word decides first. */
function keys64(dtype: DType, flip: number): void {
  const { length, words, low, high } = row;
  for (let i = 0; i < length; i++) {
    let lowKey = words[2 * i];
    let highKey = words[2 * i + 1];
    const magnitude = highKey & 0x7fffffff;
    if (dtype === "int64") highKey ^= 1 << 31;
    else if (magnitude > 0x7ff00000 || (magnitude === 0x7ff00000 && lowKey !== 0)) highKey = lowKey = -1;
    else if (magnitude === 0 && lowKey === 0) highKey = 1 << 31;
    else if (highKey < 0) {
      highKey = ~highKey;
      lowKey = ~lowKey;
    } else highKey ^= 1 << 31;
    low[i] = lowKey ^ flip;
    high[i] = highKey ^ flip;
  }
}

function insertionSort(wide: boolean): void {
  const { length, low, high, order } = row;
  for (let i = 0; i < length; i++) {
    const keyLow = low[i];
    const keyHigh = wide ? high[i] : 0;
    let at = i;
    for (; at > 0; at--) {
      const before = order[at - 1];
      const beforeHigh = wide ? high[before] : 0;
      if (beforeHigh < keyHigh || (beforeHigh === keyHigh && low[before] <= keyLow)) break;
      order[at] = before;
    }
    order[at] = i;
  }
}

/** Sorts `row.order` by one word of its keys, keeping the order of equals. */
function radixSort(keys: Uint32Array): void {
  const { length } = row;
  for (let shift = 0; shift < 32; shift += digitBits) {
    counts.fill(0);
    for (let i = 0; i < length; i++) counts[(keys[i] >>> shift) & (buckets - 1)]++;
    if (counts[(keys[0] >>> shift) & (buckets - 1)] === length) continue;
    let sum = 0;
    for (let bucket = 0; bucket < buckets; bucket++) {
      const count = counts[bucket];
      counts[bucket] = sum;
      sum += count;
    }
    const { order, spare } = row;
    for (let i = 0; i < length; i++) {
      const from = order[i];
      const digit = (keys[from] >>> shift) & (buckets - 1);
      spare[counts[digit]] = from;
      counts[digit]++;
    }
    row.order = spare;
    row.spare = order;
  }
}

function sortRow(dtype: DType, descending: boolean): void {
  const wide = itemSize(dtype) === 8;
  if (wide) keys64(dtype, descending ? -1 : 0);
  else keys32(dtype, descending ? -1 : 0);
  if (row.length <= insertionLimit) {
    insertionSort(wide);
    return;
  }
  for (let i = 0; i < row.length; i++) row.order[i] = i;
  radixSort(row.low);
  if (wide) radixSort(row.high);
}

/** Prepares a sort. */
export function sort(kernel: RoutineKernel, heap: Heap): Launch {
  const dtype = kernel.inputs[0]?.dtype ?? "float32";
  const bytes = itemSize(dtype);
  const descending = kernel.options["descending"] === true;
  const { axes } = kernel;
  const operands = 3;
  return (words, at, block) => {
    const word = (index: number) => words[at + index];
    const sizes = 2 * operands;
    const strides = sizes + axes;
    // Element addresses of each operand, moved along with `index` over all axes but the last.
    const address = [0, 1, 2].map((o) => (block(word(2 * o)) >>> 0) + word(2 * o + 1) * (o === 2 ? 8 : bytes));
    const step = [0, 1, 2].map((o) => (axes === 0 ? 1 : word(strides + o * axes + axes - 1)));
    row.reserve(axes === 0 ? 1 : word(sizes + axes - 1));
    const index = new Int32Array(Math.max(0, axes - 1));
    let rows = row.length === 0 ? 0 : 1;
    for (let axis = 0; axis < axes - 1; axis++) rows *= word(sizes + axis);
    for (; rows > 0; rows--) {
      readRow(heap, bytes, address[0], step[0]);
      sortRow(dtype, descending);
      writeRow(heap, bytes, address[1], step[1], address[2], step[2]);
      for (let axis = axes - 2; axis >= 0; axis--) {
        const wraps = ++index[axis] === word(sizes + axis);
        for (let o = 0; o < operands; o++) {
          const stride = word(strides + o * axes + axis) * (o === 2 ? 8 : bytes);
          address[o] += wraps ? stride * (1 - word(sizes + axis)) : stride;
        }
        if (!wraps) break;
        index[axis] = 0;
      }
    }
    return undefined;
  };
}

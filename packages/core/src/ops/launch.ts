/** Issuing one launch: writes a kernel's arguments into its device's mailbox, in the order that kernel/ir.ts fixes. */
import { ShapeError } from "../errors.ts";
import { argumentWords } from "../kernel/ir.ts";
import type { Kernel } from "../kernel/ir.ts";
import type { DType } from "../tensor/dtype.ts";
import type { LocalValue } from "../tensor/value.ts";

/** One operand of a launch: a value, and its stride along each axis of the kernel (in elements). */
export interface Bound {
  readonly value: LocalValue;
  readonly strides: readonly number[];
  /** Elements added to the value's own offset. */
  readonly shift?: number;
}

const words = new Int32Array(2);
const doubles = new Float64Array(words.buffer);
const floats = new Float32Array(words.buffer);
const longs = new BigInt64Array(words.buffer);

/** Writes a scalar argument at `at`; returns the place after it. */
export function putScalar(target: Int32Array, at: number, type: DType, value: number): number {
  switch (type) {
    case "float32":
      floats[0] = value;
      target[at] = words[0];
      return at + 1;
    case "int32":
      target[at] = value;
      return at + 1;
    case "uint8":
      target[at] = value & 0xff;
      return at + 1;
    case "bool":
      target[at] = value === 0 ? 0 : 1;
      return at + 1;
    case "float64":
      doubles[0] = value;
      break;
    case "int64":
      longs[0] = BigInt(Math.trunc(value));
      break;
  }
  target[at] = words[0];
  target[at + 1] = words[1];
  return at + 2;
}

/**
 * Issues a launch on the device of the first operand (there is always an output).
 * @param sizes the size of each axis
 */
export function launch(kernel: Kernel, operands: readonly Bound[], sizes: readonly number[], scalars: readonly number[] = [], guarded = false): void {
  issue(
    kernel,
    operands.map(({ value }) => value),
    operands.map(({ strides }) => strides),
    sizes,
    scalars,
    operands.map(({ shift = 0 }) => shift),
    guarded,
  );
}

/** As `launch`, with operands given as parallel lists: nothing is made on the way. */
export function issue(
  kernel: Kernel,
  values: readonly LocalValue[],
  strides: readonly (readonly number[])[],
  sizes: readonly number[],
  scalars: readonly number[],
  shifts?: readonly number[],
  guarded = false,
): void {
  for (const size of sizes) {
    if (size > 0x7fff_ffff) throw new ShapeError(`a launch over ${size} elements in one dimension: 2^31 - 1 is the most`, { op: kernel.name });
  }
  const { device } = values[0].storage;
  const { mailbox } = device;
  const id = device.kernel(kernel);
  const axes = sizes.length;
  let at = mailbox.beginRun(id, argumentWords(kernel), guarded);
  const target = mailbox.words;
  for (let k = 0; k < values.length; k++) {
    target[at++] = values[k].storage.id;
    target[at++] = values[k].offset + (shifts === undefined ? 0 : shifts[k]);
  }
  for (let axis = 0; axis < axes; axis++) target[at++] = sizes[axis];
  for (let k = 0; k < values.length; k++) {
    const own = strides[k];
    for (let axis = 0; axis < axes; axis++) target[at++] = own[axis];
  }
  for (let i = 0; i < scalars.length; i++) at = putScalar(target, at, kernel.scalars[i], scalars[i]);
  mailbox.end();
}

/** Kernels by a key that says everything their structure depends on. */
export class KernelCache<K extends string | number> {
  readonly #made = new Map<K, Kernel>();

  get(key: K, make: () => Kernel): Kernel {
    let kernel = this.#made.get(key);
    if (kernel === undefined) this.#made.set(key, (kernel = make()));
    return kernel;
  }
}

/** Small things to say to a device below the level of tensors: storages of float32 and a handful of kernels. */
import type { Device } from "../actor/device.ts";
import type { CollectiveOperand } from "../actor/groups.ts";
import { argumentWords, type LoopKernel, type Node } from "../kernel/ir.ts";
import type { DType } from "../tensor/dtype.ts";

interface Shape {
  readonly name: string;
  readonly inputs: readonly DType[];
  readonly overwrites: boolean;
  readonly body: readonly Node[];
  readonly value: number;
}

function elementwise({ name, inputs, overwrites, body, value }: Shape): LoopKernel {
  return {
    kind: "loop", name, axes: 1, reduced: 0,
    inputs: inputs.map((dtype) => ({ dtype, inner: "any" })),
    outputs: [{ dtype: "float32", inner: "any", overwrites }],
    scalars: [], body, accumulators: [], step: [], epilogue: [],
    stores: [{ output: 0, value, at: "body" }],
  };
}

const load = (index: number, type: DType = "float32"): Node => ({ op: "load", type, index });

/** out = a + b */
const addKernel = elementwise({
  name: "add", inputs: ["float32", "float32"], overwrites: true,
  body: [load(0), load(1), { op: "add", type: "float32", args: [0, 1] }], value: 2,
});

/** out = out + a, where the output is the first input too */
const addInPlaceKernel = elementwise({
  name: "add_", inputs: ["float32", "float32"], overwrites: false,
  body: [load(0), load(1), { op: "add", type: "float32", args: [0, 1] }], value: 2,
});

/** out = a * 3 + b: an op whose order matters. */
const mixKernel = elementwise({
  name: "mix", inputs: ["float32", "float32"], overwrites: true,
  body: [
    load(0), load(1), { op: "const", type: "float32", value: "3" },
    { op: "mul", type: "float32", args: [0, 2] }, { op: "add", type: "float32", args: [3, 1] },
  ],
  value: 4,
});

/** out = sqrt(a), where a must not be negative. */
const rootKernel = elementwise({
  name: "checkedSqrt", inputs: ["float32"], overwrites: true,
  body: [
    load(0), { op: "const", type: "float32", value: "0" }, { op: "ge", type: "bool", args: [0, 1] },
    { op: "bitcast", type: "int32", args: [0] },
    { op: "check", type: "bool", args: [2, 3], code: "value-out-of-range" },
    { op: "sqrt", type: "float32", args: [0] },
  ],
  value: 5,
});

/** out[0] = the sum over `points` of a root of a[0]: takes as long as one likes. */
const slowKernel: LoopKernel = {
  kind: "loop", name: "slowSum", axes: 2, reduced: 1,
  inputs: [{ dtype: "float32", inner: 0 }],
  outputs: [{ dtype: "float32", inner: "any", overwrites: true }],
  scalars: [],
  body: [
    load(0),
    { op: "axis", type: "int32", index: 1 },
    { op: "cast", type: "float32", args: [1] },
    { op: "add", type: "float32", args: [0, 2] },
    // A chain of square roots keeps even vector units busy; the index in it keeps compilers from computing it once.
    ...Array.from({ length: 16 }, (_, i): Node => ({ op: "sqrt", type: "float32", args: [i + 3] })),
    { op: "acc", type: "float32", index: 0 },
    { op: "add", type: "float32", args: [20, 19] },
  ],
  accumulators: [{ type: "float32", init: "0" }],
  step: [21],
  epilogue: [{ op: "acc", type: "float32", index: 0 }],
  stores: [{ output: 0, value: 0, at: "epilogue" }],
};

/** A contiguous float32 storage of a device. */
export class Vector {
  readonly device: Device;
  readonly length: number;
  readonly storage: number;

  constructor(device: Device, length: number) {
    this.device = device;
    this.length = length;
    this.storage = device.newStorage(length * 4);
  }

  static of(device: Device, values: readonly number[]): Vector {
    const vector = new Vector(device, values.length);
    vector.set(values);
    return vector;
  }

  static full(device: Device, length: number, value: number): Vector {
    return Vector.of(device, new Array<number>(length).fill(value));
  }

  get operand(): CollectiveOperand {
    return { storage: this.storage, byteOffset: 0, elements: this.length, dtype: "float32" };
  }

  set(values: readonly number[]): void {
    this.device.upload(this.storage, 0, new Uint8Array(new Float32Array(values).buffer));
  }

  free(): void {
    this.device.freeStorage(this.storage);
  }

  async read(): Promise<number[]> {
    return floats(await this.device.read(this.storage, 0, this.length * 4).bytes());
  }

  readSync(): number[] {
    return floats(this.device.read(this.storage, 0, this.length * 4).bytesSync());
  }

  add(other: Vector, out = new Vector(this.device, this.length)): Vector {
    launch(addKernel, [this, other], out, this.length);
    return out;
  }

  /** `this * 3 + other` */
  mix(other: Vector, out = new Vector(this.device, this.length)): Vector {
    launch(mixKernel, [this, other], out, this.length);
    return out;
  }

  addInPlace(other: Vector, guarded = false): this {
    launch(addInPlaceKernel, [this, other], this, this.length, guarded);
    return this;
  }

  /** Square roots; the launch fails on a negative number. */
  checkedSqrt(out = new Vector(this.device, this.length)): Vector {
    launch(rootKernel, [this], out, this.length);
    return out;
  }

  /** Something that takes the device a while: `points` additions into element 0. */
  slowSum(points: number, out = new Vector(this.device, 1)): Vector {
    const { mailbox } = this.device;
    const kernel = this.device.kernel(slowKernel);
    const at = mailbox.beginRun(kernel, argumentWords(slowKernel));
    mailbox.words.set([this.storage, 0, out.storage, 0, 1, points, 0, 0, 1, 0], at);
    mailbox.end();
    return out;
  }

  /** A copy on another device, made past the coordinator. */
  copyTo(device: Device, out = new Vector(device, this.length)): Vector {
    this.device.copyTo(this.storage, 0, this.length * 4, device, out.storage, 0);
    return out;
  }
}

function floats(bytes: Uint8Array): number[] {
  return Array.from(new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4));
}

function launch(kernel: LoopKernel, inputs: readonly Vector[], out: Vector, length: number, guarded = false): void {
  const operands = [...inputs, out];
  const { mailbox } = out.device;
  const number = out.device.kernel(kernel);
  const at = mailbox.beginRun(number, argumentWords(kernel), guarded);
  mailbox.words.set([...operands.flatMap(({ storage }) => [storage, 0]), length, ...operands.map(() => 1)], at);
  mailbox.end();
}

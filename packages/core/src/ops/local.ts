/** The executor of local values: infers, checks devices, lets the entry issue its launches, reads. */
import type { Device } from "../actor/device.ts";
import { DeviceError } from "../errors.ts";
import { setLocalExecutor } from "../tensor/value.ts";
import type { Executor, LocalValue, Meta, Value } from "../tensor/value.ts";
import { itemSize } from "../tensor/dtype.ts";
import { numelOf } from "../tensor/shape.ts";
import type { Op } from "./op.ts";

/** Numbers pass; any other executor's value is a mistake of the dispatcher. */
function locals(values: readonly (Value | number)[], op: string, target?: Value): (LocalValue | number)[] {
  let device: Device | undefined;
  if (target !== undefined) {
    (target as LocalValue).assertLive(op);
    device = target.device;
  }
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (typeof value === "number") continue;
    (value as LocalValue).assertLive(op);
    if (device === undefined) device = value.device;
    else if (device !== value.device) {
      throw new DeviceError(
        `Expected all tensors to be on the same device, but found at least two devices, ${device.name} and ${value.device.name}!`,
        { op, remedy: "Move one of them with .to(device)." },
      );
    }
  }
  return values as (LocalValue | number)[];
}

/** Brings a value into a contiguous temporary of its own, so that later writes cannot reach what a read sees. */
let snapshot: (value: LocalValue) => LocalValue;

/** The copy op hands itself over when it loads. */
export function setSnapshot(copy: (value: LocalValue) => LocalValue): void {
  snapshot = copy;
}

/** Answers up to this many bytes come with the ticket itself, without a temporary. */
const inlineBytes = 64;

export const local: Executor = {
  name: "local",

  run<A>(op: Op<A>, inputs: readonly (Value | number)[], attrs: A): Value[] {
    const values = locals(inputs, op.name);
    return op.run(values, attrs, op.infer(values, attrs));
  },

  runInto<A>(op: Op<A>, inputs: readonly (Value | number)[], attrs: A, outputs: readonly Meta[], target: Value): void {
    const values = locals(inputs, op.name, target);
    // Out of place it is the result's allocation that refuses.
    target.device.assertOpen();
    op.run(values, attrs, outputs, target as LocalValue);
  },

  async read(value: Value): Promise<Uint8Array> {
    const { source, bytes } = readable(value as LocalValue);
    if (bytes === 0) return new Uint8Array(0);
    const ticket = source.device.read(source.storage.id, source.offset * itemSize(source.dtype), bytes);
    if (source === value) return ticket.bytes();
    try {
      return await ticket.bytes();
    } finally {
      source.storage.dispose();
    }
  },

  readSync(value: Value): Uint8Array {
    const { source, bytes } = readable(value as LocalValue);
    if (bytes === 0) return new Uint8Array(0);
    const ticket = source.device.read(source.storage.id, source.offset * itemSize(source.dtype), bytes);
    if (source === value) return ticket.bytesSync();
    try {
      return ticket.bytesSync();
    } finally {
      source.storage.dispose();
    }
  },

  dispose(value: Value): void {
    (value as LocalValue).storage.dispose();
  },

  isDisposed(value: Value): boolean {
    return (value as LocalValue).storage.disposed;
  },

  locals(value: Value): readonly LocalValue[] {
    (value as LocalValue).assertLive();
    return [value as LocalValue];
  },

  settle(gradients: readonly Value[]): readonly Value[] {
    return gradients;
  },
};

function readable(value: LocalValue): { source: LocalValue; bytes: number } {
  value.assertLive("read");
  const bytes = numelOf(value.shape) * itemSize(value.dtype);
  return { source: value.contiguous && bytes <= inlineBytes ? value : snapshot(value), bytes };
}

setLocalExecutor(local);

/**
 * Collectives over local values. Messages between actors work in place on flat memory, one equal part a rank; here
 * parts of a dimension become such parts and back. All lists are in the order of the group's ranks.
 */
import {
  allocate,
  contiguousStrides,
  contiguousValue,
  copyInto,
  itemSize,
  numelOf,
  viewOf,
} from "@troupe/core/executor";
import type {
  CollectiveOperand,
  Device,
  DType,
  Group,
  LocalValue,
  ReductionName,
  Shape,
  Storage,
} from "@troupe/core/executor";

/** What passed between devices for sharded tensors and pipelines so far, in this process. */
export interface CollectiveCounts {
  /** Calls by kind; a call is one collective of one group. */
  readonly allReduce: number;
  readonly allGather: number;
  readonly reduceScatter: number;
  readonly broadcast: number;
  /** Transfers from one device to another. */
  readonly send: number;
  /**
   * Bytes sent by all devices together. Of an operand of b bytes on each of n devices: 2 (n - 1) b for an all-reduce,
   * which is 2 (n - 1) / n of b a device; (n - 1) b for the others.
   */
  readonly bytes: number;
}

type Kind = Exclude<keyof CollectiveCounts, "bytes">;

const counts = { allReduce: 0, allGather: 0, reduceScatter: 0, broadcast: 0, send: 0, bytes: 0 };

export function collectiveCounts(): CollectiveCounts {
  return { ...counts };
}

function count(kind: Kind, bytes: number, devices: number): void {
  counts[kind] += 1;
  counts.bytes += (kind === "allReduce" ? 2 : 1) * bytes * (devices - 1);
}

/** Counts a transfer that was issued as an op. */
export function countTransfer(bytes: number): void {
  count("send", bytes, 2);
}

function whole(value: LocalValue): CollectiveOperand {
  const { storage, dtype, offset, shape } = value;
  return { storage: storage.id, byteOffset: offset * itemSize(dtype), elements: numelOf(shape), dtype };
}

/**
 * Reduces whole storages in place, in few messages. `values`: for each value one storage a rank, all of one size;
 * `dtype` is that of all.
 */
export function reduceStorages(
  group: Group,
  values: readonly (readonly Storage[])[],
  dtype: DType,
  reduction: ReductionName,
): void {
  const filled = values.filter(([{ bytes }]) => bytes > 0);
  if (filled.length === 0 || group.size === 1) return;
  count("allReduce", filled.reduce((sum, [{ bytes }]) => sum + bytes, 0), group.size);
  group.allReduceTogether(
    filled.map((storages) =>
      storages.map(({ id, bytes }) => ({ storage: id, byteOffset: 0, elements: bytes / itemSize(dtype), dtype })),
    ),
    reduction,
  );
}

/**
 * Brings `source`, which is contiguous, to all devices of the group; its own device, if it is one, keeps it as its
 * part.
 */
export function broadcast(group: Group, source: LocalValue): LocalValue[] {
  const { device, shape, dtype } = source;
  const copies = group.devices.map((member) => (member === device ? source : allocate(member, shape, dtype)));
  const bytes = numelOf(shape) * itemSize(dtype);
  if (bytes === 0) return copies;
  let root = group.devices.indexOf(device);
  if (root < 0) {
    send(source, copies[0]);
    root = 0;
  }
  if (group.size > 1) {
    count("broadcast", bytes, group.size);
    group.broadcast(copies.map(whole), root);
  }
  return copies;
}

/** Copies a contiguous value to one of the same shape on another device. */
export function send(source: LocalValue, target: LocalValue): void {
  const item = itemSize(source.dtype);
  const bytes = numelOf(source.shape) * item;
  if (bytes === 0) return;
  count("send", bytes, 2);
  source.device.copyTo(
    source.storage.id,
    source.offset * item,
    bytes,
    target.device,
    target.storage.id,
    target.offset * item,
  );
}

/** A value on another device (or a copy on its own). */
export function sentTo(source: LocalValue, device: Device): LocalValue {
  const target = allocate(device, source.shape, source.dtype);
  if (device === source.device) {
    copyInto(source, target);
    return target;
  }
  const dense = contiguousValue(source);
  send(dense, target);
  if (dense !== source) dense.storage.dispose();
  return target;
}

/** Places `[from, to)` of a dimension, as a view. */
export function narrowed(value: LocalValue, dim: number, from: number, to: number): LocalValue {
  const { shape, strides, offset } = value;
  if (from === 0 && to === shape[dim]) return value;
  return viewOf(value, { shape: shape.with(dim, to - from), strides, offset: offset + from * strides[dim] });
}

function flat(value: LocalValue, from: number, shape: Shape): LocalValue {
  return viewOf(value, { shape, strides: contiguousStrides(shape), offset: value.offset + from });
}

/** One part of equal size for each rank, on one device. */
class Parts {
  readonly buffer: LocalValue;
  readonly #shape: Shape;
  readonly #elements: number;

  constructor(device: Device, dtype: DType, shape: Shape, ranks: number) {
    this.#shape = shape;
    this.#elements = numelOf(shape);
    this.buffer = allocate(device, [ranks * this.#elements], dtype);
  }

  /** The part of a rank, of which `size` places of `dim` are used. */
  at(rank: number, dim: number, size: number): LocalValue {
    return narrowed(flat(this.buffer, rank * this.#elements, this.#shape), dim, 0, size);
  }

  /** All parts along the first dimension, of which `extent` places are used. */
  joined(extent: number): LocalValue {
    const ranks = numelOf(this.buffer.shape) / Math.max(this.#elements, 1);
    return narrowed(flat(this.buffer, 0, this.#shape.with(0, ranks * this.#shape[0])), 0, 0, extent);
  }
}

/** From parts of `dim` (the first rank's is the largest) to the whole on every device. */
export function gather(group: Group, locals: readonly LocalValue[], dim: number): LocalValue[] {
  const sizes = locals.map(({ shape }) => shape[dim]);
  const extent = sizes.reduce((sum, size) => sum + size, 0);
  const [{ shape: largest, dtype }] = locals;
  const parts = locals.map((local, rank) => {
    const own = new Parts(local.device, dtype, largest, group.size);
    copyInto(local, own.at(rank, dim, sizes[rank]));
    return own;
  });
  if (numelOf(largest) > 0) {
    count("allGather", numelOf(largest) * group.size * itemSize(dtype), group.size);
    group.allGather(parts.map(({ buffer }) => whole(buffer)));
  }
  if (dim === 0) return parts.map((own) => own.joined(extent));
  return parts.map((own) => {
    const out = allocate(own.buffer.device, largest.with(dim, extent), dtype);
    let at = 0;
    sizes.forEach((size, rank) => copyInto(own.at(rank, dim, size), narrowed(out, dim, at, (at += size))));
    own.buffer.storage.dispose();
    return out;
  });
}

/**
 * From addends (or candidates) of the whole to parts of `dim` of their reduction; `sizes`: how large each rank's part
 * is.
 */
export function reduceScatter(
  group: Group,
  locals: readonly LocalValue[],
  dim: number,
  sizes: readonly number[],
  reduction: ReductionName,
): LocalValue[] {
  const [{ shape, dtype }] = locals;
  const largest = shape.with(dim, sizes[0]);
  const parts = locals.map((local) => {
    const own = new Parts(local.device, dtype, largest, group.size);
    let at = 0;
    sizes.forEach((size, rank) => copyInto(narrowed(local, dim, at, (at += size)), own.at(rank, dim, size)));
    return own;
  });
  if (numelOf(largest) > 0) {
    count("reduceScatter", numelOf(largest) * group.size * itemSize(dtype), group.size);
    group.reduceScatter(
      parts.map(({ buffer }) => whole(buffer)),
      reduction,
    );
  }
  return parts.map((own, rank) => {
    const out = allocate(own.buffer.device, shape.with(dim, sizes[rank]), dtype);
    copyInto(own.at(rank, dim, sizes[rank]), out);
    own.buffer.storage.dispose();
    return out;
  });
}

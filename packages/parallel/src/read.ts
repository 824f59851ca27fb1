/** Reading a sharded value: the parts that make up the whole, and how their bytes fit together. */
import { itemSize, numelOf } from "@troupe/core/executor";
import type { LocalValue, Shape } from "@troupe/core/executor";
import type { ShardedValue } from "./value.ts";

interface Pieces {
  /** To be read, each on its device. */
  readonly pieces: readonly LocalValue[];
  /** The whole's bytes, from those of the pieces. */
  readonly assemble: (bytes: readonly Uint8Array[]) => Uint8Array;
}

/** What to read of a value; pending reductions are finished first. */
export function readParts(value: ShardedValue): Pieces {
  const { layout, locals } = value.settle();
  const { mesh, parts, placements, shape } = layout;
  // Of replicas the first is read.
  const ranks = locals
    .map((_, rank) => rank)
    .filter((rank) => placements.every(({ kind }, axis) => kind === "shard" || mesh.coordinates(rank)[axis] === 0));
  const pieces = ranks.map((rank) => locals[rank]);
  if (pieces.length === 1) return { pieces, assemble: ([bytes]) => bytes };
  const item = itemSize(layout.dtype);
  return {
    pieces,
    assemble: (bytes) => {
      const whole = new Uint8Array(numelOf(shape) * item);
      bytes.forEach((piece, i) => paste(piece, parts[ranks[i]].shape, parts[ranks[i]].offset, whole, shape, item));
      return whole;
    },
  };
}

/** Copies a dense block to its place in a dense whole. */
function paste(block: Uint8Array, size: Shape, offset: Shape, whole: Uint8Array, shape: Shape, item: number): void {
  if (block.byteLength === 0) return;
  // Trailing dimensions that the block has whole, and one before them, are one run of bytes.
  let last = shape.length - 1;
  while (last > 0 && size[last] === shape[last]) last--;
  const run = numelOf(size.slice(last)) * item;
  const rows = numelOf(size.slice(0, last));
  for (let row = 0; row < rows; row++) {
    let rest = row;
    let at = 0;
    let step = numelOf(shape.slice(last));
    for (let dim = last - 1; dim >= 0; dim--) {
      at += ((rest % size[dim]) + offset[dim]) * step;
      rest = Math.floor(rest / size[dim]);
      step *= shape[dim];
    }
    at += offset[last] * numelOf(shape.slice(last + 1));
    whole.set(block.subarray(row * run, (row + 1) * run), at * item);
  }
}

/** What a sharding rule says: in which ways an op can run along one axis of a mesh. */
import type { LocalValue, Meta, Op } from "@troupe/core/executor";
import type { Layout } from "../layout.ts";
import { replicate } from "../placement.ts";
import type { Placement } from "../placement.ts";

/** One way: if the inputs lie like this, every device may run its part by itself, and the outputs lie like that. */
export interface Way {
  /** Undefined: as it lies, since its elements are not read. */
  readonly inputs: readonly (Placement | undefined)[];
  readonly outputs: readonly Placement[];
}

/** A call as a rule sees it: shapes and dtypes of the whole tensors. */
export interface Call<A = unknown> {
  readonly op: Op<A>;
  /** Numbers stand for themselves. */
  readonly inputs: readonly (Meta | number)[];
  readonly attrs: A;
  readonly outputs: readonly Meta[];
  /** How many devices stand along the axis. */
  readonly count: number;
  /** Some dimension is split along several axes: parts are not simply `count` equal ones. */
  readonly isNested: boolean;
  /**
   * A reduction is pending in an operand (or in the target that is written): ways with Partial inputs are of interest.
   */
  readonly isPending: boolean;
}

/** Runs one device's part. */
export type LocalRun<A> = (
  inputs: readonly (LocalValue | number)[],
  attrs: A,
  outputs: readonly Meta[],
  target?: LocalValue,
) => LocalValue[];

export interface Rule<A = unknown> {
  /** What the ways depend on beside the op and its operands. Default: nothing. */
  readonly key?: (attrs: A) => string;
  /** The ways beside "everything replicated", which every op has. */
  readonly ways: (call: Call<A>) => readonly Way[];
  /** How a device runs its part where that is not the op itself with the same attributes. */
  readonly localRun?: (call: Call<A>, layouts: Layouts, rank: number) => LocalRun<A> | undefined;
}

/** How operands and results lie in the way that was chosen. */
export interface Layouts {
  readonly inputs: readonly (Layout | undefined)[];
  readonly outputs: readonly Layout[];
}

/** The way that is always right. */
export function everythingReplicated(call: Call): Way {
  return { inputs: call.inputs.map(replicate), outputs: call.outputs.map(replicate) };
}

export function isTensorMeta(input: Meta | number): input is Meta {
  return typeof input !== "number";
}

/** The operand at `index`, which is a tensor. */
export function metaOf<A>(call: Call<A>, index: number): Meta {
  const input = call.inputs[index];
  if (typeof input === "number") throw new TypeError(`operand ${index} of ${call.op.name} is a number`);
  return input;
}

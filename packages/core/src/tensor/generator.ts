/** The random stream: a seed, and a count of the random ops so far. Both go into every random op as plain numbers. */
import { ValueError } from "../errors.ts";
import { taping } from "../actor/tape.ts";
import { shown } from "../arguments.ts";
import { contiguousStrides, numelOf } from "./shape.ts";
import type { Shape } from "./shape.ts";

let seed: readonly [number, number] = [randomWord(), randomWord()];
let drawn = 0;

function randomWord(): number {
  return (Math.random() * 2 ** 32) | 0;
}

/**
 * Starts the random stream anew (`torch.manual_seed`): the same seed gives the same numbers, on any device.
 * @param value a whole number (its low 64 bits count)
 * @throws ValueError for anything else
 */
export function manualSeed(value: number | bigint): void {
  if (typeof value !== "bigint" && !Number.isInteger(value))
    throw new ValueError(`a seed must be a whole number, got ${shown(value)}`, { op: "manualSeed" });
  taping?.refuse("manualSeed()");
  const bits = BigInt.asUintN(64, BigInt(value));
  seed = [Number(bits & 0xffffffffn) | 0, Number(bits >> 32n) | 0];
  drawn = 0;
}

/** The four words that make a random op's numbers its own: seed (low, high) and place in the stream (low, high). */
export function drawState(): readonly [number, number, number, number] {
  const place = drawn++;
  return [seed[0], seed[1], place | 0, Math.floor(place / 2 ** 32)];
}

/** Seed and place, for a checkpoint (`torch.get_rng_state`). */
export function getRngState(): readonly [number, number, number] {
  return [seed[0], seed[1], drawn];
}

export function setRngState(state: readonly [number, number, number]): void {
  taping?.moveStream(state);
  const [low, high, place] = state;
  seed = [low, high];
  drawn = place;
}

/** Some rows of a batch that is computed piece by piece. */
export interface BatchRows {
  readonly start: number;
  readonly count: number;
}

let rows: BatchRows | undefined;

/**
 * Runs `body`, which computes these rows of a batch: where the stream stands as it stood for the whole batch
 * (`setRngState`), random tensors with one or several rows for each get the numbers that the whole batch's would have
 * there. `body` is synchronous.
 */
export function inBatchRows<R>(part: BatchRows, body: () => R): R {
  const outer = rows;
  rows = part;
  try {
    return body();
  } finally {
    rows = outer;
  }
}

/** Where a random tensor of this shape lies in the whole batch's; undefined where it is the whole. */
export function partOfBatch(shape: Shape): { readonly base: number; readonly strides: readonly number[] } | undefined {
  if (rows === undefined || rows.start === 0 || shape.length === 0 || shape[0] % rows.count !== 0) return undefined;
  return { base: (numelOf(shape) / rows.count) * rows.start, strides: contiguousStrides(shape) };
}

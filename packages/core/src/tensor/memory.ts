/**
 * Memory that nobody holds any more. Explicit: `tidy` scopes and `dispose()`. Otherwise finalisers free it, but V8 sees only small
 * proxies and would let gigabytes of device memory wait; so at the places where a program awaits Troupe (`item()`, a loader's next
 * batch) `relieve` asks for a collection once the devices' own bytes have grown.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { closeLitters, collectStorages, heldBytes } from "./value.ts";
import type { Memory } from "./value.ts";
import { shown } from "../arguments.ts";
import { ValueError } from "../errors.ts";
import { Tensor } from "./tensor.ts";

/**
 * Runs `body`, which is synchronous, and frees every tensor made in it except those that it returns (in arrays and plain objects
 * too), their gradients, and parameters' `.grad`. What a returned tensor's graph
 * has saved is freed too: `backward()` belongs inside.
 * @throws ValueError where `body` gives a promise: what it makes after its first await would escape
 */
export function tidy<R>(body: () => R): R {
  if (typeof body !== "function") throw new ValueError(`tidy(): the body must be a function, got ${shown(body)}`, { op: "tidy" });
  return collectStorages(body, (result, made) => {
    if (result instanceof Promise) {
      const remedy = "Await outside, around tidy(), or free by hand: dispose(), using.";
      throw new ValueError("tidy(): the body must be synchronous", { op: "tidy", remedy });
    }
    const kept = new Set<Memory>();
    keepMemory(result, kept);
    const survivors: Memory[] = [];
    for (const memory of made) {
      if (kept.has(memory) || longLived.has(memory)) survivors.push(memory);
      else memory.dispose();
    }
    return survivors;
  });
}

/** Memory that something long-lived owns (a `.grad`, an optimizer's state): scopes leave them alone. */
const longLived = new WeakSet<Memory>();

/** Takes a tensor out of every open scope's care. */
export function hold<T extends Tensor>(x: T): T {
  longLived.add(x.value.identity);
  return x;
}

/** Whether `hold` was called for a tensor in this memory. */
export function isHeld(memory: Memory): boolean {
  return longLived.has(memory);
}

function keepMemory(result: unknown, kept: Set<Memory>): void {
  if (result instanceof Tensor) {
    kept.add(result.value.identity);
    if (result.grad !== undefined) keepMemory(result.grad, kept);
  } else if (Array.isArray(result)) {
    for (const item of result) keepMemory(item, kept);
  } else if (typeof result === "object" && result !== null && Object.getPrototypeOf(result) === Object.prototype) {
    for (const item of Object.values(result)) keepMemory(item, kept);
  }
}

/** Growth of held bytes since the last collection that is worth a minor one (about 1 ms). */
const minorBytes = 2 ** 24;
/** Growth since the last full collection, above doubling, that is worth another (some 10 ms). */
const fullBytes = 2 ** 26;

/** Bytes held after the last collection, and after the last full one. */
let floor = 0;
let fullFloor = 0;
let collector: ((options: { type: "minor" | "major" }) => void) | undefined;

/** Runs a collection and the finalisers, which have a turn of the event loop of their own. */
async function collect(type: "minor" | "major"): Promise<void> {
  if (collector === undefined) {
    // Made on first use, since exposing it is a process-wide flag.
    setFlagsFromString("--expose-gc");
    collector = runInNewContext("gc") as NonNullable<typeof collector>;
  }
  closeLitters();
  collector({ type });
  await new Promise((resolve) => setImmediate(resolve));
  floor = heldBytes();
}

async function collectGarbage(): Promise<void> {
  await collect("minor");
  // Only a full collection finds what outlived two minor ones.
  if (floor < 2 * fullFloor + fullBytes) return;
  await collect("major");
  fullFloor = floor;
}

let collecting: Promise<void> | undefined;

/** Frees what nobody holds, if enough has gathered. */
export async function relieve(): Promise<void> {
  const held = heldBytes();
  floor = Math.min(floor, held);
  fullFloor = Math.min(fullFloor, held);
  if (collecting === undefined && held - floor < minorBytes) return;
  collecting ??= collectGarbage().finally(() => (collecting = undefined));
  await collecting;
}

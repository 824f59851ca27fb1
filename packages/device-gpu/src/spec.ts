/** What `gpu()`, the host and the actor's thread of a device say to each other. */
import type { MessagePort } from "node:worker_threads";
import type { ActorBoot } from "@troupe/core/device";
import type { Schedule } from "./adapter.ts";

/** Words that the process and a GPU device's thread share, so that the thread can be ended at a safe moment. */
export const Safety = {
  /** 1 once the thread must come to rest. */
  stop: 0,
  /** A `Place`. */
  place: 1,
  words: 2,
} as const;

/**
 * Where the thread is. Terminating it `inside` of Dawn, or while Dawn owes it an answer, would abort the process;
 * `resting` it will do nothing any more.
 */
export const Place = { outside: 0, inside: 1, resting: 2 } as const;

/** A GPU device as `gpu()` describes it to its host. */
export interface GpuSpec {
  /** Part of the adapter's name, or undefined for the one that WebGPU prefers. */
  readonly adapter: string | undefined;
  /** How kernels are laid out; undefined as suits the adapter. */
  readonly schedule: Schedule | undefined;
  /** Bytes that the device's buffers may take together. */
  readonly memoryLimit: number;
  /** The words of `Safety`. */
  readonly safety: Int32Array;
}

/** What the actor's thread starts with. */
export interface ThreadData {
  readonly spec: GpuSpec;
  readonly boot: ActorBoot;
  readonly control: MessagePort;
}

/** What the actor's thread tells the host: that its loop is about to run; that its GPU device is gone, and it rests. */
export type News = "up" | { readonly lost: string };

/** What the actor's thread answers on the control port (comlink). */
export interface Control {
  statistics(): Statistics;
}

export interface Statistics {
  /** What the adapter calls itself. */
  readonly adapter: string;
  /** How kernels are laid out for it. */
  readonly schedule: Schedule;
  readonly launches: number;
  /** Pipelines that are kept. */
  readonly compiled: number;
}

/** Longest wait for a thread to come to rest, ms. */
export const restTimeout = 3000;

/** Brings the thread to rest: blocks until it is out of Dawn, for `restTimeout` at most. */
export function awaitRest(safety: Int32Array): void {
  Atomics.store(safety, Safety.stop, 1);
  const deadline = performance.now() + restTimeout;
  while (Atomics.load(safety, Safety.place) === Place.inside) {
    const left = deadline - performance.now();
    if (left <= 0) return;
    Atomics.wait(safety, Safety.place, Place.inside, left);
  }
}

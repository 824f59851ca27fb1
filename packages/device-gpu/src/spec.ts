/** What `gpu()`, the host and the actor's thread of a device say to each other. */
import type { MessagePort } from "node:worker_threads";
import type { ActorBoot } from "@troupe/core/device";

/** Words that the process and a GPU device's thread share, so that the thread can be ended at a safe moment. */
export const Safety = {
  /** 1 once the thread must come to rest. */
  stop: 0,
  /** A `Dawn`. */
  state: 1,
  words: 2,
} as const;

/**
 * `pending`: Dawn owes the thread an answer, and terminating it now would abort the process. `resting`: it does not, and
 * the thread will do nothing any more.
 */
export const Dawn = { quiet: 0, pending: 1, resting: 2 } as const;

/** A GPU device as `gpu()` describes it to its host. */
export interface GpuSpec {
  /** Part of the adapter's name, or undefined for the one that WebGPU prefers. */
  readonly adapter: string | undefined;
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

/** What the actor's thread answers on the control port (comlink). */
export interface Control {
  statistics(): Statistics;
}

export interface Statistics {
  /** What the adapter calls itself. */
  readonly adapter: string;
  /** How kernels are laid out for it. */
  readonly schedule: "software" | "gpu";
  readonly launches: number;
  /** Pipelines that are kept. */
  readonly compiled: number;
}

/** Longest wait for a thread to come to rest, ms. */
export const restTimeout = 3000;

/** Brings the thread to rest: blocks until Dawn owes it nothing, for `restTimeout` at most. */
export function awaitRest(safety: Int32Array): void {
  Atomics.store(safety, Safety.stop, 1);
  const deadline = performance.now() + restTimeout;
  while (Atomics.load(safety, Safety.state) === Dawn.pending) {
    const left = deadline - performance.now();
    if (left <= 0) return;
    Atomics.wait(safety, Safety.state, Dawn.pending, left);
  }
}

/** What the host and the threads of a device say to each other. */
import type { ActorBoot, ActorSpec } from "@troupe/core/device";
import type { MessagePort } from "node:worker_threads";

/** A CPU device as `cpu()` describes it to its host. */
export interface CpuSpec {
  readonly memory: WebAssembly.Memory;
  readonly threads: number;
  /** The memory's greatest size in bytes. */
  readonly memoryLimit: number;
  /** The words of activity.ts, and this device's place in them. */
  readonly activity: Int32Array;
  readonly index: number;
}

/** Starts rank 0: the mailbox loop. */
export interface ActorTask {
  readonly spec: CpuSpec;
  readonly boot: ActorBoot;
  /** To the helper of rank i + 1: compiled code, before the first launch that names it. */
  readonly codePorts: readonly MessagePort[];
  readonly control: MessagePort;
}

/** Starts a helper. */
export interface HelperTask {
  readonly spec: CpuSpec;
  readonly actor: ActorSpec;
  readonly rank: number;
  readonly codePort: MessagePort;
}

/** What rank 0 answers on the control port (comlink). */
export interface Control {
  statistics(): Statistics;
}

export interface Statistics {
  /** Launches so far, and those of them that ran on several threads. */
  readonly launches: number;
  readonly splitLaunches: number;
  /** Kernels whose compiled code is kept. */
  readonly compiled: number;
  /** The memory's size now. */
  readonly memoryBytes: number;
}

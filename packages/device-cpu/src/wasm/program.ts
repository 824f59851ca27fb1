/** A kernel printed as a WebAssembly module, and how to make it run. */
import type { Kernel } from "@troupe/core/device";
import type { ArgumentLayout } from "./arguments.ts";
import { mathImports } from "./math-imports.ts";

/** The compiled entry point; arguments.ts says what it takes. */
export type RunKernel = (args: number, begin: number, end: number, scratch: number) => void;

export interface Program {
  readonly kernel: Kernel;
  readonly layout: ArgumentLayout;
  /** The module. It imports `env.memory` (shared) and functions of `math`. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Whether parts of the range may run at the same time in several threads. */
  readonly splittable: boolean;
  /** Whether it has checks, so that the fault block must be cleared before and read after. */
  readonly faults: boolean;
  /** Changes the argument block of a launch, once it is written, to what the code does best. `memory[at...]` is the block. */
  readonly arrange?: (memory: Int32Array, at: number) => void;
  /** The length of the range that one launch covers (0: nothing to do). `words[at...]` are the launch's arguments. */
  extent(words: Int32Array, at: number): number;
  /** About how many scalar operations the launch takes: whether it is worth splitting. */
  work(words: Int32Array, at: number): number;
  /** Scratch bytes that each calling thread needs, header included. */
  scratchBytes(words: Int32Array, at: number): number;
}

/** Programs of one kernel, each for some launches of it. */
export interface Choice {
  /** Launches of one key take one program. */
  key(words: Int32Array, at: number): string;
  program(words: Int32Array, at: number): Program;
}

/** Instantiates a compiled program over the device's shared memory. */
export function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): RunKernel {
  const instance = new WebAssembly.Instance(module, { env: { memory }, math: mathImports });
  return instance.exports["run"] as RunKernel;
}

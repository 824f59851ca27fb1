/**
 * Routines in JavaScript: algorithms that no loop nest expresses. Compiled ones (matmul) are programs
 * (wasm/program.ts).
 */
import type { Fault, RoutineKernel } from "@troupe/core/device";
import type { Heap } from "../heap.ts";

/** Runs one launch whose arguments (kernel/ir.ts) start at `words[at]`; `block` gives a storage's byte address. */
export type Launch = (words: Int32Array, at: number, block: (storage: number) => number) => Fault | undefined;

/** Makes a routine kernel ready to run on the memory behind `heap`. */
export type Routine = (kernel: RoutineKernel, heap: Heap) => Launch;

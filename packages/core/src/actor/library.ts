/**
 * The kernel library of a device: kernels as JSON in shared memory, by number, so that a restarted actor finds them
 * alone.
 */
import { InternalError } from "../errors.ts";
import type { Kernel } from "../kernel/ir.ts";
import { LibraryRow, maxKernels } from "./protocol.ts";
import type { DeviceMemory } from "./shared.ts";

/** Writes kernel `number` at `position`. @returns the position behind it. */
export function addToLibrary(memory: DeviceMemory, number: number, position: number, kernel: Kernel): number {
  const text = new TextEncoder().encode(JSON.stringify(kernel));
  if (number >= maxKernels || position + text.length > memory.library.length) {
    throw new InternalError("the kernel library is full", {
      device: memory.name,
      remedy: "Shapes are arguments of kernels: something makes a new kernel at every call.",
    });
  }
  memory.library.set(text, position);
  memory.libraryIndex[number * LibraryRow.words + LibraryRow.position] = position;
  memory.libraryIndex[number * LibraryRow.words + LibraryRow.bytes] = text.length;
  return position + text.length;
}

/** Kernel `number`, parsed anew. */
export function libraryKernel(memory: DeviceMemory, number: number): Kernel {
  const position = memory.libraryIndex[number * LibraryRow.words + LibraryRow.position];
  const bytes = memory.libraryIndex[number * LibraryRow.words + LibraryRow.bytes];
  // A private copy: TextDecoder refuses shared memory.
  const text = new Uint8Array(bytes);
  text.set(memory.library.subarray(position, position + bytes));
  return JSON.parse(new TextDecoder().decode(text)) as Kernel;
}

/** The name of kernel `number` (the op's), or undefined for none. */
export function kernelName(memory: DeviceMemory, number: number): string | undefined {
  if (number < 0 || number >= maxKernels) return undefined;
  const bytes = memory.libraryIndex[number * LibraryRow.words + LibraryRow.bytes];
  return bytes === 0 ? undefined : libraryKernel(memory, number).name;
}

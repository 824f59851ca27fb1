/**
 * The kernel library of a device: kernels as JSON in shared memory, by number, so that a restarted actor finds them
 * alone.
 */
import { InternalError } from "../errors.ts";
import type { Kernel } from "../kernel/ir.ts";
import { LibraryRow, maxKernels } from "./protocol.ts";
import type { DeviceMemory } from "./shared.ts";

/** The coordinator's end: gives every kernel object a number and writes it down. */
export class Library {
  readonly #memory: DeviceMemory;
  readonly #numbers = new Map<Kernel, number>();
  /** By number. */
  readonly #kernels: Kernel[] = [];
  #end = 0;

  constructor(memory: DeviceMemory) {
    this.#memory = memory;
  }

  /** The number of `kernel`, this very object. */
  numberOf(kernel: Kernel): number | undefined {
    return this.#numbers.get(kernel);
  }

  /** Writes a new kernel down. @returns its number. */
  add(kernel: Kernel): number {
    const memory = this.#memory;
    const number = this.#numbers.size;
    const text = new TextEncoder().encode(JSON.stringify(kernel));
    if (number >= maxKernels || this.#end + text.length > memory.library.length) {
      throw new InternalError("the kernel library is full", {
        device: memory.name,
        remedy: "Shapes are arguments of kernels: something makes a new kernel at every call.",
      });
    }
    memory.library.set(text, this.#end);
    memory.libraryIndex[number * LibraryRow.words + LibraryRow.position] = this.#end;
    memory.libraryIndex[number * LibraryRow.words + LibraryRow.bytes] = text.length;
    this.#end += text.length;
    this.#numbers.set(kernel, number);
    this.#kernels.push(kernel);
    return number;
  }

  /** The kernel with this number. */
  kernelAt(number: number): Kernel {
    return this.#kernels[number];
  }
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

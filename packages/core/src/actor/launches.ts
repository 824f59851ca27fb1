/**
 * Launches as the actor sees them: a poisoned input spreads instead of running, an output that is read elsewhere is
 * waited for, a whole overwrite ends old poison.
 */
import type { Kernel } from "../kernel/ir.ts";
import { itemSize } from "../tensor/dtype.ts";
import type { Prepared } from "./backend.ts";
import type { ActorContext } from "./context.ts";
import { attributeFailure, errorText, recordException, recordFailure } from "./failures.ts";
import type { Guard } from "./guard.ts";
import { libraryKernel } from "./library.ts";
import { Control, rootDevice, type FailureName } from "./protocol.ts";

/** A kernel as a launch needs it: how many operands its arguments begin with, and which outputs it replaces whole. */
interface Entry {
  readonly kernel: Kernel;
  readonly inputs: number;
  readonly operands: number;
  /** Undefined when the backend could not prepare it; `failure` then says why. */
  readonly prepared: Prepared | undefined;
  readonly failure: string;
}

/** In a message at `words[at]`: the kernel, the site, and the first argument. */
const kernelWord = 1;
const siteWord = 2;
const argumentWord = 3;

export class Launches {
  readonly #context: ActorContext;
  readonly #guard: Guard;
  readonly #words: Int32Array;
  readonly #kernels: (Entry | undefined)[] = [];

  constructor(context: ActorContext, guard: Guard) {
    this.#context = context;
    this.#guard = guard;
    this.#words = context.memory.ring;
  }

  /** Makes kernel `number` of the library ready. */
  prepare(number: number): Entry {
    const kernel = libraryKernel(this.#context.memory, number);
    let prepared: Prepared | undefined;
    let failure = "";
    try {
      prepared = this.#context.backend.prepare(kernel);
    } catch (error) {
      failure = errorText(error);
    }
    const inputs = kernel.inputs.length;
    const entry: Entry = { kernel, inputs, operands: inputs + kernel.outputs.length, prepared, failure };
    this.#kernels[number] = entry;
    return entry;
  }

  /** Runs the launch at `words[at]`, unless the guard is set. @returns whether it started. */
  runGuarded(at: number): boolean {
    if (this.#guard.root === 0) return this.run(at);
    this.#guard.skip();
    return false;
  }

  /** Runs the launch at `words[at]`. @returns whether it started. */
  run(at: number): boolean {
    const words = this.#words;
    const { backend, memory, storages } = this.#context;
    const number = words[at + kernelWord];
    const entry = this.#kernels[number] ?? this.prepare(number);
    const untroubled = storages.untroubled;
    if (!untroubled && !this.#mayStart(entry, at)) return false;
    let root = 0;
    if (entry.prepared === undefined) {
      root = this.#record("internal", at, 0, entry.failure);
    } else {
      try {
        const fault = backend.run(entry.prepared, words, at + argumentWord, storages.block);
        if (fault !== undefined) root = this.#record(fault.code, at, fault.detail, "");
      } catch (error) {
        root = recordException(memory, error, { kernel: number, site: words[at + siteWord] });
      }
    }
    if (root !== 0) this.#poison(entry, at, root);
    else if (!untroubled) this.#clearOverwritten(entry, at);
    return entry.prepared !== undefined;
  }

  /** Looks at the operands of a launch. @returns false when it must not start: its outputs are poisoned then. */
  #mayStart(entry: Entry, at: number): boolean {
    const { memory, storages } = this.#context;
    let root = 0;
    for (let i = 0; i < entry.operands && root === 0; i++) {
      const storage = this.#operand(at, i);
      const own = storages.root(storage);
      if (own === 0) continue;
      const output = i >= entry.inputs;
      if (output && !storages.hasBlock(storage)) {
        if (rootDevice(own) === memory.number) {
          attributeFailure(memory, own, this.#words[at + kernelWord], this.#words[at + siteWord]);
        }
        root = own;
      } else if (!output || entry.kernel.outputs[i - entry.inputs]?.overwrites !== true) root = own;
    }
    if (root !== 0) {
      this.#poison(entry, at, root);
      return false;
    }
    for (let i = entry.inputs; i < entry.operands; i++) storages.awaitPins(this.#operand(at, i));
    return true;
  }

  /** Marks the outputs of a launch that failed or did not start. */
  #poison(entry: Entry, at: number, root: number): void {
    const { storages } = this.#context;
    for (let i = entry.inputs; i < entry.operands; i++) {
      const storage = this.#operand(at, i);
      if (storages.root(storage) === 0 || (storages.hasBlock(storage) && this.#replacesWhole(entry, at, i))) {
        storages.setRoot(storage, root);
      }
    }
  }

  #clearOverwritten(entry: Entry, at: number): void {
    const { storages } = this.#context;
    for (let i = entry.inputs; i < entry.operands; i++) {
      const storage = this.#operand(at, i);
      if (storages.root(storage) !== 0 && this.#replacesWhole(entry, at, i)) storages.setRoot(storage, 0);
    }
  }

  /** Whether operand `i` of a launch, an output, gives its storage entirely new contents. */
  #replacesWhole(entry: Entry, at: number, i: number): boolean {
    const { kernel } = entry;
    const output = kernel.outputs[i - entry.inputs];
    if (output === undefined || !output.overwrites) return false;
    const words = this.#words;
    const sizes = at + argumentWord + 2 * entry.operands;
    const strides = sizes + kernel.axes + i * kernel.axes;
    // An axis along which the output does not move (a reduced one) does not count.
    let elements = 1;
    for (let axis = 0; axis < kernel.axes; axis++) {
      if (words[strides + axis] !== 0) elements *= words[sizes + axis];
    }
    return elements * itemSize(output.dtype) >= this.#context.storages.bytes(this.#operand(at, i));
  }

  /** The storage of operand `i`. */
  #operand(at: number, i: number): number {
    return this.#words[at + argumentWord + 2 * i];
  }

  #record(code: FailureName, at: number, detail: number, text: string): number {
    const { memory } = this.#context;
    const [kernel, site] = [this.#words[at + kernelWord], this.#words[at + siteWord]];
    return recordFailure(memory, { code, kernel, site, sequence: memory.control[Control.started], detail, text });
  }
}

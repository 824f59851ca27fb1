/**
 * The actor: takes messages from its ring in sequence and runs them on a backend. It decides about poison, guards, pins
 * and answers; the backend only knows memory and kernels.
 */
import type { Kernel } from "../kernel/ir.ts";
import { dtypes, itemSize } from "../tensor/dtype.ts";
import { BackendOutOfMemory, type Backend, type Fault, type Prepared } from "./backend.ts";
import { Directory } from "./directory.ts";
import { Exchange } from "./exchange.ts";
import { attributeFailure, recordFailure } from "./failures.ts";
import type { ActorBoot } from "./host.ts";
import { libraryKernel } from "./library.ts";
import {
  Collective, Control, Life, Message, rootDevice, Ticket, TicketState, type FailureName, type MessageKind,
} from "./protocol.ts";
import { awaitReaders } from "./salvage.ts";
import { ring, type CompanyMemory, type DeviceMemory } from "./shared.ts";
import { Storages } from "./storages.ts";
import { slice, Spinner } from "./waiting.ts";

/** Messages after which the coordinator is told of the room that they left. */
const batch = 32;

/** A kernel as a launch needs it: how many operands its arguments begin with, and which outputs it replaces whole. */
interface Entry {
  readonly kernel: Kernel;
  readonly inputs: number;
  readonly operands: number;
  /** Undefined when the backend could not prepare it; `failure` then says why. */
  readonly prepared: Prepared | undefined;
  readonly failure: string;
}

/**
 * Runs an actor on the calling thread until its device closes. The first messages run before this returns to its
 * caller, unless it is called in a later turn.
 * @param backend the device's memory and kernels; closed at the end.
 */
export async function runActor(boot: ActorBoot, backend: Backend): Promise<void> {
  const actor = new Actor(boot, backend);
  await actor.run();
}

class Actor {
  readonly #memory: DeviceMemory;
  readonly #company: CompanyMemory;
  readonly #directory: Directory;
  readonly #backend: Backend;
  readonly #storages: Storages;
  readonly #spinner: Spinner;
  readonly #exchange: Exchange;
  readonly #control: Int32Array;
  readonly #ring: Int32Array;
  readonly #kernels: (Entry | undefined)[] = [];
  readonly #block: (storage: number) => number;
  #position: number;
  #sequence: number;
  /** Roots that reads of this stream told already: a guarded step skipped for one of them says nothing more. */
  readonly #told = new Set<number>();

  constructor(boot: ActorBoot, backend: Backend) {
    this.#memory = boot.memory;
    this.#company = boot.company;
    this.#control = boot.memory.control;
    this.#ring = boot.memory.ring;
    this.#backend = backend;
    this.#directory = new Directory(boot.company, boot.port, boot.entries);
    this.#spinner = new Spinner(boot.company, boot.memory);
    this.#storages = new Storages(boot.memory, backend);
    this.#block = this.#storages.block;
    this.#exchange = new Exchange({
      memory: boot.memory,
      company: boot.company,
      directory: this.#directory,
      backend,
      storages: this.#storages,
      spinner: this.#spinner,
      beforeWait: () => this.#publishTail(),
      sequence: () => this.#sequence,
    });
    this.#position = Atomics.load(this.#control, Control.position);
    this.#sequence = Atomics.load(this.#control, Control.finished);
  }

  async run(): Promise<void> {
    const control = this.#control;
    awaitReaders(this.#memory, this.#company, this.#directory);
    this.#storages.restore();
    Atomics.add(control, Control.epoch, 1);
    Atomics.store(control, Control.life, Life.running);
    ring(this.#company);
    const anything = (): boolean =>
      Atomics.load(control, Control.head) !== this.#position || Atomics.load(control, Control.closing) === 1;
    while (Atomics.load(control, Control.closing) === 0) {
      const head = Atomics.load(control, Control.head);
      if (head !== this.#position) {
        this.#drain(head);
        this.#publishTail();
        continue;
      }
      this.#backend.idle?.();
      this.#storages.sweep();
      this.#storages.accountPool();
      if (!this.#spinner.spinUntil(anything)) await this.#park();
    }
    this.#publishTail();
    this.#backend.close();
    Atomics.store(control, Control.life, Life.closed);
    ring(this.#company);
  }

  /** Sleeps until something is published; the thread's event loop goes on meanwhile. */
  async #park(): Promise<void> {
    const control = this.#control;
    Atomics.store(control, Control.parked, 1);
    if (Atomics.load(control, Control.closing) === 0) {
      const wait = Atomics.waitAsync(control, Control.head, this.#position);
      if (wait.async) await wait.value;
    }
    Atomics.store(control, Control.parked, 0);
  }

  /** Runs the messages up to `head`. */
  #drain(head: number): void {
    const control = this.#control;
    const words = this.#ring;
    const mask = words.length - 1;
    let count = 0;
    while (this.#position !== head) {
      const at = this.#position & mask;
      const first = words[at];
      const kind = (first & 0xff) as MessageKind;
      if (kind !== Message.pad) {
        const sequence = (this.#sequence + 1) | 0;
        this.#sequence = sequence;
        control[Control.started] = sequence;
        this.#step(kind, at, first >>> 8);
        this.#position = (this.#position + (first >>> 8)) | 0;
        control[Control.position] = this.#position;
        control[Control.finished] = sequence;
      } else {
        this.#position = (this.#position + (first >>> 8)) | 0;
        control[Control.position] = this.#position;
      }
      if (++count === batch) {
        count = 0;
        this.#publishTail();
        if (!this.#storages.untroubled) this.#storages.sweep();
        if (Atomics.load(control, Control.closing) === 1) return;
      }
    }
  }

  /** Lets the coordinator see the room that was left, and wakes it if it waits for that much. */
  #publishTail(): void {
    const control = this.#control;
    Atomics.store(control, Control.tail, this.#position);
    if (
      Atomics.load(control, Control.waiting) === 1 &&
      ((this.#position - Atomics.load(control, Control.wanted)) | 0) >= 0
    ) {
      Atomics.store(control, Control.waiting, 0);
      ring(this.#company);
    }
  }

  /** Runs the message whose header is at `words[at]`. */
  #step(kind: MessageKind, at: number, size: number): void {
    const words = this.#ring;
    const a = words[at + 1];
    switch (kind) {
      case Message.run:
      case Message.runGuarded:
        this.#run(at, kind === Message.runGuarded);
        break;
      case Message.allocate:
        this.#allocate(a, (words[at + 2]) >>> 0);
        break;
      case Message.free:
        this.#storages.free(a);
        break;
      case Message.register:
        this.#prepare(a);
        break;
      case Message.retire:
        this.#kernels[a] = undefined;
        break;
      case Message.upload:
        this.#upload(a, (words[at + 2]) >>> 0, words[at + 3], words[at + 4]);
        break;
      case Message.read:
        this.#read(a, words[at + 2], (words[at + 3]) >>> 0, (words[at + 4]) >>> 0);
        break;
      case Message.fence:
        this.#backend.synchronize();
        this.#storages.sweep();
        this.#storages.accountPool();
        this.#answer(a, TicketState.ready, 0);
        break;
      case Message.send:
        this.#exchange.send(
          a, words[at + 2], (words[at + 3]) >>> 0, (words[at + 4]) >>> 0, words[at + 5],
        );
        break;
      case Message.receive:
        this.#receive(at);
        break;
      case Message.collective:
        this.#collective(at);
        break;
      case Message.guard:
        this.#setGuard(at, size);
        break;
      case Message.recover:
        this.#recover(a);
        break;
      case Message.pad:
        break;
    }
  }

  #setGuard(at: number, size: number): void {
    let root = 0;
    for (let i = 1; i < size && root === 0; i++) root = this.#storages.root(this.#ring[at + i]);
    this.#control[Control.guard] = root;
  }

  #allocate(storage: number, bytes: number): void {
    try {
      this.#storages.allocate(storage, bytes);
    } catch (error) {
      this.#storages.setRoot(storage, this.#failed(error, -1, 0, bytes));
    }
  }

  /** Forgets a storage's poison; one that never got memory tries again. */
  #recover(storage: number): void {
    if (!this.#storages.hasBlock(storage)) {
      try {
        this.#storages.allocateBlock(storage);
      } catch (error) {
        this.#storages.setRoot(storage, this.#failed(error, -1, 0, this.#storages.bytes(storage)));
        return;
      }
    }
    this.#storages.setRoot(storage, 0);
  }

  #prepare(number: number): Entry {
    const kernel = libraryKernel(this.#memory, number);
    let prepared: Prepared | undefined;
    let failure = "";
    try {
      prepared = this.#backend.prepare(kernel);
    } catch (error) {
      failure = text(error);
    }
    const inputs = kernel.inputs.length;
    const entry: Entry = { kernel, inputs, operands: inputs + kernel.outputs.length, prepared, failure };
    this.#kernels[number] = entry;
    return entry;
  }

  #run(at: number, guarded: boolean): void {
    const words = this.#ring;
    const number = words[at + 1];
    if (guarded) {
      const guard = this.#control[Control.guard];
      if (guard !== 0) {
        if (!this.#told.has(guard)) this.#control[Control.untold] = guard;
        return;
      }
    }
    const entry = this.#kernels[number] ?? this.#prepare(number);
    const untroubled = this.#storages.untroubled;
    if (!untroubled && !this.#mayStart(entry, at)) return;
    let root = 0;
    if (entry.prepared === undefined) {
      root = this.#record("internal", number, at, 0, entry.failure);
    } else {
      try {
        const fault = this.#backend.run(entry.prepared, words, at + 3, this.#block);
        if (fault !== undefined) root = this.#fault(fault, number, at);
      } catch (error) {
        root = this.#failed(error, number, words[at + 2], 0);
      }
    }
    if (root !== 0) this.#poison(entry, at, root);
    else if (!untroubled) this.#clearOverwritten(entry, at);
  }

  /**
   * Looks at the operands of a launch: poison spreads instead of running, and an output that is read elsewhere is
   * waited for.
   */
  #mayStart(entry: Entry, at: number): boolean {
    const words = this.#ring;
    const storages = this.#storages;
    let root = 0;
    for (let i = 0; i < entry.operands && root === 0; i++) {
      const storage = words[at + 3 + 2 * i];
      const own = storages.root(storage);
      if (own === 0) continue;
      const output = i >= entry.inputs;
      if (output && !storages.hasBlock(storage)) {
        if (rootDevice(own) === this.#memory.number) {
          attributeFailure(this.#memory, own, words[at + 1], words[at + 2]);
        }
        root = own;
      } else if (!output || entry.kernel.outputs[i - entry.inputs]?.overwrites !== true) root = own;
    }
    if (root !== 0) {
      this.#poison(entry, at, root);
      return false;
    }
    for (let i = entry.inputs; i < entry.operands; i++) storages.awaitPins(words[at + 3 + 2 * i]);
    return true;
  }

  /** Marks the outputs of a launch that failed or did not start. */
  #poison(entry: Entry, at: number, root: number): void {
    const storages = this.#storages;
    for (let i = entry.inputs; i < entry.operands; i++) {
      const storage = this.#ring[at + 3 + 2 * i];
      if (storages.root(storage) === 0 || (storages.hasBlock(storage) && this.#replacesWhole(entry, at, i))) {
        storages.setRoot(storage, root);
      }
    }
  }

  #clearOverwritten(entry: Entry, at: number): void {
    for (let i = entry.inputs; i < entry.operands; i++) {
      const storage = this.#ring[at + 3 + 2 * i];
      if (this.#storages.root(storage) !== 0 && this.#replacesWhole(entry, at, i)) this.#storages.setRoot(storage, 0);
    }
  }

  /** Whether operand `i` of a launch, an output, gives its storage entirely new contents. */
  #replacesWhole(entry: Entry, at: number, i: number): boolean {
    const { kernel } = entry;
    const output = kernel.outputs[i - entry.inputs];
    if (output === undefined || !output.overwrites) return false;
    const words = this.#ring;
    const sizes = at + 3 + 2 * entry.operands;
    const strides = sizes + kernel.axes + i * kernel.axes;
    // An axis along which the output does not move (a reduced one) does not count.
    let elements = 1;
    for (let axis = 0; axis < kernel.axes; axis++) {
      if (words[strides + axis] !== 0) elements *= words[sizes + axis];
    }
    return elements * itemSize(output.dtype) >= this.#storages.bytes(words[at + 3 + 2 * i]);
  }

  #upload(storage: number, byteOffset: number, position: number, bytes: number): void {
    const { staging } = this.#memory;
    const start = position & (staging.length - 1);
    if (this.#storages.hasBlock(storage)) {
      this.#storages.awaitPins(storage);
      try {
        this.#backend.write(this.#block(storage), byteOffset, staging.subarray(start, start + bytes));
        if (bytes >= this.#storages.bytes(storage)) this.#storages.setRoot(storage, 0);
      } catch (error) {
        this.#storages.setRoot(storage, this.#failed(error, -1, 0, bytes));
      }
    }
    Atomics.store(this.#control, Control.stagingTail, (position + bytes) | 0);
    this.#publishTail();
  }

  #read(ticket: number, storage: number, byteOffset: number, bytes: number): void {
    const root = this.#storages.root(storage);
    const untold = this.#control[Control.untold];
    if (root !== 0 || untold !== 0) {
      const told = root === 0 ? untold : root;
      if (told === untold) this.#control[Control.untold] = 0;
      this.#told.add(told);
      this.#answer(ticket, TicketState.poisoned, told);
      return;
    }
    const { tickets } = this.#memory;
    const row = (ticket & (Ticket.slots - 1)) * Ticket.words;
    if (tickets[row + Ticket.number] !== ticket) return;
    if (bytes <= Ticket.inlineBytes) {
      const inline = new Uint8Array(tickets.buffer, (row + Ticket.inline) * 4, bytes);
      this.#backend.readInto(this.#block(storage), byteOffset, inline);
      this.#answer(ticket, TicketState.ready, 0);
      return;
    }
    const shared = this.#backend.share(this.#block(storage), byteOffset, bytes);
    tickets[row + Ticket.buffer] = this.#directory.announce(this.#memory.number, shared.buffer);
    tickets[row + Ticket.address] = shared.address;
    const word = row + Ticket.state;
    const released = (): boolean =>
      tickets[row + Ticket.number] !== ticket || Atomics.load(tickets, word) !== TicketState.ready;
    this.#storages.pin(storage, {
      released,
      wait: () => {
        while (!released() && Atomics.load(this.#control, Control.closing) === 0) {
          this.#publishTail();
          Atomics.wait(tickets, word, TicketState.ready, slice);
        }
      },
      release: () => shared.release?.(),
    });
    this.#answer(ticket, TicketState.ready, 0);
  }

  #answer(ticket: number, state: number, root: number): void {
    const { tickets } = this.#memory;
    const row = (ticket & (Ticket.slots - 1)) * Ticket.words;
    if (tickets[row + Ticket.number] !== ticket) return;
    tickets[row + Ticket.root] = root;
    Atomics.compareExchange(tickets, row + Ticket.state, TicketState.pending, state);
    ring(this.#company);
  }

  #receive(at: number): void {
    const words = this.#ring;
    const storage = words[at + 2];
    const bytes = (words[at + 4]) >>> 0;
    const storages = this.#storages;
    storages.awaitPins(storage);
    let root: number;
    try {
      root = this.#exchange.receive(
        words[at + 1], storage, (words[at + 3]) >>> 0, bytes, words[at + 5],
      );
    } catch (error) {
      root = this.#failed(error, -1, 0, bytes);
    }
    if (!storages.hasBlock(storage)) return;
    if (root !== 0 || bytes >= storages.bytes(storage)) storages.setRoot(storage, root);
  }

  #collective(at: number): void {
    const words = this.#ring;
    const isGuard = words[at + 1] === Collective.guard;
    const storage = words[at + 4];
    if (!isGuard) this.#storages.awaitPins(storage);
    let root: number;
    try {
      root = this.#exchange.collective(words, at + 1, this.#control[Control.guard]);
    } catch (error) {
      root = this.#failed(error, -1, 0, 0);
    }
    const storages = this.#storages;
    if (isGuard) {
      this.#control[Control.guard] = root;
    } else if (root !== 0) {
      if (storages.root(storage) === 0) storages.setRoot(storage, root);
    } else {
      // Only a broadcast lets a poisoned member take part as if it were not.
      const bytes = words[at + 6] * itemSize(dtypes[words[at + 7]]);
      if (storages.hasBlock(storage) && bytes >= storages.bytes(storage)) storages.setRoot(storage, 0);
    }
  }

  #fault(fault: Fault, kernel: number, at: number): number {
    return this.#record(fault.code, kernel, at, fault.detail, "");
  }

  #record(code: FailureName, kernel: number, at: number, detail: number, said: string): number {
    return recordFailure(this.#memory, {
      code, kernel, site: this.#ring[at + 2], sequence: this.#sequence, detail, text: said,
    });
  }

  /** Records an exception of the backend. */
  #failed(error: unknown, kernel: number, site: number, bytes: number): number {
    const outOfMemory = error instanceof BackendOutOfMemory;
    return recordFailure(this.#memory, {
      code: outOfMemory ? "out-of-memory" : "internal",
      kernel,
      site,
      sequence: this.#sequence,
      detail: bytes,
      text: outOfMemory ? "" : text(error),
    });
  }
}

function text(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

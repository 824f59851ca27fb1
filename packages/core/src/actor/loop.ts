/**
 * The actor: takes messages from its ring in sequence and has its parts carry them out on a backend, which only knows
 * memory and kernels.
 */
import type { Backend } from "./backend.ts";
import { Collectives } from "./collectives.ts";
import { collectSoon } from "./collect.ts";
import type { ActorContext } from "./context.ts";
import { Directory } from "./directory.ts";
import { recordException } from "./failures.ts";
import { Guard } from "./guard.ts";
import type { ActorBoot } from "./host.ts";
import { Launches } from "./launches.ts";
import { Control, Life, Message, type MessageKind } from "./protocol.ts";
import { awaitReaders } from "./readers.ts";
import { Reads } from "./reads.ts";
import { Recorder } from "./recorder.ts";
import { ring, type CompanyMemory, type DeviceMemory } from "./shared.ts";
import { Storages } from "./storages.ts";
import { Transfers } from "./transfers.ts";
import { Spinner, Waiter } from "./waiting.ts";

/** Messages after which the coordinator is told of the room that they left. */
const batch = 32;

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
  readonly #control: Int32Array;
  readonly #ring: Int32Array;
  readonly #backend: Backend;
  readonly #directory: Directory;
  readonly #storages: Storages;
  readonly #spinner: Spinner;
  readonly #recorder: Recorder;
  readonly #guard: Guard;
  readonly #launches: Launches;
  readonly #reads: Reads;
  readonly #transfers: Transfers;
  readonly #collectives: Collectives;
  #position: number;
  #sequence: number;

  constructor(boot: ActorBoot, backend: Backend) {
    const { memory, company } = boot;
    this.#memory = memory;
    this.#company = company;
    this.#control = memory.control;
    this.#ring = memory.ring;
    this.#backend = backend;
    this.#directory = new Directory(company, boot.port, boot.entries);
    this.#storages = new Storages(memory, backend);
    this.#spinner = new Spinner(company, memory);
    this.#recorder = new Recorder(memory);
    this.#guard = new Guard(memory.control);
    const context: ActorContext = {
      memory,
      company,
      directory: this.#directory,
      backend,
      storages: this.#storages,
      waiter: new Waiter(memory, this.#spinner, this.#recorder, () => {
        this.#publishTail();
      }),
    };
    this.#launches = new Launches(context, this.#guard);
    this.#reads = new Reads(context, this.#guard);
    this.#transfers = new Transfers(context);
    this.#collectives = new Collectives(context, this.#guard);
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
      if (this.#directory.update()) collectSoon();
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
    const recording = this.#recorder.begin();
    let count = 0;
    while (this.#position !== head) {
      const at = this.#position & mask;
      const first = words[at];
      const kind = (first & 0xff) as MessageKind;
      if (kind !== Message.pad) {
        const sequence = (this.#sequence + 1) | 0;
        this.#sequence = sequence;
        control[Control.started] = sequence;
        if (recording) this.#recordedStep(kind, at, first >>> 8);
        else this.#step(kind, at, first >>> 8);
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

  #recordedStep(kind: MessageKind, at: number, size: number): void {
    const recorder = this.#recorder;
    const start = recorder.now();
    const started = this.#step(kind, at, size);
    recorder.recordMessage(kind, at, size, start, started);
  }

  /** Runs the message of `size` words at `words[at]`. @returns false for a launch that did not start. */
  #step(kind: MessageKind, at: number, size: number): boolean {
    const words = this.#ring;
    const a = words[at + 1];
    switch (kind) {
      case Message.run:
        return this.#launches.run(at);
      case Message.runGuarded:
        return this.#launches.runGuarded(at);
      case Message.allocate:
        this.#allocate(a, words[at + 2] >>> 0);
        break;
      case Message.free:
        this.#storages.free(a);
        break;
      case Message.register:
        this.#launches.prepare(a);
        break;
      case Message.upload:
        this.#upload(a, words[at + 2] >>> 0, words[at + 3], words[at + 4]);
        break;
      case Message.read:
        this.#reads.read(a, words[at + 2], words[at + 3] >>> 0, words[at + 4] >>> 0);
        break;
      case Message.fence:
        this.#reads.fence(a);
        break;
      case Message.send:
        this.#transfers.send(a, words[at + 2], words[at + 3] >>> 0, words[at + 4] >>> 0, words[at + 5]);
        break;
      case Message.receive:
        this.#transfers.receive(a, words[at + 2], words[at + 3] >>> 0, words[at + 4] >>> 0, words[at + 5]);
        break;
      case Message.collective:
        this.#collectives.run(words, at);
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
    return true;
  }

  /** Sets the guard to the first poison root among the storages that the message names, or clears it. */
  #setGuard(at: number, size: number): void {
    let root = 0;
    for (let i = 1; i < size && root === 0; i++) root = this.#storages.root(this.#ring[at + i]);
    this.#guard.root = root;
  }

  #allocate(storage: number, bytes: number): void {
    try {
      this.#storages.allocate(storage, bytes);
    } catch (error) {
      this.#storages.setRoot(storage, recordException(this.#memory, error, { bytes }));
    }
  }

  /** Forgets a storage's poison; one that never got memory tries again. */
  #recover(storage: number): void {
    const storages = this.#storages;
    let root = 0;
    if (!storages.hasBlock(storage)) {
      try {
        storages.allocateBlock(storage);
      } catch (error) {
        root = recordException(this.#memory, error, { bytes: storages.bytes(storage) });
      }
    }
    storages.setRoot(storage, root);
  }

  #upload(storage: number, byteOffset: number, position: number, bytes: number): void {
    const { staging } = this.#memory;
    const start = position & (staging.length - 1);
    const storages = this.#storages;
    if (storages.hasBlock(storage)) {
      storages.awaitPins(storage);
      try {
        this.#backend.write(storages.block(storage), byteOffset, staging.subarray(start, start + bytes));
        if (bytes >= storages.bytes(storage)) storages.setRoot(storage, 0);
      } catch (error) {
        storages.setRoot(storage, recordException(this.#memory, error, { bytes }));
      }
    }
    Atomics.store(this.#control, Control.stagingTail, (position + bytes) | 0);
    this.#publishTail();
  }
}

/**
 * The coordinator's end of a device's message ring and staging ring. `beginRun` ... `end` is the hot path of every
 * launch.
 */
import { InternalError } from "../errors.ts";
import { blockUntil, publishLater } from "./coordinator.ts";
import { Control, header, Message, runHeaderWords, type MessageKind } from "./protocol.ts";
import type { DeviceMemory } from "./shared.ts";
import { currentSite } from "./site.ts";
import { taping, type TapedDevice } from "./tape.ts";

/** Messages that are published together. */
const batch = 32;

/** What a mailbox needs to know of its device. */
export interface MailboxOwner {
  /** Starts the actor, at the first publication. */
  boot(): void;
  /** @throws DeviceLostError or DeviceClosedError when the actor will never read again. */
  checkAlive(): void;
  /** The device itself, for a tape. */
  readonly device: TapedDevice;
}

export class Mailbox {
  readonly #control: Int32Array;
  readonly #owner: MailboxOwner;
  readonly #size: number;
  #words: Int32Array;
  #staging: Uint8Array;
  /** The stream position of `words[0]` in this round. */
  #base = 0;
  #index = 0;
  /** Where the message in progress begins. */
  #start = 0;
  /** Words from `#index` on that may be written without looking. */
  #room: number;
  #unpublished = 0;
  #listed = false;
  #booted = false;
  #messages = 0;
  #stagingHead = 0;

  constructor(memory: DeviceMemory, owner: MailboxOwner) {
    this.#words = memory.ring;
    this.#control = memory.control;
    this.#staging = memory.staging;
    this.#owner = owner;
    this.#size = memory.ring.length;
    this.#room = this.#size;
  }

  /** The ring. */
  get words(): Int32Array {
    return this.#words;
  }

  /** Messages issued so far. */
  get messages(): number {
    return this.#messages;
  }

  /** Bytes that one upload message carries at most. */
  get largestUpload(): number {
    return this.#staging.length / 2;
  }

  /**
   * Begins a launch: reserves its words and writes header, kernel and the current site. May block while too much is in
   * flight.
   * @returns the index in `words` of the first of the `argumentWords` arguments, which the caller writes before
   * `end()`.
   */
  beginRun(kernel: number, argumentWords: number, guarded = false): number {
    const size = argumentWords + runHeaderWords;
    if (size > this.#room) this.#makeRoom(size);
    const at = this.#index;
    this.#start = at;
    this.#index = at + size;
    this.#room -= size;
    const words = this.#words;
    words[at] = header(guarded ? Message.runGuarded : Message.run, size);
    words[at + 1] = kernel;
    words[at + 2] = currentSite();
    return at + runHeaderWords;
  }

  /** Ends a message: from here on it may be published. */
  end(): void {
    if (taping !== undefined) taping.take(this.#owner.device, this.#words, this.#start, this.#index);
    this.#messages++;
    if (++this.#unpublished >= batch) this.publish();
    else if (!this.#listed) {
      this.#listed = true;
      publishLater(this.#publisher);
    }
  }

  /** Lets the actor see all that was issued. */
  publish(): void {
    if (this.#unpublished === 0) return;
    this.#unpublished = 0;
    const control = this.#control;
    Atomics.store(control, Control.head, (this.#base + this.#index) | 0);
    if (Atomics.load(control, Control.parked) === 1) Atomics.notify(control, Control.head);
    if (!this.#booted) {
      this.#booted = true;
      this.#owner.boot();
    }
  }

  /** Lets go of the memory of a closed device; what is issued from here on is refused at the call. */
  close(memory: DeviceMemory): void {
    this.#words = memory.ring;
    this.#staging = memory.staging;
    this.#room = 0;
    this.#unpublished = 0;
  }

  readonly #publisher = {
    publish: (): void => {
      this.#listed = false;
      this.publish();
    },
  };

  /** Makes sure that the next `count` words can be written without blocking. */
  reserve(count: number): void {
    taping?.reserve(this.#owner.device, count);
    if (count > this.#room) this.#makeRoom(count);
  }

  /** Issues the message `source[from..to)`, as it stands there. */
  append(source: Int32Array, from: number, to: number): void {
    const size = to - from;
    if (size > this.#room) this.#makeRoom(size);
    const at = this.#index;
    this.#start = at;
    this.#index = at + size;
    this.#room -= size;
    const words = this.#words;
    for (let i = 0; i < size; i++) words[at + i] = source[from + i];
    this.end();
  }

  /** Issues a message of up to three words. */
  post(kind: MessageKind, a: number, b = 0, words = 2): void {
    if (words > this.#room) this.#makeRoom(words);
    const at = this.#index;
    this.#start = at;
    this.#index = at + words;
    this.#room -= words;
    this.#words[at] = header(kind, words);
    this.#words[at + 1] = a;
    if (words === 3) this.#words[at + 2] = b;
    this.end();
  }

  /** Issues a message with any number of words. */
  postMany(kind: MessageKind, values: readonly number[]): void {
    const size = values.length + 1;
    if (size > this.#room) this.#makeRoom(size);
    const at = this.#index;
    this.#start = at;
    this.#index = at + size;
    this.#room -= size;
    this.#words[at] = header(kind, size);
    this.#words.set(values, at + 1);
    this.end();
  }

  /** Issues uploads of `bytes`, in as many pieces as the staging ring asks for. */
  upload(storage: number, byteOffset: number, bytes: Uint8Array): void {
    taping?.refuse("an upload");
    for (let done = 0; done < bytes.length; ) {
      const piece = bytes.subarray(done, Math.min(bytes.length, done + this.largestUpload));
      const position = this.#stage(piece);
      this.postMany(Message.upload, [storage, byteOffset + done, position, piece.length]);
      done += piece.length;
    }
  }

  /** Copies bytes into the staging ring, blocking until there is room. @returns their position. */
  #stage(bytes: Uint8Array): number {
    const size = this.#staging.length;
    const index = this.#stagingHead & (size - 1);
    // A piece never wraps: the actor's tail jumps over what is left at the end.
    const start = index + bytes.length > size ? (this.#stagingHead + size - index) | 0 : this.#stagingHead;
    const end = (start + bytes.length) | 0;
    const fits = (): boolean => ((end - Atomics.load(this.#control, Control.stagingTail)) | 0) <= size;
    if (!fits()) this.#block(fits, (Atomics.load(this.#control, Control.tail) + 1) | 0);
    this.#staging.set(bytes, start & (size - 1));
    this.#stagingHead = end;
    return start;
  }

  #makeRoom(count: number): void {
    this.#owner.checkAlive();
    const size = this.#size;
    if (count > size / 2) {
      throw new InternalError(`a message of ${count} words does not fit into a ring of ${size}`);
    }
    const rest = size - this.#index;
    if (rest < count) {
      if (rest > 0) {
        this.#awaitFree(rest);
        this.#words[this.#index] = header(Message.pad, rest);
      }
      this.#base = (this.#base + size) | 0;
      this.#index = 0;
    }
    const free = this.#awaitFree(count);
    this.#room = Math.min(size - this.#index, free);
  }

  #free(): number {
    const head = (this.#base + this.#index) | 0;
    return this.#size - ((head - Atomics.load(this.#control, Control.tail)) | 0);
  }

  /** Blocks until `count` words are free; then, having waited, until a quarter of the ring is. */
  #awaitFree(count: number): number {
    const free = this.#free();
    if (free >= count) return free;
    const wanted = Math.max(count, this.#size >>> 2);
    const tail = Atomics.load(this.#control, Control.tail);
    this.#block(() => this.#free() >= wanted, (tail + wanted - free) | 0);
    return this.#free();
  }

  /** Blocks until `ready()`; the actor rings when its tail reaches `wanted`. */
  #block(ready: () => boolean, wanted: number): void {
    const control = this.#control;
    Atomics.store(control, Control.wanted, wanted);
    Atomics.store(control, Control.waiting, 1);
    try {
      blockUntil(() => {
        if (ready()) return true;
        this.#owner.checkAlive();
        // One word may have been answered while more is needed: ask again.
        Atomics.store(control, Control.waiting, 1);
        return false;
      });
    } finally {
      Atomics.store(control, Control.waiting, 0);
    }
  }
}

/**
 * How threads find each other's shared memory. The supervisor keeps the list of all devices and of the buffers that
 * they share, and sends new entries to everybody's port; a busy or blocked thread takes them with
 * `receiveMessageOnPort` when it misses one.
 */
import { receiveMessageOnPort, type MessagePort } from "node:worker_threads";
import { InternalError } from "../errors.ts";
import { Company } from "./protocol.ts";
import type { CompanyMemory, DeviceMemory } from "./shared.ts";

/** What others need to know of a device: who it is, and whether it lives. */
export type Peer = Pick<DeviceMemory, "name" | "number" | "control">;

export type DirectoryEntry =
  | { readonly kind: "device"; readonly peer: Peer }
  | { readonly kind: "buffer"; readonly device: number; readonly number: number; readonly buffer: SharedArrayBuffer }
  /** The device is closed: what it shared may go. */
  | { readonly kind: "gone"; readonly device: number };

/** Sleeps of a thread that misses an entry, ms, and how many of them before it gives up. */
const slice = 20;
const patience = 500;

/** One thread's view of the list. */
export class Directory {
  readonly #company: CompanyMemory;
  readonly #port: MessagePort;
  readonly #devices = new Map<number, Peer>();
  readonly #buffers = new Map<number, Uint8Array[]>();
  readonly #own = new Map<SharedArrayBuffer, number>();

  /** The count of entries when they were last taken. */
  #seen = -1;
  /** Whether buffers were let go of since the last `update`. */
  #gone = false;

  /** @param entries what is known already; the rest comes through `port`. */
  constructor(company: CompanyMemory, port: MessagePort, entries: readonly DirectoryEntry[]) {
    this.#company = company;
    this.#port = port;
    for (const entry of entries) this.#add(entry);
  }

  device(number: number): Peer {
    return this.#await(() => this.#devices.get(number), `device ${number}`);
  }

  /** All bytes of a device's shared buffer. */
  buffer(device: number, number: number): Uint8Array {
    return this.#await(() => this.#buffers.get(device)?.[number], `buffer ${number} of device ${device}`);
  }

  /** The number of a buffer of the own device; announces it to everybody when it is new. */
  announce(device: number, buffer: SharedArrayBuffer): number {
    let number = this.#own.get(buffer);
    if (number === undefined) {
      number = this.#buffers.get(device)?.length ?? 0;
      this.#own.set(buffer, number);
      const entry: DirectoryEntry = { kind: "buffer", device, number, buffer };
      this.#add(entry);
      this.#port.postMessage(entry);
    }
    return number;
  }

  /**
   * Takes the entries that have come, so that closed devices' memory goes. Cheap when there is none.
   * @returns whether it let go of something.
   */
  update(): boolean {
    const seen = Atomics.load(this.#company.words, Company.directory);
    if (seen === this.#seen) return false;
    this.#seen = seen;
    this.#take();
    const gone = this.#gone;
    this.#gone = false;
    return gone;
  }

  #take(): void {
    let message: { message: DirectoryEntry } | undefined;
    while ((message = receiveMessageOnPort(this.#port)) !== undefined) this.#add(message.message);
  }

  #add(entry: DirectoryEntry): void {
    switch (entry.kind) {
      case "device":
        this.#devices.set(entry.peer.number, entry.peer);
        break;
      case "buffer": {
        let buffers = this.#buffers.get(entry.device);
        if (buffers === undefined) this.#buffers.set(entry.device, (buffers = []));
        buffers[entry.number] = new Uint8Array(entry.buffer);
        break;
      }
      case "gone":
        if (this.#buffers.delete(entry.device)) this.#gone = true;
        break;
    }
  }

  #await<T>(find: () => T | undefined, what: string): T {
    const { words } = this.#company;
    for (let tries = 0; tries < patience; tries++) {
      const seen = Atomics.load(words, Company.directory);
      this.#take();
      const found = find();
      if (found !== undefined) return found;
      Atomics.wait(words, Company.directory, seen, slice);
    }
    throw new InternalError(`${what} is not in the directory`);
  }
}

/**
 * The shared memory of a device and of the process: made by the coordinator, mapped by every thread that takes part.
 */
import {
  Company, Control, FailureRow, failureSlots, Group, LibraryRow, maxKernels, maxStorages, StorageRow, Ticket, Transfer,
} from "./protocol.ts";

/** What a device's coordinator, actor, peers and supervisor share. Everything in it can be cloned to another thread. */
export interface DeviceMemory {
  readonly name: string;
  /** The process-wide number of the device. */
  readonly number: number;
  readonly control: Int32Array;
  readonly ring: Int32Array;
  readonly staging: Uint8Array;
  readonly tickets: Int32Array;
  readonly storages: Int32Array;
  readonly failures: Int32Array;
  readonly libraryIndex: Int32Array;
  readonly library: Uint8Array;
  /** Where the actor records what it does (`Recording`); it grows when a recording begins. */
  readonly recording: SharedArrayBuffer;
}

/** What all devices of the process share. */
export interface CompanyMemory {
  readonly words: Int32Array;
  readonly transfers: Int32Array;
  readonly groups: Int32Array;
}

export interface DeviceLimits {
  /** Words of the message ring: a power of two. */
  readonly ringWords: number;
  /** Bytes of the staging ring for uploads: a power of two. */
  readonly stagingBytes: number;
}

export const defaultLimits: DeviceLimits = { ringWords: 1 << 16, stagingBytes: 1 << 24 };

/** Bytes of kernel text that one device can hold. Pages are committed when they are first touched. */
const libraryBytes = 1 << 26;

/** Bytes that the recording buffer can grow to. */
const recordingBytes = 2 ** 28 + 4096;

function words(count: number): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(count * 4));
}

export function deviceMemory(name: string, number: number, limits: DeviceLimits): DeviceMemory {
  return {
    name,
    number,
    control: words(Control.words),
    ring: words(limits.ringWords),
    staging: new Uint8Array(new SharedArrayBuffer(limits.stagingBytes)),
    tickets: words(Ticket.slots * Ticket.words),
    storages: words(maxStorages * StorageRow.words),
    failures: words(failureSlots * FailureRow.words),
    libraryIndex: words(maxKernels * LibraryRow.words),
    library: new Uint8Array(new SharedArrayBuffer(libraryBytes)),
    recording: new SharedArrayBuffer(0, { maxByteLength: recordingBytes }),
  };
}

/** What is left of a closed device: who it was, and the control block that says that it is closed. */
export function closedMemory({ name, number, control }: DeviceMemory): DeviceMemory {
  const [none, nothing] = [words(0), new Uint8Array(new SharedArrayBuffer(0))];
  return {
    name, number, control,
    ring: none, staging: nothing, tickets: none, storages: none, failures: none, libraryIndex: none, library: nothing,
    recording: nothing.buffer,
  };
}

/** @param spinners how many threads of the process may spin at once. */
export function companyMemory(spinners: number): CompanyMemory {
  const company = words(Company.words);
  company[Company.spinLimit] = spinners;
  return {
    words: company,
    transfers: words(Transfer.slots * Transfer.words),
    groups: words(Group.max * Group.words),
  };
}

/** Wakes the coordinator: something that it may wait for has happened. */
export function ring(company: CompanyMemory): void {
  Atomics.add(company.words, Company.bell, 1);
  Atomics.notify(company.words, Company.bell);
}

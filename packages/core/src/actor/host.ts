/** What a device package brings to the supervisor thread: a host that starts, kills and closes its actor's threads. */
import type { MessagePort } from "node:worker_threads";
import type { DirectoryEntry } from "./directory.ts";
import type { CompanyMemory, DeviceMemory } from "./shared.ts";
import { Control } from "./protocol.ts";
import { Spinner } from "./waiting.ts";

/** What every thread of an actor may see; it can be cloned to any thread. */
export interface ActorSpec {
  readonly memory: DeviceMemory;
  readonly company: CompanyMemory;
}

/**
 * What the actor's thread needs for `runActor`. It can be cloned to that thread once; `port` must be in the transfer
 * list.
 */
export interface ActorBoot extends ActorSpec {
  readonly entries: readonly DirectoryEntry[];
  readonly port: MessagePort;
}

/** What the supervisor gives to a host module. */
export interface HostSpec {
  readonly actor: ActorSpec;
  /** The device's options, as `createDevice` got them. */
  readonly options: unknown;
  /** To be called once when one of the threads has died unasked and all others of this life have stopped. */
  readonly onDeath: (reason: string) => void;
}

export interface Host {
  /** Starts the actor's threads (again, after `onDeath`). Resolves once rank 0's thread has called `runActor`. */
  start(boot: ActorBoot): Promise<void>;
  /** Ends all threads at once, as a crash would: `onDeath` follows. */
  kill(): Promise<void>;
  /** Stops whatever threads still run and releases everything; no `onDeath` follows. */
  close(): Promise<void>;
  /** Figures of the device's own, for `Device.statistics()`; plain data. */
  statistics?(): Promise<unknown>;
}

/** A host module, imported by the supervisor thread. */
export interface HostModule {
  host(spec: HostSpec): Host | Promise<Host>;
}

/** The permission to spin for a thread of an actor. */
export function spinnerOf(actor: ActorSpec): Spinner {
  return new Spinner(actor.company, actor.memory);
}

/** Whether an actor has been told to leave after its message in progress. */
export function isClosing({ memory }: ActorSpec): boolean {
  return Atomics.load(memory.control, Control.closing) === 1;
}

/** Makes an actor that is parked look around: its backend's `idle` is called. */
export function wakeActor({ memory }: ActorSpec): void {
  Atomics.notify(memory.control, Control.head);
}

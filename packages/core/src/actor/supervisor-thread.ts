/**
 * The supervisor thread: hosts every device's host module; boots, restarts with a limit, gives up, closes in order. It
 * marks deaths in shared memory and wakes every waiter, since a blocked coordinator sees no events.
 */
import { workerData, type MessagePort, MessageChannel, receiveMessageOnPort } from "node:worker_threads";
import { expose } from "comlink";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Queue from "effect/Queue";
import { collectSoon } from "./collect.ts";
import type { DirectoryEntry } from "./directory.ts";
import { controlEndpoint } from "./endpoint.ts";
import type { Host, HostModule } from "./host.ts";
import { Company, Control, Life } from "./protocol.ts";
import { hasReaders } from "./readers.ts";
import { salvage } from "./salvage.ts";
import { ring, type CompanyMemory, type DeviceMemory } from "./shared.ts";
import { isGone } from "./waiting.ts";
import type { BootRequest } from "./supervisor.ts";

export interface SupervisorData {
  readonly company: CompanyMemory;
  readonly control: MessagePort;
  /** To the coordinator's directory. */
  readonly directory: MessagePort;
}

/** The control port: comlink calls of the coordinator. Devices are named by number. */
export interface SupervisorApi {
  boot(request: BootRequest): void;
  close(device: number): Promise<void>;
  kill(device: number): Promise<void>;
  statistics(device: number): Promise<unknown>;
}

/** More deaths than this within the window and the device is given up. */
const restartLimit = 3;
const restartWindow = 60_000;
const bootTimeout = "60 seconds";
/** How long an actor may take to leave after its message in progress, ms. */
const leaveTimeout = 3000;
const pollPeriod = 2;

const data = workerData as SupervisorData;
const { company } = data;

/** All devices and shared buffers so far; what a new thread begins with. */
const entries: DirectoryEntry[] = [];
const ports = new Set<MessagePort>([data.directory]);

/** Tells everybody but `from` of a new entry. */
function publish(entry: DirectoryEntry, from?: MessagePort): void {
  entries.push(entry);
  for (const port of ports) if (port !== from) port.postMessage(entry);
  Atomics.add(company.words, Company.directory, 1);
  Atomics.notify(company.words, Company.directory);
}

/** A new thread's port to the directory: this end here, that end for the thread. */
function newPort(): { readonly here: MessagePort; readonly there: MessagePort } {
  const { port1: here, port2: there } = new MessageChannel();
  here.on("message", (entry: DirectoryEntry) => {
    publish(entry, here);
  });
  ports.add(here);
  return { here, there };
}

class Supervised {
  readonly #memory: DeviceMemory;
  readonly #request: BootRequest;
  readonly #fiber: Fiber.Fiber<void>;
  #host: Host | undefined;

  constructor(request: BootRequest) {
    this.#request = request;
    this.#memory = request.actor;
    const { name, number, control } = request.actor;
    publish({ kind: "device", peer: { name, number, control } });
    this.#fiber = Effect.runFork(this.#supervise());
  }

  /** Whether the actor will still do something. */
  get lives(): boolean {
    return !isGone(this.#memory);
  }

  /**
   * Once its peers have what it offered them, the actor leaves after its message in progress; when it does not in time,
   * or is dead, its threads are ended.
   */
  async close(): Promise<void> {
    const lives = (device: number): boolean => devices.get(device)?.lives ?? false;
    await Effect.runPromise(pollUntil(() => !hasReaders(this.#memory, company, lives)));
    await Effect.runPromise(this.#leave().pipe(Effect.andThen(Fiber.interrupt(this.#fiber))));
    Atomics.store(this.#memory.control, Control.life, Life.closed);
    ring(company);
    for (let i = entries.length - 1; i >= 0; i--) {
      const entry = entries[i];
      if (entry?.kind === "buffer" && entry.device === this.#memory.number) entries.splice(i, 1);
    }
    publish({ kind: "gone", device: this.#memory.number });
    entries.pop();
    collectSoon();
  }

  /** Ends the threads as a crash would, and settles when the actor runs again (or is given up). */
  async kill(): Promise<void> {
    const { control } = this.#memory;
    const epoch = Atomics.load(control, Control.epoch);
    await this.#host?.kill();
    await Effect.runPromise(pollUntil(() => Atomics.load(control, Control.epoch) !== epoch || isGone(this.#memory)));
  }

  async statistics(): Promise<unknown> {
    return this.#host?.statistics?.();
  }

  #supervise(): Effect.Effect<void> {
    const memory = this.#memory;
    const { hostModule, options } = this.#request;
    const run = Effect.fnUntraced({ self: this }, function* (this: Supervised) {
      const deaths = yield* Queue.unbounded<string>();
      const onDeath = (reason: string): void => {
        Queue.offerUnsafe(deaths, reason);
      };
      const host = yield* Effect.acquireRelease(
        Effect.tryPromise({
          try: async () => {
            const module = (await import(hostModule)) as HostModule;
            return module.host({ actor: { memory, company }, options, onDeath });
          },
          catch: reasonOf,
        }),
        (acquired) => Effect.ignore(Effect.tryPromise(() => acquired.close())),
      );
      this.#host = host;
      const times: number[] = [];
      while (Atomics.load(memory.control, Control.closing) === 0) {
        // A death that was told late, after the start had failed of it, is not the next life's.
        yield* Queue.clear(deaths);
        const reason = yield* oneLife(host, memory, deaths);
        if (Atomics.load(memory.control, Control.closing) === 1) return;
        const now = performance.now();
        times.push(now);
        const tooOften = times.filter((time) => now - time < restartWindow).length > restartLimit;
        salvage(memory, company, reason, tooOften ? Life.dead : Life.restarting);
        if (tooOften) return;
      }
    });
    return run().pipe(
      Effect.scoped,
      Effect.catch((reason: string) => Effect.sync(() => {
        salvage(memory, company, reason, Life.dead);
      })),
    );
  }

  #leave(): Effect.Effect<void> {
    const { control } = this.#memory;
    Atomics.store(control, Control.closing, 1);
    const left = pollUntil(() => {
      // Again and again: the actor may have been about to park.
      Atomics.notify(control, Control.head);
      return Atomics.load(control, Control.life) !== Life.running;
    });
    return left.pipe(Effect.timeoutOrElse({ duration: leaveTimeout, orElse: () => Effect.void }));
  }
}

function pollUntil(ready: () => boolean): Effect.Effect<void> {
  return Effect.gen(function* () {
    while (!ready()) yield* Effect.sleep(pollPeriod);
  });
}

/** Starts the host's threads and waits for their death. @returns the reason. */
function oneLife(host: Host, memory: DeviceMemory, deaths: Queue.Queue<string>): Effect.Effect<string> {
  const { here, there } = newPort();
  return Effect.tryPromise({
    try: () => host.start({ memory, company, entries: [...entries], port: there }),
    catch: reasonOf,
  }).pipe(
    Effect.timeoutOrElse({ duration: bootTimeout, orElse: () => Effect.fail("its threads did not start in time") }),
    Effect.andThen(Queue.take(deaths)),
    Effect.catch((reason: string) => Effect.succeed(reason)),
    Effect.ensuring(Effect.sync(() => {
      // What the thread shared just before its end: peers may have been offered bytes in it.
      for (let last; (last = receiveMessageOnPort(here)) !== undefined; ) {
        publish(last.message as DirectoryEntry, here);
      }
      ports.delete(here);
      here.close();
    })),
  );
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const devices = new Map<number, Supervised>();

const api: SupervisorApi = {
  boot(request) {
    devices.set(request.actor.number, new Supervised(request));
  },
  async close(number) {
    await devices.get(number)?.close();
    devices.delete(number);
  },
  async kill(number) {
    await devices.get(number)?.kill();
  },
  async statistics(number) {
    return devices.get(number)?.statistics();
  },
};

expose(api, controlEndpoint(data.control));

const heartbeat = 250;
setInterval(() => Atomics.add(company.words, Company.heartbeat, 1), heartbeat);
Atomics.add(company.words, Company.heartbeat, 1);

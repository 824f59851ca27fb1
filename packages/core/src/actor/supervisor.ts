/** The coordinator's end of the supervisor thread, which starts with the first device that is used. */
import { MessageChannel, Worker } from "node:worker_threads";
import { wrap, type Remote } from "comlink";
import { DeviceLostError } from "../errors.ts";
import { company } from "./coordinator.ts";
import { Directory } from "./directory.ts";
import { controlEndpoint } from "./endpoint.ts";
import type { DeviceMemory } from "./shared.ts";
import type { SupervisorApi, SupervisorData } from "./supervisor-thread.ts";

/** A device to be started. */
export interface BootRequest {
  readonly actor: DeviceMemory;
  readonly hostModule: string;
  readonly options: unknown;
}

interface Supervisor {
  readonly api: Remote<SupervisorApi>;
  readonly directory: Directory;
  /** Rejects when the thread is gone: a call that is pending then would never settle. */
  readonly gone: Promise<never>;
}

let supervisor: Supervisor | undefined;

function start(): Supervisor {
  const control = new MessageChannel();
  const entries = new MessageChannel();
  const data: SupervisorData = { company, control: control.port2, directory: entries.port2 };
  const worker = new Worker(new URL(import.meta.resolve("@troupe/core/supervisor")), {
    name: "troupe supervisor",
    execArgv: threadArguments(),
    workerData: data,
    transferList: [control.port2, entries.port2],
  });
  worker.unref();
  const gone = new Promise<never>((_resolve, reject) => {
    const lost = (cause: string): void => {
      const remedy = "All devices are lost; start the process again.";
      reject(new DeviceLostError(`the supervisor thread ended: ${cause}`, { remedy }));
    };
    worker.once("error", (error) => {
      lost(error instanceof Error ? error.message : String(error));
    });
    worker.once("exit", (code) => {
      lost(`exit code ${code}`);
    });
  });
  gone.catch(() => undefined);
  const api = wrap<SupervisorApi>(controlEndpoint(control.port1));
  control.port1.unref();
  return { api, directory: new Directory(company, entries.port1, []), gone };
}

/** Node's own arguments without those that a thread refuses. */
function threadArguments(): string[] | undefined {
  return process.execArgv.some((a) => a.startsWith("--input-type")) ? [] : undefined;
}

function running(): Supervisor {
  return (supervisor ??= start());
}

/** The shared buffers of all devices, as the coordinator sees them. */
export function directory(): Directory {
  return running().directory;
}

/**
 * Starts a device's actor. Returns at once: the coordinator may block right after, and sees in shared memory how it
 * went.
 */
export function bootActor(request: BootRequest): void {
  const { api, gone } = running();
  Promise.race([api.boot(request), gone]).catch(() => undefined);
}

/** Ends a device's actor; settles when its threads are gone. */
export async function closeActor(number: number): Promise<void> {
  const { api, gone } = running();
  await Promise.race([api.close(number), gone]);
}

/** Ends the threads of a device's actor as a crash would. */
export async function killActor(number: number): Promise<void> {
  const { api, gone } = running();
  await Promise.race([api.kill(number), gone]);
}

export async function statisticsOf(number: number): Promise<unknown> {
  const { api, gone } = running();
  return Promise.race([api.statistics(number), gone]);
}


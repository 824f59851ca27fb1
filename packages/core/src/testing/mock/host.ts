/** The mock device in the supervisor's thread: one plain worker thread, and a memory that outlives it. */
import { Worker } from "node:worker_threads";
import type { ActorBoot, Host, HostSpec } from "../../actor/host.ts";
import { siblingModule } from "./module.ts";

/** What `mock()` passes on. */
export interface MockHostOptions {
  readonly memoryLimit: number;
}

/** What the worker gets. */
export interface MockWorkerData {
  readonly boot: ActorBoot;
  readonly memory: SharedArrayBuffer;
}

class MockHost implements Host {
  readonly #memory: SharedArrayBuffer;
  readonly #onDeath: (reason: string) => void;
  #worker: Worker | undefined;

  constructor({ options, onDeath }: HostSpec) {
    this.#memory = new SharedArrayBuffer((options as MockHostOptions).memoryLimit);
    this.#onDeath = onDeath;
  }

  async start(boot: ActorBoot): Promise<void> {
    const data: MockWorkerData = { boot, memory: this.#memory };
    const worker = new Worker(siblingModule(import.meta.url, "worker"), {
      name: boot.memory.name, workerData: data, transferList: [boot.port],
    });
    this.#worker = worker;
    let reason = "";
    worker.on("error", (error) => {
      reason = error instanceof Error ? error.message : String(error);
    });
    const ended = new Promise<string>((resolve) => {
      worker.on("exit", (code) => {
        resolve(reason === "" ? `the thread ended with code ${code}` : reason);
      });
    });
    const online = new Promise((resolve) => worker.once("online", resolve));
    const early = await Promise.race([online.then(() => undefined), ended]);
    if (early !== undefined) throw new Error(early);
    void ended.then((cause) => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      this.#onDeath(cause);
    });
  }

  async kill(): Promise<void> {
    await this.#worker?.terminate();
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }
}

export function host(spec: HostSpec): Host {
  return new MockHost(spec);
}

/**
 * One life of a device's threads: a piscina pool in which every task has a thread of its own, and whose threads end
 * together.
 */
import type { MessagePort } from "node:worker_threads";
import { Piscina } from "piscina";

export class Crew {
  readonly #pool: Piscina;
  readonly #assigned = new Set<number>();
  readonly #exits: Promise<unknown>[] = [];
  #cause = "";
  #stopped: Promise<void> | undefined;
  /** Resolves with the cause when no thread is left. */
  readonly ended: Promise<string>;

  constructor(threads: number) {
    this.#pool = new Piscina({
      filename: import.meta.resolve("@troupe/device-cpu/worker"),
      minThreads: 1,
      maxThreads: threads,
      idleTimeout: Infinity,
      // `node --input-type=module -e ...` passes this on, and no thread starts with it.
      execArgv: process.execArgv.some((a) => a.startsWith("--input-type")) ? [] : undefined,
      // Idle threads must not sit in the pool's own wait: they run loops that the pool knows nothing about.
      atomics: "disabled",
      loadBalancer: (_task, workers) => {
        const free = workers.find(({ id, terminating, destroyed }) =>
          !this.#assigned.has(id) && !terminating && !destroyed);
        if (free === undefined) return null;
        this.#assigned.add(free.id);
        const thread = this.#pool.threads.find(({ threadId }) => threadId === free.id);
        if (thread !== undefined) this.#exits.push(new Promise((resolve) => thread.once("exit", resolve)));
        return free;
      },
    });
    this.ended = new Promise((resolve) => {
      this.#pool.on("error", (error: Error) => {
        this.#cause ||= error.message;
      });
      this.#pool.on("workerDestroy", () => {
        // The pool tells the cause, if it knows one, and replaces the thread right after this event.
        setImmediate(() => void this.stop().then(() => resolve(this.#cause || "a thread of the device ended")));
      });
    });
  }

  /** Runs a task of the worker module on a thread that no other task has had. */
  async run(name: string, task: object, ports: readonly MessagePort[]): Promise<void> {
    // A destroyed pool would start new threads.
    if (this.#stopped !== undefined) throw new Error(this.#cause || "the device's threads have ended");
    // The pool's type of the list is inferred from another overload of `postMessage`.
    await this.#pool.run(task, { name, transferList: ports as never });
  }

  /** Ends all threads; resolves when none is left. */
  stop(cause = ""): Promise<void> {
    this.#cause ||= cause;
    this.#stopped ??= this.#pool.destroy().then(async () => {
      await Promise.all(this.#exits);
    });
    return this.#stopped;
  }
}

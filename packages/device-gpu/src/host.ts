/** The GPU device in the supervisor's thread: starts the device's thread, ends it at a moment when it is out of Dawn. */
import { MessageChannel, Worker } from "node:worker_threads";
import { type Remote, wrap } from "comlink";
import { type ActorBoot, type ActorSpec, controlEndpoint, type Host, type HostSpec, wakeActor } from "@troupe/core/device";
import { type Control, type GpuSpec, type News, Place, restTimeout, Safety, type Statistics, type ThreadData } from "./spec.ts";

/** How soon a parked thread looks around, ms. */
const soon = 100;

/** One life of the device's thread. */
class Thread {
  readonly #worker: Worker;
  readonly #safety: Int32Array;
  readonly #actor: ActorSpec;
  readonly control: Remote<Control>;
  /** Resolves when the loop is about to run; rejects when the thread ends before. */
  readonly up: Promise<void>;
  /** Resolves with the cause when the thread has come to rest, and touches nothing any more. */
  readonly ended: Promise<string>;
  #atRest: (cause: string) => void = () => undefined;
  #cause = "";

  constructor(spec: GpuSpec, boot: ActorBoot) {
    const { port1, port2 } = new MessageChannel();
    this.#safety = spec.safety;
    this.#actor = boot;
    Atomics.store(spec.safety, Safety.stop, 0);
    Atomics.store(spec.safety, Safety.place, Place.outside);
    const data: ThreadData = { spec, boot, control: port2 };
    const worker = new Worker(new URL(import.meta.resolve("@troupe/device-gpu/worker")), {
      name: boot.memory.name,
      workerData: data,
      transferList: [boot.port, port2],
      // `node --input-type=module -e ...` passes this on, and no thread starts with it.
      execArgv: process.execArgv.some((a) => a.startsWith("--input-type")) ? [] : undefined,
    });
    this.#worker = worker;
    this.control = wrap<Control>(controlEndpoint(port1));
    port1.unref();
    worker.on("error", (error) => {
      this.#cause = error instanceof Error ? error.message : String(error);
    });
    this.ended = new Promise((resolve) => {
      this.#atRest = resolve;
      worker.on("exit", () => {
        port1.close();
        resolve(this.#cause === "" ? "the device's thread ended" : this.#cause);
      });
    });
    this.up = new Promise((resolve, reject) => {
      worker.on("message", (news: News) => {
        if (news === "up") resolve();
        else void this.stop(news.lost);
      });
      void this.ended.then((reason) => {
        reject(new Error(reason));
      });
    });
  }

  /**
   * Brings the thread to rest and terminates it. Work that the GPU has begun may keep the thread's end waiting, but
   * nobody else.
   */
  async stop(cause: string): Promise<void> {
    this.#cause ||= cause;
    Atomics.store(this.#safety, Safety.stop, 1);
    // A parked thread looks around and rests; one that waits for a peer stays where it is, outside.
    wakeActor(this.#actor);
    await this.#leaves(Place.outside, soon);
    await this.#leaves(Place.inside, restTimeout);
    const resting = Atomics.load(this.#safety, Safety.place) === Place.resting;
    const exited = this.#worker.terminate();
    if (resting) this.#atRest(this.#cause);
    else await exited;
  }

  /** Waits until the thread is elsewhere, for at most `timeout` ms. */
  async #leaves(place: number, timeout: number): Promise<void> {
    const { async, value } = Atomics.waitAsync(this.#safety, Safety.place, place, timeout);
    if (async) await value;
  }
}

class GpuHost implements Host {
  readonly #spec: HostSpec;
  #thread: Thread | undefined;
  /** Settles when the end of the running thread has been reported. */
  #reported: Promise<void> = Promise.resolve();

  constructor(spec: HostSpec) {
    this.#spec = spec;
  }

  async start(boot: ActorBoot): Promise<void> {
    const thread = new Thread(this.#spec.options as GpuSpec, boot);
    this.#thread = thread;
    await thread.up;
    this.#reported = thread.ended.then((cause) => {
      if (this.#thread !== thread) return;
      this.#thread = undefined;
      this.#spec.onDeath(cause);
    });
  }

  /** Counts of the running thread; undefined when there is none, or when it ends before it answers. */
  async statistics(): Promise<Statistics | undefined> {
    const thread = this.#thread;
    if (thread === undefined) return undefined;
    return Promise.race([thread.control.statistics(), thread.ended.then(() => undefined)]);
  }

  async kill(): Promise<void> {
    await this.#thread?.stop("the device's thread was killed");
    await this.#reported;
  }

  async close(): Promise<void> {
    const thread = this.#thread;
    this.#thread = undefined;
    await thread?.stop("");
  }
}

/** Called by core's supervisor. */
export function host(spec: HostSpec): Host {
  return new GpuHost(spec);
}

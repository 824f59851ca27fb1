/**
 * How compiled kernels reach the helpers: as modules through ports that a helper looks into when it is called by a
 * number that it does not know.
 */
import { receiveMessageOnPort, type MessagePort } from "node:worker_threads";
import { instantiate, type RunKernel } from "./wasm/program.ts";

/** Kernels whose code a helper keeps: those that were sent to it last. */
const keptKernels = 1024;

interface CodeMessage {
  readonly serial: number;
  readonly module: WebAssembly.Module;
}

/**
 * What was put in last, by number. Rank 0 keeps one for every helper, and the helper one of its own. Both see the same
 * numbers in the same order, so that what the helper let go of is what rank 0 sends again.
 */
class Latest<T> {
  readonly #limit: number;
  readonly #entries = new Map<number, T>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get(serial: number): T | undefined {
    return this.#entries.get(serial);
  }

  put(serial: number, value: T): void {
    this.#entries.set(serial, value);
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > this.#limit && oldest !== undefined) this.#entries.delete(oldest);
  }
}

/** Sends code to the helper of a rank, unless it has it already; to be called before the launch that names it. */
export type ShareCode = (rank: number, serial: number, module: WebAssembly.Module) => void;

/** Rank 0's end. @param ports to the helpers, rank 1 first. */
export function codeSender(ports: readonly MessagePort[], limit = keptKernels): ShareCode {
  const sent = ports.map(() => new Latest<true>(limit));
  return (rank, serial, module) => {
    const known = sent[rank - 1];
    if (known.get(serial) === true) return;
    known.put(serial, true);
    const message: CodeMessage = { serial, module };
    ports[rank - 1].postMessage(message);
  };
}

/** A helper's end: the compiled function of a number that was sent before the helper was called with it. */
export function codeReceiver(
  port: MessagePort, memory: WebAssembly.Memory, limit = keptKernels,
): (serial: number) => RunKernel {
  const known = new Latest<RunKernel>(limit);
  return (serial) => {
    let run = known.get(serial);
    while (run === undefined) {
      const received = receiveMessageOnPort(port);
      if (received === undefined) throw new Error(`code ${serial} has not arrived`);
      const { serial: sent, module } = received.message as CodeMessage;
      known.put(sent, instantiate(module, memory));
      run = known.get(serial);
    }
    return run;
  };
}

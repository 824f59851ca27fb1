/**
 * How compiled kernels reach the helpers: as modules through ports that a helper looks into when it is called by a new
 * number.
 */
import { receiveMessageOnPort, type MessagePort } from "node:worker_threads";
import { instantiate, type RunKernel } from "./wasm/program.ts";

interface CodeMessage {
  readonly serial: number;
  readonly module: WebAssembly.Module;
}

/** Rank 0's end: sends code to every helper. */
export function codeSender(ports: readonly MessagePort[]): (serial: number, module: WebAssembly.Module) => void {
  return (serial, module) => {
    const message: CodeMessage = { serial, module };
    for (const port of ports) port.postMessage(message);
  };
}

/** A helper's end: the compiled function of a number that was sent before the helper was called with it. */
export function codeReceiver(port: MessagePort, memory: WebAssembly.Memory): (serial: number) => RunKernel {
  const known = new Map<number, RunKernel>();
  return (serial) => {
    let run = known.get(serial);
    while (run === undefined) {
      const received = receiveMessageOnPort(port);
      if (received === undefined) throw new Error(`code ${serial} has not arrived`);
      known.set(received.message.serial, instantiate(received.message.module, memory));
      run = known.get(serial);
    }
    return run;
  };
}

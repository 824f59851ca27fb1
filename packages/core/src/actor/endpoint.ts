/** A worker thread's port as comlink wants it. */
import type { Endpoint } from "comlink";
import type { MessagePort } from "node:worker_threads";

/** comlink's view of `port`. */
export function controlEndpoint(port: MessagePort): Endpoint {
  const listeners = new WeakMap<object, (data: unknown) => void>();
  return {
    postMessage: (message: unknown, transfer?: readonly Transferable[]) => {
      port.postMessage(message, transfer as never);
    },
    addEventListener: (_type, listener) => {
      const handle = (data: unknown): void => {
        if ("handleEvent" in listener) listener.handleEvent({ data } as MessageEvent);
        else listener({ data } as MessageEvent);
      };
      port.on("message", handle);
      listeners.set(listener, handle);
    },
    removeEventListener: (_type, listener) => {
      const handle = listeners.get(listener);
      if (handle !== undefined) port.off("message", handle);
      listeners.delete(listener);
    },
    start: () => {
      port.start();
    },
  };
}

/** A helper thread without a pool, for tests of the backend alone. */
import { type MessagePort, workerData } from "node:worker_threads";
import { codeReceiver } from "../src/code.ts";
import { Heap } from "../src/heap.ts";
import { help } from "../src/team.ts";

const { memory, rank, port } = workerData as { memory: WebAssembly.Memory; rank: number; port: MessagePort };
help(new Heap(memory), rank, codeReceiver(port, memory), () => false);

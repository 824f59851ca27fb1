/** The mock device's thread. */
import { parentPort, workerData } from "node:worker_threads";
import { runActor } from "../../actor/loop.ts";
import { MockBackend } from "./backend.ts";
import type { MockWorkerData } from "./host.ts";

const { boot, memory } = workerData as MockWorkerData;

// A listener keeps the thread while the actor is parked.
parentPort?.on("message", () => undefined);
await runActor(boot, new MockBackend(memory));
parentPort?.close();

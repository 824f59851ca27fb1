/** A GPU device's thread: one WebGPU device, and the actor's loop on it. */
import { parentPort, workerData } from "node:worker_threads";
import { expose } from "comlink";
import { controlEndpoint, isClosing, runActor } from "@troupe/core/device";
import { openGpu } from "./adapter.ts";
import { GpuBackend } from "./backend.ts";
import { GuardedBackend } from "./guarded.ts";
import { Pump } from "./pump.ts";
import type { Control, News, ThreadData } from "./spec.ts";

const { boot, spec, control } = workerData as ThreadData;

const pump = new Pump(spec.safety, () => isClosing(boot));
pump.install();
pump.enter();
const gpu = await openGpu(pump, {
  name: spec.adapter,
  schedule: spec.schedule,
  lost: (reason) => {
    const news: News = { lost: `the GPU device was lost: ${reason}` };
    parentPort?.postMessage(news);
    return pump.rest();
  },
});
const backend = new GpuBackend(gpu, pump, spec.memoryLimit);
pump.leave();
const api: Control = { statistics: () => backend.statistics() };
expose(api, controlEndpoint(control));
// A listener keeps the thread while the actor is parked.
parentPort?.on("message", () => undefined);
const up: News = "up";
parentPort?.postMessage(up);
await runActor(boot, new GuardedBackend(backend, pump));

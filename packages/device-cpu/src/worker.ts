/**
 * The tasks of a device's pool. Each sets a thread going and returns, so that the pool counts as idle and the process
 * ends with the script: `actor` starts the mailbox loop, `helper` a loop that runs parts of launches.
 */
import { expose } from "comlink";
import { controlEndpoint, runActor, spinnerOf } from "@troupe/core/device";
import { Activity } from "./activity.ts";
import { CpuBackend } from "./backend.ts";
import { codeReceiver, codeSender } from "./code.ts";
import { Heap } from "./heap.ts";
import { ensureCorrectVectors } from "./self-test.ts";
import type { ActorTask, Control, HelperTask } from "./tasks.ts";
import { help } from "./team.ts";

/** Starts rank 0. When the device closes its loop ends, and the host then ends the thread. */
export function actor({ spec, boot, codePorts, control }: ActorTask): void {
  ensureCorrectVectors();
  const { memory, threads, memoryLimit, activity, index } = spec;
  const backend = new CpuBackend({
    memory,
    threads,
    memoryLimit,
    activity: new Activity(activity, index),
    shareCode: codeSender(codePorts),
  });
  const api: Control = { statistics: () => backend.statistics() };
  expose(api, controlEndpoint(control));
  // The loop may be busy for long: it begins after the task's answer has left.
  setImmediate(() => void runActor(boot, backend));
}

/** Starts a helper. */
export function helper({ spec, actor: actorSpec, rank, codePort }: HelperTask): void {
  const spinner = spinnerOf(actorSpec);
  const code = codeReceiver(codePort, spec.memory);
  // This loop never gives its thread back.
  setImmediate(() => help(new Heap(spec.memory), rank, code, (ready) => spinner.spinUntil(ready)));
}

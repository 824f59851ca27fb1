/** The strategies by name, as the command knows them. */
import { dataParallelOver, layerwiseOver, onOneDevice, pipelinedOver } from "@troupe/parallel";
import type { Strategy } from "@troupe/parallel";
import type { Troupe } from "./devices.ts";

/** What the others' numbers and speed are compared with. */
export const reference = "single";

const makers: Readonly<Record<string, (troupe: Troupe, microbatches: number) => Omit<Strategy, "name">>> = {
  [reference]: ({ single }) => onOneDevice(single, { title: "one device, 1 thread" }),
  threads: ({ threads, cores }) => onOneDevice(threads, { title: `one device, ${cores} threads` }),
  data: ({ members }) => dataParallelOver(members, { title: `data-parallel, ${members.length} devices` }),
  layerwise: ({ members }) => layerwiseOver(members, { title: `layer-wise, ${members.length} devices` }),
  gpipe: ({ members }, microbatches) =>
    pipelinedOver(members, { schedule: "gpipe", microbatches, title: `network, GPipe, ${members.length} devices` }),
  "1f1b": ({ members }, microbatches) =>
    pipelinedOver(members, { schedule: "1f1b", microbatches, title: `network, 1F1B, ${members.length} devices` }),
};

export const strategyNames: readonly string[] = Object.keys(makers);

/** Strategies by name, the reference first whether it is named or not. */
export function strategiesOf(names: readonly string[], troupe: Troupe, microbatches: number): Strategy[] {
  const wanted = [reference, ...names.filter((name) => name !== reference)];
  return wanted.map((name) => ({ ...makers[name](troupe, microbatches), name }));
}

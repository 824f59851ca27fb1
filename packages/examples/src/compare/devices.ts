/** Which devices the strategies run on. */
import { availableParallelism } from "node:os";
import { device } from "@troupe/core";
import type { Device } from "@troupe/core";
import { cpu } from "@troupe/device-cpu";
import { gpu } from "@troupe/device-gpu";
import { useSoftwareWithoutGpu } from "@troupe/device-gpu/software";

export interface Troupe {
  /** One CPU device with one thread, and one with all: what the others are measured by. */
  readonly single: Device;
  readonly threads: Device;
  /** How many threads "all" are. */
  readonly cores: number;
  /** The devices that share the work. */
  readonly members: readonly Device[];
  /** Whether the members' GPUs are a driver in software, which shares the cores. */
  readonly software: boolean;
}

/**
 * The devices, started when they are first used. Several CPU devices share the cores. Where the machine has no GPU, GPU
 * devices run in software.
 * @param kinds of the members, such as `["cpu", "cpu"]`
 * @throws DeviceError for a kind that no imported package brings, and for a GPU device where there can be none
 */
export function troupeOf(kinds: readonly string[]): Troupe {
  const cores = Math.min(16, availableParallelism());
  const threads = Math.max(1, Math.floor(cores / kinds.filter((kind) => kind === "cpu").length));
  const software = kinds.includes("gpu") && useSoftwareWithoutGpu();
  // The first CPU devices are the baselines'.
  const next = new Map([["cpu", 2]]);
  const members = kinds.map((kind) => {
    const index = next.get(kind) ?? 0;
    next.set(kind, index + 1);
    if (kind === "cpu") return cpu({ index, threads });
    return kind === "gpu" ? gpu({ index }) : device(`${kind}:${index}`);
  });
  const [single, all] = [cpu({ index: 1, threads: 1 }), cpu({ index: 0, threads: cores })];
  return { single, threads: all, cores, members, software };
}

/** What the parts of an actor share: its memory, its backend, its view of storages and peers, and how it waits. */
import type { Backend } from "./backend.ts";
import type { Directory } from "./directory.ts";
import type { CompanyMemory, DeviceMemory } from "./shared.ts";
import type { Storages } from "./storages.ts";
import type { Waiter } from "./waiting.ts";

export interface ActorContext {
  readonly memory: DeviceMemory;
  readonly company: CompanyMemory;
  readonly directory: Directory;
  readonly backend: Backend;
  readonly storages: Storages;
  readonly waiter: Waiter;
}

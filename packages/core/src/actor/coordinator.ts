/**
 * The coordinating thread's waits: it has one wait word (the bell), publishes every ring before it waits, and takes
 * what is ready.
 */
import { availableParallelism } from "node:os";
import { DeviceLostError } from "../errors.ts";
import { Company, Transfer } from "./protocol.ts";
import { companyMemory, type CompanyMemory } from "./shared.ts";
import { Spinner } from "./waiting.ts";

/** The memory that all devices of this process share. One processor is left to whoever works. */
export const company: CompanyMemory = companyMemory(Math.max(1, availableParallelism() - 1));
const spinner = new Spinner(company);

/** Something with unpublished messages. */
interface Publisher {
  publish(): void;
}

/** Something that takes answers out of shared memory; `waiting` says how many promises hang on it. */
interface Receiver {
  takeReady(): void;
  readonly promises: number;
}

const unpublished: Publisher[] = [];
let turnScheduled = false;
const receivers = new Set<Receiver>();

/** Publishes every ring: before any wait, and when the coordinator's turn ends. */
export function publishAll(): void {
  for (const publisher of unpublished) publisher.publish();
  unpublished.length = 0;
}

/** Puts a mailbox on the list of those to publish, at the latest when the running job ends. */
export function publishLater(publisher: Publisher): void {
  unpublished.push(publisher);
  if (turnScheduled) return;
  turnScheduled = true;
  queueMicrotask(() => {
    turnScheduled = false;
    publishAll();
  });
}

export function addReceiver(receiver: Receiver): void {
  receivers.add(receiver);
}

export function removeReceiver(receiver: Receiver): void {
  receivers.delete(receiver);
}

function takeAll(): void {
  for (const receiver of receivers) receiver.takeReady();
}

/** One sleep of a blocked coordinator, ms. */
const slice = 100;
/**
 * Sleeps without a sign of life from the supervisor after which the coordinator gives up: 10 s, or 60 s while it boots.
 */
const silentSlices = 100;
const bootSlices = 600;

/**
 * Blocks the coordinating thread until `ready()` holds (it may throw). Every ring is published first, and ready answers
 * of all devices are taken meanwhile, so that no actor waits for the coordinator.
 * @throws DeviceLostError when the supervisor thread is gone.
 */
export function blockUntil(ready: () => boolean): void {
  publishAll();
  if (ready() || spinner.spinUntil(ready)) return;
  const { words } = company;
  let heartbeat = Atomics.load(words, Company.heartbeat);
  for (let silent = 0; ; silent++) {
    const bell = Atomics.load(words, Company.bell);
    takeAll();
    if (ready()) return;
    Atomics.wait(words, Company.bell, bell, slice);
    const beat = Atomics.load(words, Company.heartbeat);
    if (beat !== heartbeat) silent = 0;
    heartbeat = beat;
    if (silent > (beat === 0 ? bootSlices : silentSlices)) {
      throw new DeviceLostError("the supervisor thread does not answer", {
        remedy: "All devices are lost; start the process again.",
      });
    }
  }
}

let transfers = 0;

/** The next transfer's number, once its slot is free. */
export function nextTransfer(): number {
  transfers = (transfers + 1) | 0;
  const taken = (transfers & (Transfer.slots - 1)) * Transfer.words + Transfer.taken;
  const earlier = (transfers - Transfer.slots) | 0;
  const free = (): boolean => ((Atomics.load(company.transfers, taken) - earlier) | 0) >= 0;
  if (transfers > Transfer.slots && !free()) blockUntil(free);
  return transfers;
}

let keepers = 0;
let keepAlive: NodeJS.Timeout | undefined;

/** Keeps the process alive until `work` settles. */
export async function keepingAlive<T>(work: Promise<T>): Promise<T> {
  keepers += 1;
  // Its period only bounds how late a missed wake-up is noticed.
  keepAlive ??= setInterval(takeAll, slice);
  try {
    return await work;
  } finally {
    keepers -= 1;
    if (keepers === 0) {
      clearInterval(keepAlive);
      keepAlive = undefined;
    }
  }
}

let watching = false;

function anyPromises(): boolean {
  for (const receiver of receivers) if (receiver.promises > 0) return true;
  return false;
}

/** Takes answers as they come, while promises hang on them. */
export function watch(): void {
  if (watching) return;
  watching = true;
  void watchBell();
}

async function watchBell(): Promise<void> {
  const { words } = company;
  // The rings are published first: what a promise waits for may be among what was issued just now.
  publishAll();
  while (anyPromises()) {
    const bell = Atomics.load(words, Company.bell);
    takeAll();
    if (!anyPromises()) break;
    const wait = Atomics.waitAsync(words, Company.bell, bell);
    if (wait.async) await wait.value;
    else await Promise.resolve();
  }
  watching = false;
}

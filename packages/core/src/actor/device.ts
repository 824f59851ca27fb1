/** The coordinator's handle of a device: storages, kernels, data in and out, and the end of it. */
import type { Kernel } from "../kernel/ir.ts";
import { DeviceClosedError, DeviceError, OutOfMemoryError, type TroupeError } from "../errors.ts";
import type { DType } from "../tensor/dtype.ts";
import { blockUntil, company, keepingAlive, publishAll } from "./coordinator.ts";
import { watchExit } from "./exit.ts";
import { deviceLostError, failureError, markTold, readFailure, ticketLostError, untoldRoots } from "./failures.ts";
import { addToLibrary, kernelName } from "./library.ts";
import { Mailbox } from "./mailbox.ts";
import { Control, Life, maxDevices, maxStorages, Message, rootDevice, Transfer } from "./protocol.ts";
import { enterDevice, strikeDevice } from "./registry.ts";
import { defaultLimits, deviceMemory, type DeviceLimits, type DeviceMemory } from "./shared.ts";
import { bootActor, closeActor, directory, killActor, statisticsOf } from "./supervisor.ts";
import { TicketBook, type Ticket } from "./tickets.ts";
import { isGone } from "./waiting.ts";

export type { Ticket } from "./tickets.ts";
export {
  defaultDevice, device, openDevices as devices, registerDeviceKind, setDefaultDevice, type DeviceKind,
} from "./registry.ts";
export { publishAll } from "./coordinator.ts";

export interface DeviceOptions {
  readonly type: string;
  /** The device's number among those of its type. */
  readonly index: number;
  /** What it can hold and compute. */
  readonly dtypes: Iterable<DType>;
  /** The optional routines that it brings. */
  readonly routines?: Iterable<string>;
  /** The URL of its host module (host.ts). */
  readonly hostModule: string;
  /** What the host module gets; it must survive a structured clone (shared memory does). */
  readonly hostOptions?: unknown;
  readonly limits?: Partial<DeviceLimits>;
  /** The actor must leave its loop by itself before the process may end; exit waits up to 3 s for it. */
  readonly orderlyExit?: boolean;
}

export interface DeviceStats {
  /** Bytes that live storages hold now, their greatest sum so far, and bytes that the device keeps for reuse. */
  readonly bytesLive: number;
  readonly bytesPeak: number;
  readonly bytesPooled: number;
  /** Live storages. */
  readonly storages: number;
  /** Messages issued so far. */
  readonly messages: number;
  /** How often the actor's threads were started. */
  readonly starts: number;
}

const accountUnit = 16;

/** Every device ever made, by number: a poison root may name a closed one. */
const byNumber: Device[] = [];
let transfers = 0;

export class Device {
  readonly name: string;
  readonly type: string;
  readonly index: number;
  /** The process-wide number of the device. */
  readonly number: number;
  readonly dtypes: ReadonlySet<DType>;
  readonly routines: ReadonlySet<string>;
  readonly mailbox: Mailbox;
  readonly orderlyExit: boolean;
  readonly #memory: DeviceMemory;
  readonly #tickets: TicketBook;
  readonly #kernels = new Map<Kernel, number>();
  readonly #freeIds: number[] = [];
  /** Bytes by storage id. */
  readonly #sizes: number[] = [];
  #bytesIssued = 0;
  #libraryEnd = 0;
  #nextStorage = 0;
  #nextKernel = 0;
  #booted = false;
  #closing: Promise<void> | undefined;

  constructor(options: DeviceOptions) {
    if (byNumber.length >= maxDevices) throw new DeviceError(`more than ${maxDevices} devices were made`);
    this.type = options.type;
    this.index = options.index;
    this.name = `${options.type}:${options.index}`;
    this.number = byNumber.length;
    this.dtypes = new Set(options.dtypes);
    this.routines = new Set(options.routines);
    this.orderlyExit = options.orderlyExit ?? false;
    this.#memory = deviceMemory(this.name, this.number, { ...defaultLimits, ...options.limits });
    this.mailbox = new Mailbox(this.#memory, {
      boot: () => {
        this.#booted = true;
        watchExit();
        bootActor({ actor: this.#memory, hostModule: options.hostModule, options: options.hostOptions });
      },
      checkAlive: () => {
        if (!this.#alive()) throw this.#goneError();
      },
    });
    this.#tickets = new TicketBook(this.#memory, {
      sharedBytes: (buffer, address, bytes) =>
        directory().buffer(this.number, buffer).subarray(address, address + bytes),
      tell,
      tellLost: (root) => ticketLostError(this.name, readFailure(this.#memory, root).text),
      alive: () => this.#alive(),
      goneError: () => this.#goneError(),
    });
    enterDevice(this);
    byNumber.push(this);
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /**
   * For the user's calls: refuses from `close()` on, although what was issued before is still finished.
   * @throws DeviceClosedError, DeviceLostError
   */
  assertOpen(): void {
    if (this.#closing !== undefined || isGone(this.#memory)) throw this.#goneError();
  }

  /** Bytes of the storages minted and not freed, as the coordinator counts them: the actor may be behind. */
  get bytesIssued(): number {
    return this.#bytesIssued;
  }

  /** What the device shares with its actor. */
  get memory(): DeviceMemory {
    return this.#memory;
  }

  /**
   * Mints a storage of `bytes` bytes with undefined contents; should memory run out, what would be computed into it is
   * poisoned.
   * @throws DeviceClosedError, DeviceLostError
   */
  newStorage(bytes: number): number {
    this.assertOpen();
    const id = this.#freeIds.pop() ?? this.#nextStorage++;
    if (id >= maxStorages) {
      this.#nextStorage = maxStorages;
      throw new OutOfMemoryError(`more than ${maxStorages} tensors are alive`, {
        device: this.name, remedy: "Free tensors: dispose, tidy, or await once a step.",
      });
    }
    this.mailbox.post(Message.allocate, id, bytes, 3);
    this.#sizes[id] = bytes;
    this.#bytesIssued += bytes;
    return id;
  }

  /** Frees a storage after its last use so far; harmless after `close()`. */
  freeStorage(id: number): void {
    if (this.#closing !== undefined || !this.#alive()) return;
    try {
      this.mailbox.post(Message.free, id);
    } catch (error) {
      // The device died while this waited for room: its storages are gone anyway.
      if (error instanceof DeviceError) return;
      throw error;
    }
    this.#freeIds.push(id);
    this.#bytesIssued -= this.#sizes[id] ?? 0;
  }

  /** The number under which the device knows `kernel` (this very object); registers it the first time. */
  kernel(kernel: Kernel): number {
    return this.#kernels.get(kernel) ?? this.#register(kernel);
  }

  /** Copies bytes into a storage. They are taken before this returns. */
  upload(storage: number, byteOffset: number, bytes: Uint8Array): void {
    this.assertOpen();
    // New contents end old poison; the actor sees that by itself where they come in one piece.
    const whole = byteOffset === 0 && bytes.length >= (this.#sizes[storage] ?? 0);
    if (whole && bytes.length > this.mailbox.largestUpload) this.recover(storage);
    this.mailbox.upload(storage, byteOffset, bytes);
  }

  /** Reads bytes of a storage; more than 64 of them must not be written by later ops until the ticket is taken. */
  read(storage: number, byteOffset: number, bytes: number): Ticket {
    this.assertOpen();
    const ticket = this.#tickets.mint(bytes);
    this.mailbox.postMany(Message.read, [ticket.number, storage, byteOffset, bytes]);
    return ticket;
  }

  /** Settles when all that was issued before has run. Poison does not reject it; the device's death does. */
  async fence(): Promise<void> {
    await this.#fence().bytes();
  }

  /** As `fence`, blocking the coordinating thread. */
  fenceSync(): void {
    this.#fence().bytesSync();
  }

  /** Copies bytes to another device, past the coordinator. */
  copyTo(
    storage: number, byteOffset: number, bytes: number, target: Device, targetStorage: number, targetByteOffset: number,
  ): void {
    this.assertOpen();
    target.assertOpen();
    const transfer = nextTransfer();
    this.mailbox.reserve(transferWords);
    target.mailbox.reserve(transferWords);
    this.mailbox.postMany(Message.send, [transfer, storage, byteOffset, bytes, target.number]);
    target.mailbox.postMany(Message.receive, [transfer, targetStorage, targetByteOffset, bytes, this.number]);
  }

  /** Sets the guard of the guarded launches that follow: they are skipped when one of these storages is poisoned. */
  guard(storages: readonly number[]): void {
    this.assertOpen();
    const most = this.#memory.ring.length / 2 - 1;
    if (storages.length <= most) {
      this.mailbox.postMany(Message.guard, storages);
      return;
    }
    throw new DeviceError(`a guard over ${storages.length} storages is too long`, { device: this.name });
  }

  /** Forgets the poison of a storage: its bytes are what the last completed write left. */
  recover(storage: number): void {
    this.assertOpen();
    this.mailbox.post(Message.recover, storage);
  }

  stats(): DeviceStats {
    const word = (index: number): number => Atomics.load(this.#memory.control, index);
    return {
      bytesLive: (word(Control.bytesLive) >>> 0) * accountUnit,
      bytesPeak: (word(Control.bytesPeak) >>> 0) * accountUnit,
      bytesPooled: (word(Control.bytesPooled) >>> 0) * accountUnit,
      storages: word(Control.storages),
      messages: this.mailbox.messages,
      starts: word(Control.epoch),
    };
  }

  /** Figures of the device's own kind (threads, kernels compiled, ...), fetched from its host. */
  statistics(): Promise<unknown> {
    return this.#booted ? keepingAlive(statisticsOf(this.number)) : Promise.resolve(undefined);
  }

  /** The peak counts from what is live now. Call it when the device is quiet (after a fence). */
  resetPeak(): void {
    const { control } = this.#memory;
    Atomics.store(control, Control.bytesPeak, Atomics.load(control, Control.bytesLive));
  }

  /**
   * Ends the actor's threads at once, as a crash would; the device restarts by itself. For a kernel that does not end,
   * and tests.
   */
  kill(): Promise<void> {
    publishAll();
    return this.#booted ? keepingAlive(killActor(this.number)) : Promise.resolve();
  }

  /**
   * Runs what was issued, then ends the actor's threads and frees its memory.
   * @throws the first failure that no read told yet, once.
   */
  close(): Promise<void> {
    this.#closing ??= keepingAlive(this.#close());
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Makes the actor leave after its message in progress, without waiting for it. For the end of the process. */
  leave(): void {
    Atomics.store(this.#memory.control, Control.closing, 1);
    Atomics.notify(this.#memory.control, Control.head);
  }

  /** Whether an actor runs. */
  get running(): boolean {
    return this.#booted && Atomics.load(this.#memory.control, Control.life) === Life.running;
  }

  /** The failures that nobody was told of, as errors; they count as told from here on. */
  takeUntold(): TroupeError[] {
    return untoldRoots(this.#memory).map(tell);
  }

  async #close(): Promise<void> {
    if (this.#booted || this.mailbox.messages > 0) {
      if (this.#alive()) {
        const fence = this.#tickets.mint(0);
        this.mailbox.post(Message.fence, fence.number);
        // Whether or not the actor lives to answer, it ends now.
        await fence.bytes().catch(() => undefined);
      }
      await closeActor(this.number);
    }
    Atomics.store(this.#memory.control, Control.life, Life.closed);
    this.#tickets.takeReady();
    strikeDevice(this);
    const [first, ...others] = this.takeUntold();
    if (first === undefined) return;
    if (others.length > 0) first.cause = new AggregateError(others, `${others.length} more failures that nobody read`);
    throw first;
  }

  #fence(): Ticket {
    this.assertOpen();
    const ticket = this.#tickets.mint(0);
    this.mailbox.post(Message.fence, ticket.number);
    return ticket;
  }

  #register(kernel: Kernel): number {
    const number = this.#nextKernel++;
    this.#libraryEnd = addToLibrary(this.#memory, number, this.#libraryEnd, kernel);
    this.#kernels.set(kernel, number);
    this.mailbox.post(Message.register, number);
    return number;
  }

  #alive(): boolean {
    return !isGone(this.#memory);
  }

  /** Why the device does nothing any more. */
  #goneError(): TroupeError {
    const { control } = this.#memory;
    if (Atomics.load(control, Control.life) === Life.dead) {
      const reason = Atomics.load(control, Control.reason);
      return deviceLostError(this.name, reason === 0 ? "" : readFailure(this.#memory, reason).text);
    }
    const remedy = "Make it anew with device(name).";
    return new DeviceClosedError("the device is closed", { device: this.name, remedy });
  }
}

/** Makes a device; device packages call it for their kind. */
export function createDevice(options: DeviceOptions): Device {
  return new Device(options);
}

const transferWords = 6;

/** The next transfer's number, once its slot is free. */
function nextTransfer(): number {
  transfers = (transfers + 1) | 0;
  const taken = (transfers & (Transfer.slots - 1)) * Transfer.words + Transfer.taken;
  const earlier = (transfers - Transfer.slots) | 0;
  const free = (): boolean => ((Atomics.load(company.transfers, taken) - earlier) | 0) >= 0;
  if (transfers > Transfer.slots && !free()) blockUntil(free);
  return transfers;
}

/** The typed error for a poison root, which counts as told from here on. */
function tell(root: number): TroupeError {
  const owner = byNumber[rootDevice(root)];
  if (owner === undefined) return new DeviceError("a failure of an unknown device");
  markTold(owner.memory, root);
  const failure = readFailure(owner.memory, root);
  return failureError(owner.name, failure, kernelName(owner.memory, failure.kernel));
}

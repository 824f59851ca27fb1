/** The coordinator's handle of a device: storages, kernels, data in and out, and the end of it. */
import type { Kernel } from "../kernel/ir.ts";
import { DeviceClosedError, DeviceError, OutOfMemoryError, type TroupeError } from "../errors.ts";
import type { Profile } from "../profile/profile.ts";
import { profile, type ProfileOptions } from "../profile/recording.ts";
import type { DType } from "../tensor/dtype.ts";
import { breakClaims } from "./claims.ts";
import { collectSoon } from "./collect.ts";
import { keepingAlive, nextTransfer, publishAll } from "./coordinator.ts";
import { deviceStats, type DeviceStats } from "./device-stats.ts";
import { watchExit } from "./exit.ts";
import { enterFailureLog, FailureLog, nextDeviceNumber, tell } from "./failure-log.ts";
import { ticketLostError } from "./failures.ts";
import { Library } from "./library.ts";
import { Mailbox } from "./mailbox.ts";
import { Control, Life, maxDevices, maxStorages, Message } from "./protocol.ts";
import { enterDevice, strikeDevice } from "./registry.ts";
import { closedMemory, defaultLimits, deviceMemory, type DeviceLimits, type DeviceMemory } from "./shared.ts";
import { StorageIds } from "./storage-ids.ts";
import { taping, type TapedDevice } from "./tape.ts";
import { bootActor, closeActor, directory, killActor, statisticsOf, type BootRequest } from "./supervisor.ts";
import { TicketBook, type Ticket } from "./tickets.ts";
import { isGone } from "./waiting.ts";

export type { DeviceStats } from "./device-stats.ts";
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
  /**
   * Those among them that override a reduction and take it with an epilogue, too: named `routine+...`, with the routine's operands
   * and scalars before the epilogue's own, and one output of the type that it has without.
   */
  readonly epilogues?: Iterable<string>;
  /** The URL of its host module (host.ts). */
  readonly hostModule: string;
  /** What the host module gets; it must survive a structured clone (shared memory does). */
  readonly hostOptions?: unknown;
  readonly limits?: Partial<DeviceLimits>;
  /** The actor must leave its loop by itself before the process may end; exit waits up to 3 s for it. */
  readonly orderlyExit?: boolean;
}

/** Words of a `send` or `receive`. */
const transferWords = 6;

export class Device implements TapedDevice {
  readonly name: string;
  readonly type: string;
  readonly index: number;
  /** The process-wide number of the device. */
  readonly number: number;
  readonly dtypes: ReadonlySet<DType>;
  readonly routines: ReadonlySet<string>;
  readonly epilogues: ReadonlySet<string>;
  readonly mailbox: Mailbox;
  readonly orderlyExit: boolean;
  readonly #tickets: TicketBook;
  readonly #failures: FailureLog;
  readonly #storages = new StorageIds();
  #library: Library;
  #memory: DeviceMemory;
  /** Until the actor is started. */
  #bootRequest: BootRequest | undefined;
  #booted = false;
  #closing: Promise<void> | undefined;

  constructor(options: DeviceOptions) {
    this.number = nextDeviceNumber();
    if (this.number >= maxDevices) throw new DeviceError(`more than ${maxDevices} devices were made`);
    this.type = options.type;
    this.index = options.index;
    this.name = `${options.type}:${options.index}`;
    this.dtypes = new Set(options.dtypes);
    this.routines = new Set(options.routines);
    this.epilogues = new Set(options.epilogues);
    this.orderlyExit = options.orderlyExit ?? false;
    const memory = deviceMemory(this.name, this.number, { ...defaultLimits, ...options.limits });
    this.#memory = memory;
    this.#bootRequest = { actor: memory, hostModule: options.hostModule, options: options.hostOptions };
    this.#library = new Library(memory);
    this.#failures = new FailureLog(memory);
    this.mailbox = new Mailbox(memory, {
      boot: () => {
        this.#boot();
      },
      checkAlive: () => {
        if (!this.#alive()) throw this.#goneError();
      },
      device: this,
    });
    this.#tickets = new TicketBook(memory, {
      sharedBytes: (buffer, address, bytes) =>
        directory().buffer(this.number, buffer).subarray(address, address + bytes),
      tell,
      tellLost: (root) => this.#lostError(root),
      alive: () => this.#alive(),
      goneError: () => this.#goneError(),
    });
    enterDevice(this);
    enterFailureLog(this.#failures);
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
    return this.#storages.bytes;
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
    const id = this.#storages.mint(bytes);
    if (id === undefined) {
      throw new OutOfMemoryError(`more than ${maxStorages} tensors are alive`, {
        device: this.name, remedy: "Free tensors: dispose, tidy, or await once a step.",
      });
    }
    this.mailbox.post(Message.allocate, id, bytes, 3);
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
    this.#storages.free(id);
    breakClaims(this.number, id);
  }

  /** For captured steps: the id is not given out again before `releaseStorageId`, also when the storage is freed. */
  holdStorageId(id: number): void {
    this.#storages.hold(id);
  }

  releaseStorageId(id: number): void {
    this.#storages.release(id);
  }

  /** The number under which the device knows `kernel` (this very object); registers it the first time. */
  kernel(kernel: Kernel): number {
    return this.#library.numberOf(kernel) ?? this.#register(kernel);
  }

  /** The kernel that the device knows under this number. */
  kernelAt(number: number): Kernel {
    return this.#library.kernelAt(number);
  }

  /** Copies bytes into a storage. They are taken before this returns. */
  upload(storage: number, byteOffset: number, bytes: Uint8Array): void {
    this.assertOpen();
    // New contents end old poison; the actor sees that by itself where they come in one piece.
    const whole = byteOffset === 0 && bytes.length >= this.#storages.size(storage);
    if (whole && bytes.length > this.mailbox.largestUpload) this.recover(storage);
    this.mailbox.upload(storage, byteOffset, bytes);
  }

  /** Reads bytes of a storage; more than 64 of them must not be written by later ops until the ticket is taken. */
  read(storage: number, byteOffset: number, bytes: number): Ticket {
    this.assertOpen();
    taping?.refuse("a read");
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
    return deviceStats(this.#memory.control, this.mailbox.messages);
  }

  /** Figures of the device's own kind (threads, kernels compiled, ...), fetched from its host. */
  statistics(): Promise<unknown> {
    return this.#booted ? keepingAlive(statisticsOf(this.number)) : Promise.resolve(undefined);
  }

  /** Records what the device does while `run` runs, until what it issued is done; `profiler.profile` takes several. */
  profile(run: () => unknown, options?: ProfileOptions): Promise<Profile> {
    return profile(this, run, options);
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

  /** For `console.log`. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return `Device(${this.name}${this.closed ? ", closed" : ""})`;
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
    return this.#failures.takeUntold();
  }

  #boot(): void {
    const request = this.#bootRequest;
    if (request === undefined) return;
    this.#bootRequest = undefined;
    this.#booted = true;
    watchExit();
    bootActor(request);
  }

  async #close(): Promise<void> {
    if (this.#booted || this.mailbox.messages > 0) {
      await this.#finish();
      await closeActor(this.number);
    }
    const [first, ...others] = this.#release();
    if (first === undefined) return;
    if (others.length > 0) first.cause = new AggregateError(others, `${others.length} more failures that nobody read`);
    throw first;
  }

  /** Waits until all that was issued has run. An actor that dies meanwhile goes on when it is started again. */
  async #finish(): Promise<void> {
    try {
      for (let answered = false; !answered && this.#alive(); ) {
        const fence = this.#tickets.mint(0);
        this.mailbox.post(Message.fence, fence.number);
        answered = await fence.answered();
      }
    } catch (error) {
      // Given up while this waited for room.
      if (this.#alive()) throw error;
    }
  }

  /** Lets go of all memory: who still holds this handle holds only the handle. @returns the failures not yet told. */
  #release(): TroupeError[] {
    const { control } = this.#memory;
    const untold = this.takeUntold();
    Atomics.store(control, Control.life, Life.closed);
    this.#failures.close();
    this.#memory = closedMemory(this.#memory);
    this.#library = new Library(this.#memory);
    this.#bootRequest = undefined;
    this.#tickets.close(this.#memory);
    this.mailbox.close(this.#memory);
    if (this.#booted) directory().update();
    collectSoon();
    strikeDevice(this);
    return untold;
  }

  #fence(): Ticket {
    this.assertOpen();
    taping?.refuse("a fence");
    const ticket = this.#tickets.mint(0);
    this.mailbox.post(Message.fence, ticket.number);
    return ticket;
  }

  #register(kernel: Kernel): number {
    this.assertOpen();
    const number = this.#library.add(kernel);
    this.mailbox.post(Message.register, number);
    return number;
  }

  #alive(): boolean {
    return !isGone(this.#memory);
  }

  /** Why a ticket in flight was lost. */
  #lostError(root: number): TroupeError {
    // Who hears that the device died has heard of what it had begun.
    const death = tell(root);
    const { code, text } = this.#failures.read(root);
    return code === "device-lost" ? death : ticketLostError(this.name, text);
  }

  /** Why the device does nothing any more. */
  #goneError(): TroupeError {
    const { control } = this.#memory;
    if (Atomics.load(control, Control.life) === Life.dead) return tell(Atomics.load(control, Control.reason));
    const remedy = "Make it anew with device(name).";
    return new DeviceClosedError("the device is closed", { device: this.name, remedy });
  }
}

/** Makes a device; device packages call it for their kind. */
export function createDevice(options: DeviceOptions): Device {
  return new Device(options);
}

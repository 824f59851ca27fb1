/**
 * What a tensor holds. Core knows one kind of value, a strided view of one device's storage; another executor (the sharded one of
 * @troupe/parallel) brings its own kind behind the same interface.
 */
import type { Device } from "../actor/device.ts";
import { taping } from "../actor/tape.ts";
import { DisposedError, OutOfMemoryError, ShapeError } from "../errors.ts";
import type { Op } from "../ops/op.ts";
import { itemSize } from "./dtype.ts";
import type { DType } from "./dtype.ts";
import { contiguousStrides, isContiguous, numelOf } from "./shape.ts";
import type { Shape } from "./shape.ts";

/** Shape and dtype: all that shape inference needs and all that autograd records of a tensor. */
export interface Meta {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** Memory that values lie in: a device's storage, or whatever another executor's values share. */
export interface Memory {
  /** Memory made later has a greater number. */
  readonly birth: number;
  /** Frees the memory now. Harmless when repeated. */
  dispose(): void;
}

export interface Value extends Meta {
  readonly executor: Executor;
  /** What PyTorch would call the device; for a sharded value the first of its mesh. */
  readonly device: Device;
  /** Counts in-place writes to the memory behind the value (all views of a storage share it). */
  version: number;
  /** Which memory this is: equal for views of one another. */
  readonly identity: Memory;
  /** Whether the value is all of its memory, in row-major order: its only holder may keep it and write to it. */
  readonly isWhole: boolean;
}

/** Runs table entries on its kind of values. */
export interface Executor {
  readonly name: string;
  /** Runs an op into fresh values (or views, where the op is a view). */
  run<A>(op: Op<A>, inputs: readonly (Value | number)[], attrs: A): Value[];
  /** Runs an op with its (first) result written into `target`, whose shape is the result's; `outputs` is what the op inferred. */
  runInto<A>(op: Op<A>, inputs: readonly (Value | number)[], attrs: A, outputs: readonly Meta[], target: Value): void;
  /** A private copy of the contents in row-major order. */
  read(value: Value): Promise<Uint8Array>;
  readSync(value: Value): Uint8Array;
  /** Gives the memory back now; later use of any view throws. */
  dispose(value: Value): void;
  isDisposed(value: Value): boolean;
  /** The value's part on each of its devices. */
  locals(value: Value): readonly LocalValue[];
  /**
   * Gradients as their parameters lie, for launches over both (an optimizer's step): sums over devices that are still pending are
   * finished, many in one message. Local values are as they should be.
   */
  settle(gradients: readonly Value[], parameters: readonly Value[]): readonly Value[];
}

let births = 0;

/** The number that the next storage will bear: storages made later have greater ones. */
export function nextBirth(): number {
  return births + 1;
}

/** One piece of a device's memory, as the coordinator knows it. */
export class Storage implements Memory {
  readonly device: Device;
  readonly id: number;
  readonly bytes: number;
  readonly birth: number;
  version = 0;
  disposed = false;
  /** Of the finaliser that this storage shares, if it is small: lives as long as one of those who hold it. */
  readonly litter: object | undefined;

  /** @throws OutOfMemoryError for more bytes than messages to devices can say; ShapeError for what is no number of bytes */
  constructor(device: Device, bytes: number) {
    // A size that is no whole number must not reach the device, which would answer to nothing from then on.
    if (!Number.isInteger(bytes)) {
      throw new ShapeError("sizes must be whole numbers", { device: device.name, remedy: "Is NaN or a fraction among the sizes?" });
    }
    if (bytes >= 2 ** 32) {
      const remedy = "One tensor takes less than 4 GiB: use smaller batches, or a smaller dtype.";
      throw new OutOfMemoryError(`out of memory: ${bytes} bytes could not be allocated`, { device: device.name, remedy });
    }
    this.device = device;
    this.bytes = bytes;
    this.birth = ++births;
    this.id = device.newStorage(bytes);
    this.litter = keeper(device).watch(this);
    openScope?.push(this);
  }

  /** Frees the memory now. Harmless when repeated. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    keeper(this.device).release(this.id, this.birth);
  }
}

/**
 * Storages up to this size share a finaliser with their neighbours: at worst a live one keeps 4 KiB of dead ones. Where
 * very many are alive (ids are given out again, so ids get high), the dead ones would take the ids that are left: from
 * there on each storage has a finaliser of its own.
 */
const smallBytes = 256;
const litterSize = 16;
const litteredIds = 2 ** 16;

/** Small storages made one after another. Each holds the token; when the last one is collected, so is the token. */
class Litter {
  readonly token = {};
  /** As a finaliser's number; filled as they are made. */
  readonly members: number[] = [];
}

/**
 * Frees a device's storages whose proxies were collected. A finaliser gets one number, birth * 2^20 + id, and frees only when the
 * id still belongs to that birth: an explicit `dispose` may have freed it, and the id may live on as another storage. Finalisers
 * cost as much as the rest of a small op, so small storages have one for a litter.
 */
class StorageKeeper {
  readonly #device: Device;
  /** By storage id: the birth of the storage that has it (0: none), and its bytes. */
  readonly #births: number[] = [];
  readonly #bytes: number[] = [];
  #litter: Litter | undefined;
  readonly #registry = new FinalizationRegistry<number | readonly number[]>((dead) => {
    if (typeof dead === "number") this.#releaseDead(dead);
    else for (const member of dead) this.#releaseDead(member);
  });

  constructor(device: Device) {
    this.#device = device;
  }

  /** @returns what the storage must hold on to. */
  watch(storage: Storage): object | undefined {
    const { id, birth, bytes } = storage;
    this.#births[id] = birth;
    this.#bytes[id] = bytes;
    held += bytes;
    const number = birth * idSpan + id;
    if (bytes > smallBytes || id >= litteredIds) {
      this.#registry.register(storage, number);
      return undefined;
    }
    let litter = this.#litter;
    if (litter === undefined) {
      litter = this.#litter = new Litter();
      this.#registry.register(litter.token, litter.members);
    }
    if (litter.members.push(number) === litterSize) this.#litter = undefined;
    return litter.token;
  }

  /** Lets an unfinished litter die with its members. */
  closeLitter(): void {
    this.#litter = undefined;
  }

  release(id: number, birth: number): void {
    if (this.#births[id] !== birth) return;
    this.#births[id] = 0;
    held -= this.#bytes[id];
    this.#device.freeStorage(id);
  }

  #releaseDead(number: number): void {
    this.release(number % idSpan, Math.floor(number / idSpan));
  }
}

/** What was made so far may be collected without what is made next. Collections begin with this. */
export function closeLitters(): void {
  for (const keeper of keepers) keeper?.closeLitter();
}

let held = 0;

/** Bytes of all storages that are neither freed nor collected, on all devices. */
export function heldBytes(): number {
  return held;
}

const idSpan = 2 ** 20;
const keepers: (StorageKeeper | undefined)[] = [];

function keeper(device: Device): StorageKeeper {
  return (keepers[device.number] ??= new StorageKeeper(device));
}

let openScope: Memory[] | undefined;

/** Collects the memory that `body` takes, and says what it collected. Scopes nest: an outer one also owns what an inner one kept. */
export function collectStorages<R>(body: () => R, after: (result: R, made: readonly Memory[]) => readonly Memory[]): R {
  const outer = openScope;
  const made: Memory[] = [];
  openScope = made;
  let kept: readonly Memory[] = made;
  try {
    const result = body();
    kept = after(result, made);
    return result;
  } finally {
    openScope = outer;
    if (outer !== undefined) for (const storage of kept) outer.push(storage);
  }
}

/** A strided view of one storage. Offsets and strides count elements. */
export class LocalValue implements Value {
  readonly storage: Storage;
  readonly dtype: DType;
  readonly shape: Shape;
  readonly strides: readonly number[];
  readonly offset: number;
  readonly contiguous: boolean;
  /** Another executor's note about this value, such as where it has a copy. A field, since weak maps keep their keys for long. */
  note: object | undefined = undefined;

  constructor(storage: Storage, dtype: DType, shape: Shape, strides: readonly number[], offset: number, contiguous = isContiguous(shape, strides)) {
    this.storage = storage;
    this.dtype = dtype;
    this.shape = shape;
    this.strides = strides;
    this.offset = offset;
    this.contiguous = contiguous;
  }

  get executor(): Executor {
    return localExecutor;
  }

  get device(): Device {
    return this.storage.device;
  }

  get version(): number {
    return this.storage.version;
  }

  set version(version: number) {
    taping?.wrote(this.storage);
    this.storage.version = version;
  }

  get identity(): Storage {
    return this.storage;
  }

  get isWhole(): boolean {
    return this.contiguous && numelOf(this.shape) * itemSize(this.dtype) === this.storage.bytes;
  }

  /** @throws DisposedError */
  assertLive(op?: string): void {
    if (this.storage.disposed) {
      throw new DisposedError("this tensor was disposed, or handed over to another device", {
        op,
        device: this.device.name,
        remedy: "Keep it out of tidy()'s scope by returning it; dispose() it or move it after its last use.",
      });
    }
  }
}

/** A fresh contiguous value that looks like `x`, which must be contiguous: it shares the lists of sizes and strides. */
export function allocateLike(x: LocalValue, dtype: DType): LocalValue {
  return new LocalValue(new Storage(x.device, numelOf(x.shape) * itemSize(dtype)), dtype, x.shape, x.strides, 0, true);
}

/** A fresh contiguous value with undefined contents. */
export function allocate(device: Device, shape: Shape, dtype: DType): LocalValue {
  return new LocalValue(new Storage(device, numelOf(shape) * itemSize(dtype)), dtype, shape, contiguousStrides(shape), 0, true);
}

let localExecutor: Executor;

/** Says who runs ops on local values (ops/local.ts does, when it loads: the value knows its executor, the executor the ops). */
export function setLocalExecutor(executor: Executor): void {
  localExecutor = executor;
}

/** The sharded value: one local value a device, and how they make up the whole. */
import { InternalError, taping } from "@troupe/core/executor";
import type {
  Device,
  DType,
  Executor,
  LocalValue,
  Memory,
  Property,
  ReductionName,
  Shape,
  Storage,
  Value,
} from "@troupe/core/executor";
import { reduceStorages } from "./collectives.ts";
import type { Layout } from "./layout.ts";
import { replicate } from "./placement.ts";

type Pending = readonly (ReductionName | undefined)[];

/**
 * The storages of a sharded value, one a device, shared by the value's views. A reduction that is still pending (a
 * Partial placement) belongs to the memory: it is finished in place, for all views at once.
 */
export class ShardedMemory implements Memory {
  /** By rank. */
  readonly storages: readonly Storage[];
  readonly dtype: DType;
  version = 0;
  /** Counts changes of what is pending: layouts that were worked out before are old. */
  epoch = 0;
  #pending: Pending;

  /** A captured step begins and finishes reductions each time. */
  static readonly #pendingState: Property<ShardedMemory, Pending> = {
    get: (memory) => memory.#pending,
    set: (memory, pending) => {
      if (memory.#pending !== pending) memory.pending = pending;
    },
    isSame: (a, b) => a.every((reduction, axis) => reduction === b[axis]),
    isOver: ({ disposed }) => disposed,
  };

  constructor(layout: Layout, locals: readonly LocalValue[]) {
    this.storages = locals.map(({ storage }) => storage);
    this.dtype = layout.dtype;
    taping?.notes.change(this, ShardedMemory.#pendingState);
    this.#pending = layout.pending;
  }

  /** What is pending along each axis of the mesh. */
  get pending(): Pending {
    this.noteRead();
    return this.#pending;
  }

  set pending(pending: Pending) {
    taping?.notes.change(this, ShardedMemory.#pendingState);
    this.#pending = pending;
    this.epoch++;
  }

  get birth(): number {
    return this.storages[0].birth;
  }

  /** For a captured step: what is pending decides what it does. */
  noteRead(): void {
    taping?.notes.read(this, ShardedMemory.#pendingState);
  }

  /** Notes that the reduction along `axis` was finished. */
  finish(axis: number): void {
    this.pending = this.pending.with(axis, undefined);
  }

  dispose(): void {
    for (const storage of this.storages) storage.dispose();
  }

  get disposed(): boolean {
    return this.storages.some((storage) => storage.disposed);
  }
}

export class ShardedValue implements Value {
  readonly memory: ShardedMemory;
  /** By rank. */
  readonly locals: readonly LocalValue[];
  /** A view whose elements had to be moved: what is written to it would not reach what it is a view of. */
  readonly isDetached: boolean;
  /** How it lies with nothing finished, and how it lies now. */
  readonly #given: Layout;
  #layout: Layout;
  #epoch: number;

  constructor(
    layout: Layout,
    locals: readonly LocalValue[],
    memory = new ShardedMemory(layout, locals),
    isDetached = false,
  ) {
    this.#given = this.#layout = layout;
    this.locals = locals;
    this.memory = memory;
    this.isDetached = isDetached;
    this.#epoch = memory.epoch;
  }

  /** How it lies now. */
  get layout(): Layout {
    this.memory.noteRead();
    if (this.#epoch !== this.memory.epoch) this.#refresh();
    return this.#layout;
  }

  #refresh(): void {
    const { pending, epoch } = this.memory;
    this.#layout = this.#given.placed(
      this.#given.placements.map((placement, axis) =>
        placement.kind === "partial" && pending[axis] === undefined ? replicate() : placement,
      ),
    );
    this.#epoch = epoch;
  }

  get shape(): Shape {
    return this.#layout.shape;
  }

  get dtype(): DType {
    return this.#layout.dtype;
  }

  get device(): Device {
    return this.#layout.mesh.devices[0];
  }

  get executor(): Executor {
    return shardedExecutor;
  }

  get version(): number {
    return this.memory.version;
  }

  set version(version: number) {
    taping?.wrote(this.memory);
    this.memory.version = version;
  }

  get identity(): ShardedMemory {
    return this.memory;
  }

  get isWhole(): boolean {
    return this.locals.every((local) => local.isWhole);
  }

  /**
   * Finishes pending reductions, in place: what was partial is replicated. Other axes than `axis` are left alone if it
   * is given.
   */
  settle(axis?: number): this {
    const { memory } = this;
    memory.pending.forEach((reduction, own) => {
      if (reduction === undefined || (axis !== undefined && own !== axis)) return;
      for (const line of this.#layout.mesh.lines(own)) {
        reduceStorages(
          line.group,
          [line.ranks.map((rank) => memory.storages[rank])],
          memory.dtype,
          reduction,
        );
      }
      memory.finish(own);
    });
    return this;
  }
}

export function isSharded(value: unknown): value is ShardedValue {
  return value instanceof ShardedValue;
}

/** @throws InternalError for another executor's value */
export function sharded(value: Value): ShardedValue {
  if (value instanceof ShardedValue) return value;
  throw new InternalError("the sharded executor got a value that is not its own");
}

let shardedExecutor: Executor;

/** Says who runs ops on sharded values (executor.ts does, when it loads). */
export function setShardedExecutor(executor: Executor): void {
  shardedExecutor = executor;
}

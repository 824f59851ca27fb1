/**
 * What a tape says, with fewer launches: where a launch fills a storage that the tape alone takes, and the only launch that
 * reads it can compute that by itself (kernel/fuse.ts), the storage and the launch that filled it go.
 */
import { fuse, isEpilogue } from "../kernel/fuse.ts";
import type { Kernel, LoopKernel } from "../kernel/ir.ts";
import { isRandom } from "../kernel/philox.ts";
import { outputsOf, placedWords, readPlaced, type PlacedKernel } from "../kernel/placed.ts";
import { header, Message, runHeaderWords, type MessageKind } from "./protocol.ts";

/** What fusing needs of a device. */
export interface FusingDevice {
  /** Kernels of these names have a routine of their own. */
  readonly routines: ReadonlySet<string>;
  /** Those among them that take an epilogue. */
  readonly epilogues: ReadonlySet<string>;
  kernel(kernel: Kernel): number;
  kernelAt(number: number): Kernel;
}

/** One message of a tape. */
export interface Said {
  readonly device: FusingDevice;
  /** Its words on the tape. */
  readonly from: number;
  readonly to: number;
  /** The storages that it names. */
  readonly storages: readonly number[];
}

/** A launch that may be fused. */
interface Launch {
  readonly placed: PlacedKernel;
  readonly guarded: boolean;
  readonly site: number;
  /** Whether it has a routine of its own, which may take an epilogue and nothing else. */
  readonly routine: boolean;
}

/** Fused kernels, by what they are: the same work captured again finds its kernel. */
const fusedKernels = new Map<string, LoopKernel>();

/** A tape's messages with the launches on `device` fused; the words of new ones are added to `words`. */
export function fuseLaunches<S extends Said>(said: readonly S[], words: number[], device: FusingDevice): S[] {
  return new Fusion(said, words, device).run();
}

class Fusion<S extends Said> {
  readonly #said: readonly S[];
  readonly #words: number[];
  readonly #launches: (Launch | undefined)[];
  /** By message: its place in the order; a free may move behind the launch that now reads last. */
  readonly #order: number[];
  readonly #gone = new Set<number>();
  readonly #fused = new Set<number>();
  /** By storage: the messages that allocate, free, fill or change, and name it at all. */
  readonly #allocated = new Map<number, number>();
  readonly #freed = new Map<number, number>();
  readonly #writes = new Map<number, number[]>();
  readonly #uses = new Map<number, number[]>();
  readonly #guards: number[] = [];

  constructor(said: readonly S[], words: number[], device: FusingDevice) {
    this.#said = said;
    this.#words = words;
    this.#order = said.map((_, i) => i);
    this.#launches = said.map((own) => (this.#concerns(own, device) ? this.#launchOf(own) : undefined));
    said.forEach((own, i) => {
      if (this.#concerns(own, device)) this.#index(own, i);
    });
  }

  run(): S[] {
    const candidates = [...this.#allocated.keys()].flatMap((storage) => {
      const last = this.#uses.get(storage)?.at(-1);
      return last === undefined || !this.#freed.has(storage) ? [] : [{ storage, last }];
    });
    // By their readers, so that a launch has taken in what comes before it when it is itself taken in.
    const ordered = candidates.toSorted((a, b) => a.last - b.last);
    for (const { storage } of ordered) while (this.#fuseLast(storage, false));
    // Routines last: they take what has become one launch, in the order in which it follows.
    let fused: boolean;
    do {
      fused = false;
      for (const { storage } of ordered) while (this.#fuseLast(storage, true)) fused = true;
      for (const storage of this.#writes.keys()) while (this.#fuseInPlace(storage)) fused = true;
    } while (fused);
    return this.#said
      .map((own, i) => ({ own, i }))
      .filter(({ i }) => !this.#gone.has(i))
      .toSorted((a, b) => this.#order[a.i] - this.#order[b.i])
      .map(({ own, i }) => (this.#fused.has(i) ? this.#written(own, i) : own));
  }

  #concerns({ device, from, to }: S, concerned: FusingDevice): boolean {
    return device === concerned && from < to;
  }

  #kindOf({ from }: S): MessageKind {
    return (this.#words[from] & 0xff) as MessageKind;
  }

  #launchOf(own: S): Launch | undefined {
    const kind = this.#kindOf(own);
    if (kind !== Message.run && kind !== Message.runGuarded) return undefined;
    const kernel = own.device.kernelAt(this.#words[own.from + 1]);
    const { routines, epilogues } = own.device;
    const routine = routines.has(kernel.name);
    if (kernel.kind !== "loop" || isRandom(kernel) || (routine && !epilogues.has(kernel.name))) return undefined;
    return {
      placed: readPlaced(kernel, this.#words, own.from + runHeaderWords),
      guarded: kind === Message.runGuarded,
      site: this.#words[own.from + 2],
      routine,
    };
  }

  #index(own: S, i: number): void {
    const kind = this.#kindOf(own);
    const [storage] = own.storages;
    if (kind === Message.allocate) this.#allocated.set(storage, i);
    else if (kind === Message.free) this.#freed.set(storage, i);
    else if (kind === Message.guard) this.#guards.push(i);
    if (kind === Message.allocate || kind === Message.free) return;
    const written = new Set(this.#writtenBy(own, i, kind));
    for (const named of new Set(own.storages)) {
      push(this.#uses, named, i);
      if (written.has(named)) push(this.#writes, named, i);
    }
  }

  /** The storages that a message changes, or may change. */
  #writtenBy(own: S, i: number, kind: MessageKind): readonly number[] {
    if (kind === Message.send || kind === Message.guard) return [];
    if (kind !== Message.run && kind !== Message.runGuarded) return own.storages;
    const inputs = own.device.kernelAt(this.#words[own.from + 1]).inputs.length;
    return this.#launches[i] === undefined
      ? own.storages.slice(inputs)
      : outputsOf(this.#launches[i].placed).map(({ storage }) => storage);
  }

  /**
   * Makes the readers of what `storage` held last compute that themselves.
   * @param routine whether what a routine left is wanted, or what other kernels did
   * @returns whether they can
   */
  #fuseLast(storage: number, routine: boolean): boolean {
    const uses = this.#uses.get(storage) ?? [];
    const writer = this.#writes.get(storage)?.at(-1);
    const first = writer === undefined ? undefined : this.#launches[writer];
    if (writer === undefined || first === undefined || first.routine !== routine) return false;
    const readers = uses.filter((i) => i > writer);
    const { inputs } = first.placed.kernel;
    // What is read twice is computed once, unless it is a constant.
    if (readers.length === 0 || (readers.length > 1 && inputs.length > 0)) return false;
    const fused: [number, Launch][] = [];
    for (const reader of readers) {
      const second = this.#launches[reader];
      const joined = second === undefined ? undefined : this.#joined(first, second, storage, writer, reader);
      if (joined === undefined) return false;
      fused.push([reader, joined]);
    }
    for (const [reader, launch] of fused) this.#replace(first, reader, launch);
    this.#drop(writer, first);
    if (this.#uses.get(storage)?.length === 0) {
      for (const i of [this.#allocated.get(storage), this.#freed.get(storage)]) if (i !== undefined) this.#gone.add(i);
    }
    return true;
  }

  /** Makes one launch of a routine that fills `storage` and of the next one, which changes it in place. @returns whether there are such */
  #fuseInPlace(storage: number): boolean {
    const writes = this.#writes.get(storage) ?? [];
    return writes.slice(1).some((reader, k) => {
      const writer = writes[k];
      const [first, second] = [this.#launches[writer], this.#launches[reader]];
      if (first?.routine !== true || second === undefined) return false;
      if (this.#uses.get(storage)?.some((i) => i > writer && i < reader) === true) return false;
      const joined = this.#joined(first, second, storage, writer, reader);
      if (joined === undefined) return false;
      this.#replace(first, reader, joined);
      this.#drop(writer, first);
      return true;
    });
  }

  /** Two launches as one at the second's place, if that can be. */
  #joined(first: Launch, second: Launch, storage: number, writer: number, reader: number): Launch | undefined {
    if (second.routine || !this.#mayMove(first, second, writer, reader)) return undefined;
    if (first.routine && !isEpilogue(first.placed, second.placed, storage)) return undefined;
    const placed = fuse(first.placed, second.placed, storage);
    return placed === undefined ? undefined : { ...second, placed, routine: first.routine };
  }

  /** Whether the writer would compute the same where the reader stands. */
  #mayMove(first: Launch, second: Launch, writer: number, reader: number): boolean {
    const between = (i: number): boolean => i > writer && i < reader;
    if (first.guarded && (!second.guarded || this.#guards.some(between))) return false;
    const inputs = first.placed.operands.slice(0, first.placed.kernel.inputs.length);
    return inputs.every((input) => !(this.#writes.get(input.storage) ?? []).some(between));
  }

  #replace({ placed }: Launch, reader: number, launch: Launch): void {
    this.#forgetUses(reader);
    this.#launches[reader] = launch;
    this.#fused.add(reader);
    for (const storage of new Set(launch.placed.operands.map((operand) => operand.storage))) {
      insert(this.#uses, storage, reader);
    }
    for (const { storage } of placed.operands.slice(0, placed.kernel.inputs.length)) {
      const free = this.#freed.get(storage);
      if (free !== undefined && this.#order[free] < reader) this.#order[free] = reader + 0.5;
    }
  }

  /** A launch whose results nobody reads any more. */
  #drop(i: number, { placed }: Launch): void {
    this.#forgetUses(i);
    this.#gone.add(i);
    for (const { storage } of outputsOf(placed)) remove(this.#writes, storage, i);
  }

  #forgetUses(i: number): void {
    for (const { storage } of this.#launches[i]?.placed.operands ?? []) remove(this.#uses, storage, i);
  }

  /** The message for a fused launch. */
  #written(own: S, i: number): S {
    const launch = this.#launches[i];
    if (launch === undefined) return own;
    const { placed, guarded, site } = launch;
    const text = JSON.stringify(placed.kernel);
    const kernel = fusedKernels.get(text) ?? placed.kernel;
    fusedKernels.set(text, kernel);
    const { length: from } = this.#words;
    const args = placedWords(placed);
    const kind = guarded ? Message.runGuarded : Message.run;
    this.#words.push(header(kind, runHeaderWords + args.length), own.device.kernel(kernel), site, ...args);
    return { ...own, from, to: this.#words.length, storages: placed.operands.map(({ storage }) => storage) };
  }
}

/** Keeps the list ascending. */
function insert(lists: Map<number, number[]>, key: number, value: number): void {
  const list = lists.get(key) ?? [];
  const at = list.findIndex((other) => other >= value);
  if (at < 0) list.push(value);
  else if (list[at] !== value) list.splice(at, 0, value);
  lists.set(key, list);
}

function remove(lists: Map<number, number[]>, key: number, value: number): void {
  const list = lists.get(key);
  if (list?.includes(value) === true) list.splice(list.indexOf(value), 1);
}

function push(lists: Map<number, number[]>, key: number, value: number): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

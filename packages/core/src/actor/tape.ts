/**
 * A tape takes the messages that some of the coordinator's work issues, so that the same work can be issued again for
 * the cost of copying its words. Numbers that must be new each time (transfers, collectives, places in the random
 * stream) are renewed; storages that the work takes keep their ids as long as the tape exists.
 */
import { CaptureError } from "../errors.ts";
import type { Kernel } from "../kernel/ir.ts";
import { isRandom } from "../kernel/philox.ts";
import { Claims, storageKey, type StorageIdOwner } from "./claims.ts";
import { nextTransfer } from "./coordinator.ts";
import { collectiveNumber } from "./groups.ts";
import { Notes, type Property } from "./notes.ts";
import { Collective, header, Message, runHeaderWords, type MessageKind } from "./protocol.ts";
import { fuseLaunches, type FusingDevice, type Said } from "./tape-fusion.ts";

/** What a tape needs of a device. */
export interface TapedDevice extends StorageIdOwner, FusingDevice {
  readonly mailbox: {
    reserve(words: number): void;
    /** Issues the message `words[from..to)`. */
    append(words: Int32Array, from: number, to: number): void;
  };
  assertOpen(): void;
}

/** Seed (low, high) and place. */
type StreamState = readonly [low: number, high: number, place: number];

/** The random stream that the work draws from. */
export interface RandomStream {
  get(): StreamState;
  set(state: StreamState): void;
}

/** The message `words[from..to)`, or room for `room` words that must be there before the messages that follow. */
interface Entry extends Said {
  readonly device: TapedDevice;
  readonly room: number;
  /** Writes the message's new number. */
  readonly renew: ((words: Int32Array) => void) | undefined;
}

interface StorageName {
  readonly device: { readonly number: number };
  readonly id: number;
}

/** Something of which writes are counted. */
interface Written {
  version: number;
}

/** Words of a collective's message behind the header: kind, group and number; where its operands begin. */
const [collectiveKind, collectiveGroup, collectiveNumberWord, firstOperand] = [1, 2, 3, 7];

/** The tape that is being recorded. */
export let taping: Tape | undefined;

function setTaping(tape: Tape | undefined): void {
  taping = tape;
}

/** A tape that nobody holds gives back what it claims. */
const orphans = new FinalizationRegistry<Claims>((claims) => {
  claims.release();
});

export class Tape {
  readonly #stream: RandomStream;
  readonly #fuses: boolean;
  readonly #claims = new Claims();
  readonly #devices = new Set<TapedDevice>();
  readonly #written = new Set<Written>();
  readonly #notes = new Notes();
  #entries: Entry[] = [];
  #words = new Int32Array(0);
  /** The stream's state before the work: when recorded, and in this replay. */
  #start: StreamState;
  #now: StreamState;
  /** How far the work moves the stream. */
  #drawn = 0;

  // While recording:
  readonly #taken: number[] = [];
  /** Storages taken and not freed, and storages named that were there before. */
  readonly #live = new Set<number>();
  readonly #foreign = new Set<number>();
  /** By name: the number that a transfer or a collective has now. */
  readonly #numbers = new Map<string, { now: number }>();

  /** @param fuses whether launches become one where what lies between them is nobody's */
  constructor(stream: RandomStream, fuses: boolean) {
    this.#stream = stream;
    this.#fuses = fuses;
    this.#start = this.#now = stream.get();
    orphans.register(this, this.#claims);
  }

  /**
   * Records what `work` issues while it is issued.
   * @throws CaptureError inside of another recording, or for what cannot be issued again
   */
  record<R>(work: () => R): R {
    if (taping !== undefined) throw new CaptureError("something is being captured already");
    this.#start = this.#stream.get();
    setTaping(this);
    try {
      return work();
    } finally {
      setTaping(undefined);
      this.#finish();
    }
  }

  /** Whether it must not be issued again: something that it needs is gone, or the program has set something else. */
  get isOutdated(): boolean {
    return this.#claims.isBroken || !this.#notes.isUpToDate;
  }

  /** Whether gradients and the like are where the work found them. */
  get isMet(): boolean {
    return this.#notes.isMet;
  }

  /** Issues everything once more. @throws DeviceClosedError, DeviceLostError */
  replay(): void {
    for (const device of this.#devices) device.assertOpen();
    const words = this.#words;
    const [low, high, place] = (this.#now = this.#stream.get());
    try {
      for (const { device, from, to, room, renew } of this.#entries) {
        if (room > 0) {
          device.mailbox.reserve(room);
          continue;
        }
        renew?.(words);
        device.mailbox.append(words, from, to);
      }
    } catch (error) {
      this.#claims.abandon();
      throw error;
    }
    if (this.#drawn !== 0) this.#stream.set([low, high, place + this.#drawn]);
    for (const memory of this.#written) memory.version++;
    this.#notes.restore();
  }

  /** Gives the ids of its storages back; it cannot be issued again. */
  close(): void {
    this.#claims.release();
  }

  /** The states that the work left and that stand. */
  standing<T extends object, S>(property: Property<T, S>): readonly S[] {
    return this.#notes.standing(property);
  }

  // --- while recording -----------------------------------------------------------------------------------------------

  /** The message `words[from..to)` was issued. */
  take(device: TapedDevice, words: Int32Array, from: number, to: number): void {
    const kind = (words[from] & 0xff) as MessageKind;
    if (kind === Message.register) return;
    const ids = this.#storagesOf(device, kind, words, from, to);
    if (kind === Message.allocate) this.#mint(device, ids[0]);
    else if (kind === Message.free && !this.#free(device, ids[0])) return;
    for (const id of ids) {
      const key = storageKey(device.number, id);
      if (!this.#claims.has(key)) this.#foreign.add(key);
    }
    this.#devices.add(device);
    const start = this.#taken.length;
    for (let at = from; at < to; at++) this.#taken.push(words[at]);
    const renew = this.#renewal(device, kind, start);
    this.#entries.push({ device, from: start, to: this.#taken.length, storages: ids, room: 0, renew });
  }

  /** Room for so many words was made. */
  reserve(device: TapedDevice, words: number): void {
    this.#entries.push({ device, from: 0, to: 0, storages: [], room: words, renew: undefined });
  }

  /** What the work reads and changes beside messages. */
  get notes(): Notes {
    return this.#notes;
  }

  /** The work wrote to this memory. */
  wrote(memory: Written): void {
    this.#written.add(memory);
  }

  /** Whether the work took this storage. */
  took({ device, id }: StorageName): boolean {
    return this.#claims.has(storageKey(device.number, id));
  }

  /** These storages alone may be left of those that the work took: each run gives them anew. */
  expect(survivors: readonly StorageName[]): void {
    const expected = new Set(survivors.map(({ device, id }) => storageKey(device.number, id)));
    if (!this.#live.isSubsetOf(expected)) this.#claims.break();
  }

  /** The work moves the random stream. @throws CaptureError unless to where it was since the work began */
  moveStream([low, high, place]: StreamState): void {
    const [startLow, startHigh, startPlace] = this.#start;
    if (low !== startLow || high !== startHigh || place < startPlace) this.refuse("another random stream");
  }

  /** @throws CaptureError */
  refuse(what: string): never {
    throw new CaptureError(`${what} cannot be captured`, {
      remedy: "A captured step only issues work: seed, make tensors from data, and read results outside of it.",
    });
  }

  #mint(device: TapedDevice, id: number): void {
    this.#claims.claim(device, id);
    this.#live.add(storageKey(device.number, id));
  }

  /** @returns whether the storage's end belongs to the work; another tensor's happened once. */
  #free(device: TapedDevice, id: number): boolean {
    const key = storageKey(device.number, id);
    if (this.#live.delete(key)) return true;
    if (this.#foreign.has(key)) this.#claims.break();
    return false;
  }

  #finish(): void {
    if (this.#fuses) for (const device of this.#devices) this.#entries = fuseLaunches(this.#entries, this.#taken, device);
    // What is left of one run makes room for the next run's: also where memory ran out, or somebody still reads it.
    this.#entries = this.#entries.flatMap((entry) => {
      const { device, from, room } = entry;
      if (room > 0 || (this.#taken[from] & 0xff) !== Message.allocate) return [entry];
      const id = this.#taken[from + 1];
      if (!this.#live.has(storageKey(device.number, id))) return [entry];
      const start = this.#taken.push(header(Message.free, 2), id) - 2;
      return [{ device, from: start, to: start + 2, storages: [id], room: 0, renew: undefined }, entry];
    });
    this.#words = Int32Array.from(this.#taken);
    const [, , place] = this.#stream.get();
    this.#drawn = place - this.#start[2];
    this.#claims.need([...this.#foreign, ...this.#live]);
    this.#notes.finish();
    this.#taken.length = 0;
    this.#numbers.clear();
    this.#foreign.clear();
    this.#live.clear();
  }

  #storagesOf(device: TapedDevice, kind: MessageKind, words: Int32Array, from: number, to: number): number[] {
    switch (kind) {
      case Message.run:
      case Message.runGuarded:
        return Array.from(
          { length: operandsOf(device.kernelAt(words[from + 1])) },
          (_, i) => words[from + runHeaderWords + 2 * i],
        );
      case Message.allocate:
      case Message.free:
      case Message.recover:
        return [words[from + 1]];
      case Message.send:
      case Message.receive:
        return [words[from + 2]];
      case Message.guard:
        return [...words.subarray(from + 1, to)];
      case Message.collective: {
        const ids: number[] = [];
        if (words[from + collectiveKind] === Collective.guard) return ids;
        for (let at = from + firstOperand; at < to; at += 3) ids.push(words[at]);
        return ids;
      }
      case Message.upload:
        return this.refuse("an upload");
      case Message.read:
        return this.refuse("a read");
      case Message.fence:
        return this.refuse("a fence");
      case Message.register:
      case Message.pad:
        return [];
    }
  }

  #renewal(device: TapedDevice, kind: MessageKind, start: number): Entry["renew"] {
    const words = this.#taken;
    if (kind === Message.send || kind === Message.receive) return this.#renumber(start + 1, "transfer", nextTransfer);
    if (kind === Message.collective) {
      const group = words[start + collectiveGroup];
      return this.#renumber(start + collectiveNumberWord, `group ${group}`, () => collectiveNumber(group));
    }
    const isLaunch = kind === Message.run || kind === Message.runGuarded;
    return isLaunch ? this.#redraw(device.kernelAt(words[start + 1]), start) : undefined;
  }

  /** All messages about one transfer or collective get the number that the first of them mints. */
  #renumber(at: number, what: string, mint: () => number): Entry["renew"] {
    const name = `${what} ${this.#taken[at]}`;
    const known = this.#numbers.get(name);
    if (known !== undefined) return (words) => (words[at] = known.now);
    const number = { now: 0 };
    this.#numbers.set(name, number);
    return (words) => (words[at] = number.now = mint());
  }

  /** A random kernel's first numbers are its state: the seed, and a place that counts from where the work begins. */
  #redraw(kernel: Kernel, start: number): Entry["renew"] {
    if (!isRandom(kernel)) return undefined;
    const operands = operandsOf(kernel);
    const at = start + runHeaderWords + 2 * operands + kernel.axes + operands * kernel.axes;
    const taken = this.#taken;
    const place = (taken[at + 2] >>> 0) + taken[at + 3] * 2 ** 32;
    const since = place - this.#start[2];
    return (words) => {
      const [low, high, now] = this.#now;
      words[at] = low;
      words[at + 1] = high;
      words[at + 2] = (now + since) | 0;
      words[at + 3] = Math.floor((now + since) / 2 ** 32);
    };
  }
}

/** How many storages a launch names. */
function operandsOf({ inputs, outputs }: Kernel): number {
  return inputs.length + outputs.length;
}

/**
 * A tape takes the messages that some of the coordinator's work issues, so that the same work can be issued again for
 * the cost of copying its words. Numbers that must be new each time (transfers, collectives, places in the random
 * stream) are renewed; storages that the work takes keep their ids as long as the tape exists.
 */
import { CaptureError } from "../errors.ts";
import { nextTransfer } from "./coordinator.ts";
import { collectiveNumber } from "./groups.ts";
import { Collective, maxStorages, Message, type MessageKind } from "./protocol.ts";

/** What a tape needs of a mailbox. */
export interface TapedMailbox {
  /** The number of its device. */
  readonly device: number;
  /** How many storages a launch of this kernel names. */
  operandsOf(kernel: number): number;
  reserve(words: number): void;
  /** Issues the message `words[from..to)`. */
  append(words: Int32Array, from: number, to: number): void;
}

/** What a tape needs of a device. */
export interface TapedDevice {
  readonly number: number;
  assertOpen(): void;
  /** Keeps a storage's id from being given out again, also when the storage is freed. */
  holdStorageId(id: number): void;
  releaseStorageId(id: number): void;
}

/** A message, `words[from..to)`, or where `to` is undefined a reservation of `from` words. */
interface Entry {
  readonly mailbox: TapedMailbox;
  readonly from: number;
  readonly to: number | undefined;
}

/** Something of which writes are counted. */
export interface Written {
  version: number;
}

/** A word of the tape that is written anew before its message is issued. */
interface Renewal {
  readonly at: number;
  readonly renew: (words: Int32Array, at: number) => void;
}

/** Words of the state of a random op: its seed and its place. */
const stateWords = 4;
/** Of a collective's message: the words behind the header that say its kind, group and number. */
const [collectiveKind, collectiveGroup, collectiveNumberWord, firstOperand] = [1, 2, 3, 7];

/** The tape that is being recorded. */
export let taping: Tape | undefined;

/** Notes a write to memory whose version another executor counts. */
export function noteWrite(memory: Written): void {
  taping?.wrote(memory);
}

/** Tapes by the storages that they name but did not take themselves. */
const watching = new Map<number, Set<Tape>>();

function storageKey(device: number, id: number): number {
  return device * maxStorages + id;
}

/** Notes that a storage was freed: tapes that name it must not be played any more. */
export function breakTapes(device: number, id: number): void {
  if (watching.size === 0) return;
  const tapes = watching.get(storageKey(device, id));
  if (tapes !== undefined) for (const tape of tapes) tape.break();
}

export class Tape {
  readonly #entries: Entry[] = [];
  readonly #recorded: number[] = [];
  #words = new Int32Array(0);
  readonly #renewals: Renewal[] = [];
  readonly #devices = new Map<number, TapedDevice>();
  /** Storages taken while recording. */
  readonly #minted = new Map<number, { readonly device: TapedDevice; readonly id: number }>();
  /** Storages named that were there before. */
  readonly #foreign = new Set<number>();
  readonly #written = new Set<Written>();
  readonly #guards: { readonly probe: () => string; readonly value: string }[] = [];
  /** States of the random ops so far, with what draws the next one; and the states of the replay in progress. */
  readonly #draws: { readonly state: readonly number[]; readonly draw: () => readonly number[] }[] = [];
  #freshDraws: (readonly number[])[] = [];
  /** By its number when recorded: the number that a transfer or a group's collective has in this replay. */
  readonly #numbers = new Map<string, number>();
  #broken = false;
  #closed = false;

  /**
   * Records what `work` issues while it is issued.
   * @throws CaptureError inside of another recording, or for what cannot be issued again
   */
  record<R>(work: () => R): R {
    if (taping !== undefined) throw new CaptureError("a captured step was called inside of another one's capture");
    taping = this;
    try {
      return work();
    } finally {
      taping = undefined;
      this.#words = Int32Array.from(this.#recorded);
      this.#recorded.length = 0;
      for (const key of this.#foreign) {
        let tapes = watching.get(key);
        if (tapes === undefined) watching.set(key, (tapes = new Set()));
        tapes.add(this);
      }
    }
  }

  /** Whether it may be issued again: what it names is there, and what it depends on is as it was. */
  get valid(): boolean {
    return !this.#broken && !this.#closed && this.#guards.every(({ probe, value }) => probe() === value);
  }

  /** Issues everything once more. @throws DeviceClosedError, DeviceLostError */
  replay(): void {
    for (const device of this.#devices.values()) device.assertOpen();
    const words = this.#words;
    this.#freshDraws = this.#draws.map(({ draw }) => draw());
    this.#numbers.clear();
    let next = 0;
    for (const { mailbox, from, to } of this.#entries) {
      if (to === undefined) {
        mailbox.reserve(from);
        continue;
      }
      for (; next < this.#renewals.length && this.#renewals[next].at < to; next++) {
        this.#renewals[next].renew(words, this.#renewals[next].at);
      }
      mailbox.append(words, from, to);
    }
    for (const memory of this.#written) memory.version++;
  }

  /** Gives the ids of its storages back. What still lies in them must have been freed. */
  close(): void {
    this.#closed = true;
    for (const { device, id } of this.#minted.values()) device.releaseStorageId(id);
    this.#minted.clear();
    for (const key of this.#foreign) {
      const tapes = watching.get(key);
      tapes?.delete(this);
      if (tapes?.size === 0) watching.delete(key);
    }
  }

  /** Makes it unfit to be issued again. */
  break(): void {
    this.#broken = true;
  }

  // --- while recording -------------------------------------------------------------------------------------------------

  /** The message `words[from..to)` was issued. */
  take(mailbox: TapedMailbox, words: Int32Array, from: number, to: number): void {
    const kind = (words[from] & 0xff) as MessageKind;
    if (kind === Message.register) return;
    const ids = this.#storagesOf(mailbox, kind, words, from, to);
    // Another tensor's end happened once.
    if (kind === Message.free && !this.#minted.has(storageKey(mailbox.device, ids[0]))) return;
    for (const id of ids) {
      const key = storageKey(mailbox.device, id);
      if (!this.#minted.has(key)) this.#foreign.add(key);
    }
    const start = this.#recorded.length;
    for (let at = from; at < to; at++) this.#recorded.push(words[at]);
    this.#entries.push({ mailbox, from: start, to: this.#recorded.length });
    if (kind === Message.send || kind === Message.receive) this.#renewTransfer(start + 1);
    else if (kind === Message.collective) this.#renewCollective(start);
    else if (this.#draws.length > 0) this.#renewDraws(start);
  }

  reserved(mailbox: TapedMailbox, words: number): void {
    this.#entries.push({ mailbox, from: words, to: undefined });
  }

  minted(device: TapedDevice, id: number): void {
    this.#devices.set(device.number, device);
    this.#minted.set(storageKey(device.number, id), { device, id });
    device.holdStorageId(id);
  }

  uses(device: TapedDevice): void {
    this.#devices.set(device.number, device);
  }

  wrote(memory: Written): void {
    this.#written.add(memory);
  }

  /** A random op took `state` from the stream; `draw` takes the next. */
  drew(state: readonly number[], draw: () => readonly number[]): void {
    this.#draws.push({ state, draw });
  }

  /** What was recorded holds while `probe` says the same. */
  guard(probe: () => string): void {
    this.#guards.push({ probe, value: probe() });
  }

  /** @throws CaptureError */
  refuse(what: string): never {
    throw new CaptureError(`${what} cannot be captured`, {
      remedy: "A captured step only issues work: make tensors from data, and read results, outside of it.",
    });
  }

  #storagesOf(mailbox: TapedMailbox, kind: MessageKind, words: Int32Array, from: number, to: number): number[] {
    switch (kind) {
      case Message.run:
      case Message.runGuarded:
        return Array.from({ length: mailbox.operandsOf(words[from + 1]) }, (_, i) => words[from + 3 + 2 * i]);
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

  #renewTransfer(at: number): void {
    const recorded = `transfer ${this.#recorded[at]}`;
    this.#renewals.push({ at, renew: (words, place) => (words[place] = this.#numberOf(recorded, nextTransfer)) });
  }

  #renewCollective(start: number): void {
    const at = start + collectiveNumberWord;
    const group = this.#recorded[start + collectiveGroup];
    const recorded = `group ${group} ${this.#recorded[at]}`;
    const renew = (words: Int32Array, place: number): void => {
      words[place] = this.#numberOf(recorded, () => collectiveNumber(group));
    };
    this.#renewals.push({ at, renew });
  }

  /** The new number of what had a number when it was recorded; all messages about it get the same. */
  #numberOf(recorded: string, mint: () => number): number {
    let number = this.#numbers.get(recorded);
    if (number === undefined) this.#numbers.set(recorded, (number = mint()));
    return number;
  }

  /**
   * Finds the states of random ops among a launch's arguments. Seed and place are 128 bits that nothing else in a
   * message looks like.
   */
  #renewDraws(start: number): void {
    const words = this.#recorded;
    for (let at = start; at + stateWords <= words.length; at++) {
      const draw = this.#draws.findIndex(({ state }) => state.every((word, i) => words[at + i] === word));
      if (draw < 0) continue;
      this.#renewals.push({ at, renew: (target, place) => { target.set(this.#freshDraws[draw], place); } });
      at += stateWords - 1;
    }
  }
}

/**
 * How the members of a collective meet on a board in shared memory (protocol.ts): each offers its operand, waits until
 * all have, and says when it needs nothing more. A member that dies takes the collective with it; nobody waits for it.
 */
import { dtypes, itemSize, type DType } from "../tensor/dtype.ts";
import type { SharedBytes } from "./backend.ts";
import type { ActorContext } from "./context.ts";
import type { Peer } from "./directory.ts";
import { recordFailure } from "./failures.ts";
import {
  Control, Group, Meeting as Row, meetingRow, reductionNames, type CollectiveKind, type ReductionName,
} from "./protocol.ts";
import { announce, isGone, reached } from "./waiting.ts";

/** A collective as its message says it, and the own place in it. */
export interface Call {
  readonly kind: CollectiveKind;
  readonly group: number;
  readonly number: number;
  readonly rank: number;
  readonly size: number;
  readonly storage: number;
  readonly byteOffset: number;
  readonly elements: number;
  readonly dtype: DType;
  readonly reduction: ReductionName;
  readonly root: number;
}

/** Decodes a collective's message; `words[at...]` are the words behind its header. */
export function decodeCall({ company, memory }: ActorContext, words: Int32Array, at: number): Call {
  const word = (index: number): number => words[at + index];
  const group = word(1);
  const row = group * Group.words;
  const size = company.groups[row + Group.size];
  const rank = company.groups.subarray(row + Group.members, row + Group.members + size).indexOf(memory.number);
  return {
    kind: word(0) as CollectiveKind,
    group,
    number: word(2),
    rank,
    size,
    storage: word(3),
    byteOffset: word(4) >>> 0,
    elements: word(5),
    dtype: dtypes[word(6)] ?? "float32",
    reduction: reductionNames[word(7)] ?? "sum",
    root: word(8),
  };
}

/** What a member offers at a point of a collective: the first of the three words that say so; the others follow. */
export const Offer = { operand: Row.arrivedRoot, reduced: Row.reducedRoot } as const;
export type OfferWord = (typeof Offer)[keyof typeof Offer];

/** The count of a point stands before its offer, the place of the bytes behind the root. */
const countBefore = 1;
const bufferBehind = 1;
const addressBehind = 2;

/** One collective as one of its members holds it. */
export class Meeting {
  readonly #context: ActorContext;
  readonly #call: Call;
  readonly #groups: Int32Array;
  readonly #offered = new Set<OfferWord>();
  /** Offered to the peers until they leave. */
  readonly #shared: SharedBytes[] = [];

  constructor(context: ActorContext, call: Call) {
    this.#context = context;
    this.#call = call;
    this.#groups = context.company.groups;
  }

  /** Waits until the board is free: everybody has left the collective that used it before. */
  enter(): void {
    const { number } = this.#call;
    for (const rank of this.peers()) this.#awaitPeer(rank, Row.done, number - Group.boards);
  }

  /** Comes to a point with a poison root, or with the operand's bytes if `bytes`, and tells the others. */
  offer(point: OfferWord, root: number, bytes: boolean): void {
    const { backend, directory, memory, storages } = this.#context;
    const { storage, byteOffset, elements, dtype, number } = this.#call;
    const row = this.#row(this.#call.rank);
    this.#groups[row + point] = root;
    if (root === 0 && bytes) {
      const shared = backend.share(storages.block(storage), byteOffset, elements * itemSize(dtype));
      this.#shared.push(shared);
      this.#groups[row + point + bufferBehind] = directory.announce(memory.number, shared.buffer);
      this.#groups[row + point + addressBehind] = shared.address;
    }
    this.#offered.add(point);
    announce(this.#groups, row + point - countBefore, number);
  }

  /** Offers a poison root at every point that is still to come: nobody waits for this member. */
  fail(root: number): void {
    for (const point of Object.values(Offer)) if (!this.#offered.has(point)) this.offer(point, root, false);
  }

  /**
   * Waits for every member to come to a point, or for one to die before it gets there.
   * @returns the first poison root by rank, or 0.
   */
  meet(point: OfferWord): number {
    const { number, rank: own, size } = this.#call;
    let first = 0;
    for (let rank = 0; rank < size; rank++) {
      let lost = 0;
      const died = (): boolean => (lost = this.lostMember()) !== 0;
      if (rank !== own && !this.#awaitPeer(rank, point - countBefore, number, died)) {
        return lost === 0 ? this.#peerLost(this.#member(rank).name) : lost;
      }
      if (first === 0) first = this.#groups[this.#row(rank) + point];
    }
    return first;
  }

  /**
   * The root of a member that died in this collective, or 0: all results are lost then, whoever else is still to come.
   */
  lostMember(): number {
    const { number, size } = this.#call;
    for (let rank = 0; rank < size; rank++) {
      const row = this.#row(rank);
      if (Atomics.load(this.#groups, row + Row.lost) === number) return this.#groups[row + Row.lostRoot];
    }
    return 0;
  }

  /** Elements `[from, to)` of what `rank` offers at a point. */
  view(point: OfferWord, rank: number, from: number, to: number): Uint8Array {
    const row = this.#row(rank) + point;
    const width = itemSize(this.#call.dtype);
    const address = ((this.#groups[row + addressBehind]) >>> 0) + from * width;
    const bytes = this.#context.directory.buffer(this.#member(rank).number, this.#groups[row + bufferBehind]);
    return bytes.subarray(address, address + (to - from) * width);
  }

  /** Says that nothing more is needed of the peers, and pins the own operand until they say so too. */
  leave(): void {
    const { storages, waiter } = this.#context;
    const { number, rank: own, storage } = this.#call;
    const groups = this.#groups;
    announce(groups, this.#row(own) + Row.done, number);
    if (this.#shared.length === 0) return;
    const leaving = this.peers().map((rank) => {
      const word = this.#row(rank) + Row.done;
      const peer = this.#member(rank);
      return { word, left: (): boolean => reached(groups, word, number) || isGone(peer) };
    });
    storages.pin(storage, {
      released: () => leaving.every(({ left }) => left()),
      wait: () => {
        for (const { word, left } of leaving) waiter.until(groups, word, left);
      },
      release: () => {
        for (const bytes of this.#shared) bytes.release?.();
      },
    });
  }

  /** The ranks of the others. */
  peers(): number[] {
    const { rank: own, size } = this.#call;
    return Array.from({ length: size }, (_, rank) => rank).filter((rank) => rank !== own);
  }

  #row(rank: number): number {
    return meetingRow(this.#call.group, this.#call.number, rank);
  }

  #member(rank: number): Peer {
    return this.#context.directory.device(this.#groups[this.#call.group * Group.words + Group.members + rank]);
  }

  /**
   * Waits until `rank` has come to collective `number` at the point `count`. @returns false when it never will, or
   * `abort()` holds.
   */
  #awaitPeer(rank: number, count: number, number: number, abort = (): boolean => false): boolean {
    const groups = this.#groups;
    const word = this.#row(rank) + count;
    const peer = this.#member(rank);
    return this.#context.waiter.until(groups, word, () => reached(groups, word, number), () => isGone(peer) || abort());
  }

  #peerLost(name: string): number {
    const { memory } = this.#context;
    const sequence = memory.control[Control.started];
    return recordFailure(memory, { code: "peer-lost", kernel: -1, site: 0, sequence, detail: 0, text: name });
  }
}

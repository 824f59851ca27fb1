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
  Collective, Control, Group, Meeting as Row, meetingRow, Offer, offerWord, reductionNames, type CollectiveKind,
  type MeetingPoint, type ReductionName,
} from "./protocol.ts";
import type { Pin } from "./storages.ts";
import { announce, isGone, reached } from "./waiting.ts";

/** In a collective's message: where its operands begin. */
const firstOperand = 7;

/** A collective as its message says it, and the own place in it. */
export interface Call {
  readonly kind: CollectiveKind;
  readonly group: number;
  readonly number: number;
  readonly rank: number;
  readonly size: number;
  readonly operands: readonly Operand[];
  readonly dtype: DType;
  readonly reduction: ReductionName;
  readonly root: number;
}

/** What a member brings: elements in one of its storages. */
export interface Operand {
  readonly storage: number;
  readonly byteOffset: number;
  readonly elements: number;
}

/** Decodes the collective's message at `words[at]`. */
export function decodeCall(
  { company, memory }: Pick<ActorContext, "company" | "memory">, words: Int32Array, at: number,
): Call {
  const word = (index: number): number => words[at + 1 + index];
  const group = word(1);
  const operands: Operand[] = [];
  for (let i = firstOperand; i < words[at] >>> 8; i += 3) {
    operands.push({ storage: words[at + i], byteOffset: words[at + i + 1] >>> 0, elements: words[at + i + 2] });
  }
  const row = group * Group.words;
  const size = company.groups[row + Group.size];
  const rank = company.groups.subarray(row + Group.members, row + Group.members + size).indexOf(memory.number);
  return {
    kind: word(0) as CollectiveKind,
    group,
    number: word(2),
    rank,
    size,
    operands,
    dtype: dtypes[word(3)] ?? "float32",
    reduction: reductionNames[word(4)] ?? "sum",
    root: word(5),
  };
}

/** One collective as one of its members holds it. */
export class Meeting {
  readonly #context: ActorContext;
  readonly #call: Call;
  readonly #groups: Int32Array;
  /** The ranks whose elements make up the results: their poison and their death count, nobody else's. */
  readonly #sources: readonly number[];
  readonly #offered = new Set<MeetingPoint>();
  /** Offered to the peers until they leave. */
  readonly #shared: SharedBytes[] = [];

  constructor(context: ActorContext, call: Call) {
    this.#context = context;
    this.#call = call;
    this.#groups = context.company.groups;
    this.#sources = call.kind === Collective.broadcast ? [call.root] : this.#ranks();
  }

  /** Waits until the board is free: everybody has left the collective that used it before. */
  enter(): void {
    const { number } = this.#call;
    for (const rank of this.peers()) this.#awaitPeer(rank, Row.done, number - Group.boards);
  }

  /** Comes to a point with each operand's poison root, or with its bytes if `bytes`, and tells the others. */
  offer(point: MeetingPoint, roots: readonly number[], bytes: boolean): void {
    const { backend, directory, memory, storages } = this.#context;
    const { operands, dtype, number, rank } = this.#call;
    const row = this.#row(rank);
    operands.forEach(({ storage, byteOffset, elements }, i) => {
      const word = row + offerWord(point, i);
      this.#groups[word + Offer.root] = roots[i];
      if (roots[i] !== 0 || !bytes || !storages.hasBlock(storage)) return;
      const shared = backend.share(storages.block(storage), byteOffset, elements * itemSize(dtype));
      this.#shared.push(shared);
      this.#groups[row + Row.shared] = number;
      this.#groups[word + Offer.buffer] = directory.announce(memory.number, shared.buffer);
      this.#groups[word + Offer.address] = shared.address;
    });
    this.#offered.add(point);
    announce(this.#groups, row + point, number);
  }

  /** Offers a poison root at every point that is still to come: nobody waits for this member. */
  fail(root: number): void {
    const roots = this.#call.operands.map(() => root);
    for (const point of [Row.arrived, Row.reduced]) if (!this.#offered.has(point)) this.offer(point, roots, false);
  }

  /**
   * Waits for the sources to come to a point, or for one to die before it gets there: in a broadcast all wait for the
   * root, which waits for nobody.
   * @returns for each operand the first poison root by rank, or 0.
   */
  meet(point: MeetingPoint): number[] {
    const { number, operands } = this.#call;
    const roots = operands.map(() => 0);
    for (const rank of this.#sources) {
      let lost = 0;
      const died = (): boolean => (lost = this.lostSource()) !== 0;
      if (rank !== this.#call.rank && !this.#awaitPeer(rank, point, number, died)) {
        return roots.fill(lost === 0 ? this.#peerLost(this.#member(rank).name) : lost);
      }
      const row = this.#row(rank);
      for (let i = 0; i < roots.length; i++) {
        if (roots[i] === 0) roots[i] = this.#groups[row + offerWord(point, i) + Offer.root];
      }
    }
    return roots;
  }

  /**
   * The root of a source that died in this collective, or took back what it had offered, or 0: all results are lost
   * then, whoever else is still to come.
   */
  lostSource(): number {
    const { number } = this.#call;
    for (const rank of this.#sources) {
      const row = this.#row(rank);
      if (Atomics.load(this.#groups, row + Row.lost) === number) return this.#groups[row + Row.lostRoot];
    }
    return 0;
  }

  /** Elements `[from, to)` of what `rank` offers of operand `i` at a point. */
  view(point: MeetingPoint, rank: number, i: number, from: number, to: number): Uint8Array {
    const word = this.#row(rank) + offerWord(point, i);
    const width = itemSize(this.#call.dtype);
    const address = ((this.#groups[word + Offer.address]) >>> 0) + from * width;
    const bytes = this.#context.directory.buffer(this.#member(rank).number, this.#groups[word + Offer.buffer]);
    return bytes.subarray(address, address + (to - from) * width);
  }

  /** Says that nothing more is needed of the peers, and pins the own operands until they say so too. */
  leave(): void {
    const { storages, waiter } = this.#context;
    const { number, rank: own, operands } = this.#call;
    const groups = this.#groups;
    announce(groups, this.#row(own) + Row.done, number);
    if (this.#shared.length === 0) return;
    const leaving = this.peers().map((rank) => {
      const word = this.#row(rank) + Row.done;
      const peer = this.#member(rank);
      return { word, left: (): boolean => reached(groups, word, number) || isGone(peer) };
    });
    const pin: Pin = {
      released: () => leaving.every(({ left }) => left()),
      wait: () => {
        for (const { word, left } of leaving) waiter.until(groups, word, left);
      },
      release: () => {
        for (const bytes of this.#shared.splice(0)) bytes.release?.();
      },
    };
    for (const { storage } of operands) storages.pin(storage, pin);
  }

  /** The ranks of the others. */
  peers(): number[] {
    return this.#ranks().filter((rank) => rank !== this.#call.rank);
  }

  #ranks(): number[] {
    return Array.from({ length: this.#call.size }, (_, rank) => rank);
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

/**
 * What actors say to each other, past the coordinator: transfers (one copy out of the sender's memory) and collectives.
 * Every wait is for something that was issued earlier, or for a member of the same collective, and ends when whom it
 * waits for is gone.
 */
import { dtypes, itemSize, type DType } from "../tensor/dtype.ts";
import type { Backend, SharedBytes } from "./backend.ts";
import type { Directory } from "./directory.ts";
import { recordFailure } from "./failures.ts";
import {
  Collective, Control, Group, Meeting, meetingRow, partOf, reductionNames, Transfer,
  type CollectiveKind, type ReductionName,
} from "./protocol.ts";
import type { CompanyMemory, DeviceMemory } from "./shared.ts";
import type { Storages } from "./storages.ts";
import { isGone, slice, type Spinner } from "./waiting.ts";

export interface ExchangeContext {
  readonly memory: DeviceMemory;
  readonly company: CompanyMemory;
  readonly directory: Directory;
  readonly backend: Backend;
  readonly storages: Storages;
  readonly spinner: Spinner;
  /** Called before a wait: what the coordinator may wait for must be visible. */
  beforeWait(): void;
  /** The sequence number of the message in progress. */
  sequence(): number;
}

/** A collective, decoded. */
interface Call {
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

export class Exchange {
  readonly #context: ExchangeContext;

  constructor(context: ExchangeContext) {
    this.#context = context;
  }

  /**
   * Offers bytes of a storage (or its poison) to the receiver of `transfer`, and pins the storage until they are taken.
   */
  send(transfer: number, storage: number, byteOffset: number, bytes: number, receiver: number): void {
    const { backend, company, directory, memory, storages } = this.#context;
    const { transfers } = company;
    const row = transferRow(transfer);
    const root = storages.root(storage);
    transfers[row + Transfer.root] = root;
    transfers[row + Transfer.sender] = memory.number;
    if (root === 0) {
      const shared = backend.share(storages.block(storage), byteOffset, bytes);
      transfers[row + Transfer.buffer] = directory.announce(memory.number, shared.buffer);
      transfers[row + Transfer.address] = shared.address;
      const reader = directory.device(receiver);
      const taken = row + Transfer.taken;
      const released = (): boolean => reached(transfers, taken, transfer) || isGone(reader);
      storages.pin(storage, {
        released,
        wait: () => void this.#await(transfers, taken, released, () => false),
        release: () => shared.release?.(),
      });
    }
    Atomics.store(transfers, row + Transfer.offered, transfer);
    Atomics.notify(transfers, row + Transfer.offered);
  }

  /** Takes what `send` offers under `transfer`. @returns the poison root that came instead, or 0. */
  receive(transfer: number, storage: number, byteOffset: number, bytes: number, sender: number): number {
    const { backend, company, directory, storages } = this.#context;
    const { transfers } = company;
    const row = transferRow(transfer);
    const peer = directory.device(sender);
    const came = this.#await(
      transfers, row + Transfer.offered, () => reached(transfers, row + Transfer.offered, transfer), () => isGone(peer),
    );
    if (!came) return this.#peerLost(peer.name);
    let root = Atomics.load(transfers, row + Transfer.root);
    if (root === 0 && storages.hasBlock(storage)) {
      const address = (transfers[row + Transfer.address]) >>> 0;
      const source = directory.buffer(sender, transfers[row + Transfer.buffer]).subarray(address, address + bytes);
      backend.write(storages.block(storage), byteOffset, source);
      // The sender may have died meanwhile, and its memory be in use again.
      root = Atomics.load(transfers, row + Transfer.root);
    }
    Atomics.store(transfers, row + Transfer.taken, transfer);
    Atomics.notify(transfers, row + Transfer.taken);
    return root;
  }

  /**
   * Takes part in a collective. `words[at...]` are the words behind the message's header; `guard` is this device's
   * guard.
   * @returns the poison root of the first member that brought one (the guard, for the guard collective), or 0.
   */
  collective(words: Int32Array, at: number, guard: number): number {
    const call = this.#decode(words, at);
    const { storages } = this.#context;
    const isGuard = call.kind === Collective.guard;
    // What a broadcast overwrites does not count.
    const isTarget = call.kind === Collective.broadcast && call.rank !== call.root;
    const own = isGuard ? guard : isTarget ? 0 : storages.root(call.storage);
    const shared = this.#arrive(call, own, !isGuard && !isTarget);
    let root = this.#meet(call, Meeting.arrived, Meeting.arrivedRoot);
    if (root === 0 && !isGuard && storages.hasBlock(call.storage)) root = this.#exchange(call);
    // What a member offered that died meanwhile may have been overwritten while it was read.
    if (root === 0) root = this.#lostMember(call);
    this.#leave(call, shared);
    return root;
  }

  #decode(words: Int32Array, at: number): Call {
    const { company, memory } = this.#context;
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

  /** Offers the own operand to the group. */
  #arrive(call: Call, root: number, contributes: boolean): SharedBytes[] {
    const { backend, company, directory, memory, storages } = this.#context;
    const { groups } = company;
    // The board is free again once everybody has left the collective that used it before.
    this.#eachPeer(call, (rank) => {
      this.#awaitPeer(call, rank, Meeting.done, call.number - Group.boards);
    });
    const row = meetingRow(call.group, call.number, call.rank);
    const shared: SharedBytes[] = [];
    groups[row + Meeting.arrivedRoot] = root;
    if (root === 0 && contributes) {
      const bytes = backend.share(storages.block(call.storage), call.byteOffset, call.elements * itemSize(call.dtype));
      shared.push(bytes);
      groups[row + Meeting.arrivedBuffer] = directory.announce(memory.number, bytes.buffer);
      groups[row + Meeting.arrivedAddress] = bytes.address;
    }
    announce(groups, row + Meeting.arrived, call.number);
    return shared;
  }

  /**
   * Waits for every member to come to a point, or for one to die before it gets there.
   * @returns the first poison root by rank, or 0.
   */
  #meet(call: Call, count: number, rootWord: number): number {
    const { groups } = this.#context.company;
    let first = 0;
    for (let rank = 0; rank < call.size; rank++) {
      let lost = 0;
      const died = (): boolean => (lost = this.#lostMember(call)) !== 0;
      if (rank !== call.rank && !this.#awaitPeer(call, rank, count, call.number, died)) {
        return lost === 0 ? this.#peerLost(this.#member(call, rank).name) : lost;
      }
      if (first === 0) first = groups[meetingRow(call.group, call.number, rank) + rootWord];
    }
    return first;
  }

  /**
   * The root of a member that died in this collective, or 0: all results are lost then, whoever else is still to come.
   */
  #lostMember(call: Call): number {
    const { groups } = this.#context.company;
    for (let rank = 0; rank < call.size; rank++) {
      const row = meetingRow(call.group, call.number, rank);
      if (Atomics.load(groups, row + Meeting.lost) === call.number) return groups[row + Meeting.lostRoot];
    }
    return 0;
  }

  #exchange(call: Call): number {
    switch (call.kind) {
      case Collective.broadcast:
        if (call.rank !== call.root) this.#copyFrom(call, call.root, Meeting.arrivedBuffer, 0, call.elements);
        return 0;
      case Collective.allGather:
        this.#gather(call, Meeting.arrivedBuffer);
        return 0;
      case Collective.reduceScatter:
        this.#reduce(call);
        return this.#offerReduced(call);
      case Collective.allReduce: {
        this.#reduce(call);
        const root = this.#offerReduced(call);
        if (root === 0) this.#gather(call, Meeting.reducedBuffer);
        return root;
      }
      case Collective.guard:
        return 0;
    }
  }

  /** Reduces the own part over all members, in the order of ranks whatever the own rank is. */
  #reduce(call: Call): void {
    const { backend, storages } = this.#context;
    const { from, to } = partOf(call.elements, call.rank, call.size);
    if (from === to) return;
    const width = itemSize(call.dtype);
    const block = storages.block(call.storage);
    const offset = call.byteOffset + from * width;
    const view = (rank: number): Uint8Array => this.#view(call, rank, Meeting.arrivedBuffer, from, to);
    // The sum of the first two does not depend on their order; the own operand steps aside only when it comes later.
    let own: Uint8Array | undefined;
    if (call.rank > 1) {
      own = new Uint8Array((to - from) * width);
      backend.readInto(block, offset, own);
      backend.write(block, offset, view(0));
    }
    for (let rank = call.rank > 1 ? 1 : 0; rank < call.size; rank++) {
      if (rank === call.rank && own === undefined) continue;
      const source = rank === call.rank && own !== undefined ? own : view(rank);
      backend.accumulate(block, offset, source, call.dtype, call.reduction);
    }
  }

  /** Offers the reduced own part, and waits until all members offer theirs. */
  #offerReduced(call: Call): number {
    const { backend, company, directory, memory, storages } = this.#context;
    const { groups } = company;
    const row = meetingRow(call.group, call.number, call.rank);
    const shared = backend.share(storages.block(call.storage), call.byteOffset, call.elements * itemSize(call.dtype));
    groups[row + Meeting.reducedRoot] = 0;
    groups[row + Meeting.reducedBuffer] = directory.announce(memory.number, shared.buffer);
    groups[row + Meeting.reducedAddress] = shared.address;
    announce(groups, row + Meeting.reduced, call.number);
    this.#reducedShare = shared;
    return this.#meet(call, Meeting.reduced, Meeting.reducedRoot);
  }

  #reducedShare: SharedBytes | undefined;

  /** Copies every other rank's part from that rank. */
  #gather(call: Call, buffer: number): void {
    this.#eachPeer(call, (rank) => {
      const { from, to } = partOf(call.elements, rank, call.size);
      if (from < to) this.#copyFrom(call, rank, buffer, from, to);
    });
  }

  #copyFrom(call: Call, rank: number, buffer: number, from: number, to: number): void {
    const { backend, storages } = this.#context;
    const offset = call.byteOffset + from * itemSize(call.dtype);
    backend.write(storages.block(call.storage), offset, this.#view(call, rank, buffer, from, to));
  }

  /** Elements `[from, to)` of what `rank` offers; `buffer` names the row's word, the address follows it. */
  #view(call: Call, rank: number, buffer: number, from: number, to: number): Uint8Array {
    const { company, directory } = this.#context;
    const row = meetingRow(call.group, call.number, rank);
    const width = itemSize(call.dtype);
    const address = ((company.groups[row + buffer + 1]) >>> 0) + from * width;
    const bytes = directory.buffer(this.#member(call, rank).number, company.groups[row + buffer]);
    return bytes.subarray(address, address + (to - from) * width);
  }

  /** Says that nothing more is needed of the peers, and pins the own operand until they say so too. */
  #leave(call: Call, shared: SharedBytes[]): void {
    const { company, storages } = this.#context;
    const { groups } = company;
    if (this.#reducedShare !== undefined) shared.push(this.#reducedShare);
    this.#reducedShare = undefined;
    announce(groups, meetingRow(call.group, call.number, call.rank) + Meeting.done, call.number);
    if (shared.length === 0) return;
    const peers: { readonly word: number; readonly device: DeviceMemory }[] = [];
    this.#eachPeer(call, (rank) => {
      peers.push({ word: meetingRow(call.group, call.number, rank) + Meeting.done, device: this.#member(call, rank) });
    });
    const left = ({ word, device }: (typeof peers)[number]): boolean =>
      reached(groups, word, call.number) || isGone(device);
    storages.pin(call.storage, {
      released: () => peers.every(left),
      wait: () => {
        for (const peer of peers) this.#await(groups, peer.word, () => left(peer), () => false);
      },
      release: () => {
        for (const bytes of shared) bytes.release?.();
      },
    });
  }

  #eachPeer(call: Call, visit: (rank: number) => void): void {
    for (let rank = 0; rank < call.size; rank++) if (rank !== call.rank) visit(rank);
  }

  #member(call: Call, rank: number): DeviceMemory {
    const { company, directory } = this.#context;
    return directory.device(company.groups[call.group * Group.words + Group.members + rank]);
  }

  /**
   * Waits until `rank` has come to collective `number` at the point `count`. @returns false when it never will, or
   * `abort()` holds.
   */
  #awaitPeer(call: Call, rank: number, count: number, number: number, abort = (): boolean => false): boolean {
    const { groups } = this.#context.company;
    const word = meetingRow(call.group, call.number, rank) + count;
    const peer = this.#member(call, rank);
    return this.#await(groups, word, () => reached(groups, word, number), () => isGone(peer) || abort());
  }

  /**
   * Waits until `ready()` holds, which a change of `words[index]` brings about. @returns false when `hopeless()` came
   * first.
   */
  #await(words: Int32Array, index: number, ready: () => boolean, hopeless: () => boolean): boolean {
    if (ready()) return true;
    this.#context.beforeWait();
    if (this.#context.spinner.spinUntil(ready)) return true;
    const { control } = this.#context.memory;
    for (;;) {
      const seen = Atomics.load(words, index);
      if (ready()) return true;
      if (hopeless() || Atomics.load(control, Control.closing) === 1) return ready();
      Atomics.wait(words, index, seen, slice);
    }
  }

  #peerLost(name: string): number {
    return recordFailure(this.#context.memory, {
      code: "peer-lost", kernel: -1, site: 0, sequence: this.#context.sequence(), detail: 0, text: name,
    });
  }
}

function transferRow(transfer: number): number {
  return (transfer & (Transfer.slots - 1)) * Transfer.words;
}

/** Whether the count at `index` has come to `number`. */
function reached(words: Int32Array, index: number, number: number): boolean {
  return ((Atomics.load(words, index) - number) | 0) >= 0;
}

function announce(words: Int32Array, index: number, number: number): void {
  Atomics.store(words, index, number);
  Atomics.notify(words, index);
}

/** Collectives between actors, past the coordinator: what each kind does with the operands that its members offer. */
import { itemSize } from "../tensor/dtype.ts";
import type { ActorContext } from "./context.ts";
import { recordException } from "./failures.ts";
import type { Guard } from "./guard.ts";
import { decodeCall, Meeting, Offer, type Call, type OfferWord } from "./meeting.ts";
import { Collective, partOf } from "./protocol.ts";

export class Collectives {
  readonly #context: ActorContext;
  readonly #guard: Guard;

  constructor(context: ActorContext, guard: Guard) {
    this.#context = context;
    this.#guard = guard;
  }

  /** Takes part in the collective whose message is at `words[at]`; a member's poison poisons all results. */
  run(words: Int32Array, at: number): void {
    const { storages } = this.#context;
    const call = decodeCall(this.#context, words, at + 1);
    const { kind, storage } = call;
    if (kind !== Collective.guard) storages.awaitPins(storage);
    const root = this.#hold(call);
    if (kind === Collective.guard) {
      this.#guard.root = root;
    } else if (root !== 0) {
      if (storages.root(storage) === 0) storages.setRoot(storage, root);
    } else if (storages.hasBlock(storage) && call.elements * itemSize(call.dtype) >= storages.bytes(storage)) {
      // Only a broadcast lets a poisoned member take part as if it were not.
      storages.setRoot(storage, 0);
    }
  }

  /** @returns the poison root of the first member that brought one (the guard, for the guard collective), or 0. */
  #hold(call: Call): number {
    const { memory, storages } = this.#context;
    const meeting = new Meeting(this.#context, call);
    const isGuard = call.kind === Collective.guard;
    // What a broadcast overwrites does not count.
    const isTarget = call.kind === Collective.broadcast && call.rank !== call.root;
    const own = isGuard ? this.#guard.root : isTarget ? 0 : storages.root(call.storage);
    meeting.enter();
    let root: number;
    try {
      meeting.offer(Offer.operand, own, !isGuard && !isTarget);
      root = meeting.meet(Offer.operand);
      if (root === 0 && !isGuard && storages.hasBlock(call.storage)) root = this.#exchange(call, meeting);
    } catch (error) {
      // Out of memory, for instance: the peers must learn of it, not wait.
      root = recordException(memory, error, { bytes: call.elements * itemSize(call.dtype) });
      meeting.fail(root);
    }
    // What a member offered that died meanwhile may have been overwritten while it was read.
    if (root === 0) root = meeting.lostMember();
    meeting.leave();
    return root;
  }

  #exchange(call: Call, meeting: Meeting): number {
    switch (call.kind) {
      case Collective.broadcast:
        if (call.rank !== call.root) this.#copyFrom(call, meeting, Offer.operand, call.root, 0, call.elements);
        return 0;
      case Collective.allGather:
        this.#gather(call, meeting, Offer.operand);
        return 0;
      case Collective.reduceScatter:
        this.#reduce(call, meeting);
        // One that cannot reduce its part takes the results of all with it.
        meeting.offer(Offer.reduced, 0, true);
        return meeting.meet(Offer.reduced);
      case Collective.allReduce: {
        this.#reduce(call, meeting);
        meeting.offer(Offer.reduced, 0, true);
        const root = meeting.meet(Offer.reduced);
        if (root === 0) this.#gather(call, meeting, Offer.reduced);
        return root;
      }
      case Collective.guard:
        return 0;
    }
  }

  /** Reduces the own part over all members, in the order of ranks whatever the own rank is. */
  #reduce(call: Call, meeting: Meeting): void {
    const { backend, storages } = this.#context;
    const { from, to } = partOf(call.elements, call.rank, call.size);
    if (from === to) return;
    const width = itemSize(call.dtype);
    const block = storages.block(call.storage);
    const offset = call.byteOffset + from * width;
    const view = (rank: number): Uint8Array => meeting.view(Offer.operand, rank, from, to);
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

  /** Copies every other rank's part from what that rank offers. */
  #gather(call: Call, meeting: Meeting, point: OfferWord): void {
    for (const rank of meeting.peers()) {
      const { from, to } = partOf(call.elements, rank, call.size);
      if (from < to) this.#copyFrom(call, meeting, point, rank, from, to);
    }
  }

  #copyFrom(call: Call, meeting: Meeting, point: OfferWord, rank: number, from: number, to: number): void {
    const { backend, storages } = this.#context;
    const offset = call.byteOffset + from * itemSize(call.dtype);
    backend.write(storages.block(call.storage), offset, meeting.view(point, rank, from, to));
  }
}

/** Collectives between actors, past the coordinator: what each kind does with the operands that its members offer. */
import { itemSize } from "../tensor/dtype.ts";
import type { ActorContext } from "./context.ts";
import { recordException } from "./failures.ts";
import type { Guard } from "./guard.ts";
import { decodeCall, Meeting, type Call, type Operand } from "./meeting.ts";
import { Collective, Meeting as Row, partOf, type MeetingPoint } from "./protocol.ts";

export class Collectives {
  readonly #context: ActorContext;
  readonly #guard: Guard;

  constructor(context: ActorContext, guard: Guard) {
    this.#context = context;
    this.#guard = guard;
  }

  /** Takes part in the collective whose message is at `words[at]`; a member's poison poisons an operand's results. */
  run(words: Int32Array, at: number): void {
    const { storages } = this.#context;
    const call = decodeCall(this.#context, words, at);
    if (call.kind === Collective.guard) {
      [this.#guard.root] = this.#hold(call);
      return;
    }
    // The root of a broadcast only reads.
    const writes = call.kind !== Collective.broadcast || call.rank !== call.root;
    if (writes) for (const { storage } of call.operands) storages.awaitPins(storage);
    const roots = this.#hold(call);
    call.operands.forEach(({ storage, elements }, i) => {
      if (roots[i] !== 0) {
        if (storages.root(storage) === 0) storages.setRoot(storage, roots[i]);
      } else if (storages.hasBlock(storage) && elements * itemSize(call.dtype) >= storages.bytes(storage)) {
        // Only a broadcast lets a poisoned member take part as if it were not.
        storages.setRoot(storage, 0);
      }
    });
  }

  /** @returns for each operand the poison root of the first member that brought one (for a guard, the guard), or 0. */
  #hold(call: Call): number[] {
    const { memory, storages } = this.#context;
    const { kind, operands } = call;
    const meeting = new Meeting(this.#context, call);
    const isGuard = kind === Collective.guard;
    // What a broadcast overwrites does not count.
    const isTarget = kind === Collective.broadcast && call.rank !== call.root;
    const own = operands.map(({ storage }) => (isGuard ? this.#guard.root : isTarget ? 0 : storages.root(storage)));
    meeting.enter();
    let roots: number[];
    try {
      meeting.offer(Row.arrived, own, !isGuard && !isTarget);
      roots = meeting.meet(Row.arrived);
      if (!isGuard) roots = this.#exchange(call, meeting, roots);
    } catch (error) {
      // Out of memory, for instance: the peers must learn of it, not wait.
      const root = recordException(memory, error, { bytes: bytesOf(call) });
      meeting.fail(root);
      roots = operands.map(() => root);
    }
    // What one offered that died since may have been overwritten while it was read.
    const lost = meeting.lostSource();
    if (lost !== 0) roots = roots.map((root) => (root === 0 ? lost : root));
    meeting.leave();
    return roots;
  }

  /** Moves the operands whose root is 0. @returns their roots after it. */
  #exchange(call: Call, meeting: Meeting, roots: number[]): number[] {
    const { storages } = this.#context;
    const each = (clean: readonly number[], move: (i: number, operand: Operand) => void): void => {
      call.operands.forEach((operand, i) => {
        if (clean[i] === 0 && storages.hasBlock(operand.storage)) move(i, operand);
      });
    };
    switch (call.kind) {
      case Collective.broadcast:
        if (call.rank === call.root) return roots;
        each(roots, (i, operand) => {
          this.#copyFrom(call, meeting, Row.arrived, i, call.root, 0, operand.elements);
        });
        return roots;
      case Collective.allGather:
        each(roots, (i) => {
          this.#gather(call, meeting, Row.arrived, i);
        });
        return roots;
      case Collective.reduceScatter:
      case Collective.allReduce: {
        each(roots, (i) => {
          this.#reduce(call, meeting, i);
        });
        // One that cannot reduce its part takes the results of all with it.
        meeting.offer(Row.reduced, roots, true);
        const reduced = meeting.meet(Row.reduced);
        if (call.kind === Collective.allReduce) {
          each(reduced, (i) => {
            this.#gather(call, meeting, Row.reduced, i);
          });
        }
        return reduced;
      }
      case Collective.guard:
        return roots;
    }
  }

  /** Reduces the own part of operand `i` over all members, in the order of ranks whatever the own rank is. */
  #reduce(call: Call, meeting: Meeting, i: number): void {
    const { backend, storages } = this.#context;
    const { storage, byteOffset, elements } = call.operands[i];
    const { from, to } = partOf(elements, call.rank, call.size);
    if (from === to) return;
    const width = itemSize(call.dtype);
    const block = storages.block(storage);
    const offset = byteOffset + from * width;
    const view = (rank: number): Uint8Array => meeting.view(Row.arrived, rank, i, from, to);
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

  /** Copies every other rank's part of operand `i` from what that rank offers. */
  #gather(call: Call, meeting: Meeting, point: MeetingPoint, i: number): void {
    for (const rank of meeting.peers()) {
      const { from, to } = partOf(call.operands[i].elements, rank, call.size);
      if (from < to) this.#copyFrom(call, meeting, point, i, rank, from, to);
    }
  }

  #copyFrom(
    call: Call, meeting: Meeting, point: MeetingPoint, i: number, rank: number, from: number, to: number,
  ): void {
    const { backend, storages } = this.#context;
    const { storage, byteOffset } = call.operands[i];
    const offset = byteOffset + from * itemSize(call.dtype);
    backend.write(storages.block(storage), offset, meeting.view(point, rank, i, from, to));
  }
}

function bytesOf({ operands, dtype }: Call): number {
  return operands.reduce((sum, { elements }) => sum + elements, 0) * itemSize(dtype);
}

/** Transfers between actors, past the coordinator: one copy out of the sender's memory. */
import type { ActorContext } from "./context.ts";
import { recordException, recordFailure } from "./failures.ts";
import { Control, Transfer } from "./protocol.ts";
import { announce, isGone, reached } from "./waiting.ts";

export class Transfers {
  readonly #context: ActorContext;

  constructor(context: ActorContext) {
    this.#context = context;
  }

  /**
   * Offers bytes of a storage (or its poison) to the receiver of `transfer`, and pins the storage until they are taken.
   */
  send(transfer: number, storage: number, byteOffset: number, bytes: number, receiver: number): void {
    const { backend, company: { transfers }, directory, memory, storages, waiter } = this.#context;
    const row = transferRow(transfer);
    transfers[row + Transfer.sender] = memory.number;
    transfers[row + Transfer.receiver] = receiver;
    let root = storages.root(storage);
    if (root === 0) {
      try {
        const shared = backend.share(storages.block(storage), byteOffset, bytes);
        transfers[row + Transfer.buffer] = directory.announce(memory.number, shared.buffer);
        transfers[row + Transfer.address] = shared.address;
        const reader = directory.device(receiver);
        const taken = row + Transfer.taken;
        const released = (): boolean => reached(transfers, taken, transfer) || isGone(reader);
        storages.pin(storage, {
          released,
          wait: () => void waiter.until(transfers, taken, released),
          release: () => shared.release?.(),
        });
      } catch (error) {
        root = recordException(memory, error, { bytes });
      }
    }
    transfers[row + Transfer.root] = root;
    announce(transfers, row + Transfer.offered, transfer);
  }

  /** Takes what `send` offers under `transfer` into a storage, or the poison that comes instead. */
  receive(transfer: number, storage: number, byteOffset: number, bytes: number, sender: number): void {
    const { memory, storages } = this.#context;
    storages.awaitPins(storage);
    let root: number;
    try {
      root = this.#take(transfer, storage, byteOffset, bytes, sender);
    } catch (error) {
      root = recordException(memory, error, { bytes });
    }
    if (!storages.hasBlock(storage)) return;
    if (root !== 0 || bytes >= storages.bytes(storage)) storages.setRoot(storage, root);
  }

  /** @returns the poison root that came instead of bytes, or 0. */
  #take(transfer: number, storage: number, byteOffset: number, bytes: number, sender: number): number {
    const { backend, company: { transfers }, directory, memory, storages, waiter } = this.#context;
    const row = transferRow(transfer);
    const offered = row + Transfer.offered;
    const peer = directory.device(sender);
    if (!waiter.until(transfers, offered, () => reached(transfers, offered, transfer), () => isGone(peer))) {
      const sequence = memory.control[Control.started];
      return recordFailure(memory, { code: "peer-lost", kernel: -1, site: 0, sequence, detail: 0, text: peer.name });
    }
    let root = Atomics.load(transfers, row + Transfer.root);
    if (root === 0 && storages.hasBlock(storage)) {
      const address = (transfers[row + Transfer.address]) >>> 0;
      const source = directory.buffer(sender, transfers[row + Transfer.buffer]).subarray(address, address + bytes);
      backend.write(storages.block(storage), byteOffset, source);
      // The sender may have died meanwhile, and its memory be in use again.
      root = Atomics.load(transfers, row + Transfer.root);
    }
    announce(transfers, row + Transfer.taken, transfer);
    return root;
  }
}

function transferRow(transfer: number): number {
  return (transfer & (Transfer.slots - 1)) * Transfer.words;
}

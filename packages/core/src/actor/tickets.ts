/** The coordinator's end of reads and fences: tickets that actors answer in shared memory. */
import type { TroupeError } from "../errors.ts";
import { addReceiver, blockUntil, keepingAlive, removeReceiver, watch } from "./coordinator.ts";
import { Ticket as Slot, TicketState } from "./protocol.ts";
import type { DeviceMemory } from "./shared.ts";

/**
 * A read in flight. Both ways of taking it throw (reject with) the typed error when it is poisoned, lost or the device
 * closed.
 */
export interface Ticket {
  /** A private copy of the bytes. */
  bytes(): Promise<Uint8Array>;
  /** As `bytes`, blocking the coordinating thread. */
  bytesSync(): Uint8Array;
  /** Whether it was answered with bytes; of what went wrong instead nobody is told. */
  answered(): Promise<boolean>;
}

/** What tickets need to know of their device. */
export interface TicketOwner {
  /** Bytes that the actor shared. */
  sharedBytes(buffer: number, address: number, bytes: number): Uint8Array;
  /** The error to hand out for a poison root; marks it as told. */
  tell(root: number): TroupeError;
  /** The error to hand out for a ticket in flight when the actor died. */
  tellLost(root: number): TroupeError;
  /** Whether pending tickets may still be answered. */
  alive(): boolean;
  /** Why they may not. */
  goneError(): TroupeError;
}

type Outcome = { readonly bytes: Uint8Array } | { readonly error: () => unknown };

class PendingTicket implements Ticket {
  readonly number: number;
  readonly size: number;
  outcome: Outcome | undefined;
  readonly #book: TicketBook;
  #promise: Promise<Outcome> | undefined;
  #resolve: ((outcome: Outcome) => void) | undefined;

  constructor(book: TicketBook, number: number, size: number) {
    this.#book = book;
    this.number = number;
    this.size = size;
  }

  settle(outcome: Outcome): void {
    this.outcome = outcome;
    if (this.#resolve === undefined) return;
    this.#book.promises -= 1;
    this.#resolve(outcome);
  }

  async bytes(): Promise<Uint8Array> {
    return open(await this.#settled());
  }

  async answered(): Promise<boolean> {
    return "bytes" in (await this.#settled());
  }

  bytesSync(): Uint8Array {
    blockUntil(() => {
      this.#book.takeReady();
      return this.outcome !== undefined;
    });
    return open(this.outcome as Outcome);
  }

  #settled(): Outcome | Promise<Outcome> {
    return this.outcome ?? (this.#promise ??= this.#later());
  }

  #later(): Promise<Outcome> {
    const promise = new Promise<Outcome>((resolve) => {
      this.#resolve = resolve;
      this.#book.promises += 1;
    });
    watch();
    return keepingAlive(promise);
  }
}

function open(outcome: Outcome): Uint8Array {
  if ("bytes" in outcome) return outcome.bytes;
  throw outcome.error();
}

/** The tickets of one device. They are answered in the order of issue. */
export class TicketBook {
  /** Promises that hang on tickets of this book. */
  promises = 0;
  readonly #owner: TicketOwner;
  #tickets: Int32Array;
  #pending: PendingTicket[] = [];
  #first = 0;
  #next = 1;

  constructor(memory: DeviceMemory, owner: TicketOwner) {
    this.#tickets = memory.tickets;
    this.#owner = owner;
  }

  /** A new ticket for `size` bytes (0: a fence), to be named in a message at once. */
  mint(size: number): PendingTicket {
    if (this.#pending.length - this.#first >= Slot.slots) {
      blockUntil(() => {
        this.takeReady();
        if (this.#pending.length - this.#first < Slot.slots) return true;
        if (!this.#owner.alive()) throw this.#owner.goneError();
        return false;
      });
    }
    const ticket = new PendingTicket(this, this.#next, size);
    this.#next = (this.#next + 1) | 0;
    const tickets = this.#tickets;
    const row = slotRow(ticket.number);
    tickets[row + Slot.number] = ticket.number;
    tickets[row + Slot.root] = 0;
    Atomics.store(tickets, row + Slot.state, TicketState.pending);
    if (this.#pending.length === this.#first) addReceiver(this);
    this.#pending.push(ticket);
    return ticket;
  }

  /** Settles what is in flight and lets go of the memory of a closed device. */
  close(memory: DeviceMemory): void {
    this.takeReady();
    this.#tickets = memory.tickets;
  }

  takeReady(): void {
    const tickets = this.#tickets;
    while (this.#first < this.#pending.length) {
      const ticket = this.#pending[this.#first];
      if (ticket === undefined) break;
      const row = slotRow(ticket.number);
      const state = Atomics.load(tickets, row + Slot.state);
      if (state === TicketState.pending) {
        if (this.#owner.alive()) return;
        // The answer may have come between the two looks.
        if (Atomics.load(tickets, row + Slot.state) === TicketState.pending) {
          this.#take(ticket, { error: () => this.#owner.goneError() });
          continue;
        }
      }
      this.#take(ticket, this.#outcome(ticket, row));
      Atomics.store(tickets, row + Slot.state, TicketState.taken);
      Atomics.notify(tickets, row + Slot.state);
    }
    removeReceiver(this);
  }

  #take(ticket: PendingTicket, outcome: Outcome): void {
    this.#first += 1;
    if (this.#first === this.#pending.length || this.#first > 1024) {
      this.#pending = this.#pending.slice(this.#first);
      this.#first = 0;
    }
    ticket.settle(outcome);
  }

  #outcome(ticket: PendingTicket, row: number): Outcome {
    const tickets = this.#tickets;
    const state = Atomics.load(tickets, row + Slot.state);
    if (state !== TicketState.ready) {
      const root = tickets[row + Slot.root] ?? 0;
      return { error: () => (state === TicketState.lost ? this.#owner.tellLost(root) : this.#owner.tell(root)) };
    }
    const copy = new Uint8Array(ticket.size);
    if (ticket.size <= Slot.inlineBytes) {
      copy.set(new Uint8Array(tickets.buffer, (row + Slot.inline) * 4, ticket.size));
    } else {
      const address = (tickets[row + Slot.address] ?? 0) >>> 0;
      copy.set(this.#owner.sharedBytes(tickets[row + Slot.buffer] ?? 0, address, ticket.size));
    }
    return { bytes: copy };
  }
}

function slotRow(ticket: number): number {
  return (ticket & (Slot.slots - 1)) * Slot.words;
}

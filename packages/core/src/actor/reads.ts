/** The actor's end of reads and fences: answers in ticket slots. */
import type { ActorContext } from "./context.ts";
import type { Guard } from "./guard.ts";
import { Ticket, TicketState } from "./protocol.ts";
import { ring } from "./shared.ts";

export class Reads {
  readonly #context: ActorContext;
  readonly #guard: Guard;

  constructor(context: ActorContext, guard: Guard) {
    this.#context = context;
    this.#guard = guard;
  }

  /** Answers a read: inline when it is small, else with the place of the bytes, pinned until they are taken. */
  read(ticket: number, storage: number, byteOffset: number, bytes: number): void {
    const { backend, directory, memory, storages } = this.#context;
    const told = this.#guard.tell(storages.root(storage));
    if (told !== 0) {
      this.#answer(ticket, TicketState.poisoned, told);
      return;
    }
    const { tickets } = memory;
    const row = slotRow(ticket);
    if (tickets[row + Ticket.number] !== ticket) return;
    if (bytes <= Ticket.inlineBytes) {
      const inline = new Uint8Array(tickets.buffer, (row + Ticket.inline) * 4, bytes);
      backend.readInto(storages.block(storage), byteOffset, inline);
    } else {
      const shared = backend.share(storages.block(storage), byteOffset, bytes);
      tickets[row + Ticket.buffer] = directory.announce(memory.number, shared.buffer);
      tickets[row + Ticket.address] = shared.address;
      this.#pinUntilTaken(storage, ticket, () => shared.release?.());
    }
    this.#answer(ticket, TicketState.ready, 0);
  }

  fence(ticket: number): void {
    const { backend, storages } = this.#context;
    backend.synchronize();
    storages.sweep();
    storages.accountPool();
    this.#answer(ticket, TicketState.ready, 0);
  }

  #pinUntilTaken(storage: number, ticket: number, release: () => void): void {
    const { memory: { tickets }, storages, waiter } = this.#context;
    const row = slotRow(ticket);
    const state = row + Ticket.state;
    const released = (): boolean => {
      const now = Atomics.load(tickets, state);
      return tickets[row + Ticket.number] !== ticket || (now !== TicketState.ready && now !== TicketState.pending);
    };
    storages.pin(storage, {
      released,
      wait: () => void waiter.until(tickets, state, released),
      release,
    });
  }

  #answer(ticket: number, state: number, root: number): void {
    const { company, memory: { tickets } } = this.#context;
    const row = slotRow(ticket);
    if (tickets[row + Ticket.number] !== ticket) return;
    tickets[row + Ticket.root] = root;
    Atomics.compareExchange(tickets, row + Ticket.state, TicketState.pending, state);
    ring(company);
  }
}

function slotRow(ticket: number): number {
  return (ticket & (Ticket.slots - 1)) * Ticket.words;
}

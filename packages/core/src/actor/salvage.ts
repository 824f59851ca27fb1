/**
 * After an actor's death: what it left half done, told to whom it concerns. Runs in the supervisor thread while no
 * actor does.
 */
import { markTold, recordFailure } from "./failures.ts";
import { libraryKernel } from "./library.ts";
import {
  Collective, Control, Group, Life, Meeting, meetingRow, Message, Offer, offerWord, StorageRow, Ticket, TicketState, Transfer,
  type LifeState, type MessageKind,
} from "./protocol.ts";
import { ring, type CompanyMemory, type DeviceMemory } from "./shared.ts";
import { releaseSpinners } from "./waiting.ts";

/**
 * Rejects the tickets in flight, marks what the message in progress may have half written as lost, answers in its place
 * whom it owes something, and steps over it (or leaves it to be begun again, where that changes nothing). The failure
 * record that says why counts as told where no storage was lost, unless the device is given up.
 * @param life what becomes of the actor: `restarting`, or `dead` for good.
 */
export function salvage(memory: DeviceMemory, company: CompanyMemory, reason: string, life: LifeState): void {
  const { control } = memory;
  releaseSpinners(company, memory);
  const begun = control[Control.started] !== control[Control.finished];
  const at = (control[Control.position]) & (memory.ring.length - 1);
  const kind = begun ? ((memory.ring[at]) & 0xff) as MessageKind : Message.pad;
  const isRun = kind === Message.run || kind === Message.runGuarded;
  const root = recordFailure(memory, {
    code: life === Life.dead ? "device-lost" : "lost",
    kernel: isRun ? (memory.ring[at + 1]) : -1,
    site: isRun ? (memory.ring[at + 2]) : 0,
    sequence: control[Control.started],
    detail: 0,
    text: reason,
  });
  control[Control.reason] = root;
  Atomics.store(control, Control.life, life);
  const harmed = begun && giveUpMessage(memory, company, kind, at, root);
  loseTickets(memory, root);
  if (!harmed && life !== Life.dead) markTold(memory, root);
  Atomics.store(control, Control.parked, 0);
  ring(company);
}

/** @returns whether something was lost. */
function giveUpMessage(
  memory: DeviceMemory, company: CompanyMemory, kind: MessageKind, at: number, root: number,
): boolean {
  const { control, ring: words } = memory;
  const word = (index: number): number => words[at + index];
  switch (kind) {
    case Message.run:
    case Message.runGuarded: {
      const kernel = libraryKernel(memory, word(1));
      for (let i = 0; i < kernel.outputs.length; i++) markLost(memory, word(3 + 2 * (kernel.inputs.length + i)), root);
      break;
    }
    case Message.upload:
      markLost(memory, word(1), root);
      Atomics.store(control, Control.stagingTail, (word(3) + word(4)) | 0);
      break;
    case Message.send: {
      const row = (word(1) & (Transfer.slots - 1)) * Transfer.words;
      company.transfers[row + Transfer.sender] = memory.number;
      company.transfers[row + Transfer.receiver] = word(5);
      if (company.transfers[row + Transfer.offered] !== word(1)) company.transfers[row + Transfer.root] = root;
      settle(company.transfers, row + Transfer.offered, word(1));
      break;
    }
    case Message.receive: {
      markLost(memory, word(2), root);
      settle(company.transfers, (word(1) & (Transfer.slots - 1)) * Transfer.words + Transfer.taken, word(1));
      break;
    }
    case Message.collective:
      if (word(1) === Collective.guard) control[Control.guard] = root;
      else if (word(1) !== Collective.broadcast || memberOf(company, word(2), word(6)) !== memory.number) {
        for (let operand = 7; operand < word(0) >>> 8; operand += 3) markLost(memory, word(operand), root);
      }
      leaveCollective(memory, company, word(2), word(3), root);
      break;
    case Message.read:
    case Message.fence:
      break;
    case Message.pad:
    case Message.allocate:
    case Message.free:
    case Message.register:
    case Message.guard:
    case Message.recover:
      // Begun again by the next thread: doing these twice is doing them once.
      control[Control.finished] = ((control[Control.started]) - 1) | 0;
      control[Control.started] = control[Control.finished];
      return false;
  }
  control[Control.position] = ((control[Control.position]) + (word(0) >>> 8)) | 0;
  control[Control.finished] = control[Control.started];
  Atomics.store(control, Control.tail, control[Control.position]);
  return kind !== Message.read && kind !== Message.fence;
}

/** The device that is rank `rank` of a group. */
function memberOf({ groups }: CompanyMemory, group: number, rank: number): number {
  return groups[group * Group.words + Group.members + rank];
}

function markLost(memory: DeviceMemory, storage: number, root: number): void {
  memory.storages[storage * StorageRow.words + StorageRow.root] = root;
}

function loseTickets(memory: DeviceMemory, root: number): void {
  const { tickets } = memory;
  for (let row = 0; row < tickets.length; row += Ticket.words) {
    if (Atomics.load(tickets, row + Ticket.state) !== TicketState.pending) continue;
    tickets[row + Ticket.root] = root;
    Atomics.compareExchange(tickets, row + Ticket.state, TicketState.pending, TicketState.lost);
  }
}

/** Comes to all points of a collective in place of the dead member, with its root where it had not come yet. */
function leaveCollective(
  memory: DeviceMemory, company: CompanyMemory, group: number, number: number, root: number,
): void {
  const { groups } = company;
  const members = group * Group.words + Group.members;
  const rank = groups.subarray(members, members + Group.maxMembers).indexOf(memory.number);
  const row = meetingRow(group, number, rank);
  groups[row + Meeting.lostRoot] = root;
  settle(groups, row + Meeting.lost, number);
  for (const point of [Meeting.arrived, Meeting.reduced]) {
    if (groups[row + point] !== number) {
      for (let i = 0; i < Group.maxOperands; i++) groups[row + offerWord(point, i) + Offer.root] = root;
    }
    settle(groups, row + point, number);
  }
  settle(groups, row + Meeting.done, number);
}

function settle(words: Int32Array, index: number, number: number): void {
  Atomics.store(words, index, number);
  Atomics.notify(words, index);
}

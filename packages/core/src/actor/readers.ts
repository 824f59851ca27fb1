/**
 * Who still reads what a device offered: peers copy straight out of its memory, which therefore must neither change nor
 * go before they have.
 */
import type { Directory } from "./directory.ts";
import { recordFailure } from "./failures.ts";
import { Control, Group, Meeting, meetingRow, Transfer } from "./protocol.ts";
import type { CompanyMemory, DeviceMemory } from "./shared.ts";
import { isGone, reached, slice } from "./waiting.ts";

/** How long a restarted actor waits for peers that still read its memory, ms. */
const patience = 1000;

/** A peer that has not read yet what was offered to it. */
interface Reader {
  /** Whether it still has to. */
  readonly reads: () => boolean;
  /** The word that changes when it has. */
  readonly words: Int32Array;
  readonly index: number;
  /** Takes the offer back with a poison root, for a reader that comes too late; undefined where it is back already. */
  readonly takeBack: ((root: number) => void) | undefined;
}

/** The readers of what a device offered. `lives` says whether a device will still do something. */
function* readersOf(
  memory: DeviceMemory, { groups, transfers }: CompanyMemory, lives: (device: number) => boolean,
): Generator<Reader> {
  for (let row = 0; row < transfers.length; row += Transfer.words) {
    const [offered, taken, root] = [row + Transfer.offered, row + Transfer.taken, row + Transfer.root];
    if (transfers[row + Transfer.sender] !== memory.number) continue;
    const number = Atomics.load(transfers, offered);
    if (Atomics.load(transfers, taken) === number || transfers[root] !== 0) continue;
    const reads = (): boolean => Atomics.load(transfers, taken) !== number && lives(transfers[row + Transfer.receiver]);
    const takeBack = (lost: number): void => void Atomics.store(transfers, root, lost);
    if (reads()) yield { reads, words: transfers, index: taken, takeBack };
  }
  for (let row = 0; row < groups.length && groups[row + Group.size] > 0; row += Group.words) {
    const members = [...groups.subarray(row + Group.members, row + Group.members + groups[row + Group.size])];
    const own = members.indexOf(memory.number);
    if (own < 0) continue;
    for (let board = 0; board < Group.boards; board++) {
      const done = (rank: number): number => meetingRow(row / Group.words, board, rank) + Meeting.done;
      const offer = meetingRow(row / Group.words, board, own);
      const number = Atomics.load(groups, offer + Meeting.done);
      if (groups[offer + Meeting.shared] !== number) continue;
      const takeBack = (root: number): void => {
        groups[offer + Meeting.lostRoot] = root;
        Atomics.store(groups, offer + Meeting.lost, number);
      };
      for (const [rank, member] of members.entries()) {
        const index = done(rank);
        const reads = (): boolean => !reached(groups, index, number) && lives(member);
        if (rank === own || !reads()) continue;
        const isBack = Atomics.load(groups, offer + Meeting.lost) === number;
        yield { reads, words: groups, index, takeBack: isBack ? undefined : takeBack };
      }
    }
  }
}

/** Whether a peer still reads, or has still to read, what the device offered. */
export function hasReaders(memory: DeviceMemory, company: CompanyMemory, lives: (device: number) => boolean): boolean {
  return readersOf(memory, company, lives).next().done !== true;
}

/**
 * Waits, when an actor starts again, until peers have read what its predecessor offered them; what is not taken in time
 * is taken back (a reader looks once more after it has read).
 */
export function awaitReaders(memory: DeviceMemory, company: CompanyMemory, directory: Directory): void {
  if (Atomics.load(memory.control, Control.epoch) === 0) return;
  const deadline = performance.now() + patience;
  const lives = (device: number): boolean => !isGone(directory.device(device));
  for (const { reads, words, index, takeBack } of readersOf(memory, company, lives)) {
    if (takeBack === undefined) continue;
    waitWhile(reads, words, index, deadline);
    if (reads()) takeBack(lostOffer(memory));
  }
}

function waitWhile(open: () => boolean, words: Int32Array, index: number, deadline: number): void {
  for (let left = deadline - performance.now(); left > 0 && open(); left = deadline - performance.now()) {
    Atomics.wait(words, index, Atomics.load(words, index), Math.min(left, slice));
  }
}

function lostOffer(memory: DeviceMemory): number {
  const text = "an offered copy was not taken in time";
  return recordFailure(memory, { code: "lost", kernel: -1, site: 0, sequence: 0, detail: 0, text });
}

/**
 * The actor protocol on one page: what a coordinator may say to a device, and the shared words in which they keep their
 * state.
 *
 * Coordinator to actor: messages in a ring of 32-bit words (one producer, one consumer). The first word of a message is
 * `kind | words << 8` (words of the whole message); a message never wraps (a `pad` fills the ring's end). Numbers only:
 * ids, offsets, scalars; never a pointer, a closure or an object, so that a stream can be recorded, replayed or sent
 * over a socket. A message's sequence number is its count in the stream (pads not counted), modulo 2^32.
 *
 * Actor to coordinator: answers in ticket slots and words of the shared control block, all in shared memory, because a
 * blocked main thread receives no events.
 */

/** The closed list of message kinds; beside each the words that follow the header. */
export const Message = {
  /** (nothing) Skip to the ring's start. */
  pad: 0,
  /** storage, bytes. A storage id is reused only after its `free`. */
  allocate: 1,
  /** storage */
  free: 2,
  /** kernel: make it ready; its JSON stands in the kernel library. */
  register: 3,
  /** kernel, site, then the arguments that kernel/ir.ts lays out. */
  run: 4,
  /** As `run`, but when the guard is set the launch is skipped and its outputs keep their bytes, unmarked. */
  runGuarded: 5,
  /** storage, byte offset, staging position, bytes */
  upload: 6,
  /** ticket, storage, byte offset, bytes */
  read: 7,
  /** ticket: answered when all that was issued before it has run. */
  fence: 8,
  /**
   * transfer, storage, byte offset, bytes, receiver's device number: offers these bytes; pins the storage until they
   * are taken.
   */
  send: 9,
  /** transfer, storage, byte offset, bytes, sender's device number */
  receive: 10,
  /**
   * collective (`Collective`), group, number, dtype (`dtypeCode`), reduction (`Reduction`), root rank; then storage,
   * byte offset and elements of each operand
   */
  collective: 11,
  /** storage...: sets the guard to the first poison root among them, or clears it. */
  guard: 12,
  /** storage: forget its poison; its bytes are what the last completed write left. */
  recover: 13,
} as const;

export type MessageKind = (typeof Message)[keyof typeof Message];

/**
 * Collectives work in place on operands (one, or several that share its meetings) of `elements` elements at the byte
 * offset, each split into one part a rank (`partOf`):
 * all-reduce leaves the reduction everywhere; reduce-scatter leaves it in the rank's own part; all-gather spreads every
 * rank's own part; broadcast spreads the root's elements; guard spreads the first guard that is set (its operand is
 * none).
 */
export const Collective = { allReduce: 0, allGather: 1, broadcast: 2, reduceScatter: 3, guard: 4 } as const;
export type CollectiveKind = (typeof Collective)[keyof typeof Collective];

export const Reduction = { sum: 0, max: 1, min: 2 } as const;
export type ReductionName = keyof typeof Reduction;
export const reductionNames = Object.keys(Reduction) as readonly ReductionName[];

/**
 * The elements `[from, to)` of rank `rank` among `size`, as `torch.chunk` splits: the last ranks may have fewer, or
 * none.
 */
export function partOf(elements: number, rank: number, size: number): { from: number; to: number } {
  const part = Math.ceil(elements / size);
  return { from: Math.min(rank * part, elements), to: Math.min((rank + 1) * part, elements) };
}

/** A launch's header, kernel and site; its arguments follow. */
export const runHeaderWords = 3;

export function header(kind: MessageKind, words: number): number {
  return kind | (words << 8);
}

/**
 * Words of a device's control block. Positions and counts are modulo 2^32; words that different threads write are 16
 * apart.
 */
export const Control = {
  /** Words published by the coordinator. The actor waits on it. */
  head: 0,
  /** Words consumed by the actor. */
  tail: 16,
  /** Bytes of the staging ring consumed by the actor. */
  stagingTail: 17,
  /** The position of the message in progress or next; the sequence numbers last started and last finished. */
  position: 32,
  started: 33,
  finished: 34,
  /** 1 while the actor is parked on `head` and needs a notify. */
  parked: 48,
  /** Threads of this device that count in `Company.spinning`. */
  spinning: 49,
  /** 1 while the coordinator waits for `tail` to reach `wanted`; the actor then rings the bell. */
  waiting: 64,
  wanted: 65,
  /** A `Life`. */
  life: 80,
  /** How often the actor was started. */
  epoch: 81,
  /** 1 once the actor must leave its loop after the message in progress. */
  closing: 82,
  /** The root that says why the actor died last. */
  reason: 83,
  /** The number of the recording that the actor must write (`Recording`), or 0. */
  recording: 84,
  /** Bytes that live storages hold, their peak, and bytes that the pool holds back for reuse (in units of 16 bytes). */
  bytesLive: 112,
  bytesPeak: 113,
  bytesPooled: 114,
  /** Live storages. */
  storages: 115,
  /** Failure records written so far (their number modulo `failureSlots` is the slot). */
  failures: 116,
  /** The root of a guarded step that was skipped and not yet told to a read, or 0. */
  untold: 117,
  /** The guard of guarded launches: a poison root, or 0. */
  guard: 118,
  words: 128,
} as const;

/** From `dead` on a device will never do anything again. */
export const Life = { booting: 0, running: 1, restarting: 2, dead: 3, closed: 4 } as const;
export type LifeState = (typeof Life)[keyof typeof Life];

/** Words that all threads of the process share. */
export const Company = {
  /** Rung at every answered ticket, change of life, and room that the coordinator waits for: its only wait word. */
  bell: 0,
  /** Threads that spin now, and how many may. */
  spinning: 16,
  spinLimit: 17,
  /** Counts entries of the directory (directory.ts); who misses one waits on it. */
  directory: 32,
  /** Counts up while the supervisor is alive. */
  heartbeat: 48,
  words: 64,
} as const;

/** A ticket slot: how a read or a fence is answered. Ticket `n` uses slot `n % slots`. */
export const Ticket = {
  slots: 4096,
  /** A `TicketState`. */
  state: 0,
  /** The ticket that the slot serves now: late answers to an older one are dropped. */
  number: 1,
  /** The poison root, when poisoned or lost. */
  root: 2,
  /**
   * Where the bytes are when they are more than `inlineBytes`: the number of a shared buffer of the device and the byte
   * address.
   */
  buffer: 3,
  address: 4,
  /** The bytes themselves, when they fit. */
  inline: 8,
  inlineBytes: 64,
  words: 24,
} as const;

/** `taken`: the coordinator has what it wanted; a storage pinned by the ticket is free again. */
export const TicketState = { taken: 0, pending: 1, ready: 2, poisoned: 3, lost: 4 } as const;

/**
 * The storage table, one row an id, in shared memory so that it outlives the actor's thread and peers and the
 * supervisor can read it.
 */
export const StorageRow = {
  /** The backend's block (for a CPU: the byte address), or `noBlock` when memory ran out. */
  block: 0,
  /** Bytes asked for; 0 with `live` 0 for a row that is not in use. */
  bytes: 1,
  /** Poison root, or 0. */
  root: 2,
  live: 3,
  words: 4,
} as const;
export const maxStorages = 1 << 20;
export const noBlock = -1;

/** The kernel library: an index by kernel number into an append-only text of kernel JSON. */
export const LibraryRow = { position: 0, bytes: 1, words: 2 } as const;
export const maxKernels = 1 << 16;

/**
 * A failure record: what a poison root points at. A root is `(device number + 1) << 20 | (record number modulo
 * failureSlots)`, so any device can carry another's root.
 */
export const FailureRow = {
  /** An index into `failureCodes`. */
  code: 0,
  /** The kernel's number, or -1. */
  kernel: 1,
  site: 2,
  sequence: 3,
  detail: 4,
  /** 1 once a read told it to the caller, or it was reported. */
  told: 5,
  /** UTF-8 bytes of a message that follow, or 0. */
  textBytes: 6,
  text: 7,
  words: 64,
} as const;
export const failureSlots = 1 << 12;
export const maxDevices = 1 << 10;

export const failureCodes = [
  "none", "index-out-of-range", "division-by-zero", "value-out-of-range", "out-of-memory", "internal", "lost", "peer-lost",
  "device-lost",
] as const;
export type FailureName = (typeof failureCodes)[number];

export function rootOf(deviceNumber: number, record: number): number {
  return ((deviceNumber + 1) << 20) | (record & (failureSlots - 1));
}

export function rootDevice(root: number): number {
  return (root >>> 20) - 1;
}

export function rootRecord(root: number): number {
  return root & (failureSlots - 1);
}

/** A transfer between two devices: how `receive` finds what `send` offers. Transfer `n` uses slot `n % slots`. */
export const Transfer = {
  slots: 1 << 12,
  /** The transfer last offered here, and the one last taken. */
  offered: 0,
  taken: 1,
  /** The poison root that travels instead of bytes, or 0. */
  root: 2,
  buffer: 3,
  address: 4,
  /** The devices' numbers. */
  sender: 5,
  receiver: 6,
  words: 8,
} as const;

/**
 * A group of devices that hold collectives: who is in it, and boards on which its members meet (collective `n` uses
 * board `n % boards`).
 */
export const Group = {
  max: 1 << 9,
  maxMembers: 32,
  boards: 4,
  /** Operands of one collective. */
  maxOperands: 16,
  size: 0,
  /** Device numbers by rank. */
  members: 1,
  firstBoard: 40,
  /** Words of one rank's row on a board; a board has `maxMembers` rows. */
  row: 8 + 6 * 16,
  words: 40 + 4 * 32 * (8 + 6 * 16),
} as const;

/** A rank's row on a board. Each count is the number of the collective for which the rank came so far. */
export const Meeting = {
  /** It offers its operands (or poison roots). */
  arrived: 0,
  /** It offers its reduced parts (or poison roots). */
  reduced: 1,
  /** It needs nothing more of its peers. */
  done: 2,
  /** It died, in the collective or before all had read what it offered: nobody may use that any more. */
  lost: 3,
  lostRoot: 4,
  /** The last collective for which it offered bytes, which its peers read until they are done. */
  shared: 5,
  /** What it offers on arrival, then its reduced parts: three words an operand. */
  offers: 8,
} as const;

/** What a member offers of one operand: a poison root, or 0 and where the bytes are. */
export const Offer = { root: 0, buffer: 1, address: 2, words: 3 } as const;

/** A point of a collective at which its members meet. */
export type MeetingPoint = typeof Meeting.arrived | typeof Meeting.reduced;

/** The first word of an offer within its row. */
export function offerWord(point: MeetingPoint, operand: number): number {
  return Meeting.offers + (point * Group.maxOperands + operand) * Offer.words;
}

/**
 * The head of a device's recording buffer, in words; records follow at `records`. The actor alone writes `number`,
 * `end` and `dropped`, so that no two recordings mix.
 */
export const Recording = {
  /** The recording that the buffer holds, the word behind its last whole record, and records that found no room. */
  number: 0,
  end: 1,
  dropped: 2,
  /** The word behind the last one that may be written; set by the coordinator before a recording begins. */
  limit: 3,
  /** When the recording began: microseconds of the system's monotonic clock, a float64. */
  origin: 4,
  records: 8,
} as const;

/** A record of one message, or of a wait in one: an even number of words. */
export const RecordRow = {
  /** Words of the whole record. */
  words: 0,
  /** A `Recorded`. */
  what: 1,
  /** Microseconds since the recording began, float64s. */
  start: 2,
  end: 4,
  /** The message's sequence number. */
  sequence: 6,
  /** The message itself; a wait has only its header. */
  message: 7,
} as const;

/** `skipped`: a launch that did not start, since the guard was set or an input was poisoned. */
export const Recorded = { message: 0, skipped: 1, wait: 2 } as const;
export type RecordedWhat = (typeof Recorded)[keyof typeof Recorded];

export function meetingRow(group: number, number: number, rank: number): number {
  return group * Group.words + Group.firstBoard + ((number % Group.boards) * Group.maxMembers + rank) * Group.row;
}

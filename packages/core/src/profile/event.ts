/** What a profile consists of. */

/**
 * `kernel`: a launch; `copy`: an end of a transfer between devices; `collective`; `upload`, `read`: data from and to
 * the coordinator; `compile`: a kernel made ready, once for each; `wait`: time within one of the others in which the
 * device waited for another one, or for a reader of its memory.
 */
export type ProfileEventKind = "kernel" | "copy" | "collective" | "wait" | "upload" | "read" | "compile";

/** One thing that a device did. */
export interface ProfileEvent {
  /** The device's name. */
  readonly device: string;
  readonly kind: ProfileEventKind;
  /** The op's name for a kernel, otherwise `"allReduce"`, `"send"`, `"upload"`, ...; `"wait in allReduce"`. */
  readonly name: string;
  /** Microseconds since the recording began, on one clock for all devices. */
  readonly start: number;
  /** Microseconds, waits in it included. */
  readonly duration: number;
  /**
   * Bytes moved: for a kernel every element of its operands once, read or written (what a perfect cache would leave);
   * for a collective what the device took from its peers.
   */
  readonly bytes: number;
  /** Floating-point operations, counted in the kernel's IR: a multiply-add is two, a transcendental function one. */
  readonly flops: number;
  /** The number of the message in its device's stream; a wait has that of the message in which it happened. */
  readonly sequence: number;
  /** The path of the module whose `forward` issued it, and with TROUPE_TRACE=1 the user's line. */
  readonly site?: string;
  /** The sizes of a kernel's loop nest, reduced axes last: `[m, n, k]` for a matmul. */
  readonly sizes?: readonly number[];
  /** The other device of a copy. */
  readonly peer?: string;
  /** A launch that did not start: its step was skipped, or an input was poisoned. */
  readonly skipped?: true;
}

/** A stretch of time, in microseconds since the recording began. */
export interface ProfileSpan {
  readonly start: number;
  readonly end: number;
}

/**
 * The waits in each event.
 * @param events of any devices, in any order
 */
export function waitsByEvent(events: readonly ProfileEvent[]): ReadonlyMap<ProfileEvent, readonly ProfileEvent[]> {
  const keyOf = ({ device, sequence }: ProfileEvent): string => `${device} ${sequence}`;
  const holders = new Map<string, ProfileEvent>();
  for (const event of events) if (event.kind !== "wait") holders.set(keyOf(event), event);
  const waits = new Map<ProfileEvent, ProfileEvent[]>();
  for (const event of events) {
    if (event.kind !== "wait") continue;
    const holder = holders.get(keyOf(event));
    if (holder === undefined) continue;
    const known = waits.get(holder);
    if (known === undefined) waits.set(holder, [event]);
    else known.push(event);
  }
  return waits;
}

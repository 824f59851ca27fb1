/** Failure records in shared memory, and the typed errors that they become. */
import {
  DeviceLostError, InternalError, LostError, OutOfMemoryError, ValueError, type ErrorPlace, type TroupeError,
} from "../errors.ts";
import { BackendOutOfMemory } from "./backend.ts";
import {
  Control, failureCodes, FailureRow, failureSlots, rootOf, rootRecord, type FailureName,
} from "./protocol.ts";
import type { DeviceMemory } from "./shared.ts";
import { describeSite } from "./site.ts";

export interface Failure {
  readonly code: FailureName;
  /** The kernel's number, or -1. */
  readonly kernel: number;
  readonly site: number;
  readonly sequence: number;
  readonly detail: number;
  /** What the device said in words; may be empty. */
  readonly text: string;
}

const textWords = FailureRow.words - FailureRow.text;

function rowOf(root: number): number {
  return rootRecord(root) * FailureRow.words;
}

/**
 * Writes a record into the device's table (only its actor, or the supervisor while the actor is dead, may) and returns
 * its root.
 */
export function recordFailure(memory: DeviceMemory, failure: Failure): number {
  const { control, failures } = memory;
  const written = control[Control.failures] ?? 0;
  const record = written % failureSlots;
  const row = record * FailureRow.words;
  failures[row + FailureRow.code] = failureCodes.indexOf(failure.code);
  failures[row + FailureRow.kernel] = failure.kernel;
  failures[row + FailureRow.site] = failure.site;
  failures[row + FailureRow.sequence] = failure.sequence;
  failures[row + FailureRow.detail] = failure.detail;
  failures[row + FailureRow.told] = 0;
  const text = new TextEncoder().encode(failure.text).subarray(0, textWords * 4);
  failures[row + FailureRow.textBytes] = text.length;
  new Uint8Array(failures.buffer, (row + FailureRow.text) * 4, text.length).set(text);
  Atomics.store(control, Control.failures, written + 1);
  return rootOf(memory.number, record);
}

/** Records what a backend threw in the message in progress. */
export function recordException(
  memory: DeviceMemory, error: unknown, { kernel = -1, site = 0, bytes = 0 }: Partial<Record<"kernel" | "site" | "bytes", number>>,
): number {
  const outOfMemory = error instanceof BackendOutOfMemory;
  return recordFailure(memory, {
    code: outOfMemory ? "out-of-memory" : "internal",
    kernel,
    site,
    sequence: memory.control[Control.started],
    detail: bytes,
    text: outOfMemory ? "" : errorText(error),
  });
}

/** An exception as a record says it. */
export function errorText(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

export function readFailure(memory: DeviceMemory, root: number): Failure {
  const { failures } = memory;
  const row = rowOf(root);
  const word = (index: number): number => failures[row + index] ?? 0;
  const text = new Uint8Array(word(FailureRow.textBytes));
  text.set(new Uint8Array(failures.buffer, (row + FailureRow.text) * 4, text.length));
  return {
    code: failureCodes[word(FailureRow.code)] ?? "none",
    kernel: word(FailureRow.kernel),
    site: word(FailureRow.site),
    sequence: word(FailureRow.sequence) >>> 0,
    detail: word(FailureRow.detail),
    text: new TextDecoder().decode(text),
  };
}

/** Says to a record made before its op was known (memory ran out for its output) which op it was. */
export function attributeFailure(memory: DeviceMemory, root: number, kernel: number, site: number): void {
  const row = rowOf(root);
  if (memory.failures[row + FailureRow.kernel] !== -1) return;
  memory.failures[row + FailureRow.kernel] = kernel;
  memory.failures[row + FailureRow.site] = site;
}

export function markTold(memory: DeviceMemory, root: number): void {
  memory.failures[rowOf(root) + FailureRow.told] = 1;
}

/** The roots of this device that nobody was told of. */
export function untoldRoots(memory: DeviceMemory): number[] {
  const count = Math.min(Atomics.load(memory.control, Control.failures), failureSlots);
  const roots: number[] = [];
  for (let record = 0; record < count; record++) {
    if (memory.failures[record * FailureRow.words + FailureRow.told] === 0) roots.push(rootOf(memory.number, record));
  }
  return roots;
}

/** The typed error for a failure record. */
export function failureError(device: string, failure: Failure, op: string | undefined): TroupeError {
  const { modulePath, line } = describeSite(failure.site);
  const place: ErrorPlace = {
    device,
    ...(op === undefined ? {} : { op }),
    ...(modulePath === undefined ? {} : { modulePath }),
    ...(failure.sequence === 0 ? {} : { sequence: failure.sequence }),
  };
  const remedy = line === undefined ? "Set TROUPE_TRACE=1 to see the line that issued the op." : `Issued at ${line}.`;
  const said = failure.text === "" ? "" : `: ${failure.text}`;
  switch (failure.code) {
    case "index-out-of-range":
      return new ValueError(`index ${failure.detail} is out of range${said}`, { ...place, remedy });
    case "division-by-zero":
      return new ValueError(`ZeroDivisionError: integer division or modulo by zero${said}`, { ...place, remedy });
    case "value-out-of-range":
      return new ValueError(`value ${floatOf(failure.detail)} is out of range${said}`, { ...place, remedy });
    case "out-of-memory":
      return new OutOfMemoryError(`out of memory: ${failure.detail >>> 0} bytes could not be allocated${said}`, {
        ...place,
        remedy: "Free tensors (dispose, tidy, await once a step), use smaller batches, or raise the device's memoryLimit.",
      });
    case "lost":
      return new LostError(`the contents were lost when the device's thread died${said}`, {
        ...place,
        remedy: "The device restarts by itself; compute or load this tensor again.",
      });
    case "peer-lost":
      return new DeviceLostError(`a device that took part died${said}`, {
        ...place,
        remedy: "Compute this tensor again on the devices that are left.",
      });
    case "device-lost":
      return deviceLostError(device, failure.text);
    case "internal":
      return new InternalError(`the device failed${said}`, { ...place, remedy: "This is a bug in Troupe: report it." });
    case "none":
      return new InternalError("a failure without a record", place);
  }
}

/** The float32 whose bits a check gave as its detail, as short as it can be told from its neighbours. */
function floatOf(bits: number): string {
  const [value] = new Float32Array(Int32Array.of(bits).buffer);
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return String(short);
  }
  return String(value);
}

/** The error of a read or fence that was in flight when the actor died. */
export function ticketLostError(device: string, reason: string): DeviceLostError {
  return new DeviceLostError(`the device died before it answered${reason === "" ? "" : `: ${reason}`}`, {
    device,
    remedy: "It restarts by itself; what its last completed op wrote is still there. Read again.",
  });
}

/** The error that says why a device died for good (it would not start, or died too often). */
function deviceLostError(device: string, reason: string): DeviceLostError {
  return new DeviceLostError(`the device is lost${reason === "" ? "" : `: ${reason}`}`, {
    device,
    remedy: "It could not be started, or died more than 3 times within a minute. Close it and make it anew.",
  });
}

/** A device's records (actor/recorder.ts) as events: names, bytes and operations from the messages and the kernels. */
import { company } from "../actor/coordinator.ts";
import { libraryKernel } from "../actor/library.ts";
import { decodeCall } from "../actor/meeting.ts";
import {
  Collective, Message, partOf, RecordRow, Recorded, Recording, type MessageKind,
} from "../actor/protocol.ts";
import type { DeviceMemory } from "../actor/shared.ts";
import { describeSite } from "../actor/site.ts";
import { InternalError } from "../errors.ts";
import type { Kernel } from "../kernel/ir.ts";
import { itemSize } from "../tensor/dtype.ts";
import { KernelCost } from "./cost.ts";
import type { ProfileEvent } from "./event.ts";

/** Which records of a device count. */
export interface Take {
  /** The recording's number. */
  readonly recording: number;
  /** Messages of the device's stream before the first one, and up to the last one. */
  readonly before: number;
  readonly through: number;
  /** The name of a device, by its number. */
  readonly deviceName: (number: number) => string;
}

export interface Taken {
  readonly events: readonly ProfileEvent[];
  /** Records that found no room. */
  readonly dropped: number;
}

/** The events of a recording so far, in the order in which they began. */
export function takeEvents(memory: DeviceMemory, take: Take): Taken {
  if (memory.recording.byteLength === 0) return { events: [], dropped: 0 };
  const words = new Int32Array(memory.recording, 0, memory.recording.byteLength >>> 2);
  // The actor never came to record: what is there is an earlier recording's.
  if (Atomics.load(words, Recording.number) !== take.recording) return { events: [], dropped: 0 };
  const decoder = new Decoder(memory, words, take.deviceName);
  const events: ProfileEvent[] = [];
  const end = Atomics.load(words, Recording.end);
  for (let at: number = Recording.records; at < end; at += words[at + RecordRow.words]) {
    const sequence = words[at + RecordRow.sequence];
    const counts = ((sequence - take.before) | 0) > 0 && ((sequence - take.through) | 0) <= 0;
    if (counts) events.push(decoder.event(at));
  }
  return { events: nameWaits(events).sort((a, b) => a.start - b.start), dropped: words[Recording.dropped] };
}

/** Says in what a wait happened, where that was recorded, too. */
function nameWaits(events: ProfileEvent[]): ProfileEvent[] {
  const holders = new Map(events.flatMap((event) => (event.kind === "wait" ? [] : [[event.sequence, event.name]])));
  return events.map((event) => {
    const holder = event.kind === "wait" ? holders.get(event.sequence) : undefined;
    return holder === undefined ? event : { ...event, name: `wait in ${holder}` };
  });
}

const messageNames = new Map(Object.entries(Message).map(([name, kind]) => [kind as number, name]));
const collectiveNames = Object.keys(Collective);

interface KnownKernel {
  readonly kernel: Kernel;
  readonly cost: KernelCost;
}

/** What is particular to an event's kind. */
type Content = Pick<ProfileEvent, "kind" | "name" | "bytes" | "flops" | "site" | "sizes" | "peer">;

class Decoder {
  readonly #memory: DeviceMemory;
  readonly #words: Int32Array;
  readonly #times: Float64Array;
  readonly #deviceName: (number: number) => string;
  readonly #kernels = new Map<number, KnownKernel>();

  constructor(memory: DeviceMemory, words: Int32Array, deviceName: (number: number) => string) {
    this.#memory = memory;
    this.#words = words;
    this.#times = new Float64Array(words.buffer, 0, words.length >>> 1);
    this.#deviceName = deviceName;
  }

  /** The record at `words[at]`. */
  event(at: number): ProfileEvent {
    const words = this.#words;
    const start = this.#times[(at + RecordRow.start) >>> 1];
    const common = {
      device: this.#memory.name,
      start,
      duration: Math.max(0, this.#times[(at + RecordRow.end) >>> 1] - start),
      sequence: words[at + RecordRow.sequence],
    };
    const message = at + RecordRow.message;
    const kind = (words[message] & 0xff) as MessageKind;
    if (words[at + RecordRow.what] === Recorded.wait) {
      return { ...common, kind: "wait", name: `wait in ${messageNames.get(kind)}`, bytes: 0, flops: 0 };
    }
    const event = { ...common, ...this.#content(kind, message) };
    return words[at + RecordRow.what] === Recorded.skipped ? { ...event, bytes: 0, flops: 0, skipped: true } : event;
  }

  #content(kind: MessageKind, message: number): Content {
    const words = this.#words;
    const word = (index: number): number => words[message + index];
    switch (kind) {
      case Message.run:
      case Message.runGuarded:
        return this.#launch(message);
      case Message.register:
        return { kind: "compile", name: this.#kernel(word(1)).kernel.name, bytes: 0, flops: 0 };
      case Message.collective:
        return this.#collective(message);
      case Message.upload:
        return { kind: "upload", name: "upload", bytes: word(4) >>> 0, flops: 0 };
      case Message.read:
        return { kind: "read", name: "read", bytes: word(4) >>> 0, flops: 0 };
      case Message.send:
      case Message.receive: {
        const name = kind === Message.send ? "send" : "receive";
        return { kind: "copy", name, bytes: word(4) >>> 0, flops: 0, peer: this.#deviceName(word(5)) };
      }
      case Message.pad:
      case Message.allocate:
      case Message.free:
      case Message.fence:
      case Message.guard:
      case Message.recover:
        throw new InternalError(`a ${messageNames.get(kind)} message was recorded`);
    }
  }

  #launch(message: number): Content {
    const words = this.#words;
    const { kernel, cost } = this.#kernel(words[message + 1]);
    const { modulePath, line } = describeSite(words[message + 2]);
    const site = [modulePath, line].filter((part) => part !== undefined).join(", ");
    const content = { kind: "kernel", name: kernel.name, ...cost.of(words, message + 3) } as const;
    return site === "" ? content : { ...content, site };
  }

  #collective(message: number): Content {
    const { kind, size, rank, root, operands, dtype } = decodeCall(
      { company, memory: this.#memory }, this.#words, message,
    );
    let [elements, own] = [0, 0];
    for (const operand of operands) {
      const { from, to } = partOf(operand.elements, rank, size);
      elements += operand.elements;
      own += to - from;
    }
    const others = elements - own;
    const width = itemSize(dtype);
    const common = { kind: "collective", name: collectiveNames[kind] } as const;
    switch (kind) {
      case Collective.allReduce: {
        const reduced = (size - 1) * own;
        return { ...common, bytes: (reduced + others) * width, flops: reduced };
      }
      case Collective.reduceScatter:
        return { ...common, bytes: (size - 1) * own * width, flops: (size - 1) * own };
      case Collective.allGather:
        return { ...common, bytes: others * width, flops: 0 };
      case Collective.broadcast:
        return { ...common, bytes: rank === root ? 0 : elements * width, flops: 0 };
      case Collective.guard:
        return { ...common, bytes: 0, flops: 0 };
    }
  }

  #kernel(number: number): KnownKernel {
    let known = this.#kernels.get(number);
    if (known === undefined) {
      const kernel = libraryKernel(this.#memory, number);
      this.#kernels.set(number, (known = { kernel, cost: new KernelCost(kernel) }));
    }
    return known;
  }
}

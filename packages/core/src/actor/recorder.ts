/**
 * The actor's side of profiles: writes down when messages began and ended, and the messages themselves, into a bounded
 * buffer in shared memory. What they mean is worked out by who reads it (profile/decode.ts). While nobody records, it
 * costs one look at a word for each run of messages that are taken from the ring together.
 */
import { clockOffset } from "./clock.ts";
import { Control, Message, RecordRow, Recorded, Recording, type MessageKind, type RecordedWhat } from "./protocol.ts";
import type { DeviceMemory } from "./shared.ts";

/** Kinds of messages that are worth a record, as bits. */
const recordedKinds = [
  Message.register, Message.run, Message.runGuarded, Message.upload, Message.read, Message.send, Message.receive,
  Message.collective,
].reduce((bits, kind) => bits | (1 << kind), 0);

export class Recorder {
  readonly #memory: DeviceMemory;
  readonly #control: Int32Array;
  readonly #ring: Int32Array;
  /** The recording that is written, or 0. */
  #number = 0;
  #words: Int32Array = new Int32Array(0);
  #times: Float64Array = new Float64Array(0);
  #end = 0;
  #limit = 0;
  /** Microseconds from the recording's beginning to the thread's own. */
  #offset = 0;

  constructor(memory: DeviceMemory) {
    this.#memory = memory;
    this.#control = memory.control;
    this.#ring = memory.ring;
  }

  /** Whether the messages that the actor runs are recorded. */
  get active(): boolean {
    return this.#number !== 0;
  }

  /** Looks whether the messages that follow are to be recorded. */
  begin(): boolean {
    const number = Atomics.load(this.#control, Control.recording);
    if (number !== this.#number) this.#open(number);
    return number !== 0;
  }

  /** Microseconds since the recording began. */
  now(): number {
    return performance.now() * 1000 + this.#offset;
  }

  /** Records the message of `size` words at `ring[at]`, which began at `start` and ends now. */
  recordMessage(kind: MessageKind, at: number, size: number, start: number, started: boolean): void {
    if ((recordedKinds & (1 << kind)) === 0) return;
    this.#write(started ? Recorded.message : Recorded.skipped, at, size, start);
  }

  /** Records a wait within the message in progress, which began at `start` and ends now. */
  recordWait(start: number): void {
    const at = this.#control[Control.position] & (this.#ring.length - 1);
    this.#write(Recorded.wait, at, 1, start);
  }

  #write(what: RecordedWhat, at: number, size: number, start: number): void {
    const words = this.#words;
    const record = this.#end;
    // Even, for the float64s of the next one.
    const length = (RecordRow.message + size + 1) & ~1;
    if (record + length > this.#limit) {
      words[Recording.dropped] += 1;
      return;
    }
    words[record + RecordRow.words] = length;
    words[record + RecordRow.what] = what;
    this.#times[(record + RecordRow.start) >>> 1] = start;
    this.#times[(record + RecordRow.end) >>> 1] = this.now();
    words[record + RecordRow.sequence] = this.#control[Control.started];
    const ring = this.#ring;
    for (let i = 0; i < size; i++) words[record + RecordRow.message + i] = ring[at + i];
    this.#end = record + length;
    Atomics.store(words, Recording.end, this.#end);
  }

  /** Turns to recording `number` (0: none): begins it, or goes on with it after a restart. */
  #open(number: number): void {
    this.#number = number;
    if (number === 0) return;
    const { recording } = this.#memory;
    this.#words = new Int32Array(recording, 0, recording.byteLength >>> 2);
    this.#times = new Float64Array(recording, 0, recording.byteLength >>> 3);
    const words = this.#words;
    if (words[Recording.number] !== number) {
      words[Recording.dropped] = 0;
      Atomics.store(words, Recording.end, Recording.records);
      Atomics.store(words, Recording.number, number);
    }
    this.#end = words[Recording.end];
    this.#limit = words[Recording.limit];
    this.#offset = clockOffset() - this.#times[Recording.origin >>> 1];
  }
}

/** A device's accounts, as its actor keeps them in the control block. */
import { Control } from "./protocol.ts";

export interface DeviceStats {
  /** Bytes that live storages hold now, their greatest sum so far, and bytes that the device keeps for reuse. */
  readonly bytesLive: number;
  readonly bytesPeak: number;
  readonly bytesPooled: number;
  /** Live storages. */
  readonly storages: number;
  /** Messages issued so far. */
  readonly messages: number;
  /** How often the actor's threads were started. */
  readonly starts: number;
}

/** The unit of the accounts, bytes. */
const accountUnit = 16;

export function deviceStats(control: Int32Array, messages: number): DeviceStats {
  const word = (index: number): number => Atomics.load(control, index);
  return {
    bytesLive: (word(Control.bytesLive) >>> 0) * accountUnit,
    bytesPeak: (word(Control.bytesPeak) >>> 0) * accountUnit,
    bytesPooled: (word(Control.bytesPooled) >>> 0) * accountUnit,
    storages: word(Control.storages),
    messages,
    starts: word(Control.epoch),
  };
}

/** Groups of devices that hold collectives, as the coordinator sees them. */
import { DeviceError, ShapeError } from "../errors.ts";
import { dtypes, itemSize, type DType } from "../tensor/dtype.ts";
import { company } from "./coordinator.ts";
import type { Device } from "./device.ts";
import { Collective, Group as Row, Message, Reduction, type CollectiveKind, type ReductionName } from "./protocol.ts";

/** A member's operand: `elements` elements of `dtype` at a byte offset of a storage on that member's device. */
export interface CollectiveOperand {
  readonly storage: number;
  readonly byteOffset: number;
  readonly elements: number;
  readonly dtype: DType;
}

const headWords = 7;

/**
 * Devices in the order of their ranks. All collectives work in place on operands of equal length, one a member in the
 * order of ranks; `partOf(elements, rank, size)` (protocol.ts) says which part belongs to a rank. A member's poison
 * poisons all results.
 */
export class Group {
  readonly devices: readonly Device[];
  readonly #number: number;
  #collectives = 0;

  constructor(devices: readonly Device[], number: number) {
    this.devices = devices;
    this.#number = number;
    const row = number * Row.words;
    devices.forEach((device, rank) => {
      company.groups[row + Row.members + rank] = device.number;
    });
    Atomics.store(company.groups, row + Row.size, devices.length);
  }

  get size(): number {
    return this.devices.length;
  }

  /** Every member gets the reduction over all members, summed in the order of ranks: the same bits on all. */
  allReduce(operands: readonly CollectiveOperand[], reduction: ReductionName = "sum"): void {
    this.#issue(Collective.allReduce, [operands], reduction, 0);
  }

  /**
   * Several all-reduces of one dtype for the meetings of one (`torch.distributed.all_reduce_coalesced`). Each has its
   * own poison.
   */
  allReduceTogether(all: readonly (readonly CollectiveOperand[])[], reduction: ReductionName = "sum"): void {
    for (let i = 0; i < all.length; i += Row.maxOperands) {
      this.#issue(Collective.allReduce, all.slice(i, i + Row.maxOperands), reduction, 0);
    }
  }

  /** Every member gets every member's part. */
  allGather(operands: readonly CollectiveOperand[]): void {
    this.#issue(Collective.allGather, [operands], "sum", 0);
  }

  /** Every member gets the elements of rank `root`; what they overwrite may be poisoned. */
  broadcast(operands: readonly CollectiveOperand[], root = 0): void {
    if (!(root >= 0 && root < this.size)) {
      throw new DeviceError(`broadcast from rank ${root} in a group of ${this.size}`);
    }
    this.#issue(Collective.broadcast, [operands], "sum", root);
  }

  /** Every member's own part gets the reduction over all members' same part; the other parts keep their elements. */
  reduceScatter(operands: readonly CollectiveOperand[], reduction: ReductionName = "sum"): void {
    this.#issue(Collective.reduceScatter, [operands], reduction, 0);
  }

  /** Sets every member's guard when one of them has its guard set (`Device.guard`), so that all skip a step or none. */
  guard(): void {
    const none = { storage: 0, byteOffset: 0, elements: 0, dtype: "uint8" } as const;
    this.#issue(Collective.guard, [this.devices.map(() => none)], "sum", 0);
  }

  /** The number of the next collective. */
  nextNumber(): number {
    this.#collectives = (this.#collectives + 1) | 0;
    return this.#collectives;
  }

  #issue(
    kind: CollectiveKind, all: readonly (readonly CollectiveOperand[])[], reduction: ReductionName, root: number,
  ): void {
    for (const operands of all) this.#assertAlike(operands, all[0]);
    // Room in all members before the first message: nobody is left waiting in a half-issued collective.
    for (const device of this.devices) device.mailbox.reserve(headWords + 3 * all.length);
    const head = [kind, this.#number, this.nextNumber(), dtypes.indexOf(all[0][0].dtype), Reduction[reduction], root];
    this.devices.forEach(({ mailbox }, rank) => {
      const message = [...head];
      for (const operands of all) {
        const { storage, byteOffset, elements } = operands[rank];
        message.push(storage, byteOffset, elements);
      }
      mailbox.postMany(Message.collective, message);
    });
  }

  /** @throws ShapeError where the members' operands do not have one length, or not the dtype of the message's first */
  #assertAlike(operands: readonly CollectiveOperand[], [{ dtype: common }]: readonly CollectiveOperand[]): void {
    const [first] = operands;
    if (operands.length !== this.size || first === undefined) {
      throw new ShapeError(`a collective of ${this.size} devices got ${operands.length} operands`);
    }
    for (const { elements, dtype, byteOffset } of operands) {
      if (elements !== first.elements || dtype !== common || byteOffset % itemSize(dtype) !== 0) {
        const [a, b] = [`${elements} x ${dtype}`, `${first.elements} x ${common}`];
        throw new ShapeError(`the operands of a collective differ: ${a} and ${b}`);
      }
    }
  }
}

const groups = new Map<string, Group>();
/** By number. */
const numbered: Group[] = [];

/** A number for a collective of group `number` that is issued again. */
export function collectiveNumber(number: number): number {
  return numbered[number].nextNumber();
}

/** The group of these devices, in this order; the same object each time. */
export function group(devices: readonly Device[]): Group {
  if (devices.length === 0 || devices.length > Row.maxMembers || new Set(devices).size !== devices.length) {
    throw new DeviceError(`a group needs 1 to ${Row.maxMembers} different devices`);
  }
  const key = devices.map((device) => device.number).join();
  let found = groups.get(key);
  if (found === undefined) {
    if (groups.size >= Row.max) throw new DeviceError(`more than ${Row.max} groups were made in this process`);
    found = new Group(devices, groups.size);
    groups.set(key, found);
    numbered.push(found);
  }
  return found;
}

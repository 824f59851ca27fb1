/**
 * Every error that Troupe throws on purpose. Each says what went wrong, where (op, device) and what to do about it, so that a
 * caller can branch on the class and a reader can act on the message.
 */

/** What is known about the place of an error. */
export interface ErrorPlace {
  /** The op's name in the op table, for instance `"matmul"`. */
  readonly op?: string;
  /** The device's name, for instance `"cpu:0"`. */
  readonly device?: string;
  /** The path of the module whose `forward` issued the op, for instance `"0.linear"`. */
  readonly modulePath?: string;
  /** The op's number in its device's stream. */
  readonly sequence?: number;
  /** What the reader can do about it. */
  readonly remedy?: string;
}

/** The root of Troupe's errors. */
export class TroupeError extends Error {
  override readonly name: string = "TroupeError";
  readonly place: ErrorPlace;

  constructor(message: string, place: ErrorPlace = {}, options?: ErrorOptions) {
    super(withPlace(message, place), options);
    this.place = place;
  }
}

function withPlace(message: string, place: ErrorPlace): string {
  const where = [
    place.op === undefined ? "" : `op ${place.op}`,
    place.device === undefined ? "" : `device ${place.device}`,
    place.modulePath ? `module ${place.modulePath}` : "",
    place.sequence === undefined ? "" : `sequence ${place.sequence}`,
  ].filter((part) => part !== "");
  const suffix = where.length === 0 ? "" : ` [${where.join(", ")}]`;
  return place.remedy === undefined ? `${message}${suffix}` : `${message}${suffix}\n  ${place.remedy}`;
}

/** Shapes, sizes, strides or dimensions do not fit. */
export class ShapeError extends TroupeError {
  override readonly name = "ShapeError";
}

/** An op or a device does not take this dtype. */
export class DTypeError extends TroupeError {
  override readonly name = "DTypeError";
}

/** A value (an index, a label, a probability, an option) is outside of what is allowed. */
export class ValueError extends TroupeError {
  override readonly name = "ValueError";
}

/** Something that a captured step may not do: read, upload, or capture another one. */
export class CaptureError extends TroupeError {
  override readonly name = "CaptureError";
}

/** Operands are on different devices, or a device is unknown or cannot do what was asked. */
export class DeviceError extends TroupeError {
  override readonly name: string = "DeviceError";
}

/** The device was closed, or never came up. */
export class DeviceClosedError extends DeviceError {
  override readonly name: string = "DeviceClosedError";
}

/** A device's memory limit is reached. */
export class OutOfMemoryError extends DeviceError {
  override readonly name: string = "OutOfMemoryError";
}

/** An actor died while it worked on the operation. */
export class DeviceLostError extends DeviceError {
  override readonly name: string = "DeviceLostError";
}

/** A tensor's contents did not survive its actor's death. */
export class LostError extends DeviceLostError {
  override readonly name = "LostError";
}

/** Autograd cannot do what was asked: a freed graph, an in-place change of a saved tensor, a leaf written in place. */
export class AutogradError extends TroupeError {
  override readonly name = "AutogradError";
}

/** A tensor was used after `dispose()` or after its storage was handed off. */
export class DisposedError extends TroupeError {
  override readonly name = "DisposedError";
}

/** Troupe itself is at fault: a kernel that does not compile, a broken invariant. Please report it. */
export class InternalError extends TroupeError {
  override readonly name = "InternalError";
}

/** Meshes: devices in a grid whose axes have names, as `deviceMesh(devices, { dp: 2, tp: 2 })`. */
import { device, DeviceError, group, ValueError } from "@troupe/core/executor";
import type { Device, Group } from "@troupe/core/executor";

let made = 0;

export class DeviceMesh {
  /** By rank: the last axis runs fastest. */
  readonly devices: readonly Device[];
  /** Names of the axes. */
  readonly axes: readonly string[];
  /** How many devices stand along each axis. */
  readonly sizes: readonly number[];
  /** Tells meshes apart. */
  readonly number: number = made++;
  readonly #lines: (readonly Line[])[] = [];
  #group: Group | undefined;

  constructor(devices: readonly Device[], axes: readonly string[], sizes: readonly number[]) {
    this.devices = devices;
    this.axes = axes;
    this.sizes = sizes;
  }

  /** How many devices there are. */
  get size(): number {
    return this.devices.length;
  }

  /** All devices, as they hold collectives. */
  get group(): Group {
    return (this.#group ??= group(this.devices));
  }

  /** The number of an axis. @throws ValueError for an unknown name */
  axis(name: string): number {
    const axis = this.axes.indexOf(name);
    if (axis < 0)
      throw new ValueError(`the mesh has no axis "${name}"`, { remedy: `Its axes are ${this.axes.join(", ")}.` });
    return axis;
  }

  /** Where a rank stands along each axis. */
  coordinates(rank: number): readonly number[] {
    const result = new Array<number>(this.sizes.length);
    let rest = rank;
    for (let axis = this.sizes.length - 1; axis >= 0; axis--) {
      result[axis] = rest % this.sizes[axis];
      rest = Math.floor(rest / this.sizes[axis]);
    }
    return result;
  }

  /** The lines of devices along an axis: each rank is on one, in the order of its coordinate. */
  lines(axis: number): readonly Line[] {
    return (this.#lines[axis] ??= this.#linesAlong(axis));
  }

  #linesAlong(axis: number): Line[] {
    const step = this.sizes.slice(axis + 1).reduce((product, size) => product * size, 1);
    const result: Line[] = [];
    for (let rank = 0; rank < this.size; rank++) {
      if (this.coordinates(rank)[axis] !== 0) continue;
      const ranks = Array.from({ length: this.sizes[axis] }, (_, i) => rank + i * step);
      result.push(
        new Line(
          ranks,
          ranks.map((member) => this.devices[member]),
        ),
      );
    }
    return result;
  }

  /**
   * The part of the mesh where the named axes have these coordinates: `mesh.at({ pp: 0 })` is the first stage's mesh.
   * The axes named go; a mesh of which none are left has one axis of one device.
   * @throws ValueError for an unknown axis or a coordinate outside of it
   */
  at(where: Readonly<Record<string, number>>): DeviceMesh {
    const fixed = new Map<number, number>();
    for (const [name, coordinate] of Object.entries(where)) {
      const axis = this.axis(name);
      if (!(coordinate >= 0 && coordinate < this.sizes[axis])) {
        throw new ValueError(`axis "${name}" has ${this.sizes[axis]} places; there is no place ${coordinate}`);
      }
      fixed.set(axis, coordinate);
    }
    const devices = this.devices.filter((_, rank) => {
      const own = this.coordinates(rank);
      return [...fixed].every(([axis, coordinate]) => own[axis] === coordinate);
    });
    const kept = this.axes.map((_, axis) => axis).filter((axis) => !fixed.has(axis));
    if (kept.length === 0) return new DeviceMesh(devices, ["device"], [1]);
    return new DeviceMesh(
      devices,
      kept.map((axis) => this.axes[axis]),
      kept.map((axis) => this.sizes[axis]),
    );
  }

  toString(): string {
    const sizes = this.axes.map((name, axis) => `${name}: ${this.sizes[axis]}`).join(", ");
    return `DeviceMesh({ ${sizes} }, [${this.devices.map(({ name }) => name).join(", ")}])`;
  }
}

/** The devices of a mesh along one axis, with the collectives that they hold. */
export class Line {
  /** Ranks in the mesh. */
  readonly ranks: readonly number[];
  readonly #devices: readonly Device[];
  #group: Group | undefined;

  constructor(ranks: readonly number[], devices: readonly Device[]) {
    this.ranks = ranks;
    this.#devices = devices;
  }

  get group(): Group {
    return (this.#group ??= group(this.#devices));
  }
}

/**
 * A mesh of devices, by handle or name.
 * @param axes the size of each axis by name; by default one axis `dp` over all
 * @throws ValueError where the sizes do not fit the devices; DeviceError where a device comes twice
 */
export function deviceMesh(
  devices: readonly (Device | string)[],
  axes: Readonly<Record<string, number>> = { dp: devices.length },
): DeviceMesh {
  const handles = devices.map((name) => device(name));
  if (handles.length === 0) throw new ValueError("a mesh needs at least one device");
  if (new Set(handles).size !== handles.length) throw new DeviceError("a device comes twice in the mesh");
  const sizes = Object.values(axes);
  const places = sizes.reduce((product, size) => product * size, 1);
  if (sizes.length === 0 || sizes.some((size) => !Number.isInteger(size) || size < 1) || places !== handles.length) {
    const text = Object.entries(axes)
      .map(([name, size]) => `${name}: ${size}`)
      .join(", ");
    throw new ValueError(`a mesh of { ${text} } does not hold ${handles.length} devices`, {
      remedy: "The product of the axes' sizes is the number of devices.",
    });
  }
  return new DeviceMesh(handles, Object.keys(axes), sizes);
}

/** Tensors onto meshes, between placements, and back to one device. */
import { isGradEnabled, noGrad, Node, ValueError } from "@troupe/core/executor";
import type { Device, Edge, Gradients, LocalValue, Value } from "@troupe/core/executor";
import { Tensor } from "@troupe/core";
import type { DeviceMesh } from "./mesh.ts";
import { adjoint } from "./placement.ts";
import type { Partial, Placement } from "./placement.ts";
import { collect, redistribute as moved, spread } from "./redistribute.ts";
import { keepingResults } from "./scope.ts";
import { isSharded } from "./value.ts";
import type { ShardedValue } from "./value.ts";

/** Another place for the same elements: the gradient passes, and goes to where it is cheap for the other side. */
class Redistribution extends Node {
  readonly name = "RedistributeBackward0";
  readonly edges: readonly [Edge | undefined];
  readonly #back: (gradient: Tensor) => Tensor;

  constructor(edge: Edge | undefined, back: (gradient: Tensor) => Tensor) {
    super();
    this.edges = [edge];
    this.#back = back;
  }

  override apply([gradient]: Gradients): (Tensor | undefined)[] {
    return [gradient === undefined ? undefined : this.#back(gradient)];
  }
}

function relocated(x: Tensor, value: Value, back: (gradient: Tensor) => Tensor): Tensor {
  if (value === x.value) return x;
  const result = new Tensor(value);
  if (isGradEnabled() && x.requiresGrad) result.setHistory(new Redistribution(x.edge, back), 0);
  return result;
}

function only<V extends Value>(make: () => V): V {
  return keepingResults(() => [make()])[0];
}

/** Negative dimensions count from the end. */
function normalized(placements: readonly Placement[], rank: number): Placement[] {
  return placements.map((placement) =>
    placement.kind === "shard" && placement.dim < 0 ? { kind: "shard", dim: placement.dim + rank } : placement,
  );
}

/**
 * The tensor over a mesh, one placement for each of its axes (those left out replicate). Of a tensor on one device the
 * parts are sent to theirs; one that is on the mesh already is redistributed. Differentiable.
 * @throws ShapeError for a shard of a dimension that is not there; ValueError where the tensor is on another mesh
 */
export function distributeTensor(x: Tensor, mesh: DeviceMesh, placements: readonly Placement[]): Tensor {
  const { value } = x;
  if (isSharded(value)) {
    if (value.layout.mesh !== mesh)
      throw new ValueError("the tensor is on another mesh", {
        op: "distributeTensor",
        remedy: "Take it to one device with fullTensor() first.",
      });
    return redistribute(x, placements);
  }
  const made = only(() => spread(value as LocalValue, mesh, normalized(placements, x.dim())));
  return relocated(x, made, (gradient) => fullTensor(gradient, { device: value.device }));
}

/**
 * A sharded tensor under other placements. Differentiable: its gradient comes back as is cheapest for the placements
 * before.
 */
export function redistribute(x: Tensor, placements: readonly Placement[]): Tensor {
  const value = shardedValueOf(x, "redistribute");
  const before = value.layout.placements;
  return relocated(
    x,
    only(() => moved(value, normalized(placements, x.dim()))),
    (gradient) => towards(gradient, before),
  );
}

/** A gradient whole or in shards, as its tensor is; addends stay addends until somebody needs their sum. */
function towards(gradient: Tensor, before: readonly Placement[]): Tensor {
  if (!isSharded(gradient.value)) return gradient;
  const { placements } = gradient.value.layout;
  return redistribute(
    gradient,
    placements.map((placement, axis) => {
      const source = before[axis];
      if (source.kind === "replicate" || (source.kind === "partial" && source.reduction !== "sum")) return placement;
      return adjoint(source.kind === "partial" ? (source as Partial<"sum">) : source);
    }),
  );
}

/**
 * The whole tensor on one device, by default the first of its mesh; a tensor that is on one device stays.
 * Differentiable.
 */
export function fullTensor(x: Tensor, options: { readonly device?: Device } = {}): Tensor {
  const { value } = x;
  if (!isSharded(value)) return options.device === undefined ? x : x.to(options.device);
  const { mesh, placements } = value.layout;
  return relocated(
    x,
    only(() => collect(value, options.device ?? mesh.devices[0])),
    (gradient) =>
      isSharded(gradient.value)
        ? gradient
        : distributeTensor(
            gradient,
            mesh,
            placements.map((placement) => (placement.kind === "partial" ? { kind: "replicate" } : placement)),
          ),
  );
}

/** The placements of a tensor over its mesh, or undefined for one on a single device. */
export function placementsOf(x: Tensor): readonly Placement[] | undefined {
  return isSharded(x.value) ? x.value.layout.placements : undefined;
}

/** The mesh of a tensor, or undefined for one on a single device. */
export function meshOf(x: Tensor): DeviceMesh | undefined {
  return isSharded(x.value) ? x.value.layout.mesh : undefined;
}

function shardedValueOf(x: Tensor, op: string): ShardedValue {
  if (isSharded(x.value)) return x.value;
  throw new ValueError("the tensor is on one device", { op, remedy: "Put it on a mesh with distributeTensor()." });
}

/** Puts a leaf's value (a parameter, a buffer) and its gradient on a mesh: the tensor stays the same object. */
export function distributeInPlace(x: Tensor, mesh: DeviceMesh, placements: readonly Placement[]): void {
  noGrad(() => {
    const { grad } = x;
    x.replaceValue(distributeTensor(new Tensor(x.value), mesh, placements).value);
    if (grad !== undefined) distributeInPlace(grad, mesh, placements);
  });
}

/** The executor of sharded values: each op runs on every device's part, after operands that do not fit were moved. */
import { copyInto, device as deviceOf, DeviceError, local, taping, TroupeError } from "@troupe/core/executor";
import type { Executor, LocalValue, Meta, Op, Value } from "@troupe/core/executor";
import { decide } from "./decide.ts";
import type { Plan } from "./decide.ts";
import type { Layout } from "./layout.ts";
import type { DeviceMesh } from "./mesh.ts";
import { readParts } from "./read.ts";
import { arrange, collect, copyOf, everywhere, redistribute, settleAll, spread } from "./redistribute.ts";
import { rewriteOf } from "./rewrites.ts";
import { keepingResults, outOfScope, owningResults } from "./scope.ts";
import { isSharded, setShardedExecutor, sharded, ShardedValue } from "./value.ts";

type Operand = ShardedValue | number;
type Parts = readonly LocalValue[];

function meshOf(values: readonly (Value | number)[], op: string): DeviceMesh {
  let mesh: DeviceMesh | undefined;
  for (const value of values) {
    if (!isSharded(value)) continue;
    const own = value.layout.mesh;
    if (mesh === undefined) mesh = own;
    else if (mesh !== own) {
      throw new DeviceError(
        `Expected all tensors to be on the same mesh, but found ${mesh.toString()} and ${own.toString()}`,
        {
          op,
          remedy: "Move one of them with distributeTensor(), or take it to one device with fullTensor().",
        },
      );
    }
  }
  if (mesh === undefined) throw new DeviceError("an op without a sharded operand came to the sharded executor", { op });
  return mesh;
}

/** What a local value looks like from a mesh; good until it is written to. */
class Sight {
  readonly value: ShardedValue;
  readonly #version: number;

  constructor(own: LocalValue, mesh: DeviceMesh) {
    this.#version = own.version;
    this.value = outOfScope(() => everywhere(own, mesh));
  }

  isOf(own: LocalValue, mesh: DeviceMesh): boolean {
    return this.#version === own.version && this.value.layout.mesh === mesh && !this.value.memory.disposed;
  }
}

function operandOf(value: Value | number, mesh: DeviceMesh, op: string): Operand {
  if (typeof value === "number") return value;
  if (isSharded(value)) {
    for (const own of value.locals) own.assertLive(op);
    return value;
  }
  const own = value as LocalValue;
  own.assertLive(op);
  // What is captured is issued again when the value may have changed: nothing is kept from one time to the next.
  if (taping !== undefined) return everywhere(own, mesh);
  const { note } = own;
  if (note instanceof Sight && note.isOf(own, mesh)) return note.value;
  const sight = new Sight(own, mesh);
  own.note = sight;
  return sight.value;
}

function lyingOf(operands: readonly Operand[]): (number | ShardedValue["layout"])[] {
  return operands.map((operand) => (typeof operand === "number" ? operand : operand.layout));
}

/** The operands' parts as the plan wants them; numbers stand for themselves. */
function arranged(plan: Plan<never>, operands: readonly Operand[]): (Parts | number)[] {
  return operands.map((operand, i) => {
    if (typeof operand === "number") return operand;
    const wanted = plan.inputs[i];
    return wanted === undefined ? operand.locals : arrange(operand, wanted);
  });
}

/**
 * Finishes reductions of memory that the plan would read both ways, pending in one place and finished in another (as
 * `a.mul(a)` of a sum over devices): finishing is done in place, so both would find it finished.
 * @returns whether there was any, so that the plan is void
 */
function settleShared(wanted: readonly (Layout | undefined)[], operands: readonly Operand[]): boolean {
  const shared = operands.filter(
    (one, i): one is ShardedValue =>
      isSharded(one) &&
      one.memory.pending.some((reduction) => reduction !== undefined) &&
      operands.some((other, j) => isSharded(other) && other.memory === one.memory && wanted[j] !== wanted[i]),
  );
  for (const value of shared) value.settle();
  return shared.length > 0;
}

function issue<A>(plan: Plan<A>, parts: readonly (Parts | number)[], attrs: A, target?: ShardedValue): LocalValue[][] {
  return plan.runs.map((run, rank) =>
    run(
      parts.map((part) => (typeof part === "number" ? part : part[rank])),
      attrs,
      plan.parts[rank],
      target?.locals[rank],
    ),
  );
}

function compute<A>(op: Op<A>, operands: readonly Operand[], attrs: A, mesh: DeviceMesh): readonly ShardedValue[] {
  const steps = rewriteOf(op, operands, attrs);
  if (steps !== undefined) {
    return keepingResults(() => [steps((inner, inputs, own) => compute(inner, inputs, own, mesh)[0])]);
  }
  let plan = decide(mesh, op, lyingOf(operands), attrs);
  if (settleShared(plan.inputs, operands)) plan = decide(mesh, op, lyingOf(operands), attrs);
  const { outputs } = plan;
  const scope = op.isView || !isArranged(plan, operands) ? keepingResults : owningResults;
  return scope(() => {
    const results = issue(plan, arranged(plan, operands), attrs);
    return outputs.map((layout, i) => {
      const parts = results.map((ofRank) => ofRank[i]);
      return op.isView ? viewed(operands[0], layout, parts) : new ShardedValue(layout, parts);
    });
  });
}

/** Whether all operands lie as the plan wants them. */
function isArranged(plan: Plan<never>, operands: readonly Operand[]): boolean {
  return operands.every((operand, i) => {
    const wanted = plan.inputs[i];
    return typeof operand === "number" || wanted === undefined || wanted === operand.layout;
  });
}

/** A view shares its input's memory, unless elements had to be moved for it. */
function viewed(input: Operand, layout: ShardedValue["layout"], parts: Parts): ShardedValue {
  if (typeof input !== "number" && parts.every(({ storage }, rank) => storage === input.memory.storages[rank])) {
    return new ShardedValue(layout, parts, input.memory, input.isDetached);
  }
  // What is pending is reduced storage by storage: they have to be alike on all devices.
  const own = layout.placements.some(({ kind }) => kind === "partial") ? parts.map(copyOf) : parts;
  return new ShardedValue(layout, own, undefined, true);
}

/** Runs an op into the parts of `target`. */
function computeInto<A>(op: Op<A>, operands: readonly Operand[], attrs: A, target: ShardedValue): void {
  if (target.isDetached) {
    throw new TroupeError(
      "an in-place write to a view of a sharded tensor whose elements had to be moved would be lost",
      {
        op: op.name,
        remedy: "Write to the whole tensor, use the out-of-place form, or clone() the view first.",
      },
    );
  }
  const { mesh } = target.layout;
  keepingResults<ShardedValue>(() => {
    let plan = decide(mesh, op, lyingOf(operands), attrs, target.layout);
    if (plan === undefined && target.memory.pending.some((reduction) => reduction !== undefined)) {
      target.settle();
      plan = decide(mesh, op, lyingOf(operands), attrs, target.layout);
    }
    if (plan !== undefined && settleShared([...plan.inputs, plan.outputs[0]], [...operands, target])) {
      plan = decide(mesh, op, lyingOf(operands), attrs, target.layout);
    }
    if (plan !== undefined) {
      issue(plan, arranged(plan, operands), attrs, target);
      return [];
    }
    const [result] = compute(op, operands, attrs, mesh);
    arrange(result, target.layout).forEach((part, rank) => copyInto(part, target.locals[rank]));
    return [];
  });
}

export const shardedExecutor: Executor = {
  name: "sharded",

  run<A>(op: Op<A>, inputs: readonly (Value | number)[], attrs: A): Value[] {
    if (op.name === "transfer") return transfer(sharded(inputs[0] as Value), (attrs as { readonly to: string }).to);
    const mesh = meshOf(inputs, op.name);
    const operands = inputs.map((input) => operandOf(input, mesh, op.name));
    return [...compute(op, operands, attrs, mesh)];
  },

  runInto<A>(op: Op<A>, inputs: readonly (Value | number)[], attrs: A, _outputs: readonly Meta[], target: Value): void {
    const mesh = meshOf([target, ...inputs], op.name);
    const operands = inputs.map((input) => operandOf(input, mesh, op.name));
    if (isSharded(target)) {
      computeInto(op, operands, attrs, target);
      return;
    }
    const [own, device] = [target as LocalValue, target.device];
    keepingResults(() => {
      copyInto(collect(compute(op, operands, attrs, mesh)[0], device), own);
      return [];
    });
  },

  read: async (value: Value): Promise<Uint8Array> => {
    const { pieces, assemble } = readParts(sharded(value));
    return assemble(await Promise.all(pieces.map((piece) => local.read(piece))));
  },

  readSync(value: Value): Uint8Array {
    const { pieces, assemble } = readParts(sharded(value));
    return assemble(pieces.map((piece) => local.readSync(piece)));
  },

  dispose(value: Value): void {
    sharded(value).memory.dispose();
  },

  isDisposed(value: Value): boolean {
    return sharded(value).memory.disposed;
  },

  locals(value: Value): readonly LocalValue[] {
    return sharded(value).locals;
  },

  settle(gradients: readonly Value[], parameters: readonly Value[]): readonly Value[] {
    settleAll(gradients.filter(isSharded));
    return keepingResults(() =>
      gradients.map((gradient, i) => {
        const { layout } = sharded(parameters[i]);
        if (!isSharded(gradient)) return spread(gradient as LocalValue, layout.mesh, layout.placements);
        if (gradient.layout.mesh !== layout.mesh)
          return spread(collect(gradient, layout.mesh.devices[0]), layout.mesh, layout.placements);
        return gradient.layout === layout ? gradient : redistribute(gradient, layout.placements);
      }),
    );
  },
};

function transfer(value: ShardedValue, to: string): Value[] {
  return [...keepingResults(() => [collect(value, deviceOf(to))])];
}

setShardedExecutor(shardedExecutor);

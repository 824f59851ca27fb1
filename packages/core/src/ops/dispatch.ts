/** From tensors to executors and back: every op call passes here, out of place (`apply`) or in place (`applyTo`). */
import { enableGrad, isGradEnabled, noGrad } from "../autograd/mode.ts";
import { OpNode } from "../autograd/op-node.ts";
import type { Edge, Node } from "../autograd/node.ts";
import { ViewRecord } from "../autograd/views.ts";
import { AutogradError, DTypeError, ShapeError } from "../errors.ts";
import { isFloat, isInteger } from "../tensor/dtype.ts";
import type { DType } from "../tensor/dtype.ts";
import { sameShape } from "../tensor/shape.ts";
import { isTensor, Tensor } from "../tensor/tensor.ts";
import type { Executor, Meta, Value } from "../tensor/value.ts";
import { local } from "./local.ts";
import type { Op } from "./op.ts";

/** Runs an op; for one that has several outputs use `applyAll`. */
export function apply<A>(op: Op<A>, inputs: readonly (Tensor | number)[], attrs: A): Tensor {
  const values = valuesOf(inputs, op.name);
  const output = wrap(op, executorOf(values).run(op, values, attrs)[0], inputs, attrs);
  if (isFloat(output.dtype) && isRecorded(op, inputs)) record(op, attrs, inputs, output, undefined);
  return output;
}

export function applyAll<A>(op: Op<A>, inputs: readonly (Tensor | number)[], attrs: A): Tensor[] {
  const values = valuesOf(inputs, op.name);
  const outputs = executorOf(values).run(op, values, attrs).map((value) => wrap(op, value, inputs, attrs));
  if (isFloat(outputs[0].dtype) && isRecorded(op, inputs)) record(op, attrs, inputs, outputs[0], outputs[1]);
  return outputs;
}

function wrap<A>(op: Op<A>, value: Value, inputs: readonly (Tensor | number)[], attrs: A): Tensor {
  return op.isView ? new Tensor(value, false, viewRecord(op, inputs[0], attrs)) : new Tensor(value);
}

/**
 * Runs an op in place: the result is written into `target`, which is usually the op's first input too.
 * @throws AutogradError on a leaf that requires a gradient; ShapeError and DTypeError where the result does not fit
 */
export function applyTo<A>(op: Op<A>, target: Tensor, inputs: readonly (Tensor | number)[], attrs: A): Tensor {
  const values = valuesOf(inputs, op.name);
  const recorded = isRecorded(op, inputs) || (isGradEnabled() && hasHistory(target));
  if (recorded) assertWritable(target, op.name);
  const outputs = op.infer(values, attrs);
  assertFits(outputs[0], target, op.name);
  const node = recorded && isFloat(target.dtype) ? opNode(op, attrs, inputs, target, target) : undefined;
  if (node !== undefined) keep(op, node, inputs, undefined, undefined, target);
  const { executor } = target.value;
  (executor === local ? executorOf(values) : executor).runInto(op, values, attrs, outputs, target.value);
  target.value.version++;
  if (node !== undefined) {
    setInPlaceHistory(target, node, inputs.indexOf(target));
    keep(op, node, [], target, undefined);
  }
  return target;
}

/** Whether a write to the tensor changes something that wants a gradient. */
export function hasHistory(target: Tensor): boolean {
  return target.requiresGrad || target.view$?.base.requiresGrad === true;
}

/** Makes `node`, one of whose inputs `target` was (-1: none), the history of what `target` holds now. */
export function setInPlaceHistory(target: Tensor, node: Node, input: number): void {
  if (target.view$ === undefined) target.setHistory(node, 0);
  else target.view$.rebase(target, node, input);
}

/** @throws AutogradError where autograd forbids a recorded write to `target` */
export function assertWritable(target: Tensor, op: string): void {
  const view = target.view$;
  if (view !== undefined) {
    view.assertReplayable(target, "is being");
    if (view.base.isLeaf && (target.requiresGrad || view.base.requiresGrad)) throw leafError("a view of a leaf Variable", op);
  }
  if (target.isLeaf && target.requiresGrad) throw leafError("a leaf Variable", op);
}

function leafError(what: string, op: string): AutogradError {
  return new AutogradError(`${what} that requires grad is being used in an in-place operation.`, {
    op,
    remedy: "Write inside noGrad(), or to a clone().",
  });
}

function assertFits(result: Meta, target: Tensor, op: string): void {
  if (!sameShape(result.shape, target.shape)) {
    throw new ShapeError(
      `output with shape [${target.shape.join(", ")}] doesn't match the broadcast shape [${result.shape.join(", ")}]`,
      { op },
    );
  }
  if (!canCast(result.dtype, target.dtype)) {
    throw new DTypeError(`result type ${result.dtype} can't be cast to the desired output type ${target.dtype}`, {
      op,
      remedy: `Convert the operand first, or use the out-of-place form.`,
    });
  }
}

/** Whether a result may be stored as `target` (`torch.can_cast`): never to a lower category. */
function canCast(result: DType, target: DType): boolean {
  if (isFloat(result)) return isFloat(target);
  if (isInteger(result)) return target !== "bool";
  return true;
}

/** What a caller that has no types passed in a tensor's place. */
function describe(x: unknown): string {
  if (x === null || x === undefined) return String(x);
  return x instanceof Promise ? "a promise (await it)" : Array.isArray(x) ? "an array" : typeof x;
}

function valuesOf(inputs: readonly (Tensor | number)[], op: string): (Value | number)[] {
  const values = new Array<Value | number>(inputs.length);
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i];
    if (typeof input === "number") values[i] = input;
    else if (isTensor(input)) values[i] = input.value;
    else throw new DTypeError(`argument ${i} must be Tensor or number, not ${describe(input)}`, { op });
  }
  return values;
}

/** Ops go to the executor of their operands; a local value beside another executor's is that executor's to interpret. */
function executorOf(values: readonly (Value | number)[]): Executor {
  for (const value of values) {
    if (typeof value !== "number" && value.executor !== local) return value.executor;
  }
  return local;
}

function isRecorded<A>(op: Op<A>, inputs: readonly (Tensor | number)[]): boolean {
  if (!isGradEnabled()) return false;
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i];
    if (typeof input !== "number" && input.requiresGrad && op.gradientOf(i) !== undefined) return true;
  }
  return false;
}

/** `target`: what an in-place op writes to; its history goes on even where the op has no gradient for it. */
function opNode<A>(op: Op<A>, attrs: A, inputs: readonly (Tensor | number)[], output: Tensor, target?: Tensor): OpNode<A> {
  const edges = new Array<Edge | undefined>(inputs.length);
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i];
    edges[i] = typeof input === "number" || (op.gradientOf(i) === undefined && input !== target) ? undefined : input.edge;
  }
  return new OpNode(op, attrs, edges, inputs, output.value);
}

/**
 * Keeps what the wanted gradients read of the inputs (and, where given, of the outputs). Of the `target` of an in-place op, which
 * is written to next, a copy.
 */
function keep<A>(
  op: Op<A>,
  node: OpNode<A>,
  inputs: readonly (Tensor | number)[],
  y: Tensor | undefined,
  z: Tensor | undefined,
  target?: Tensor,
): void {
  const { edges } = node;
  for (let i = 0; i < edges.length; i++) {
    if (edges[i] === undefined) continue;
    const saves = op.gradientOf(i)?.saves ?? "";
    for (let k = 0; k < saves.length; k++) {
      const letter = saves[k];
      if (node.keeps(letter)) continue;
      if (letter === "y" || letter === "z") {
        const output = letter === "y" ? y : z;
        if (output !== undefined) node.keepOutput(letter, output, output.edge);
      } else {
        const input = inputs[letter.charCodeAt(0) - 97];
        if (input === undefined || typeof input === "number") continue;
        node.keepInput(letter, input === target ? noGrad(() => input.clone()) : input);
      }
    }
  }
}

function record<A>(op: Op<A>, attrs: A, inputs: readonly (Tensor | number)[], y: Tensor, z: Tensor | undefined): void {
  const node = opNode(op, attrs, inputs, y);
  y.setHistory(node, 0);
  keep(op, node, inputs, y, z);
}

function viewRecord<A>(op: Op<A>, input: Tensor | number, attrs: A): ViewRecord | undefined {
  if (typeof input === "number" || !isFloat(input.dtype)) return undefined;
  const outer = input.view$;
  const again = (base: Tensor): Tensor => enableGrad(() => apply(op, [base], attrs));
  const recorded = isGradEnabled();
  if (outer === undefined) return new ViewRecord(input, again, recorded);
  return new ViewRecord(outer.base, (base) => again(outer.replay(base)), recorded && outer.isRecorded);
}

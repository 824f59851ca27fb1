/**
 * Captured steps: a function that only issues work (a training step, say) runs as it stands the first time and is
 * recorded the second; from then on its messages are issued again, without shapes, gradients or op table in between.
 * What CUDA graphs are to PyTorch (`torch.cuda.graph`, `torch.cuda.make_graphed_callables`).
 */
import { defaultDeviceName } from "./actor/registry.ts";
import { Tape } from "./actor/tape.ts";
import { shown } from "./arguments.ts";
import { isGradEnabled, noGrad } from "./autograd/mode.ts";
import { CaptureError, ValueError } from "./errors.ts";
import { getDefaultDtype } from "./tensor/dtype.ts";
import { getRngState, setRngState } from "./tensor/generator.ts";
import { hold, tidy } from "./tensor/memory.ts";
import { sameShape } from "./tensor/shape.ts";
import { isTensor, Tensor } from "./tensor/tensor.ts";
import { collectStorages } from "./tensor/value.ts";
import type { LocalValue, Memory } from "./tensor/value.ts";

/** What a captured step may be called with: tensors are copied in at each call; all else is part of the capture. */
export type CaptureInput = Tensor | number | boolean | string | undefined;

export interface CapturedStep<A extends readonly CaptureInput[], R> {
  (...inputs: A): R;
  /** How often the step was recorded so far. */
  readonly captures: number;
  /** Frees what the captures hold: their inputs and results. Gradients stay. Later calls throw. */
  dispose(): void;
  [Symbol.dispose](): void;
}

export interface CaptureOptions {
  /**
   * Whether launches are fused where what lies between them is nobody's: elementwise chains, what feeds a reduction, and what
   * is made of its result. The values are the same. Default: true, unless the environment says `TROUPE_FUSE=0`.
   */
  readonly fuse?: boolean;
}

/** Captures kept: for different inputs, and for gradients that are there or not. */
const mostCaptures = 8;
/** Kinds of inputs remembered as having been seen. */
const mostSeen = 64;

/** One recording: what it reads, what it gives, and its messages. */
interface Capture<R> {
  readonly tape: Tape;
  readonly inputs: readonly CaptureInput[];
  readonly setting: string;
  readonly result: R;
  /** The tensors that each run gives anew: those in the result, and gradients. */
  readonly outputs: readonly Tensor[];
  /** Their memory, as far as the step took it. */
  readonly memory: readonly Memory[];
}

/** A captured step runs for the first time, or is recorded. */
let isRunning = false;

/**
 * `step` as a function that is recorded at its second call with inputs of some shapes, and issued again as it was
 * recorded at later ones. For a step that is called often, with small kernels above all: a call costs the
 * coordinator a few microseconds.
 *
 * - The step is synchronous and issues work only: forward, `backward()`, an optimizer's `step()`. Reading a result,
 *   making a tensor from data, seeding, and calling another captured step in it throw a CaptureError.
 * - It sees copies of the tensors among its inputs, without their gradients.
 * - What it returns (tensors, in arrays and plain objects too) has no graph, lies in one place and is overwritten by
 *   the next call, as are gradients that it makes: read them before, or `clone()` them.
 * - All else that it makes is freed at its end (`tidy`). Its JavaScript runs only when it is recorded: variables that
 *   it sets, hooks, prints.
 * - It is recorded anew when inputs have other shapes, when options of its optimizers, the mode of its modules or a
 *   tensor's place has changed, and when a tensor that it uses was freed. Random numbers go on as if it ran.
 *
 * @example
 * const trainStep = capture((images: Tensor, labels: Tensor) => {
 *   optimizer.zeroGrad();
 *   const loss = nn.functional.crossEntropy(model.forward(images), labels);
 *   loss.backward();
 *   optimizer.step();
 *   return loss;
 * });
 *
 * @throws ValueError for what is no function. The step throws a CaptureError for what cannot be captured, for inputs
 *   that require gradients, and once it is disposed; a ValueError for inputs of another kind; and what `step` throws.
 */
export function capture<A extends readonly CaptureInput[], R>(
  step: (...inputs: A) => R, { fuse = process.env.TROUPE_FUSE !== "0" }: CaptureOptions = {},
): CapturedStep<A, R> {
  if (typeof step !== "function") {
    throw new ValueError(`a step must be a function, got ${shown(step)}`, { op: "capture" });
  }
  const run = step as (...inputs: readonly CaptureInput[]) => R;
  /** The one used last comes last. */
  let known: Capture<R>[] = [];
  const seen = new Set<string>();
  let captures = 0;
  let disposed = false;

  function call(...inputs: A): R {
    if (disposed) throw new CaptureError("this captured step was disposed", { op: "capture" });
    if (isRunning) throw new CaptureError("a captured step was called inside of another one", { op: "capture" });
    inputs.forEach(assertInput);
    const setting = settingNow();
    const at = known.findLastIndex((own) => isFor(own, inputs, setting) && !own.tape.isOutdated && own.tape.isMet);
    if (at < 0) return runAndRecord(inputs, setting);
    const own = known[at];
    if (at < known.length - 1) known.push(...known.splice(at, 1));
    replay(own, inputs);
    return own.result;
  }

  function runAndRecord(inputs: A, setting: string): R {
    const outdated = known.filter(({ tape }) => tape.isOutdated);
    known = known.filter((own) => !outdated.includes(own));
    outdated.forEach(close);
    const signature = inputs.map(signatureOf).join("; ");
    // The first time optimizers make their state, and devices compile: that must not be repeated.
    if (outdated.length > 0 || !seen.has(signature)) {
      if (seen.size >= mostSeen) seen.clear();
      const result = runOnce(run, inputs);
      seen.add(signature);
      return result;
    }
    const own = record(run, inputs, setting, fuse);
    captures += 1;
    if (own.tape.isOutdated) release(own);
    else known.push(own);
    if (known.length > mostCaptures) known.splice(0, 1).forEach(close);
    return own.result;
  }

  function dispose(): void {
    disposed = true;
    known.forEach(close);
    known = [];
  }

  const result = Object.assign(call, { dispose, [Symbol.dispose]: dispose, captures: 0 });
  Object.defineProperty(result, "captures", { get: () => captures });
  return result;
}

/** Runs the step as it stands, with copies as the recorded one has. */
function runOnce<R>(step: (...inputs: readonly CaptureInput[]) => R, given: readonly CaptureInput[]): R {
  return alone(() =>
    tidy(() => {
      const inputs = given.map(copyOf);
      return detached(step(...inputs), memoryOf(inputs.filter(isTensor)));
    }),
  );
}

function record<R>(
  step: (...inputs: readonly CaptureInput[]) => R, given: readonly CaptureInput[], setting: string, fuse: boolean,
): Capture<R> {
  const inputs = given.map((input) => {
    const copy = copyOf(input);
    return isTensor(copy) ? hold(copy) : copy;
  });
  const tape = new Tape({ get: getRngState, set: setRngState }, fuse);
  let outputs: readonly Tensor[] = [];
  let memory: readonly Memory[] = [];
  const body = (): R => tidy(() => detached(step(...inputs), memoryOf(inputs.filter(isTensor))));
  const after = (result: R, made: readonly Memory[]): readonly Memory[] => {
    const { standing, passed } = tape.notes.changes(Tensor.gradient);
    outputs = [...tensorsIn(result), ...standing.filter(isTensor)];
    const isOwn = (x: Tensor): boolean => !x.isDisposed && partsOf(x).every(({ storage }) => tape.took(storage));
    const kept = memoryOf(outputs.filter(isOwn));
    // Gradients that the step made and dropped again go at its end, each time.
    const dropped = memoryOf(passed.filter(isTensor).filter(isOwn));
    for (const own of dropped) if (!kept.has(own)) own.dispose();
    tape.expect(outputs.flatMap(partsOf).map(({ storage }) => storage));
    memory = [...kept];
    return made.filter((own) => !kept.has(own) && !dropped.has(own));
  };
  try {
    const result = alone(() => tape.record(() => collectStorages(body, after)));
    return { tape, inputs, setting, result, outputs, memory };
  } catch (error) {
    close({ tape, inputs, memory });
    throw error;
  }
}

function replay({ tape, inputs, outputs }: Capture<unknown>, given: readonly CaptureInput[]): void {
  noGrad(() => {
    inputs.forEach((input, i) => {
      if (isTensor(input)) input.copy_(given[i] as Tensor);
    });
  });
  tape.replay();
  for (const { value } of outputs) value.version++;
}

type Closed = Pick<Capture<unknown>, "tape" | "inputs">;

/** Gives up a capture: what it made belongs to those who have it. */
function release({ tape, inputs }: Closed): void {
  for (const input of inputs) if (isTensor(input)) input.dispose();
  tape.close();
}

/** Gives up a capture and frees what it made, except gradients that stand. */
function close({ tape, inputs, memory }: Closed & Pick<Capture<unknown>, "memory">): void {
  const standing = memoryOf(tape.standing(Tensor.gradient).filter(isTensor));
  for (const own of memory) if (!standing.has(own)) own.dispose();
  release({ tape, inputs });
}

/** Runs `body` as the only captured step that runs. */
function alone<R>(body: () => R): R {
  isRunning = true;
  try {
    return body();
  } finally {
    isRunning = false;
  }
}

/** What is set for all of the program and decides what a step issues. */
function settingNow(): string {
  return `${String(isGradEnabled())} ${getDefaultDtype()} ${String(defaultDeviceName())}`;
}

function assertInput(input: unknown): void {
  if (isTensor(input)) {
    if (!input.requiresGrad) return;
    throw new CaptureError("a captured step's inputs are copied: no gradient comes back to them", {
      op: "capture",
      remedy: "Give x.detach(); use a tensor that wants a gradient without passing it.",
    });
  }
  if (input === undefined || ["number", "boolean", "string"].includes(typeof input)) return;
  throw new ValueError(`a captured step takes tensors, numbers, booleans and strings, not ${shown(input)}`, {
    op: "capture",
  });
}

/** Whether a capture serves for these inputs. */
function isFor(own: Capture<unknown>, given: readonly CaptureInput[], setting: string): boolean {
  if (own.setting !== setting || own.inputs.length !== given.length) return false;
  return own.inputs.every((one, i) => isAlike(one, given[i]));
}

function isAlike(one: CaptureInput, other: CaptureInput): boolean {
  if (!isTensor(one) || !isTensor(other)) return Object.is(one, other);
  if (one.dtype !== other.dtype || !sameShape(one.shape, other.shape)) return false;
  if (one.value.executor !== other.value.executor) return false;
  const parts = partsOf(other);
  return partsOf(one).every(({ device, shape }, i) => device === parts[i]?.device && sameShape(shape, parts[i].shape));
}

/** Equal for inputs that are alike. */
function signatureOf(input: CaptureInput): string {
  if (!isTensor(input)) return `${typeof input} ${String(input)}`;
  const parts = partsOf(input).map(({ device, shape }) => `${device.number} [${shape.join()}]`);
  return `${input.dtype} [${input.shape.join()}] ${input.value.executor.name} ${parts.join()}`;
}

function copyOf(input: CaptureInput): CaptureInput {
  return isTensor(input) ? noGrad(() => settled(input.detach().clone())) : input;
}

/**
 * What a step gives, as another call may overwrite it: tensors without their graphs, sums over devices finished, none
 * in the memory of an input.
 */
function detached<R>(result: R, inputs: ReadonlySet<Memory>): R {
  if (result instanceof Promise) {
    result.catch(() => undefined);
    throw new CaptureError("a captured step must be synchronous", {
      op: "capture",
      remedy: "Await what it returns outside of it.",
    });
  }
  return mapTensors(result, (x) =>
    noGrad(() => settled(inputs.has(x.value.identity) ? x.detach().clone() : x.detach())),
  ) as R;
}

/** With sums over devices that are pending finished. */
function settled(x: Tensor): Tensor {
  x.value.executor.settle([x.value], [x.value]);
  return x;
}

/** A copy of a result with other tensors in its arrays and plain objects. */
function mapTensors(result: unknown, change: (x: Tensor) => Tensor): unknown {
  if (isTensor(result)) return change(result);
  if (Array.isArray(result)) return result.map((item) => mapTensors(item, change));
  const isPlain = typeof result === "object" && result !== null && Object.getPrototypeOf(result) === Object.prototype;
  if (!isPlain) return result;
  return Object.fromEntries(Object.entries(result).map(([name, item]) => [name, mapTensors(item, change)]));
}

function tensorsIn(result: unknown): Tensor[] {
  const found: Tensor[] = [];
  mapTensors(result, (x) => {
    found.push(x);
    return x;
  });
  return found;
}

function partsOf(x: Tensor): readonly LocalValue[] {
  return x.value.executor.locals(x.value);
}

function memoryOf(tensors: readonly Tensor[]): Set<Memory> {
  return new Set(tensors.map(({ value }) => value.identity));
}

/**
 * Captured steps: a function that only issues work (a training step, say) runs twice as it stands; from then on its
 * messages are issued again, without shapes, gradients or op table in between. What CUDA graphs are to
 * PyTorch (`torch.cuda.graph`, `torch.cuda.make_graphed_callables`).
 */
import { Tape } from "./actor/tape.ts";
import { noGrad } from "./autograd/mode.ts";
import { shown } from "./arguments.ts";
import { CaptureError, ValueError } from "./errors.ts";
import { changes } from "./tensor/changes.ts";
import { hold, tidy } from "./tensor/memory.ts";
import { isTensor, Tensor } from "./tensor/tensor.ts";
import { collectStorages } from "./tensor/value.ts";
import type { Memory } from "./tensor/value.ts";

/** What a captured step may be called with: a tensor is copied in at each call; anything else is part of the capture. */
export type CaptureInput = Tensor | number | boolean | string | undefined;

export interface CapturedStep<A extends readonly CaptureInput[], R> {
  (...inputs: A): R;
  /** How often the step was recorded so far. */
  readonly captures: number;
  /** Frees what the captures hold: their inputs, results and intermediate memory. Later calls throw. */
  dispose(): void;
  [Symbol.dispose](): void;
}

/** Captures kept for different shapes of inputs. */
const mostCaptures = 8;

/** One capture: the inputs that it reads, what it gives, and its messages. */
interface Capture<R> {
  readonly tape: Tape;
  readonly inputs: readonly CaptureInput[];
  readonly result: R;
  readonly memory: readonly Memory[];
}

/**
 * `step` as a function that is recorded at its second call with inputs of some shapes, and issued again as it was
 * recorded at later ones. For a step that is called often, with small kernels above all: a call costs the coordinator a
 * few microseconds.
 *
 * - The step is synchronous and issues work only: forward, `backward()`, an optimizer's `step()`. Reading a result or
 *   making a tensor from data in it throws a CaptureError.
 * - Tensors among the inputs are copied to where the capture reads them. What it returns (tensors, in arrays and plain
 *   objects too) lies in one place and is overwritten by the next call: read it, or `clone()` it.
 * - The step runs in a `tidy` scope, and its JavaScript runs only when it is recorded.
 * - It is recorded anew when inputs have other shapes, when an optimizer's options, a module's mode or a tensor's
 *   place has changed, and when a tensor that it uses was freed.
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
 * @throws ValueError for what is no function
 */
export function capture<A extends readonly CaptureInput[], R>(step: (...inputs: A) => R): CapturedStep<A, R> {
  if (typeof step !== "function") throw new ValueError(`a step must be a function, got ${shown(step)}`, { op: "capture" });
  const known = new Map<string, Capture<R> | undefined>();
  let captures = 0;
  let disposed = false;

  function call(...inputs: A): R {
    if (disposed) throw new CaptureError("this captured step was disposed");
    const key = signatureOf(inputs);
    const own = known.get(key);
    if (own?.tape.valid === true) return replayed(own, inputs);
    if (own === undefined && known.has(key)) {
      known.set(key, undefined);
      const made = captured(step, inputs);
      captures += 1;
      known.set(key, made);
      return made.result;
    }
    // The first time optimizers make their state, and devices compile: that must not be repeated.
    if (own !== undefined) close(own);
    known.delete(key);
    const result = withoutHistory(step(...inputs));
    known.set(key, undefined);
    for (const [oldest, capture] of known) {
      if (known.size <= mostCaptures) break;
      if (capture !== undefined) close(capture);
      known.delete(oldest);
    }
    return result;
  }

  function dispose(): void {
    disposed = true;
    for (const own of known.values()) if (own !== undefined) close(own);
    known.clear();
  }

  const result = Object.assign(call, { dispose, [Symbol.dispose]: dispose, captures: 0 });
  Object.defineProperty(result, "captures", { get: () => captures });
  return result;
}

function captured<A extends readonly CaptureInput[], R>(step: (...inputs: A) => R, given: A): Capture<R> {
  const inputs = given.map((input) => (isTensor(input) ? hold(noGrad(() => input.detach().clone())) : input));
  const tape = new Tape();
  tape.guard(() => String(changes()));
  let memory: readonly Memory[] = [];
  try {
    const result = collectStorages(
      () => tape.record(() => tidy(() => withoutHistory(step(...(inputs as unknown as A))))),
      (_result, made) => {
        memory = made;
        return [];
      },
    );
    return { tape, inputs, result, memory };
  } catch (error) {
    close({ tape, inputs, result: undefined, memory });
    throw error;
  }
}

function replayed<R>({ tape, inputs, result }: Capture<R>, given: readonly CaptureInput[]): R {
  noGrad(() => {
    inputs.forEach((input, i) => {
      if (isTensor(input) && input !== given[i]) input.copy_(given[i] as Tensor);
    });
  });
  tape.replay();
  return result;
}

function close({ tape, inputs, memory }: Capture<unknown>): void {
  for (const input of inputs) if (isTensor(input)) input.dispose();
  for (const own of memory) own.dispose();
  tape.close();
}

/** What must be alike for a capture to serve. */
function signatureOf(inputs: readonly unknown[]): string {
  return inputs
    .map((input) => {
      if (isTensor(input)) return `${input.dtype} [${input.shape.join()}] ${input.device.name} ${input.value.executor.name}`;
      if (input === undefined || typeof input === "number" || typeof input === "boolean" || typeof input === "string") {
        return `${typeof input} ${String(input)}`;
      }
      throw new ValueError(`a captured step takes tensors, numbers, booleans and strings, not ${shown(input)}`, {
        op: "capture",
      });
    })
    .join("; ");
}

/** The step's result as one that another call may overwrite: tensors without their graphs. */
function withoutHistory<R>(result: R): R {
  if (result instanceof Promise) {
    throw new CaptureError("a captured step must be synchronous", { remedy: "Await what it returns outside of it." });
  }
  if (isTensor(result)) return noGrad(() => result.detach()) as R;
  if (Array.isArray(result)) return result.map((item: unknown) => withoutHistory(item)) as R;
  if (typeof result === "object" && result !== null && Object.getPrototypeOf(result) === Object.prototype) {
    return Object.fromEntries(Object.entries(result).map(([name, item]) => [name, withoutHistory(item as unknown)])) as R;
  }
  return result;
}

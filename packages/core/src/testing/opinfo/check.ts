/** Runs an OpInfo entry's samples on a device: values, gradients, second-order gradients, changed arguments, refused calls. */
import { noGrad } from "../../autograd/mode.ts";
import { grad } from "../../autograd/engine.ts";
import { TroupeError } from "../../errors.ts";
import { fromBytes } from "../../tensor/creation.ts";
import { isTensor } from "../../tensor/tensor.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { entryCall, isAmbiguous, resultTensors } from "./adapters.ts";
import type { Call, Library } from "./adapters.ts";
import { compareTensors, magnitudeOf } from "./compare.ts";
import type { Tolerance } from "./compare.ts";
import { cotangent, loadEntry, stridedStorage, tensorsOf } from "./fixtures.ts";
import type { CallArguments, Entry, ErrorCase, SampleCase, TensorValue } from "./fixtures.ts";

export interface EntryReport {
  /** Samples and refused calls that were run. */
  readonly cases: number;
  /** Samples that need a dtype which the device lacks, or that JavaScript cannot express. */
  readonly left: number;
  readonly failures: readonly string[];
}

export interface CheckOptions {
  /** The package's namespace. */
  readonly library: Library;
  readonly device: Tensor["device"];
  readonly tolerance?: Tolerance;
}

/** Runs every case of an entry. An entry that the library lacks fails. */
export async function checkEntry(name: string, options: CheckOptions): Promise<EntryReport> {
  const entry = loadEntry(name);
  const call = entryCall(options.library, entry.function);
  if (call === null) return { cases: 0, left: 0, failures: [`${name} is missing`] };
  const failures: string[] = [];
  let cases = 0;
  let left = 0;
  for (const [i, sample] of entry.cases.entries()) {
    if (isAmbiguous(sample) || !holdable(sample, options)) {
      left++;
      continue;
    }
    cases++;
    for (const problem of await checkSample(call, sample, options)) failures.push(`${name} #${i} (${sample.dtype}${sample.made === null ? "" : `, ${sample.made}`}) ${problem}`);
  }
  for (const [i, refused] of entry.errors.entries()) {
    if (!tensorsOf([...refused.args, ...Object.values(refused.kwargs)]).every(({ dtype }) => options.device.dtypes.has(dtype))) {
      left++;
      continue;
    }
    cases++;
    const problem = await checkRefusal(call, entry, refused, options);
    if (problem !== null) failures.push(`${name} error #${i} ${problem}`);
  }
  return { cases, left, failures };
}

function holdable({ args, kwargs, out, dtype }: SampleCase, { device }: CheckOptions): boolean {
  return [...tensorsOf([...args, ...Object.values(kwargs), out]).map((value) => value.dtype), dtype].every((needed) => device.dtypes.has(needed));
}

/** The tensors that a call was made with, in the order of `tensorsOf`. */
function bind(device: Tensor["device"]): { made: Tensor[]; leaves: Tensor[]; toTensor: (value: TensorValue) => Tensor } {
  const made: Tensor[] = [];
  const leaves: Tensor[] = [];
  const toTensor = (value: TensorValue): Tensor => {
    const storage = stridedStorage(value);
    const bytes = new Uint8Array(storage.buffer, storage.byteOffset, storage.byteLength);
    const flat = fromBytes(bytes, [storage.length], value.dtype, { device });
    const x = flat.asStrided(value.shape, value.strides).detach();
    if (value.requiresGrad) {
      x.requiresGrad = true;
      leaves.push(x);
    }
    made.push(x);
    return x;
  };
  return { made, leaves, toTensor };
}

async function checkSample(call: Call, sample: SampleCase, { device, tolerance = {} }: CheckOptions): Promise<string[]> {
  try {
    const { made, leaves, toTensor } = bind(device);
    const outputs = resultTensors(call(sample, { toTensor, device }), isTensor);
    const expected = tensorsOf([sample.out]);
    if (outputs.length !== expected.length) return [`gives ${outputs.length} tensors, expected ${expected.length}`];
    const reduction = Math.max(1, ...made.map((x) => x.numel()));
    const magnitude = Math.max(1, ...tensorsOf([...sample.args, ...Object.values(sample.kwargs)]).map(magnitudeOf));
    const allowed = { reduction, ...tolerance };
    const problems: string[] = [];
    const compare = async (what: string, actual: Tensor | undefined, wanted: TensorValue | null, extra: Tolerance = {}): Promise<void> => {
      if (wanted === null || actual === undefined) {
        // A gradient that is zero everywhere and none at all say the same.
        const other = wanted === null ? (actual === undefined ? [] : Array.from(await actual.detach().data(), Number)) : Array.from(wanted.data, Number);
        if (other.some((value) => value !== 0)) problems.push(`${what} is ${actual === undefined ? "missing" : "not expected"}`);
        return;
      }
      const { shape, dtype } = actual;
      const difference = compareTensors({ shape, dtype, data: await actual.detach().data() }, wanted, { ...allowed, ...extra });
      if (difference !== null) problems.push(`${what}: ${difference}`);
    };
    for (const [k, output] of outputs.entries()) await compare(`output ${k}`, output, expected[k]);
    for (const [k, wanted] of (sample.updated ?? []).entries()) if (wanted !== null) await compare(`changed argument ${k}`, made[k], wanted);
    if (sample.grad === null || problems.length > 0) return problems;

    const differentiable = outputs.filter((_, k) => expected[k].requiresGrad);
    if (!differentiable.every((output) => output.requiresGrad)) return ["an output does not require a gradient"];
    const seeds = differentiable.map(({ shape, dtype }) => {
      const data = cotangent(shape, dtype as "float32" | "float64");
      const seed = fromBytes(new Uint8Array(data.buffer as ArrayBuffer), shape, dtype, { device });
      seed.requiresGrad = sample.gradgrad !== null;
      return seed;
    });
    const second = sample.gradgrad !== null;
    const gradients = grad(differentiable, leaves, { gradOutputs: seeds, createGraph: second, allowUnused: true });
    for (const [k, wanted] of sample.grad.entries()) await compare(`gradient ${k}`, gradients[k], wanted, { magnitude });
    if (!second || problems.length > 0) return problems;
    const squares = gradients.filter((g): g is Tensor => g?.requiresGrad === true).map((g) => g.square().sum());
    const seconds = squares.length === 0 ? leaves.map(() => undefined) : grad(squares, leaves, { allowUnused: true });
    for (const [k, wanted] of (sample.gradgrad ?? []).entries()) {
      // Squares of gradients: errors grow with their magnitude.
      const scale = Math.max(magnitude, ...sample.grad.map((g) => (g === null ? 0 : magnitudeOf(g))));
      await compare(`second-order gradient ${k}`, seconds[k], wanted, { magnitude: scale });
    }
    return problems;
  } catch (error) {
    return [`throws ${error instanceof Error ? (error.stack ?? error.message).split("\n").slice(0, 4).join(" | ") : String(error)}`];
  }
}

async function checkRefusal(call: Call, entry: Entry, refused: ErrorCase, { device }: CheckOptions): Promise<string | null> {
  try {
    const { toTensor } = bind(device);
    const outputs = resultTensors(noGrad(() => call(refused as CallArguments, { toTensor, device })), isTensor);
    for (const output of outputs) await output.data();
    // A number may stand wherever a tensor operand may: wider than PyTorch, and no error.
    if (refused.type === "Exception" && refused.args.some(({ kind }) => kind === "number")) return null;
    return `is accepted; PyTorch: ${refused.type} ${refused.regex.slice(0, 120)}`;
  } catch (error) {
    if (error instanceof TroupeError) return null;
    return `throws ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}, which is no TroupeError (${entry.name})`;
  }
}

/** State dicts: tensors by name, and how they come into a module. */
import { shown } from "../arguments.ts";
import { noGrad } from "../autograd/mode.ts";
import { ValueError } from "../errors.ts";
import { sameShape } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Tensors by name, as a checkpoint holds them. */
export type StateDict = Record<string, Tensor>;

/** What `loadStateDict` did not find or use (nothing, where it was strict). */
export interface LoadResult {
  readonly missingKeys: readonly string[];
  readonly unexpectedKeys: readonly string[];
}

/**
 * Copies a state dict's tensors into `own`, a module's. Nothing is changed unless all fits.
 * @param module its name, for messages
 * @throws ValueError that lists missing and unexpected names and wrong sizes
 */
export function loadInto(
  own: ReadonlyMap<string, Tensor>,
  state: Readonly<StateDict>,
  strict: boolean,
  module: string,
): LoadResult {
  assertState(state);
  const missingKeys = [...own.keys()].filter((name) => !Object.hasOwn(state, name));
  const unexpectedKeys = Object.keys(state).filter((name) => !own.has(name));
  const problems: string[] = [];
  if (strict && unexpectedKeys.length > 0)
    problems.push(`Unexpected key(s) in state_dict: ${quoted(unexpectedKeys)}. `);
  if (strict && missingKeys.length > 0) problems.push(`Missing key(s) in state_dict: ${quoted(missingKeys)}. `);
  const copies: (readonly [target: Tensor, source: Tensor])[] = [];
  for (const [name, target] of own) {
    if (!Object.hasOwn(state, name)) continue;
    const source = state[name];
    if (sameShape(source.shape, target.shape)) copies.push([target, source]);
    else {
      problems.push(
        `size mismatch for ${name}: copying a param with shape torch.Size([${source.shape.join(", ")}]) from ` +
          `checkpoint, ` +
          `the shape in current model is torch.Size([${target.shape.join(", ")}]).`,
      );
    }
  }
  if (problems.length > 0) {
    throw new ValueError(`Error(s) in loading state_dict for ${module}:\n\t${problems.join("\n\t")}`);
  }
  noGrad(() => {
    for (const [target, source] of copies) target.copy_(source.to(target.device));
  });
  return { missingKeys, unexpectedKeys };
}

function assertState(state: unknown): asserts state is Readonly<StateDict> {
  const remedy = "io.loadSafetensors(path) gives a promise of a state dict.";
  if (typeof state !== "object" || state === null || state instanceof Promise)
    throw new ValueError(`Expected state_dict to be dict-like, got ${shown(state)}`, { op: "loadStateDict", remedy });
  for (const [name, value] of Object.entries(state)) {
    if (!(value instanceof Tensor))
      throw new ValueError(`state_dict holds ${shown(value)} for ${name}, not a Tensor`, { op: "loadStateDict" });
  }
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(", ");
}

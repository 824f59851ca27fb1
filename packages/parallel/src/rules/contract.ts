/**
 * Contractions: every letter of the index expression may be split. A letter of the result gives shards of it; a letter
 * that is summed over gives addends.
 */
import type { ContractOp, ConvolutionOp, Meta } from "@troupe/core/executor";
import { partial, replicate, shard } from "../placement.ts";
import type { Placement } from "../placement.ts";
import { isTensorMeta, metaOf } from "./rule.ts";
import type { Call, Rule, Way } from "./rule.ts";

/**
 * The letters of the operands and of the result, one for each dimension (others of a convolution go through windows).
 */
interface Spelled {
  readonly operands: readonly string[];
  readonly out: string;
}

/** Spells "..." with capital letters, counted from the last leading dimension. */
export function spelled(expression: string, ranks: readonly number[]): Spelled {
  const [left, out] = expression.split("->");
  const leads = left.split(",").map((index, i) => {
    const count = ranks[i] - index.replace("...", "").length;
    return Array.from({ length: count }, (_, at) => String.fromCharCode(64 + count - at)).join("");
  });
  const longest = leads.reduce((a, b) => (b.length > a.length ? b : a), "");
  return {
    operands: left.split(",").map((index, i) => index.replace("...", leads[i])),
    out: out.replace("...", longest),
  };
}

export const contractRule: Rule = {
  ways: (call) => {
    const { index } = call.op as unknown as ContractOp;
    return waysOf(call, spelled(index, [metaOf(call, 0).shape.length, metaOf(call, 1).shape.length]));
  },
};

/** Letters are those of batch and channels; with groups the channels stay together. */
export const convolutionRule: Rule = {
  key: (attrs) => String((attrs as { readonly groups: number }).groups),
  ways: (call) => {
    const { index } = call.op as unknown as ConvolutionOp;
    const [operands, out] = index.split("->");
    const ways = waysOf(call, { operands: operands.split(","), out });
    if ((call.attrs as { readonly groups: number }).groups === 1) return ways;
    return ways.filter(({ inputs, outputs }) =>
      [...inputs, ...outputs].every((placement, i) => isOfBatch(placement, i, operands.split(","), out)),
    );
  },
};

function isOfBatch(placement: Placement | undefined, place: number, operands: readonly string[], out: string): boolean {
  const letters = operands[place] ?? out;
  return placement?.kind !== "shard" || letters[placement.dim] === "n";
}

function waysOf(call: Call, index: Spelled): Way[] {
  const letters = new Set(index.operands.join(""));
  const ways = [...letters].map((letter) => letterWay(call, index, letter));
  if (!call.isPending) return ways;
  const pendingAddend = call.inputs.slice(2).map(() => partial());
  return [
    ...ways,
    { inputs: [partial(), replicate(), ...pendingAddend], outputs: [partial()] },
    { inputs: [replicate(), partial(), ...pendingAddend], outputs: [partial()] },
  ];
}

function letterWay(call: Call, { operands, out }: Spelled, letter: string): Way {
  const metas = operands.map((_, i) => metaOf(call, i));
  const size = Math.max(...operands.map((own, i) => (own.includes(letter) ? metas[i].shape[own.indexOf(letter)] : 1)));
  const inputs = operands.map((own, i): Placement => {
    const dim = own.indexOf(letter);
    // A broadcast dimension of size 1 is repeated on every device.
    return dim < 0 || metas[i].shape[dim] !== size ? replicate() : shard(dim);
  });
  const at = out.indexOf(letter);
  const result: Placement = at < 0 ? partial() : shard(at);
  const addends = call.inputs
    .slice(2)
    .filter(isTensorMeta)
    .map((addend) => addendPlacement(call, addend, at));
  return { inputs: [...inputs, ...addends], outputs: [result] };
}

/** An addend of a sum over devices has to be an addend itself: on one device it is what it is, on the others zero. */
function addendPlacement(call: Call, addend: Meta, at: number): Placement {
  if (at < 0) return partial();
  const { shape } = call.outputs[0];
  // A convolution's bias lies along the channels, any other addend is broadcast to the result.
  const isBias = addend.shape.length === 1 && "target" in call.op;
  const dim = isBias ? at - 1 : at - (shape.length - addend.shape.length);
  return dim < 0 || addend.shape[dim] === undefined || addend.shape[dim] !== shape[at] ? replicate() : shard(dim);
}

/**
 * The contract kind: sums of products, said by an index expression such as "...mk,...kn->...mn". Dimensions of one
 * letter run together; letters that the result lacks are summed over; "..." stands for any leading dimensions and
 * broadcasts. Gradients are contractions again: that of "X,Y->Z" with respect to X is "Z,Y->X".
 *
 * In an expression for given ranks the "..." is spelled with capital letters: these, and only these, may repeat a size
 * of 1.
 */
import { DTypeError, InternalError, ShapeError } from "../../errors.ts";
import type { DType } from "../../tensor/dtype.ts";
import type { Shape } from "../../tensor/shape.ts";
import { allocate } from "../../tensor/value.ts";
import type { LocalValue, Meta } from "../../tensor/value.ts";
import { Contraction, isBroadcast } from "../contraction.ts";
import { apply } from "../dispatch.ts";
import { defineElementwise, overlaps } from "./elementwise.ts";
import { pascal } from "../op.ts";
import type { GradientRule, Op } from "../op.ts";

export interface ContractAttrs {
  /** Factor of the product. */
  readonly alpha: number;
  /** Factor of the addend; 0 ignores it, NaN and infinities included. */
  readonly beta: number;
}

export interface ContractEntry {
  /** How indices travel: `"...mk,...kn->...mn"`. Every letter is in two of the three places. */
  readonly index: string;
  /** The letters of a third operand that is added to the result (broadcast to it): a bias is `"n"`. */
  readonly addend?: string;
  /** Autograd's name where it is not the op's own. */
  readonly gradName?: string;
}

export interface ContractOp extends Op<ContractAttrs>, ContractEntry {
  readonly kind: "contract";
  readonly gradName: string;
}

export const plain: ContractAttrs = { alpha: 1, beta: 1 };

const sum = defineElementwise("add", { kernel: (product, addend) => product.add(addend) });
const scale = defineElementwise("mul", { operands: 1, kernel: (product, alpha) => product.mul(alpha) });
const weightedSum = defineElementwise("addScaled", {
  operands: 2,
  kernel: (product, addend, alpha, beta) => product.mul(alpha).add(addend.mul(beta)),
});

export function defineContract(name: string, entry: ContractEntry): ContractOp {
  const spell = speller(entry.index);

  function run([x, y, addend]: readonly LocalValue[], { alpha, beta }: ContractAttrs, out: LocalValue): void {
    spell(x.shape.length, y.shape.length).run(x, y, out);
    if (addend === undefined || beta === 0) {
      if (alpha !== 1) scale.run([out], [alpha], [out], out);
    } else if (alpha === 1 && beta === 1) sum.run([out, addend], [], [out], out);
    else weightedSum.run([out, addend], [alpha, beta], [out], out);
  }

  return {
    ...entry,
    name,
    kind: "contract",
    gradName: entry.gradName ?? pascal(name),
    isView: false,
    outputs: 1,
    gradientOf: (input) =>
      input < 2 ? gradientRule(spell, input === 0) : input === 2 && entry.addend !== undefined ? addendRule : undefined,

    infer(inputs): Meta[] {
      const [x, y, addend] = metas(inputs, name);
      const dtype = commonDType(name, [x, y, addend]);
      const shape = spell(x.shape.length, y.shape.length).shape(x.shape, y.shape, name);
      if (addend !== undefined) assertExpands(name, addend.shape, shape);
      return [{ shape, dtype }];
    },

    run(inputs, attrs, [meta], target): LocalValue[] {
      const operands = inputs as readonly LocalValue[];
      const [x, y, addend] = operands;
      if (target === undefined) {
        const out = allocate(x.device, meta.shape, meta.dtype);
        run(operands, attrs, out);
        return [out];
      }
      // The target may be the addend (addmm_), and even a factor: the product is made beside it.
      if ([x, y, addend].some((operand) => operand !== undefined && overlaps(operand, target))) {
        const out = allocate(x.device, meta.shape, meta.dtype);
        run(operands, attrs, out);
        copyOver.run([out], [], [target], target);
        out.storage.dispose();
      } else {
        run(operands, attrs, target);
      }
      return [target];
    },
  };
}

const copyOver = defineElementwise("copy", { kernel: (a) => a });

const contractions = new Map<string, ContractOp>();

/** The op of an index expression that no entry names (einsum's, tensordot's, gradients'). */
export function contraction(index: string): ContractOp {
  let op = contractions.get(index);
  if (op === undefined)
    contractions.set(index, (op = defineContract("contract", { index, gradName: gradNames[index] })));
  return op;
}

/** Matrix products that arise as gradients of matrix products are known to autograd by PyTorch's names. */
const gradNames: Readonly<Record<string, string>> = { "mk,kn->mn": "Mm", "mn,kn->mk": "Mm", "mk,mn->kn": "Mm" };

// --- gradients ---------------------------------------------------------------------------------------------------

function gradientRule(spell: Speller, ofFirst: boolean): GradientRule<ContractAttrs> {
  return {
    saves: ofFirst ? "b" : "a",
    rule: (g, saved, { alpha }) => {
      const [first, second] = metas(saved.inputs, "contract");
      const { x, y, out } = spell(first.shape.length, second.shape.length);
      const [own, ownIndex, other, otherIndex] = ofFirst ? [first, x, saved.b, y] : [second, y, saved.a, x];
      // A dimension of size 1 that was repeated takes the sum over its repetitions.
      const isRepeated = (letter: string, dim: number): boolean =>
        isBroadcast(letter) &&
        own.shape[dim] === 1 &&
        (g.shape[out.indexOf(letter)] ?? other.shape[otherIndex.indexOf(letter)]) !== 1;
      const kept = Array.from(ownIndex)
        .filter((letter, dim) => !isRepeated(letter, dim))
        .join("");
      const gradient = ofFirst
        ? apply(contraction(`${out},${otherIndex}->${kept}`), [g, other], plain)
        : apply(contraction(`${otherIndex},${out}->${kept}`), [other, g], plain);
      const whole = kept === ownIndex ? gradient : gradient.reshape(own.shape);
      return alpha === 1 ? whole : whole.mul(alpha);
    },
  };
}

const addendRule: GradientRule<ContractAttrs> = {
  saves: "",
  rule: (g, _saved, { beta }) => (beta === 1 ? g : g.mul(beta)),
};

// --- index expressions -------------------------------------------------------------------------------------------

/** The contraction that an expression means for operands of given ranks. */
type Speller = (xRank: number, yRank: number) => Contraction;

/** For the dimensions under "...", of which A is the last. */
const capitals = "ZYXWVUTSRQPONMLKJIHGFEDCBA";

/** Reads an expression once; spells it for given ranks. */
function speller(expression: string): Speller {
  const [operands, out] = expression.split("->");
  const [x, y] = operands.split(",");
  if (out === undefined || y === undefined)
    throw new InternalError(`"${expression}" is not an expression of two operands and a result`);
  const known = new Map<number, Contraction>();
  return (xRank, yRank) => {
    const key = xRank * 256 + yRank;
    let meant = known.get(key);
    if (meant === undefined) {
      const [xLead, yLead] = [leading(x, xRank), leading(y, yRank)];
      const lead = xLead.length > yLead.length ? xLead : yLead;
      known.set(
        key,
        (meant = new Contraction(x.replace("...", xLead), y.replace("...", yLead), out.replace("...", lead))),
      );
    }
    return meant;
  };
}

/** What "..." stands for: the leading dimensions are counted from the last. */
function leading(index: string, rank: number): string {
  const count = rank - index.replace("...", "").length;
  if (count < 0 || (count > 0 && !index.includes("..."))) {
    throw new ShapeError(`an operand of ${rank} dimensions does not fit the index "${index}"`);
  }
  return capitals.slice(capitals.length - count);
}

// --- inference ---------------------------------------------------------------------------------------------------

function assertExpands(op: string, shape: Shape, target: Shape): void {
  const lead = target.length - shape.length;
  if (lead < 0) {
    throw new ShapeError(
      `expand: the number of sizes provided (${target.length}) must be greater or equal to the number of dimensions in the tensor (${shape.length})`,
      { op },
    );
  }
  shape.forEach((size, i) => {
    const dim = lead + i;
    if (size === 1 || size === target[dim]) return;
    throw new ShapeError(
      `The expanded size of the tensor (${target[dim]}) must match the existing size (${size}) at non-singleton dimension ${dim}.  ` +
        `Target sizes: [${target.join(", ")}].  Tensor sizes: [${shape.join(", ")}]`,
      { op },
    );
  });
}

/** PyTorch's names of dtypes in messages. */
export const dtypeTitles: Readonly<Record<DType, string>> = {
  float32: "Float",
  float64: "Double",
  int32: "Int",
  int64: "Long",
  uint8: "Byte",
  bool: "Bool",
};

/** Products do not promote: all operands are of one dtype, as in PyTorch. @throws DTypeError */
function commonDType(op: string, [first, ...others]: readonly (Meta | undefined)[]): DType {
  const dtype = first?.dtype ?? "float32";
  for (const other of others) {
    if (other === undefined || other.dtype === dtype) continue;
    throw new DTypeError(`expected scalar type ${dtypeTitles[dtype]} but found ${dtypeTitles[other.dtype]}`, {
      op,
      remedy: "Operands of a product must have one dtype: convert with .to(dtype).",
    });
  }
  if (dtype === "bool")
    throw new DTypeError(`"${op}" not implemented for 'Bool'`, { op, remedy: "Convert with .to(dtype) first." });
  return dtype;
}

function metas(inputs: readonly (Meta | number | undefined)[], op: string): Meta[] {
  return inputs.map((input) => {
    if (typeof input !== "object") throw new InternalError(`${op} takes tensors`, { op });
    return input;
  });
}

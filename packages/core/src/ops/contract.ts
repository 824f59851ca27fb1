/** The contract table: matrix products, their sums with a third tensor, and linear layers. */
import { ShapeError } from "../errors.ts";
import { broadcastShapes } from "../tensor/shape.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { parameters } from "../arguments.ts";
import { apply, applyTo } from "./dispatch.ts";
import { tensorOperand } from "./elementwise.ts";
import { defineContract, plain } from "./kinds/contract.ts";
import type { ContractAttrs, ContractOp } from "./kinds/contract.ts";

const mmOp = defineContract("mm", { index: "mk,kn->mn" });
const mvOp = defineContract("mv", { index: "mk,k->m" });
const dotOp = defineContract("dot", { index: "k,k->" });
const bmmOp = defineContract("bmm", { index: "bmk,bkn->bmn" });
const matmulOp = defineContract("matmul", { index: "...mk,...kn->...mn", gradName: "UnsafeView" });
const rowsOp = defineContract("matmul", { index: "...mk,k->...m", gradName: "UnsafeView" });
const columnsOp = defineContract("matmul", { index: "k,...kn->...n", gradName: "UnsafeView" });
const addmmOp = defineContract("addmm", { index: "mk,kn->mn", addend: "mn" });
const addmvOp = defineContract("addmv", { index: "mk,k->m", addend: "m" });
const addbmmOp = defineContract("addbmm", { index: "bmk,bkn->mn", addend: "mn" });
const baddbmmOp = defineContract("baddbmm", { index: "bmk,bkn->bmn", addend: "bmn" });
const linearOp = defineContract("linear", { index: "...k,nk->...n", gradName: "UnsafeView" });
const flatLinearOp = defineContract("linear", { index: "mk,nk->mn", gradName: "Mm" });
const biasedLinearOp = defineContract("linear", { index: "...k,nk->...n", addend: "n", gradName: "Addmm" });

// --- products ----------------------------------------------------------------------------------------------------

/**
 * The matrix product (`torch.matmul`): of vectors a number, of a matrix and a vector a vector; leading dimensions are
 * batches and broadcast: `[..., m, k] x [..., k, n] -> [..., m, n]`.
 * @throws ShapeError, DTypeError
 */
export const matmul = Object.assign(
  (x: Tensor, y: Tensor): Tensor => {
    tensorOperand("matmul", x);
    tensorOperand("matmul", y, "other");
    const [xRank, yRank] = [x.dim(), y.dim()];
    if (xRank === 0 || yRank === 0) {
      throw new ShapeError(`both arguments to matmul need to be at least 1D, but they are ${xRank}D and ${yRank}D`, {
        op: "matmul",
      });
    }
    if (xRank === 1 && yRank === 1) return dot(x, y);
    if (xRank === 2 && yRank === 1) return mv(x, y);
    if (xRank === 2 && yRank === 2) return mm(x, y);
    if (yRank === 1) {
      const k = x.size(-1);
      if (k !== y.size(0)) {
        const rows = x.numel() / Math.max(k, 1);
        throw new ShapeError(`size mismatch, got ${rows}, ${rows}x${k},${y.size(0)}`, {
          op: "matmul",
          remedy: productRemedy,
        });
      }
      return apply(rowsOp, [x, y], plain);
    }
    if (xRank === 1) {
      if (x.size(0) !== y.size(-2)) {
        if (yRank === 2) throw notMultiplicable("matmul", [1, x.size(0)], y.shape);
        throw batchMismatch("matmul", [y.size(0), x.size(0)], y.shape.slice(-3));
      }
      return apply(columnsOp, [x, y], plain);
    }
    if (x.size(-1) !== y.size(-2)) {
      if (yRank === 2) throw notMultiplicable("matmul", [x.numel() / Math.max(x.size(-1), 1), x.size(-1)], y.shape);
      if (xRank === 2) throw notMultiplicable("matmul", x.shape, y.shape.slice(-2));
    }
    const batch = broadcastShapes([x.shape.slice(0, -2), y.shape.slice(0, -2)], "matmul");
    if (x.size(-1) !== y.size(-2)) {
      const count = batch.reduce((product, size) => product * size, 1);
      throw batchMismatch("matmul", [count, x.size(-1)], [count, y.size(-2)]);
    }
    return apply(matmulOp, [x, y], plain);
  },
  { op: matmulOp },
);

/** `[m, k] x [k, n] -> [m, n]` (`torch.mm`). @throws ShapeError, DTypeError */
export const mm = Object.assign(
  (x: Tensor, y: Tensor): Tensor => {
    tensorOperand("mm", x);
    tensorOperand("mm", y, "mat2");
    if (x.dim() !== 2) throw new ShapeError("self must be a matrix", { op: "mm" });
    if (y.dim() !== 2) throw new ShapeError("mat2 must be a matrix", { op: "mm" });
    assertMultiplicable("mm", x.shape, y.shape);
    return apply(mmOp, [x, y], plain);
  },
  { op: mmOp },
);

/** `[m, k] x [k] -> [m]` (`torch.mv`). @throws ShapeError, DTypeError */
export const mv = Object.assign(
  (x: Tensor, y: Tensor): Tensor => {
    tensorOperand("mv", x);
    tensorOperand("mv", y, "vec");
    if (x.dim() !== 2 || y.dim() !== 1) {
      throw new ShapeError(`vector + matrix @ vector expected, got 1, ${x.dim()}, ${y.dim()}`, { op: "mv" });
    }
    assertMatrixVector("mv", x.shape, y.shape, x.size(0));
    return apply(mvOp, [x, y], plain);
  },
  { op: mvOp },
);

/** The inner product of two vectors of one length (`torch.dot`). @throws ShapeError, DTypeError */
export const dot = Object.assign(
  (x: Tensor, y: Tensor): Tensor => {
    tensorOperand("dot", x);
    tensorOperand("dot", y, "tensor");
    if (x.dim() !== 1 || y.dim() !== 1) {
      throw new ShapeError(`1D tensors expected, but got ${x.dim()}D and ${y.dim()}D tensors`, { op: "dot" });
    }
    const [length, other] = [x.size(0), y.size(0)];
    if (length !== other) {
      throw new ShapeError(
        `inconsistent tensor size, expected tensor [${length}] and src [${other}] to have the same number of elements, ` +
          `but got ${length} and ${other} elements respectively`,
        { op: "dot" },
      );
    }
    return apply(dotOp, [x, y], plain);
  },
  { op: dotOp },
);

/** As `dot`: there are no complex numbers to conjugate (`torch.vdot`). */
export const vdot = dot;

/** `[b, m, k] x [b, k, n] -> [b, m, n]` (`torch.bmm`). @throws ShapeError, DTypeError */
export const bmm = Object.assign(
  (x: Tensor, y: Tensor): Tensor => {
    tensorOperand("bmm", x);
    tensorOperand("bmm", y, "mat2");
    assertBatches("bmm", x.shape, y.shape);
    return apply(bmmOp, [x, y], plain);
  },
  { op: bmmOp },
);

// --- products and a sum ------------------------------------------------------------------------------------------

const sumParameters = ["beta", "alpha"] as const;

function factors(op: string, args: readonly unknown[]): ContractAttrs {
  return { ...plain, ...parameters<Partial<ContractAttrs>>(op, sumParameters, args) };
}

type Sum = (input: Tensor, x: Tensor, y: Tensor, ...options: unknown[]) => Tensor;

/** An op `beta * input + alpha * (x y)` and its in-place form. */
function sumOf(
  op: ContractOp,
  assertFits: (x: Shape, y: Shape, input: Shape) => void,
): { readonly fresh: Sum & { readonly op: ContractOp }; readonly inPlace: Sum } {
  const check = (input: Tensor, x: Tensor, y: Tensor): void => {
    tensorOperand(op.name, input);
    tensorOperand(op.name, x, "mat1");
    tensorOperand(op.name, y, "mat2");
    assertFits(x.shape, y.shape, input.shape);
  };
  const fresh: Sum = (input, x, y, ...options) => {
    check(input, x, y);
    return apply(op, [x, y, input], factors(op.name, options));
  };
  const inPlace: Sum = (input, x, y, ...options) => {
    check(input, x, y);
    return applyTo(op, input, [x, y, input], factors(op.name, options));
  };
  return { fresh: Object.assign(fresh, { op }), inPlace };
}

/** `beta * input + alpha * (x @ y)`, input broadcast to [m, n] (`torch.addmm`); options `beta`, `alpha`. */
export const { fresh: addmm, inPlace: addmm_ } = sumOf(addmmOp, (x, y) => {
  if (x.length !== 2) throw new ShapeError(`mat1 must be a matrix, got ${x.length}-D tensor`, { op: "addmm" });
  if (y.length !== 2) throw new ShapeError(`mat2 must be a matrix, got ${y.length}-D tensor`, { op: "addmm" });
  assertMultiplicable("addmm", x, y);
});

/**
 * `beta * input + alpha * (x @ y)` with a vector y, input broadcast to [m] (`torch.addmv`); options `beta`, `alpha`.
 */
export const { fresh: addmv, inPlace: addmv_ } = sumOf(addmvOp, (x, y, input) => {
  if (x.length !== 2 || y.length !== 1 || input.length > 1) {
    throw new ShapeError(`vector + matrix @ vector expected, got ${input.length}, ${x.length}, ${y.length}`, {
      op: "addmv",
    });
  }
  assertMatrixVector("addmv", x, y, input[0] ?? x[0]);
});

/** `beta * input + alpha * sum over b of (x[b] @ y[b])` (`torch.addbmm`); options `beta`, `alpha`. */
export const { fresh: addbmm, inPlace: addbmm_ } = sumOf(addbmmOp, (x, y) => assertBatches("addbmm", x, y));

/** `beta * input + alpha * (x[b] @ y[b])` for each b (`torch.baddbmm`); options `beta`, `alpha`. */
export const { fresh: baddbmm, inPlace: baddbmm_ } = sumOf(baddbmmOp, (x, y) => assertBatches("baddbmm", x, y));

/**
 * `input @ weight.T + bias` (`torch.nn.functional.linear`).
 * @param input `[..., k]`
 * @param weight `[n, k]`, or `[k]` for one output without a dimension
 * @param bias `[n]`
 * @returns `[..., n]`
 * @throws ShapeError, DTypeError
 */
export function linear(input: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  tensorOperand("linear", input);
  tensorOperand("linear", weight, "weight");
  if (weight.dim() === 1) {
    const product = matmul(input, weight);
    return bias === undefined ? product : product.add(bias);
  }
  if (weight.dim() !== 2 || input.dim() === 0) {
    throw new ShapeError(
      `linear(): input must be at least 1D and weight 1D or 2D, but they are ${input.dim()}D and ${weight.dim()}D`,
      { op: "linear" },
    );
  }
  const [n, k] = weight.shape;
  if (input.size(-1) !== k)
    throw notMultiplicable("linear", [input.numel() / Math.max(input.size(-1), 1), input.size(-1)], [k, n]);
  if (bias === undefined) return apply(input.dim() === 2 ? flatLinearOp : linearOp, [input, weight], plain);
  return apply(biasedLinearOp, [input, weight, bias], plain);
}

// --- checks ------------------------------------------------------------------------------------------------------

const productRemedy =
  "The last dimension of the first must equal the one before the last of the second: transpose() one of them?";

function notMultiplicable(op: string, x: Shape, y: Shape): ShapeError {
  return new ShapeError(`mat1 and mat2 shapes cannot be multiplied (${x[0]}x${x[1]} and ${y[0]}x${y[1]})`, {
    op,
    remedy: productRemedy,
  });
}

function batchMismatch(op: string, expected: Shape, found: Shape): ShapeError {
  return new ShapeError(
    `Expected size for first two dimensions of batch2 tensor to be: [${expected.join(", ")}] but got: [${found[0]}, ${found[1]}].`,
    { op, remedy: productRemedy },
  );
}

function assertMultiplicable(op: string, x: Shape, y: Shape): void {
  if (x[1] !== y[0]) throw notMultiplicable(op, x, y);
}

function assertMatrixVector(op: string, x: Shape, y: Shape, rows: number): void {
  if (x[1] !== y[0] || (rows !== x[0] && rows !== 1)) {
    throw new ShapeError(`size mismatch, got ${rows}, ${x[0]}x${x[1]},${y[0]}`, { op, remedy: productRemedy });
  }
}

function assertBatches(op: string, x: Shape, y: Shape): void {
  if (x.length !== 3) throw new ShapeError("batch1 must be a 3D tensor", { op });
  if (y.length !== 3) throw new ShapeError("batch2 must be a 3D tensor", { op });
  if (x[0] !== y[0] || x[2] !== y[1]) throw batchMismatch(op, [x[0], x[2]], y);
}

export const methods = { matmul, mm, mv, dot, vdot, bmm, addmm, addmv, addbmm, baddbmm };
export const inPlaceMethods = { addmm_, addmv_, addbmm_, baddbmm_ };

/** Functions made of matrix products: inner and outer products, bilinear forms, chains and powers of matrices. */
import { ShapeError, ValueError } from "../../errors.ts";
import { eye } from "../../tensor/creation.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { apply } from "../dispatch.ts";
import { matmul } from "../contract.ts";
import { contractAll, tensordot } from "../einsum.ts";
import { defineContract, plain } from "../kinds/contract.ts";

const vecdotOp = defineContract("vecdot", { index: "...k,...k->..." });

/** Sums of products over the last dimensions of both (`torch.inner`); a number multiplies. @throws ShapeError */
export function inner(x: Tensor, y: Tensor): Tensor {
  if (x.dim() === 0 || y.dim() === 0) return x.mul(y);
  if (x.size(-1) !== y.size(-1)) {
    throw new ShapeError(
      `inner() the last dimension must match on both input tensors but got shapes [${x.shape.join(", ")}] and [${y.shape.join(", ")}]`,
      { op: "inner" },
    );
  }
  return tensordot(x, y, [[-1], [-1]]);
}

/** All products of the elements of two vectors: `[m], [n] -> [m, n]` (`torch.outer`). @throws ShapeError */
export function outer(x: Tensor, y: Tensor): Tensor {
  if (x.dim() !== 1) throw new ShapeError(`outer: Expected 1-D argument self, but got ${x.dim()}-D`, { op: "outer" });
  if (y.dim() !== 1) throw new ShapeError(`outer: Expected 1-D argument vec2, but got ${y.dim()}-D`, { op: "outer" });
  return x.unsqueeze(1).mul(y);
}

/** `outer` under its old name (`torch.ger`). */
export const ger = outer;

/**
 * `y[..., o] = sum over i, j of x1[..., i] * weight[o, i, j] * x2[..., j] + bias[o]` (`torch.nn.functional.bilinear`).
 * @param weight `[o, i, j]`
 * @throws ShapeError
 */
export function bilinear(x1: Tensor, x2: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  if (weight.dim() !== 3)
    throw new ShapeError(`bilinear(): weight must be 3D, got ${weight.dim()}D`, { op: "bilinear" });
  if (x1.dim() !== x2.dim()) {
    throw new ShapeError(`bilinear(): input dimensions do not match: got ${x1.dim()} and ${x2.dim()}`, {
      op: "bilinear",
    });
  }
  [x1, x2].forEach((x, i) => {
    if (x.size(-1) === weight.size(i + 1) && x.shape.slice(0, -1).every((size, dim) => size === x1.size(dim))) return;
    throw new ShapeError(
      `bilinear(): input${i + 1} of shape [${x.shape.join(", ")}] does not fit weight [${weight.shape.join(", ")}] and input1 [${x1.shape.join(", ")}]`,
      { op: "bilinear" },
    );
  });
  const batch = x1.shape.slice(0, -1).map((_, dim) => `b${dim}`);
  const product = contractAll(
    [
      { tensor: x1, labels: [...batch, "i"] },
      { tensor: weight, labels: ["o", "i", "j"] },
      { tensor: x2, labels: [...batch, "j"] },
    ],
    [...batch, "o"],
  );
  return bias === undefined ? product : product.add(bias);
}

/** Dot products along a dimension; the others broadcast (`torch.linalg.vecdot`). @throws ShapeError */
export function vecdot(x: Tensor, y: Tensor, options: { readonly dim?: number } = {}): Tensor {
  const { dim = -1 } = options;
  if (x.size(dim) !== y.size(dim)) {
    throw new ShapeError(
      `linalg.vecdot: Expected x and y to have the same size along dim ${dim}, but got ${x.size(dim)} and ${y.size(dim)}`,
      { op: "vecdot" },
    );
  }
  return apply(vecdotOp, [x.movedim(dim, -1), y.movedim(dim, -1)], plain);
}

/**
 * The product of several matrices in the order that takes the fewest multiplications (`torch.linalg.multi_dot`). The
 * first and the last may be vectors.
 * @throws ShapeError, ValueError
 */
export function multiDot(tensors: readonly Tensor[]): Tensor {
  if (tensors.length < 2)
    throw new ValueError(`multi_dot(): expected at least 2 tensors but got ${tensors.length}`, { op: "multiDot" });
  const last = tensors.length - 1;
  const matrices = tensors.map((tensor, i) => {
    if (tensor.dim() === 1 && i === 0) return tensor.unsqueeze(0);
    if (tensor.dim() === 1 && i === last) return tensor.unsqueeze(1);
    if (tensor.dim() === 2) return tensor;
    throw new ShapeError(
      `multi_dot(): tensor ${i} must be 2D${i === 0 || i === last ? " or 1D" : ""} but got ${tensor.dim()}D`,
      { op: "multiDot" },
    );
  });
  matrices.forEach((matrix, i) => {
    if (i === 0 || matrices[i - 1].size(1) === matrix.size(0)) return;
    throw new ShapeError(
      `multi_dot(): tensors ${i - 1} and ${i} with shapes [${tensors[i - 1].shape.join(", ")}] and [${tensors[i].shape.join(", ")}] cannot be multiplied`,
      { op: "multiDot" },
    );
  });
  const splits = bestSplits([matrices[0].size(0), ...matrices.map((matrix) => matrix.size(1))]);
  const product = (from: number, to: number): Tensor => {
    if (from === to) return matrices[from];
    const split = splits[from][to];
    return product(from, split).mm(product(split + 1, to));
  };
  const result = product(0, last);
  const shape = [
    ...(tensors[0].dim() === 1 ? [] : [result.size(0)]),
    ...(tensors[last].dim() === 1 ? [] : [result.size(1)]),
  ];
  return shape.length === 2 ? result : result.reshape(shape);
}

/** `multiDot` of matrices (`torch.chain_matmul`). */
export function chainMatmul(...matrices: readonly Tensor[]): Tensor {
  return matrices.length === 1 ? matrices[0] : multiDot(matrices);
}

/** Where to split each chain of matrices `sizes[i] x sizes[i + 1]` (Cormen et al., section 14.2). */
function bestSplits(sizes: readonly number[]): number[][] {
  const count = sizes.length - 1;
  const cost = Array.from({ length: count }, () => new Array<number>(count).fill(0));
  const splits = Array.from({ length: count }, () => new Array<number>(count).fill(0));
  for (let length = 1; length < count; length++) {
    for (let from = 0; from + length < count; from++) {
      const to = from + length;
      cost[from][to] = Infinity;
      for (let split = from; split < to; split++) {
        const candidate = cost[from][split] + cost[split + 1][to] + sizes[from] * sizes[split + 1] * sizes[to + 1];
        if (candidate >= cost[from][to]) continue;
        cost[from][to] = candidate;
        splits[from][to] = split;
      }
    }
  }
  return splits;
}

/**
 * A square matrix, or a batch of them, multiplied `n` times by itself by repeated squaring; 0 gives the identity
 * (`torch.linalg.matrix_power`).
 * @throws ShapeError where it is not square; ValueError for a negative or fractional power
 */
export function matrixPower(x: Tensor, n: number): Tensor {
  if (x.dim() < 2 || x.size(-1) !== x.size(-2)) {
    throw new ShapeError(
      `linalg.matrix_power: A must be batches of square matrices, but they are [${x.shape.join(", ")}]`,
      { op: "matrixPower" },
    );
  }
  if (!Number.isInteger(n) || n < 0) {
    throw new ValueError(`matrixPower() takes whole powers from 0, got ${n}`, {
      op: "matrixPower",
      remedy: "There is no matrix inverse.",
    });
  }
  if (n === 0) return x.clone().copy_(eye(x.size(-1), { dtype: x.dtype, device: x.device }));
  let result: Tensor | undefined;
  let square = x;
  for (let rest = n; ;) {
    if (rest % 2 === 1) result = result === undefined ? square : matmul(result, square);
    rest = Math.floor(rest / 2);
    if (rest === 0) return result === x ? x.clone() : (result ?? x);
    square = matmul(square, square);
  }
}

export const methods = { inner, outer, ger, matrixPower };

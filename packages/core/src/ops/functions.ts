/** Every table's functions, as the package exports them: `add(x, y)`, `cat([x, y], 0)`, ... */
export {
  abs, add, addcdiv, addcmul, ceil, clamp, clampMax, clampMin, div, floor, floorDivide, fmax, fmin, fmod, frac, lerp, maximum, minimum,
  mul, neg, positive, reciprocal, remainder, round, rsub, sign, square, sub, trunc,
} from "./arithmetic.ts";
export {
  bitwiseAnd, bitwiseNot, bitwiseOr, bitwiseXor, copysign, eq, ge, gt, heaviside, isclose, isfinite, isinf, isnan, isneginf, isposinf,
  isreal, le, logicalAnd, logicalNot, logicalOr, logicalXor, lt, ne, signbit,
} from "./comparison.ts";
export { clone, contiguous, fill } from "./conversion.ts";
export { maskedFill, nanToNum } from "./selection.ts";
export {
  acos, acosh, asin, asinh, atan, atan2, atanh, cos, cosh, deg2rad, exp, exp2, expm1, floatPower, hypot, ldexp, log, log10, log1p, log2,
  logaddexp, logaddexp2, logit, pow, rad2deg, rsqrt, sigmoid, sin, sinc, sinh, sqrt, tan, tanh, xlog1py, xlogy,
} from "./transcendental.ts";
export { allclose, equal } from "./truth.ts";
export { digamma, entr, erf, erfc, erfinv, lgamma, ndtr } from "./special.ts";
export { softplus } from "./activations.ts";
export { relu } from "./rectifiers.ts";
export {
  all, any, countNonzero, logsumexp, mean, nanmean, nansum, prod, std, stdMean, sum, trace, varMean, var,
} from "./reduce.ts";
export { amax, amin, aminmax, argmax, argmin, max, min } from "./extrema.ts";
export { dist, norm } from "./norm.ts";
export { cdist } from "./distance.ts";
export { renorm } from "./composite/norms.ts";
export { logSoftmax, softmax } from "./softmax.ts";
export { cummax, cummin, cumprod, cumsum, logcumsumexp } from "./scan.ts";
export { argsort, kthvalue, median, msort, nanmedian, sort, topk } from "./sort.ts";
export { mode } from "./mode.ts";
export { unique, uniqueConsecutive } from "./unique.ts";
export { bucketize, isin, searchsorted } from "./search.ts";
export { diagonal, diagonalScatter, narrow, select, selectScatter, sliceScatter } from "./parts.ts";
export { broadcastTo, flatten, movedim, permute, ravel, reshape, squeeze, t, transpose, unflatten, unsqueeze } from "./view.ts";
export { asStrided, asStridedScatter } from "./strided.ts";
export { chunk, dsplit, hsplit, split, tensorSplit, unbind, vsplit } from "./split.ts";
export {
  atleast1d, atleast2d, atleast3d, blockDiag, broadcastTensors, cartesianProd, cat, columnStack, dstack, hstack, meshgrid,
  repeatInterleave, stack, tile, vstack,
} from "./join.ts";
export { flip, fliplr, flipud, roll, rot90 } from "./order.ts";
export { diag, diagEmbed, diagflat, tril, trilIndices, triu, triuIndices } from "./triangles.ts";
export {
  gather, indexAdd, indexCopy, indexFill, indexReduce, indexSelect, put, scatter, scatterAdd, scatterReduce, take, takeAlongDim,
} from "./index.ts";
export { indexPut } from "./advanced.ts";
export { argwhere, maskedScatter, maskedSelect, nonzero, where } from "./masked.ts";
export { constantPadNd } from "./pad.ts";
export { addbmm, addmm, addmv, baddbmm, bmm, dot, matmul, mm, mv, vdot } from "./contract.ts";
export { einsum, tensordot } from "./einsum.ts";
export { chainMatmul, inner, matrixPower, outer } from "./composite/products.ts";
export { cross, kron } from "./composite/cross.ts";
export { cumulativeTrapezoid, diff, trapezoid, trapz } from "./composite/differences.ts";
export { quantile } from "./composite/quantiles.ts";
export { bincount, histc, histogram } from "./composite/histograms.ts";
export { gradient } from "./composite/gradient.ts";

/** The index table: all that reads or writes where index tensors say. */
import * as places from "./places.ts";
import * as scatters from "./scatter.ts";
import * as slices from "./slices.ts";

export { embedding, embeddingOp, type EmbeddingOptions } from "./embedding.ts";
export { put, take } from "./places.ts";
export { gather, scatter, scatterAdd, scatterReduce, takeAlongDim, type ScatterReduction } from "./scatter.ts";
export { indexAdd, indexCopy, indexFill, indexReduce, indexSelect } from "./slices.ts";

export const methods = { ...scatters.methods, ...slices.methods, ...places.methods };
export const inPlaceMethods = { ...scatters.inPlaceMethods, ...slices.inPlaceMethods, ...places.inPlaceMethods };

/** `linalg`: PyTorch's namespace of that name, as far as it goes here. */
export { linalgCross as cross } from "./composite/cross.ts";
export { linalgMatrixNorm as matrixNorm, linalgNorm as norm } from "./composite/norms.ts";
export { matrixPower, multiDot, vecdot } from "./composite/products.ts";
export { linalgVectorNorm as vectorNorm } from "./norm.ts";

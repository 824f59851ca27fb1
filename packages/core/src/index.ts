/** Tensors, the op table, autograd and the actor runtime of Troupe. */
export {};

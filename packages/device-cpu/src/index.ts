/** Troupe's CPU device: an actor with its own threads and WebAssembly memory. */
export {};

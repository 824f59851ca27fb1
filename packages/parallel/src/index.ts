/** Meshes, placements and collectives over Troupe's devices. */
export {};

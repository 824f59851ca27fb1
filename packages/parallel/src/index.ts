/** Meshes, placements and collectives over Troupe's devices. */
export { deviceMesh, DeviceMesh } from "./mesh.ts";
export { adjoint, partial, placementText, replicate, shard, shardRange, type Adjoint, type Partial, type Placement, type Replicate, type Shard } from "./placement.ts";
export { distributeTensor, fullTensor, meshOf, placementsOf, redistribute } from "./distribute.ts";
export { collectiveCounts, type CollectiveCounts } from "./collectives.ts";
export { ruleMisses } from "./decide.ts";
import "./executor.ts";

/** Meshes, placements and collectives over Troupe's devices, and the ways to train on several. */
import "./executor.ts";

export { dataParallel, DataParallel, type DataParallelOptions } from "./data/data-parallel.ts";
export * from "./compare/index.ts";
export { alternating } from "./layerwise/alternating.ts";
export { layerwise, Layerwise } from "./layerwise/layerwise.ts";
export type { LayerPlan } from "./layerwise/plan.ts";
export { column, row, type Style } from "./layerwise/styles.ts";
export { deviceMesh, DeviceMesh } from "./mesh.ts";
export {
  adjoint,
  partial,
  placementText,
  replicate,
  shard,
  shardRange,
  type Adjoint,
  type Partial,
  type Placement,
  type Replicate,
  type Shard,
} from "./placement.ts";
export { distributeTensor, fullTensor, meshOf, placementsOf, redistribute } from "./distribute.ts";
export { collectiveCounts, type CollectiveCounts } from "./collectives.ts";
export { ruleMisses } from "./decide.ts";
export * from "./network/index.ts";

/** Strategies compared: what each costs, as it ran and by formula. */
export { compareStrategies, type CompareOptions, type CompareProgress } from "./compare.ts";
export type { Samples } from "./order.ts";
export type { Job } from "./run.ts";
export { median, speedup, type Comparison, type StrategyResult } from "./result.ts";
export type { Difference } from "./probe.ts";
export type { Timeline } from "./timeline.ts";
export type { Strategy, Task, Trainer } from "./strategy.ts";
export {
  dataParallelOver,
  layerwiseOver,
  onOneDevice,
  pipelinedOver,
  type Named,
  type PipelinedOptions,
} from "./strategies.ts";
export { dataParallelBytes, layerwiseBytes, pipelineBubble, pipelineBytes, type BatchSize } from "./predict.ts";
export { layerSizes, type LayerSize } from "./layers.ts";

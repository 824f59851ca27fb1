/** Parts of a network on different devices: schedules, their simulation and drawings, and pipelines that run them. */
export { pipeline, Pipeline, type PipelineOptions, type StepOptions } from "./pipeline.ts";
export type { LossFunction, LossReduction, Stage } from "./step.ts";
export { balance, type Chain, type StageChoice } from "./partition.ts";
export { measureSteps } from "./measure.ts";
export {
  actionText,
  gpipe,
  oneForwardOneBackward,
  type Action,
  type ActionKind,
  type Schedule,
  type ScheduleName,
} from "./schedule.ts";
export { ScheduleError, validateSchedule } from "./validate.ts";
export { issueOrder, simulate, type Issue, type Simulation, type StageCost, type TimedAction } from "./simulate.ts";
export { drawSvg, drawText, type SvgOptions, type TextOptions } from "./draw.ts";

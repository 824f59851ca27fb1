/** `optim`: optimizers and learning rate schedules. */
export { Optimizer, type OptimizerState, type ParameterState, type ParamGroup, type Params } from "./optimizer.ts";
export { SGD, type SGDOptions } from "./sgd.ts";
export { Adam, AdamW, type AdamOptions } from "./adam.ts";
export { RMSprop, type RMSpropOptions } from "./rmsprop.ts";
export * as lrScheduler from "./lr-scheduler.ts";

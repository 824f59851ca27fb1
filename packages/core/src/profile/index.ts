/** Recorded timelines of devices and profiles of kernels, after `torch.profiler`. */
export { profile, startProfile, type ProfileOptions, type Recording } from "./recording.ts";
export type { Busy, Profile } from "./profile.ts";
export type { ProfileEvent, ProfileEventKind, ProfileSpan } from "./event.ts";
export type { KeyAverage, KeyAverages, KeyAveragesOptions, MachinePeak, TableOptions } from "./key-averages.ts";
export type { Trace, TraceEvent } from "./trace.ts";

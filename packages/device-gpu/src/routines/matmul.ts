/** The tuned float32 matmul; it overrides loop kernels named "matmul", which stay its oracle. */
import type { LoopKernel } from "@troupe/core/device";
import type { Schedule } from "../adapter.ts";
import type { Shader } from "../wgsl/print.ts";

/** A kernel that computes tiles of its result. */
export interface Tiled {
  readonly shader: Shader;
  /** Workgroups for the launch whose arguments are at `words[at]`; undefined where the tiles do not suit it. */
  groups(words: Int32Array, at: number): number | undefined;
}

export function matmul(_kernel: LoopKernel, _schedule: Schedule): Tiled | undefined {
  return undefined;
}

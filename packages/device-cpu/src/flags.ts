/**
 * V8's settings for printed kernels. They are process-wide and must be set in the main thread before anything is
 * compiled.
 *
 * `--experimental-wasm-revectorize` lets the optimising compiler fuse neighbouring 128-bit operations into 256-bit
 * ones, which doubles a matmul on processors with AVX2. It is experimental, hence an off switch (TROUPE_REVECTORIZE=0)
 * and a self-test (self-test.ts). `--no-wasm-dynamic-tiering` gives a kernel one slower first call and full speed
 * after it.
 */
import { setFlagsFromString } from "node:v8";

/** Whether kernels are laid out for 256-bit vectors. Threads inherit it when they start. */
export function revectorizes(): boolean {
  return process.arch === "x64" && process.env["TROUPE_REVECTORIZE"] !== "0";
}

let set = false;

/** Sets the flags, once. Has no effect on what was compiled before. */
export function setCompilerFlags(): void {
  if (set) return;
  set = true;
  setFlagsFromString("--no-wasm-dynamic-tiering");
  if (revectorizes()) setFlagsFromString("--experimental-wasm-revectorize");
}

/** Switches fused vectors off, for the process' compiler and for the layout of this thread's kernels. */
export function switchRevectorizationOff(): void {
  setFlagsFromString("--no-experimental-wasm-revectorize");
  process.env["TROUPE_REVECTORIZE"] = "0";
}

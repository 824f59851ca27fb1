/** A GPU that is lost under a backend: what is said, and to whom (process.test.ts). In a process of its own: it takes over setImmediate. */
import "../adapter.ts";
import { writeSync } from "node:fs";
import { openGpu } from "../../src/adapter.ts";
import { GpuBackend } from "../../src/backend.ts";
import { Pump } from "../../src/pump.ts";
import { Safety } from "../../src/spec.ts";

const pump = new Pump(new Int32Array(new SharedArrayBuffer(Safety.words * 4)), () => false);
pump.install();
const gpu = await openGpu(pump, {
  name: undefined,
  schedule: undefined,
  lost: (reason) => {
    writeSync(1, `lost: ${reason}\n`);
    process.exit(0);
  },
});
const backend = new GpuBackend(gpu, pump, 2 ** 20);
const block = backend.allocate(16);
backend.write(block, 0, new Uint8Array(16).fill(7));
const bytes = new Uint8Array(16);
backend.readInto(block, 0, bytes);
writeSync(1, `${bytes[15]}\n`);
gpu.device.destroy();
backend.readInto(block, 0, bytes);
writeSync(1, "not noticed\n");

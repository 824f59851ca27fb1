/** Uses the GPU device and ends in the way that its argument names (process.test.ts). */
import "../adapter.ts";
import { gpu } from "../../src/index.ts";
import { ones, tensor } from "@troupe/core";

const device = gpu();
const x = ones(300, { device });

/** Work that keeps the GPU busy for long after the script is through. */
function keepBusy(): void {
  const a = ones([700, 700], { device });
  let b = a;
  for (let i = 0; i < 10; i++) b = b.matmul(a).mul(1e-3);
  void b.sum().item().catch(() => undefined);
}

const endings: Record<string, () => void | Promise<void>> = {
  unused: () => undefined,
  read: async () => console.log(await x.sum().item()),
  sync: () => console.log(x.sum().itemSync()),
  close: async () => {
    await device.close();
    console.log("closed");
  },
  exit: () => {
    device.fenceSync();
    process.exit(3);
  },
  booting: () => process.exit(3),
  busy: () => {
    device.fenceSync();
    keepBusy();
    process.exit(3);
  },
  error: () => {
    keepBusy();
    throw new Error("the script's own");
  },
  failing: async () => {
    const places = tensor([500], { device });
    await x.indexSelect(0, places).data().catch((error: Error) => console.log(error.name));
  },
  killed: async () => {
    device.fenceSync();
    keepBusy();
    await device.kill();
    console.log(ones(2, { device }).sum().itemSync());
  },
  signal: () => {
    keepBusy();
    console.log("ready");
    setInterval(() => undefined, 1000);
  },
};

await endings[process.argv[2] ?? ""]?.();

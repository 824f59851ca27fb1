/** Uses the CPU device and ends in the way that its argument names (process.test.ts). */
import { cpu } from "../../src/index.ts";

const device = cpu({ threads: 2 });
const storage = device.newStorage(256);
device.upload(storage, 0, new Uint8Array(256).fill(7));

const endings: Record<string, () => void | Promise<void>> = {
  read: () => console.log(device.read(storage, 0, 256).bytesSync()[255]),
  nothing: () => undefined,
  pending: () => void device.read(storage, 0, 256).bytes().then((bytes) => console.log(bytes[255])),
  close: async () => {
    await device.close();
    console.log("closed");
  },
  exit: () => {
    device.fenceSync();
    process.exit(3);
  },
  error: () => {
    device.fenceSync();
    throw new Error("the script's own");
  },
  killed: async () => {
    device.fenceSync();
    await device.kill();
    while (device.stats().starts < 2) await new Promise((resolve) => setTimeout(resolve, 10));
    console.log(device.read(storage, 0, 256).bytesSync()[255]);
  },
};

await endings[process.argv[2] ?? ""]?.();

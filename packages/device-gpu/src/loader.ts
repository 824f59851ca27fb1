/** Says at once, on the main thread, when there cannot be a GPU. */
import { constants } from "node:os";
import { DeviceError } from "@troupe/core/device";

/** Keeps a library that was loaded, although Node takes it for a broken add-on. */
const noDelete = 0x1000;

/**
 * On Linux: whether the Vulkan loader is installed. (Whether it finds a driver shows when the device starts.)
 * @throws DeviceError
 */
export function assertLoader(device: string): void {
  if (process.platform !== "linux") return;
  try {
    process.dlopen({ exports: {} }, "libvulkan.so.1", constants.dlopen.RTLD_NOW | noDelete);
  } catch (error) {
    // A library that loads is still no Node add-on: that error says that it is there.
    if (!(error instanceof Error) || !error.message.includes("cannot open shared object")) return;
    throw new DeviceError("no Vulkan loader (libvulkan.so.1) is installed", {
      device,
      remedy: "Install it (Debian: libvulkan1) and the GPU's Vulkan driver; in a container pass the GPU in.",
    });
  }
}

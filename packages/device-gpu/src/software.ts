/**
 * A GPU in software, for machines that have none: SwiftShader, a Vulkan driver that comes in the npm package
 * `@sparticuz/chromium` (Linux, x64). For tests and demonstrations; a CPU device is many times as fast.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { constants, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { DeviceError } from "@troupe/core/device";

/** Keeps a library that was loaded, although Node takes it for a broken add-on. */
const noDelete = 0x1000;
/** How the paths of the folders begin into which SwiftShader is unpacked: one for each user and version. */
const prefix = join(tmpdir(), `troupe-swiftshader-${process.getuid?.() ?? 0}-`);

/**
 * Lets the GPU devices of this process run on SwiftShader where the machine shows no GPU, and says so. To be called on the
 * main thread before any GPU device is used. Elsewhere than on Linux, and where `VK_DRIVER_FILES` names a driver, it does
 * nothing.
 * @returns whether GPU devices run on SwiftShader
 * @throws DeviceError where it is needed and the package `@sparticuz/chromium` is missing, or brings no driver for this
 * processor
 */
export function useSoftwareWithoutGpu(): boolean {
  const named = process.env["VK_DRIVER_FILES"];
  // A parent process may have named SwiftShader; its loader must be loaded in this one, too.
  if (mayHaveGpu() || (named !== undefined && !named.startsWith(prefix))) return false;
  const folder = unpacked();
  process.env["VK_DRIVER_FILES"] = join(folder, "vk_swiftshader_icd.json");
  process.env["VK_LOADER_LAYERS_DISABLE"] = "~implicit~";
  try {
    process.dlopen({ exports: {} }, join(folder, "libvulkan.so.1"), constants.dlopen.RTLD_NOW | noDelete);
  } catch {
    // Node says that it is no add-on; it is loaded all the same, and Dawn finds it.
  }
  return true;
}

/** Whether the kernel shows a GPU. Other systems than Linux bring a driver for any machine. */
function mayHaveGpu(): boolean {
  if (process.platform !== "linux" || existsSync("/dev/nvidia0") || existsSync("/dev/dxg")) return true;
  return existsSync("/dev/dri") && readdirSync("/dev/dri").some((name) => name.startsWith("renderD"));
}

/** The folder with SwiftShader's files, unpacked once a version. */
function unpacked(): string {
  const bytes = readFileSync(packed());
  const folder = `${prefix}${bytes.length}`;
  if (existsSync(folder)) return folder;
  const fresh = mkdtempSync(`${folder}-`);
  execFileSync("tar", ["-x", "-C", fresh], { input: brotliDecompressSync(bytes) });
  try {
    renameSync(fresh, folder);
  } catch {
    // Another process was first.
    rmSync(fresh, { recursive: true });
  }
  return folder;
}

function packed(): string {
  const remedy = "Install it in your project, on Linux for x64; or install a GPU's Vulkan driver.";
  if (process.arch !== "x64") throw new DeviceError("there is no GPU, and no driver in software", { remedy });
  try {
    const entry = createRequire(import.meta.url).resolve("@sparticuz/chromium");
    return join(dirname(entry), "../bin/swiftshader.tar.br");
  } catch {
    throw new DeviceError('there is no GPU, and the package "@sparticuz/chromium" is not installed', { remedy });
  }
}

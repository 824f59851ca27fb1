/**
 * Which GPU the tests run on: a real one where the machine has one, else SwiftShader, a Vulkan driver in software that
 * arrives from npm. Imported first by every test file, on its main thread, before any device is made.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { constants, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { brotliDecompressSync } from "node:zlib";

/** Keeps a library that was loaded, although Node takes it for a broken add-on. */
const noDelete = 0x1000;

function hasGpu(): boolean {
  if (process.platform !== "linux" || existsSync("/dev/nvidia0")) return true;
  return existsSync("/dev/dri") && readdirSync("/dev/dri").some((name) => name.startsWith("renderD"));
}

/** The folder with SwiftShader's files, unpacked once a version. */
function swiftShader(): string {
  const packed = join(dirname(createRequire(import.meta.url).resolve("@sparticuz/chromium")), "../bin/swiftshader.tar.br");
  const bytes = readFileSync(packed);
  const folder = join(tmpdir(), `troupe-swiftshader-${process.getuid?.() ?? 0}-${bytes.length}`);
  if (existsSync(folder)) return folder;
  const fresh = mkdtempSync(`${folder}-`);
  execFileSync("tar", ["-x", "-C", fresh], { input: brotliDecompressSync(bytes) });
  try {
    renameSync(fresh, folder);
  } catch {
    // Another test file was first.
    rmSync(fresh, { recursive: true });
  }
  return folder;
}

function useSwiftShader(): void {
  const folder = swiftShader();
  process.env["VK_DRIVER_FILES"] = join(folder, "vk_swiftshader_icd.json");
  process.env["VK_LOADER_LAYERS_DISABLE"] = "~implicit~";
  try {
    process.dlopen({ exports: {} }, join(folder, "libvulkan.so.1"), constants.dlopen.RTLD_NOW | noDelete);
  } catch {
    // Node says that it is no add-on; it is loaded all the same, and Dawn finds it.
  }
}

/** What the tests' names say of where they ran. */
export const adapterName = hasGpu() ? "the machine's GPU" : "SwiftShader";
if (!hasGpu()) useSwiftShader();

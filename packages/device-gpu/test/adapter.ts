/**
 * Which GPU the tests run on: a real one where the machine has one, else SwiftShader, a Vulkan driver in software that
 * arrives from npm. Imported first by every test file, on its main thread, before any device is made.
 */
import { useSoftwareWithoutGpu } from "../src/software.ts";

/** What the tests' names say of where they ran. */
export const adapterName = useSoftwareWithoutGpu() ? "SwiftShader" : "the machine's GPU";

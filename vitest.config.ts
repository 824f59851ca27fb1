import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

const packages = ["core", "device-cpu", "device-gpu", "parallel", "examples"];

// Every test file is a process, with threads and scripts of its own, and all import the same library: Node keeps what
// it has stripped of types and compiled.
process.env["NODE_COMPILE_CACHE"] ??= fileURLToPath(new URL("node_modules/.cache/troupe-test", import.meta.url));

/** Files that take some seconds, by the beginning of their names. */
const longFiles = [
  "actor-promises", "autograd-programs", "closed-devices", "compare", "mnist", "ops", "promises", "rules",
  "tensor-promises", "training-process",
];
const long = new RegExp(`/(${longFiles.join("|")})\\b`);

/** Begins with the long files, so that none of them is what a single worker is left with at the end. */
class LongFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const { true: first = [], false: rest = [] } = Object.groupBy(await super.sort(files), ({ moduleId }) =>
      `${long.test(moduleId)}`);
    return [...first, ...rest];
  }
}

export default defineConfig({
  test: {
    pool: "forks",
    // Many tests wait for threads, processes and deaths rather than compute.
    maxWorkers: availableParallelism() + 1,
    sequence: { sequencer: LongFilesFirst },
    // Machines of two busy cores run these, too; nothing here measures time.
    testTimeout: 30_000,
    // Test files run as users' scripts do, on Node's own type stripping; Vite's module runner is many times slower.
    experimental: { viteModuleRunner: false },
    projects: packages.map((name) => ({
      extends: true as const,
      test: { name, root: `packages/${name}`, include: ["test/**/*.test.ts"] },
    })),
  },
});

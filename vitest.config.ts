import { defineConfig } from "vitest/config";

const packages = ["core", "device-cpu", "device-gpu", "parallel", "examples"];

export default defineConfig({
  test: {
    pool: "forks",
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

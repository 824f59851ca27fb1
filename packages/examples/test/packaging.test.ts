import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

interface Manifest {
  private?: boolean;
  exports?: Record<string, string>;
  publishConfig?: { exports: Record<string, { types: string; default: string }> };
}

const packages = new URL("../../", import.meta.url);
const published = readdirSync(packages)
  .map((name) => ({
    name,
    manifest: JSON.parse(readFileSync(new URL(`${name}/package.json`, packages), "utf8")) as Manifest,
  }))
  .filter(({ manifest }) => manifest.private !== true);

describe.each(published)("$name", ({ manifest }) => {
  test("publishes the entry points that it has in development, compiled and typed", () => {
    const compiled = Object.entries(manifest.exports ?? {}).map(([entry, source]) => {
      const output = source.replace("./src/", "./dist/").replace(/\.ts$/, "");
      return [entry, { types: `${output}.d.ts`, default: `${output}.js` }];
    });
    expect(compiled).not.toEqual([]);
    expect(manifest.publishConfig?.exports).toEqual(Object.fromEntries(compiled));
  });
});

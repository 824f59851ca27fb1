/**
 * Runs OpInfo entries on a device and prints what differs: `node scripts/opinfo/check.ts [--device cpu] [--all] [entry ...]`.
 * Without entries, all of them; a failing entry shows its first failures (all with --all).
 */
import { parseArgs } from "node:util";
import * as library from "../../src/index.ts";
import "../../src/testing/index.ts";
import { checkEntry } from "../../src/testing/opinfo/check.ts";
import { entryNames } from "../../src/testing/opinfo/fixtures.ts";

const { values, positionals } = parseArgs({
  options: { device: { type: "string", default: "mock" }, all: { type: "boolean", default: false }, module: { type: "string" } },
  allowPositionals: true,
});
if (values.module !== undefined) await import(values.module);
const device = library.device(values.device);
library.setDefaultDevice(values.device);
let failed = 0;
let passed = 0;
let cases = 0;
for (const name of positionals.length > 0 ? positionals : entryNames()) {
  const report = await checkEntry(name, { library, device });
  cases += report.cases;
  if (report.failures.length === 0) {
    passed++;
    continue;
  }
  failed++;
  console.log(`${name}: ${report.failures.length} of ${report.cases} cases`);
  for (const failure of report.failures.slice(0, values.all ? Infinity : 3)) console.log(`  ${failure}`);
}
console.log(`${passed} entries pass, ${failed} fail, ${cases} cases`);

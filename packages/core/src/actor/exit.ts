/** The end of the process: failures that nobody read are reported once, and devices that need it leave in order. */
import { writeSync } from "node:fs";
import { company } from "./coordinator.ts";
import { Company } from "./protocol.ts";
import { openDevices } from "./registry.ts";

/** How long the process waits for actors that must leave by themselves, ms. */
const patience = 3000;

/** Failures that are told in full: the first ones are usually the cause of the others. */
const reported = 10;

let watching = false;

/** Called when the first actor starts. */
export function watchExit(): void {
  if (watching) return;
  watching = true;
  process.on("exit", () => {
    leave();
    report();
  });
}

function leave(): void {
  const devices = openDevices().filter((device) => device.orderlyExit && device.running);
  for (const device of devices) device.leave();
  const deadline = performance.now() + patience;
  for (;;) {
    const bell = Atomics.load(company.words, Company.bell);
    const left = deadline - performance.now();
    if (left <= 0 || !devices.some((device) => device.running)) return;
    Atomics.wait(company.words, Company.bell, bell, left);
  }
}

function report(): void {
  const errors = openDevices().flatMap((device) => device.takeUntold());
  if (errors.length === 0) return;
  const texts = errors.slice(0, reported).map((error) => `${error.name}: ${error.message}`);
  if (errors.length > reported) texts.push(`... and ${errors.length - reported} more`);
  writeSync(2, `Troupe: ${errors.length} failure(s) that nothing read\n${texts.join("\n")}\n`);
  process.exitCode = process.exitCode === undefined || process.exitCode === 0 ? 1 : process.exitCode;
}

/** The promises of the actor contract, kept by the CPU device with one thread and with helpers. */
import { promiseSuite } from "@troupe/core/testing";
import { cpu } from "../src/index.ts";

let index = 100;

for (const threads of [1, 2]) {
  promiseSuite(threads === 1 ? "cpu, 1 thread" : `cpu, ${threads} threads`, (count, options) =>
    Array.from({ length: count }, () => cpu({ ...options, index: index++, threads })));
}

/** The promises of the actor contract, kept by the CPU device with one thread. */
import { promiseSuite } from "@troupe/core/testing";
import { cpu } from "../src/index.ts";

let index = 100;
promiseSuite("cpu, 1 thread", (count, options) =>
  Array.from({ length: count }, () => cpu({ ...options, index: index++, threads: 1 })));

/** The promises of the actor contract, kept by the CPU device with helper threads. */
import { promiseSuite } from "@troupe/core/testing";
import { cpu } from "../src/index.ts";

let index = 200;
promiseSuite("cpu, 2 threads", (count, options) =>
  Array.from({ length: count }, () => cpu({ ...options, index: index++, threads: 2 })));

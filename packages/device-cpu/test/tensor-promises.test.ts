/** The promises of the actor contract at the level of tensors and training, kept by the CPU device. */
import { tensorPromiseSuite } from "@troupe/core/testing";
import { cpu } from "../src/index.ts";

let index = 300;

tensorPromiseSuite("cpu", (count, options) => Array.from({ length: count }, () => cpu({ ...options, index: index++, threads: 2 })));

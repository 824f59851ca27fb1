/** The promises of the actor contract at the level of tensors and training, kept by the GPU device. */
import { adapterName } from "./adapter.ts";
import { tensorPromiseSuite } from "@troupe/core/testing";
import { gpu } from "../src/index.ts";

let index = 300;

tensorPromiseSuite(`gpu on ${adapterName}`, (count, options) =>
  Array.from({ length: count }, () => gpu({ ...options, index: index++ })), { memory: "dies" });

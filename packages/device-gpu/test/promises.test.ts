/** The promises of the actor contract, kept by the GPU device. Its memory dies with its thread, and that is said. */
import { adapterName } from "./adapter.ts";
import { promiseSuite } from "@troupe/core/testing";
import { gpu } from "../src/index.ts";

let index = 100;

promiseSuite(`gpu on ${adapterName}`, (count, options) =>
  Array.from({ length: count }, () => gpu({ ...options, index: index++ })), { memory: "dies" });

/** What fused captured steps promise, on the GPU device. */
import { fusionSuite } from "@troupe/core/testing";
import { afterAll } from "vitest";
import { gpu } from "../src/index.ts";
import { adapterName } from "./adapter.ts";

const device = gpu();
afterAll(() => device.close());

fusionSuite(`gpu on ${adapterName}`, device, { tolerance: 1e-5 });

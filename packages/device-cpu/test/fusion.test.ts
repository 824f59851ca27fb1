/** What fused captured steps promise, on the CPU device. */
import { fusionSuite } from "@troupe/core/testing";
import { afterAll } from "vitest";
import { cpu } from "../src/index.ts";

const device = cpu({ threads: 2 });
afterAll(() => device.close());

fusionSuite("cpu", device);

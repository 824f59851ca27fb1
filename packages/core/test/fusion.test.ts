/** What fused captured steps promise, on the mock. */
import { afterAll } from "vitest";
import { fusionSuite } from "../src/testing/fusion.ts";
import { mock } from "../src/testing/mock/index.ts";

const device = mock();
afterAll(() => device.close());

fusionSuite("mock", device);

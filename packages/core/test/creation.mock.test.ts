import { creationSuite, mock } from "../src/testing/index.ts";

const device = mock();

creationSuite("mock", () => device);

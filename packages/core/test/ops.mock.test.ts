import { mock, opSuite } from "../src/testing/index.ts";

const device = mock();

opSuite("mock", () => device);

import { mock } from "../src/testing/mock/index.ts";
import { promiseSuite } from "../src/testing/promises.ts";

promiseSuite("mock", (count, options) => Array.from({ length: count }, () => mock(options)));

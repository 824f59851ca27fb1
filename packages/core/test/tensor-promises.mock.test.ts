import { mock } from "../src/testing/mock/index.ts";
import { tensorPromiseSuite } from "../src/testing/tensor-promises.ts";

tensorPromiseSuite("mock", (count, options) => Array.from({ length: count }, () => mock(options)));

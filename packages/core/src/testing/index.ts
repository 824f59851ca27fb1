/** For tests of Troupe itself and of device packages: the mock device and the suites that every device runs. */
export { mock, type MockOptions } from "./mock/index.ts";
export { promiseSuite, type MakeDevices, type PromiseDeviceOptions, type PromiseSuiteOptions } from "./promises.ts";
export { tensorPromiseSuite } from "./tensor-promises.ts";
export { fusionSuite, type FusionSuiteOptions } from "./fusion.ts";
export { opSuite } from "./opinfo/suite.ts";
export { creationSuite } from "./creation.ts";

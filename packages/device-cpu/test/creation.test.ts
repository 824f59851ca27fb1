import { creationSuite } from "@troupe/core/testing";
import { cpu } from "../src/index.ts";

const device = cpu({ index: 0, threads: 2 });

creationSuite("cpu", () => device);

import { adapterName } from "./adapter.ts";
import { creationSuite } from "@troupe/core/testing";
import { gpu } from "../src/index.ts";

const device = gpu();

creationSuite(`gpu on ${adapterName}`, () => device);

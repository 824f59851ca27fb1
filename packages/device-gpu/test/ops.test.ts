/** Every entry of the op table against PyTorch's answers, in the dtypes that the GPU has. */
import { adapterName } from "./adapter.ts";
import { setDefaultDevice } from "@troupe/core";
import { opSuite } from "@troupe/core/testing";
import { gpu } from "../src/index.ts";

const device = gpu();
setDefaultDevice(device);

opSuite(`gpu on ${adapterName}`, () => device);

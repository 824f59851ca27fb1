/** Every entry of the op table against PyTorch's answers, in the dtypes that the GPU has. */
import { adapterName } from "./adapter.ts";
import { setDefaultDevice } from "@troupe/core";
import { opSuite } from "@troupe/core/testing";
import { gpu } from "../src/index.ts";

const device = gpu();
setDefaultDevice(device);

const conversion = "out-of-range floats saturate; in C their conversion is undefined";
const singular = "orders that need singular values are refused";

/** Where core's table counts cases of float64, which a GPU has not. */
opSuite(`gpu on ${adapterName}`, () => device, {
  int: { cases: 1, why: conversion },
  long: { cases: 1, why: conversion },
  logspace: { cases: 10, why: "its exponents are float64" },
  "linalg.matrix_norm": { cases: 4, why: singular },
  "linalg.matrix_power": { cases: 8, why: "negative powers need an inverse and are refused" },
});

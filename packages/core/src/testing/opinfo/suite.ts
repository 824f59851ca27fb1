/** The op suite that every device runs: every entry of the fixtures against PyTorch's answers, with the differences that are known. */
import { test } from "vitest";
import type { Device } from "../../actor/device.ts";
import * as library from "../../index.ts";
import { checkEntry } from "./check.ts";
import { entryNames } from "./fixtures.ts";

/** Entries that are left out: PyTorch's internal forms of batchNorm and layerNorm. */
export const leftOut: readonly string[] = ["native_batch_norm", "native_layer_norm"];

interface KnownDifference {
  /** How many cases differ. */
  readonly cases: number;
  readonly why: string;
}

const ties = "which of equal elements comes first is open in PyTorch; here it is the first";
const singular = "orders that need singular values are refused";
const conversion = "out-of-range floats saturate; in C their conversion is undefined";

/** Where Troupe differs from PyTorch on purpose, or PyTorch 1.13 is at fault. The count is checked, so that the table stays true. */
export const knownDifferences: Readonly<Record<string, KnownDifference>> = {
  int: { cases: 2, why: conversion },
  long: { cases: 2, why: conversion },
  kthvalue: { cases: 6, why: ties },
  topk: { cases: 6, why: ties },
  linspace: { cases: 3, why: "PyTorch rounds whole-number steps down, and refuses 1.0 as a count" },
  logspace: { cases: 1, why: "1.0 is a whole number in JavaScript" },
  "linalg.matrix_norm": { cases: 5, why: singular },
  "linalg.norm": { cases: 3, why: singular },
  "linalg.norm.subgradients_at_zero": { cases: 4, why: singular },
  "linalg.matrix_power": { cases: 9, why: "negative powers need an inverse and are refused" },
  "linalg.vector_norm": { cases: 2, why: "PyTorch 1.13 rounds an order of 0.9 to float32" },
  "nn.functional.layer_norm": { cases: 1, why: "PyTorch's rounding leaves 1e-4 where a single element deviates by nothing" },
};

/** Tests that run side by side wait for each other's work, too, ms. */
const timeout = 120_000;

/**
 * Registers one test an entry.
 * @param own known differences of this device, in place of the table's.
 */
export function opSuite(name: string, device: () => Device, own: Readonly<Record<string, KnownDifference>> = {}): void {
  for (const entry of entryNames()) {
    if (leftOut.includes(entry)) continue;
    const known = own[entry] ?? knownDifferences[entry];
    // Side by side: a test issues what it needs while others wait for their reads.
    test.concurrent(`${name}: ${entry} gives PyTorch's values, gradients and errors${known === undefined ? "" : `, but for ${known.why}`}`, { timeout }, async ({ expect }) => {
      const { failures, cases, left } = await checkEntry(entry, { library, device: device() });
      // All of an entry's cases may need a dtype that the device has not.
      expect(cases + left).toBeGreaterThan(0);
      expect(known?.cases === failures.length ? [] : failures).toEqual([]);
    });
  }
}

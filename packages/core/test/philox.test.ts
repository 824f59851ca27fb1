import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { PHILOX_WORDS, philox, type PhiloxCounter, type PhiloxKey } from "../src/testing/philox.ts";

/** Random123's kat_vectors for philox4x32 with 10 rounds: counter, key, expected. */
const knownAnswers = [
  "00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8",
  "ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd",
  "243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1",
];

const word = fc.integer({ min: 0, max: 0xffffffff });
const keys = fc.tuple(word, word);
const counters = fc.tuple(word, word, word, word);

function once(key: PhiloxKey, counter: PhiloxCounter): number[] {
  return [...philox(key, counter, new Uint32Array(PHILOX_WORDS))];
}

/** The paper's definition, in exact integers. */
function definition(key: PhiloxKey, counter: PhiloxCounter): number[] {
  const mask = 0xffffffffn;
  let [k0, k1] = key.map(BigInt);
  let [c0, c1, c2, c3] = counter.map(BigInt);
  for (let round = 0; round < 10; round++) {
    const p0 = 0xd2511f53n * c0;
    const p1 = 0xcd9e8d57n * c2;
    [c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & mask, (p0 >> 32n) ^ c3 ^ k1, p0 & mask];
    [k0, k1] = [(k0 + 0x9e3779b9n) & mask, (k1 + 0xbb67ae85n) & mask];
  }
  return [c0, c1, c2, c3].map(Number);
}

describe("Philox4x32-10", () => {
  test.each(knownAnswers)("gives Random123's known answer for %s", (line) => {
    const [c0, c1, c2, c3, k0, k1, ...expected] = line.split(" ").map((text) => Number.parseInt(text, 16));
    expect(once([k0, k1], [c0, c1, c2, c3])).toEqual(expected);
  });

  test("equals the definition in exact integers for every key and counter", () => {
    fc.assert(
      fc.property(keys, counters, (key, counter) => {
        expect(once(key, counter)).toEqual(definition(key, counter));
      }),
      { numRuns: 500 },
    );
  });

  test("takes words modulo 2^32, so that signed and unsigned words agree", () => {
    fc.assert(
      fc.property(keys, counters, ([k0, k1], [c0, c1, c2, c3]) => {
        expect(once([k0 | 0, k1 | 0], [c0 | 0, c1 | 0, c2 | 0, c3 | 0])).toEqual(once([k0, k1], [c0, c1, c2, c3]));
      }),
    );
  });

  test("writes four words at the offset and touches no other", () => {
    const out = new Uint32Array(8).fill(7);
    expect(philox([1, 2], [3, 4, 5, 6], out, 3)).toBe(out);
    expect([...out]).toEqual([7, 7, 7, ...once([1, 2], [3, 4, 5, 6]), 7]);
  });
});

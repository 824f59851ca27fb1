/** The special functions are accurate to double precision. */
import { describe, expect, test } from "vitest";
import { digamma, erf, erfc, erfinv, lgamma, nextafter32, nextafter64 } from "../src/kernel/special.ts";

const functions = { erf, erfc, erfinv, lgamma, digamma };

/** Values of mpmath with 40 digits, rounded. */
const references = {
  erf: [[0.1, 0.1124629160182849], [-0.7, -0.6778011938374184], [1.0, 0.8427007929497149], [2.5, 0.999593047982555], [-4.0, -0.9999999845827421], [1e-10, 1.1283791670955126e-10]],
  erfc: [[0.1, 0.887537083981715], [-0.7, 1.6778011938374184], [1.0, 0.15729920705028513], [2.5, 0.0004069520174449589], [8.0, 1.1224297172982926e-29], [26.0, 5.663192408856143e-296]],
  erfinv: [[0.1, 0.08885599049425769], [-0.5, -0.4769362762044699], [0.9, 1.1630871536766743], [0.999999, 3.458910737275499], [1e-12, 8.86226925452758e-13]],
  lgamma: [[0.3, 1.0957979948180756], [1.5, -0.12078223763524522], [2.001, 0.000423106734800117], [2.7, 0.4348205536551047], [5.5, 3.9578139676187165], [40.0, 106.63176026064346], [-0.5, 1.2655121234846454], [-2.3, 0.36956666345500805], [1e-12, 27.63102111592797], [10000000000.0, 220258509288.81058]],
  digamma: [[0.3, -3.502524222200133], [1.5, 0.03648997397857652], [2.7, 0.7967831689911411], [12.0, 2.442661679975812], [-0.4, 0.9593807861068093], [-3.7, -0.8450768588704194], [1000000.0, 13.815510057964191]],
} as const;

describe("special functions", () => {
  test.each(Object.entries(references))("%s agrees with 40-digit values to 1e-14", (name, pairs) => {
    const f = functions[name as keyof typeof references];
    for (const [x, exact] of pairs) {
      expect(Math.abs(f(x) - exact), `${name}(${x}) = ${f(x)}`).toBeLessThanOrEqual(1e-14 * Math.abs(exact));
    }
  });

  test("the limits and poles are as in PyTorch", () => {
    expect([erf(Infinity), erf(-Infinity), erfc(-Infinity), erfc(Infinity)]).toEqual([1, -1, 2, 0]);
    expect([erfinv(1), erfinv(-1), erfinv(1.5)]).toEqual([Infinity, -Infinity, NaN]);
    expect([lgamma(0), lgamma(-3), lgamma(-Infinity), lgamma(1)]).toEqual([Infinity, Infinity, Infinity, 0]);
    expect([digamma(0), digamma(-0), digamma(-2)]).toEqual([-Infinity, Infinity, NaN]);
    for (const f of Object.values(functions)) expect(f(NaN)).toBeNaN();
  });

  test("the next float lies one unit in the last place away, across zero and into infinity", () => {
    expect(nextafter32(1, 2)).toBe(1 + 2 ** -23);
    expect(nextafter32(-1, 2)).toBe(-1 + 2 ** -24);
    expect(nextafter32(0, -1)).toBe(-(2 ** -149));
    expect(nextafter32(3.4028234663852886e38, Infinity)).toBe(Infinity);
    expect(nextafter64(1, 2)).toBe(1 + Number.EPSILON);
    expect(nextafter64(0, 1)).toBe(Number.MIN_VALUE);
    expect(nextafter64(1, 1)).toBe(1);
  });
});

/** The special functions' table: error functions, gamma and its kin, entropy, the normal distribution. */
import type { Expr } from "../kernel/build.ts";
import { inPlace, unary } from "./elementwise.ts";
import { from } from "./op.ts";

const TWO_OVER_SQRT_PI = 2 / Math.sqrt(Math.PI);
export const erf = unary("erf", { kernel: (a) => a.erf(), type: "float", grad: { a: from("a", (g, { a }) => g.mul(a.square().neg().exp()).mul(TWO_OVER_SQRT_PI)) } });
export const erfc = unary("erfc", { kernel: (a) => a.erfc(), type: "float", grad: { a: from("a", (g, { a }) => g.mul(a.square().neg().exp()).mul(-TWO_OVER_SQRT_PI)) } });
export const erfinv = unary("erfinv", { kernel: (a) => a.erfinv(), type: "float", grad: { a: from("y", (g, { y }) => g.mul(y.square().exp()).mul(1 / TWO_OVER_SQRT_PI)) } });
export const lgamma = unary("lgamma", { kernel: (a) => a.lgamma(), type: "float", grad: { a: from("a", (g, { a }) => g.mul(a.digamma())) } });
export const digamma = unary("digamma", { kernel: (a) => a.digamma(), type: "float", grad: { a: from("a", (g, { a }) => g.mul(trigamma(a))) } });

/** Terms by which a polygamma's argument is raised before its asymptotic series is used: enough for float64. */
const raised = 10;

/** sum of 1 / (x + i)^power below the raised argument, and that argument. */
function recurrence(x: Expr, power: 2 | 3): { readonly sum: Expr; readonly above: Expr } {
  let sum = x.constant(0);
  let above = x;
  for (let i = 0; i < raised; i++) {
    const square = above.square();
    sum = sum.add((power === 2 ? square : square.mul(above)).reciprocal());
    above = above.add(1);
  }
  return { sum, above };
}

/** Horner's rule, the highest power first. */
function polynomial(x: Expr, coefficients: readonly number[]): Expr {
  return coefficients.slice(1).reduce((rest, term) => rest.mul(x).add(term), x.constant(coefficients[0]));
}

/** The derivative of digamma: recurrence up to large arguments, reflection for small ones (Abramowitz and Stegun 6.4). */
const trigamma = unary("trigamma", {
  type: "float",
  kernel: (a) => {
    const reflected = a.lt(0.5);
    const { sum, above } = recurrence(reflected.where(a.neg().add(1), a), 2);
    const inverse = above.reciprocal();
    const square = inverse.square();
    const series = polynomial(square, [-691 / 2730, 5 / 66, -1 / 30, 1 / 42, -1 / 30, 1 / 6]);
    const value = sum.add(inverse).add(square.mul(0.5)).add(series.mul(square).mul(inverse));
    const turn = a.mul(Math.PI).sin();
    return reflected.where(turn.square().reciprocal().mul(Math.PI ** 2).sub(value), value);
  },
  grad: { a: from("a", (g, { a }) => g.mul(tetragamma(a))) },
});

/** The second derivative of digamma. */
const tetragamma = unary("tetragamma", {
  type: "float",
  kernel: (a) => {
    const reflected = a.lt(0.5);
    const { sum, above } = recurrence(reflected.where(a.neg().add(1), a), 3);
    const inverse = above.reciprocal();
    const square = inverse.square();
    const series = polynomial(square, [691 / 210, -5 / 6, 3 / 10, -1 / 6, 1 / 6, -1 / 2]);
    const value = sum.mul(-2).sub(square).sub(square.mul(inverse)).add(series.mul(square.square()));
    const turn = a.mul(Math.PI);
    const slope = turn.cos().div(turn.sin().mul(turn.sin().square())).mul(-2 * Math.PI ** 3);
    return reflected.where(slope.add(value), value);
  },
});
/** -x log x, 0 at 0, -inf below (`torch.special.entr`). */
export const entr = unary("entr", {
  type: "float",
  kernel: (a) => a.isNaN().where(a, a.gt(0).where(a.neg().mul(a.log()), a.eq(0).where(a.constant(0), a.constant(-Infinity)))),
  grad: { a: from("a", (g, { a }) => g.mul(a.log().add(1).neg()).maskedFill(a.lt(0), NaN)) },
});
/** The standard normal distribution function (`torch.special.ndtr`). */
export const ndtr = unary("ndtr", {
  type: "float",
  kernel: (a) => a.mul(-Math.SQRT1_2).erfc().mul(0.5),
  grad: { a: from("a", (g, { a }) => g.mul(a.square().mul(-0.5).exp()).mul(1 / Math.sqrt(2 * Math.PI))) },
});

const table = { erf, erfc, erfinv, lgamma, digamma };

export const methods = table;
export const inPlaceMethods = inPlace(table);

/** Types of parameter lists that may end in one object of options. */

/**
 * The parameters `P`, all optional; from any of them on, one object may give the rest by name: `f(1, { keepdim: true
 * })`.
 */
export type Optional<P extends readonly unknown[]> = Partial<P> | WithOptions<P>;

type WithOptions<P extends readonly unknown[]> =
  | [options: Readonly<Record<string, unknown>>]
  | (P extends readonly [infer First, ...infer Rest] ? [first: First | undefined, ...rest: WithOptions<Rest>] : never);

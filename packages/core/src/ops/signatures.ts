/** Types of parameter lists that may end in one object of options. */

/**
 * The parameters `P`, all optional; from any of them on, one object may give the rest by name: `f(1, { keepdim: true
 * })`. `O` are their types by name, where wrong names should not compile.
 */
export type Optional<P extends readonly unknown[], O = Record<string, unknown>> = Partial<P> | WithOptions<P, O>;

type WithOptions<P extends readonly unknown[], O> =
  | [options: Readonly<Partial<O>>]
  | (P extends readonly [infer First, ...infer Rest]
      ? [first: First | undefined, ...rest: WithOptions<Rest, O>]
      : never);

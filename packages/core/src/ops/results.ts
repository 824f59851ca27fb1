/** Several results of one op, by name and by position: `const { values, indices } = x.max(1)` or `const [values] = x.max(1)`. */

export type NamedTuple<N extends string, T> = { readonly [name in N]: T } & Iterable<T> & { readonly length: number; readonly [index: number]: T };

export function namedTuple<N extends string, T>(names: readonly N[], values: readonly T[]): NamedTuple<N, T> {
  const result: Record<string | number | symbol, unknown> = {};
  names.forEach((name, i) => {
    result[name] = values[i];
    Object.defineProperty(result, i, { value: values[i], enumerable: false });
  });
  Object.defineProperty(result, "length", { value: names.length, enumerable: false });
  Object.defineProperty(result, Symbol.iterator, { value: () => values[Symbol.iterator](), enumerable: false });
  return result as NamedTuple<N, T>;
}

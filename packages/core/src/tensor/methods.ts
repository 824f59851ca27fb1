/**
 * The methods of `Tensor`: every table's functions hung on the prototype, with their types. Importing this file (the package's
 * index does) is what makes `x.add(y)` exist.
 */
import { setEngineOps } from "../autograd/engine.ts";
import { setSnapshot } from "../ops/local.ts";
import * as advanced from "../ops/advanced.ts";
import * as arithmetic from "../ops/arithmetic.ts";
import * as comparison from "../ops/comparison.ts";
import * as contract from "../ops/contract.ts";
import * as conversion from "../ops/conversion.ts";
import * as cross from "../ops/composite/cross.ts";
import * as differences from "../ops/composite/differences.ts";
import * as extrema from "../ops/extrema.ts";
import * as histograms from "../ops/composite/histograms.ts";
import * as indexed from "../ops/index.ts";
import * as indexing from "./indexing.ts";
import * as join from "../ops/join.ts";
import * as masked from "../ops/masked.ts";
import * as mode from "../ops/mode.ts";
import * as norm from "../ops/norm.ts";
import * as norms from "../ops/composite/norms.ts";
import * as order from "../ops/order.ts";
import * as parts from "../ops/parts.ts";
import * as products from "../ops/composite/products.ts";
import * as quantiles from "../ops/composite/quantiles.ts";
import * as rectifiers from "../ops/rectifiers.ts";
import * as reduce from "../ops/reduce.ts";
import * as scan from "../ops/scan.ts";
import * as search from "../ops/search.ts";
import * as selection from "../ops/selection.ts";
import * as softmax from "../ops/softmax.ts";
import * as sort from "../ops/sort.ts";
import * as special from "../ops/special.ts";
import * as split from "../ops/split.ts";
import * as strided from "../ops/strided.ts";
import * as transcendental from "../ops/transcendental.ts";
import * as triangles from "../ops/triangles.ts";
import * as truth from "../ops/truth.ts";
import * as unique from "../ops/unique.ts";
import * as view from "../ops/view.ts";
import { onesLike } from "./creation.ts";
import * as own from "./own-methods.ts";
import { inspectText, text } from "./reading.ts";
import { Tensor } from "./tensor.ts";

const tables = [
  own.methods,
  arithmetic.methods, arithmetic.inPlaceMethods,
  transcendental.methods, transcendental.inPlaceMethods,
  special.methods, special.inPlaceMethods,
  comparison.methods, comparison.inPlaceMethods,
  selection.methods, selection.inPlaceMethods,
  conversion.methods, conversion.inPlaceMethods,
  rectifiers.methods, rectifiers.inPlaceMethods,
  reduce.methods,
  extrema.methods, extrema.overloaded,
  norm.methods,
  norms.methods,
  softmax.methods,
  scan.methods,
  sort.methods, sort.overloaded,
  mode.methods,
  unique.methods,
  search.methods,
  view.methods, view.inPlaceMethods,
  parts.methods,
  strided.methods,
  split.methods,
  join.methods,
  order.methods,
  triangles.methods, triangles.inPlaceMethods,
  indexing.methods,
  indexed.methods, indexed.inPlaceMethods,
  advanced.methods, advanced.inPlaceMethods,
  masked.methods, masked.inPlaceMethods,
  contract.methods, contract.inPlaceMethods,
  products.methods,
  cross.methods,
  differences.methods,
  quantiles.methods,
  histograms.methods,
  truth.methods,
] as const;

type Method<F> = F extends (x: never, ...args: infer A) => infer R ? (...args: A) => R : never;
type Methods<T> = { [K in keyof T]: Method<T[K]> };
type Getters<T> = { readonly [K in keyof T]: T[K] extends (x: never) => infer R ? R : never };

declare module "./tensor.ts" {
  interface Tensor
    extends Methods<typeof own.methods>,
      Getters<typeof view.getters>,
      Methods<typeof arithmetic.methods>, Methods<typeof arithmetic.inPlaceMethods>,
      Methods<typeof transcendental.methods>, Methods<typeof transcendental.inPlaceMethods>,
      Methods<typeof special.methods>, Methods<typeof special.inPlaceMethods>,
      Methods<typeof comparison.methods>, Methods<typeof comparison.inPlaceMethods>,
      Methods<typeof selection.methods>, Methods<typeof selection.inPlaceMethods>,
      Methods<typeof conversion.methods>, Methods<typeof conversion.inPlaceMethods>,
      Methods<typeof rectifiers.methods>, Methods<typeof rectifiers.inPlaceMethods>,
      Methods<typeof reduce.methods>,
      Methods<typeof extrema.methods>, extrema.OverloadedMethods,
      Methods<typeof norm.methods>,
      Methods<typeof norms.methods>,
      Methods<typeof softmax.methods>,
      Methods<typeof scan.methods>,
      Methods<typeof sort.methods>, sort.OverloadedMethods,
      Methods<typeof mode.methods>,
      Methods<typeof unique.methods>,
      Methods<typeof search.methods>,
      Methods<typeof view.methods>, Methods<typeof view.inPlaceMethods>,
      Methods<typeof parts.methods>,
      Methods<typeof strided.methods>,
      Methods<typeof split.methods>,
      Methods<typeof join.methods>,
      Methods<typeof order.methods>,
      Methods<typeof triangles.methods>, Methods<typeof triangles.inPlaceMethods>,
      Methods<typeof indexing.methods>,
      Methods<typeof indexed.methods>, Methods<typeof indexed.inPlaceMethods>,
      Methods<typeof advanced.methods>, Methods<typeof advanced.inPlaceMethods>,
      Methods<typeof masked.methods>, Methods<typeof masked.inPlaceMethods>,
      Methods<typeof contract.methods>, Methods<typeof contract.inPlaceMethods>,
      Methods<typeof products.methods>,
      Methods<typeof cross.methods>,
      Methods<typeof differences.methods>,
      Methods<typeof quantiles.methods>,
      Methods<typeof histograms.methods>,
      Methods<typeof truth.methods> {}
}

function define(name: string | symbol, descriptor: PropertyDescriptor): void {
  Object.defineProperty(Tensor.prototype, name, { configurable: true, ...descriptor });
}

for (const table of tables) {
  for (const [name, method] of Object.entries(table) as [string, (x: Tensor, ...args: unknown[]) => unknown][]) {
    define(name, {
      writable: true,
      value(this: Tensor, ...args: unknown[]) {
        return method(this, ...args);
      },
    });
  }
}

for (const [name, getter] of Object.entries(view.getters)) {
  define(name, {
    get(this: Tensor) {
      return getter(this);
    },
  });
}

define("toString", {
  value(this: Tensor) {
    return text(this);
  },
});

define(Symbol.for("nodejs.util.inspect.custom"), {
  value(this: Tensor) {
    return inspectText(this);
  },
});

setSnapshot((value) => conversion.cloneOp.run([value], [], [value])[0]);
setEngineOps({
  onesLike: (x) => onesLike(x),
  to: conversion.toDType,
  clone: conversion.clone,
  add: arithmetic.add,
  addInPlace: (x, y) => arithmetic.inPlaceMethods.add_(x, y),
});

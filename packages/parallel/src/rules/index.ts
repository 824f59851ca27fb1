/**
 * The rule of each op: derived from what its kind says, or stated under its name. An op without one runs on every
 * device with all operands replicated, which is always right.
 */
import { diagonalOp, selectOp, sliceOp, unfoldOp } from "@troupe/core/executor";
import type { Op } from "@troupe/core/executor";
import {
  catRule,
  crossEntropyBackwardRule,
  crossEntropyRule,
  embeddingBackwardRule,
  embeddingRule,
  gatherRule,
  indexAddRule,
  indexSelectRule,
  nllPickRule,
  nllSpreadRule,
  orderRule,
  padRule,
  scanRule,
  scatterRule,
  sortRule,
  stackRule,
  triangleRule,
  windowRule,
} from "./along.ts";
import { contractRule, convolutionRule } from "./contract.ts";
import { elementwiseRule } from "./elementwise.ts";
import { generateRule } from "./generate.ts";
import { normalizeInputRule, normalizeWeightRule } from "./normalize.ts";
import { reduceRule } from "./reduce.ts";
import type { Rule } from "./rule.ts";
import { aroundRule, reshapeRule, viewRule } from "./view.ts";

/** Rules of ops whose kind does not tell, by name. */
const stated: Readonly<Record<string, Rule>> = {
  view: reshapeRule,
  selectBackward: aroundRule(selectOp, true),
  sliceBackward: aroundRule(sliceOp, true),
  diagonalBackward: aroundRule(diagonalOp, true),
  unfoldBackward: aroundRule(unfoldOp, true),
  selectScatter: aroundRule(selectOp, false),
  sliceScatter: aroundRule(sliceOp, false),
  diagonalScatter: aroundRule(diagonalOp, false),
  cat: catRule,
  stack: stackRule,
  flip: orderRule,
  roll: orderRule,
  tril: triangleRule,
  triu: triangleRule,
  constantPad: padRule,
  gather: gatherRule,
  scatter: scatterRule,
  scatterAdd: scatterRule,
  indexSelect: indexSelectRule,
  indexAdd: indexAddRule,
  embedding: embeddingRule,
  embeddingBackward: embeddingBackwardRule,
  embeddingBackwardBackward: embeddingRule,
  nllPick: nllPickRule,
  crossEntropy: crossEntropyRule,
  crossEntropyBackward: crossEntropyBackwardRule,
  nllSpread: nllSpreadRule,
  normalizeInput: normalizeInputRule,
  normalizeWeight: normalizeWeightRule,
};

function derived(op: Op<never>): Rule | undefined {
  switch (op.kind) {
    case "elementwise":
      return elementwiseRule as Rule;
    case "generate":
      return generateRule as unknown as Rule;
    case "reduce":
      return reduceRule as unknown as Rule;
    case "scan":
      return scanRule;
    case "sort":
      return sortRule;
    case "contract":
      return "target" in op ? convolutionRule : contractRule;
    case "view":
      return "entry" in op && op.isView && "map" in (op.entry as object) ? viewRule : undefined;
    case "index":
      return "leading" in op ? windowRule : undefined;
    case "composite":
      return undefined;
  }
}

const rules = new WeakMap<object, { readonly rule: Rule | undefined }>();

/** The rule of an op, or undefined where there is none. */
export function ruleOf<A>(op: Op<A>): Rule<A> | undefined {
  let found = rules.get(op);
  if (found === undefined) rules.set(op, (found = { rule: stated[op.name] ?? derived(op) }));
  return found.rule as Rule<A> | undefined;
}

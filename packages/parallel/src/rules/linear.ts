/**
 * What the scalar expression of a kernel tells about sums over devices: an expression that is linear in some operands
 * may run on each device's addends of them.
 */
import { isFloat } from "@troupe/core/executor";
import type { KernelNode } from "@troupe/core/executor";

/**
 * How a value depends on the operands in question:
 * - `zero`: it is 0
 * - `free`: not at all
 * - `linear`: it is a sum of them times factors that do not depend on them
 * - `other`: in another way
 */
export type Form = "zero" | "free" | "linear" | "other";

/**
 * The form of every node of an expression; `isAddend` says which operands are in question, `faults` whether a check
 * looks at one.
 */
export function formsOf(
  nodes: readonly KernelNode[],
  isAddend: (operand: number) => boolean,
): { readonly forms: readonly Form[]; readonly faults: boolean } {
  const forms: Form[] = [];
  let faults = false;
  for (const node of nodes) {
    const form = formOf(node, forms, nodes, isAddend);
    if (node.op === "check" && form === "other") faults = true;
    forms.push(form);
  }
  return { forms, faults };
}

function formOf(
  node: KernelNode,
  forms: readonly Form[],
  nodes: readonly KernelNode[],
  isAddend: (operand: number) => boolean,
): Form {
  if (node.op === "const") return Number(node.value) === 0 ? "zero" : "free";
  if (node.op === "load") {
    const places = [
      ...(node.indirect ?? []).map(({ value }) => value),
      ...(node.guard === undefined ? [] : [node.guard]),
    ];
    if (places.some((place) => depends(forms[place]))) return "other";
    return isAddend(node.index) ? "linear" : "free";
  }
  if (!("args" in node)) return "free";
  const args = node.args.map((arg) => forms[arg]);
  const combine = combinations[node.op];
  if (combine === undefined) return args.some(depends) ? "other" : "free";
  const form = combine(...args);
  return form === "linear" && !keepsSums(node, nodes) ? "other" : form;
}

/** How forms combine in the operations that can keep sums; all others cannot. */
const combinations: Readonly<Record<string, ((...args: Form[]) => Form) | undefined>> = {
  neg: (x) => x,
  cast: (x) => x,
  add: joined,
  sub: joined,
  mul: product,
  div: (over, under) => (depends(under) ? "other" : over),
  select: (condition, yes, no) => (depends(condition) ? "other" : joined(yes, no)),
};

function depends(form: Form): boolean {
  return form === "linear" || form === "other";
}

/** Of a sum, or of one or the other. */
function joined(a: Form, b: Form): Form {
  if (a === "other" || b === "other") return "other";
  if (a === b) return a;
  if (a === "linear" || b === "linear") return a === "zero" || b === "zero" ? "linear" : "other";
  return "free";
}

function product(a: Form, b: Form): Form {
  if (a === "other" || b === "other" || (a === "linear" && b === "linear")) return "other";
  if (a === "linear" || b === "linear") return "linear";
  return a === "zero" || b === "zero" ? "zero" : "free";
}

/**
 * Whether dtypes allow it: narrow whole numbers may have wrapped before a conversion, and their quotients are cut off.
 */
function keepsSums(node: KernelNode, nodes: readonly KernelNode[]): boolean {
  if (node.op === "div") return isFloat(node.type);
  if (node.op !== "cast") return true;
  const { type } = nodes[node.args[0]];
  return isFloat(node.type) && (isFloat(type) || type === "int64");
}

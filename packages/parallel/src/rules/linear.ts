/**
 * What the scalar expression of a kernel tells about sums over devices: an expression that is linear in some operands may run on each
 * device's addends of them.
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

/** The form of every node of an expression; `isAddend` says which operands are in question, `faults` whether a check looks at one. */
export function formsOf(nodes: readonly KernelNode[], isAddend: (operand: number) => boolean): { readonly forms: readonly Form[]; readonly faults: boolean } {
  const forms: Form[] = [];
  let faults = false;
  for (const node of nodes) {
    const form = formOf(node, forms, nodes, isAddend);
    if (node.op === "check" && form === "other") faults = true;
    forms.push(form);
  }
  return { forms, faults };
}

function formOf(node: KernelNode, forms: readonly Form[], nodes: readonly KernelNode[], isAddend: (operand: number) => boolean): Form {
  switch (node.op) {
    case "const":
      return Number(node.value) === 0 ? "zero" : "free";
    case "scalar": case "axis": case "size": case "acc": case "other":
      return "free";
    case "load": {
      const places = [...(node.indirect ?? []).map(({ value }) => forms[value]), ...(node.guard === undefined ? [] : [forms[node.guard]])];
      if (places.some(depends)) return "other";
      return isAddend(node.index) ? "linear" : "free";
    }
    case "neg":
      return forms[node.args[0]];
    case "cast": {
      const form = forms[node.args[0]];
      return form === "linear" && !keepsSums(nodes[node.args[0]].type, node.type) ? "other" : form;
    }
    case "add": case "sub":
      return joined(forms[node.args[0]], forms[node.args[1]]);
    case "mul":
      return product(forms[node.args[0]], forms[node.args[1]]);
    case "div": {
      const [over, under] = [forms[node.args[0]], forms[node.args[1]]];
      if (depends(under) || (over === "linear" && !isFloat(node.type))) return "other";
      return over;
    }
    case "select":
      return depends(forms[node.args[0]]) ? "other" : joined(forms[node.args[1]], forms[node.args[2]]);
    default:
      return node.args.some((arg) => depends(forms[arg])) ? "other" : "free";
  }
}

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

/** Whether converting addends gives addends of the converted sum. Narrower whole numbers may have wrapped. */
function keepsSums(from: string, to: string): boolean {
  return (to === "float32" || to === "float64") && (from === "float32" || from === "float64" || from === "int64");
}

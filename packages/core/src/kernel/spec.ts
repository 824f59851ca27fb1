/** What a well-formed kernel is. A kernel that breaks these rules is Troupe's own fault and must not reach a printer. */
import { InternalError } from "../errors.ts";
import { isDType, isFloat, isInteger, type DType } from "../tensor/dtype.ts";
import { sweepKernel } from "./ir.ts";
import type { BinaryOp, CompareOp, Kernel, LoopKernel, Node, Operand, RowKernel, Store, UnaryOp } from "./ir.ts";

const anyType = (): boolean => true;
const integerOrBool = (type: DType): boolean => isInteger(type) || type === "bool";
const numeric = (type: DType): boolean => type !== "bool";

/** The types that each unary operation takes. */
const unary: Readonly<Record<UnaryOp, (type: DType) => boolean>> = {
  neg: numeric, abs: numeric, sign: numeric, floor: numeric, ceil: numeric, trunc: numeric, round: numeric, sqrt: isFloat,
  not: integerOrBool,
  exp: isFloat, exp2: isFloat, expm1: isFloat, log: isFloat, log2: isFloat, log10: isFloat, log1p: isFloat,
  sin: isFloat, cos: isFloat, tan: isFloat, asin: isFloat, acos: isFloat, atan: isFloat,
  sinh: isFloat, cosh: isFloat, tanh: isFloat, asinh: isFloat, acosh: isFloat, atanh: isFloat,
  erf: isFloat, erfc: isFloat, erfinv: isFloat, lgamma: isFloat, digamma: isFloat,
};

/** The types that each binary operation takes. */
const binary: Readonly<Record<BinaryOp, (type: DType) => boolean>> = {
  add: anyType, sub: anyType, mul: anyType, max: anyType, min: anyType,
  div: numeric, mod: numeric, fmod: numeric, pow: numeric,
  atan2: isFloat, copysign: isFloat, nextafter: isFloat,
  and: integerOrBool, or: integerOrBool, xor: integerOrBool,
  shl: isInteger, shr: isInteger, sar: isInteger,
  mulhi: (type) => type === "int32",
};

const comparisons: Readonly<Record<CompareOp, true>> = { eq: true, ne: true, lt: true, le: true, gt: true, ge: true };

/** The lists of a kernel in which a value can stand, with what may be named there. */
interface Place {
  readonly kernel: LoopKernel;
  readonly list: "body" | "epilogue" | "combine";
  readonly nodes: readonly Node[];
  /** Types of the results of earlier sweeps. */
  readonly results: readonly DType[];
}

function fail(kernel: Kernel, what: string, where?: unknown): never {
  const place = where === undefined ? "" : ` in ${JSON.stringify(where)}`;
  throw new InternalError(`kernel ${kernel.name}: ${what}${place}`);
}

/**
 * Checks types, references and shapes of a kernel.
 * @throws InternalError that names the node or the store
 */
export function validateKernel(kernel: Kernel): void {
  if (!isCount(kernel.axes)) fail(kernel, `axes is ${kernel.axes}`);
  for (const operand of [...kernel.inputs, ...kernel.outputs]) validateOperand(kernel, operand);
  for (const dtype of kernel.scalars) if (!isDType(dtype)) fail(kernel, `scalar of type ${String(dtype)}`);
  if (kernel.kind === "loop") {
    validateLoop(kernel);
    validateOutputs(kernel, kernel.stores);
  } else if (kernel.kind === "rows") validateRows(kernel);
}

function isCount(value: number): boolean {
  return Number.isInteger(value) && value >= 0;
}

function validateOperand(kernel: Kernel, operand: Operand): void {
  const { dtype, inner } = operand;
  if (!isDType(dtype)) fail(kernel, "unknown dtype", operand);
  if (inner !== 0 && inner !== 1 && inner !== "any") fail(kernel, "inner stride is 0, 1 or any", operand);
}

function validateRows(kernel: RowKernel): void {
  if (!isCount(kernel.reduced) || kernel.reduced === 0) fail(kernel, "rows need a reduction axis");
  const types: DType[] = [];
  for (const sweep of kernel.sweeps) {
    const at = sweep.accumulators.length > 0 ? "epilogue" : "body";
    if (sweep.stores.some((store) => store.at !== at)) fail(kernel, `this sweep stores in its ${at}`, sweep.stores);
    if (at === "body" && sweep.results.length > 0) fail(kernel, "a sweep without accumulators has no results", sweep.results);
    validateLoop(sweepKernel(kernel, sweep), [...types]);
    for (const id of sweep.results) {
      const result = sweep.epilogue[id];
      if (result === undefined || result.op === "check") fail(kernel, `no value ${id} in the epilogue`, sweep.results);
      types.push(result.type);
    }
  }
  validateOutputs(kernel, kernel.sweeps.flatMap(({ stores }) => stores));
}

function validateOutputs(kernel: LoopKernel | RowKernel, stores: readonly Store[]): void {
  for (const output of kernel.outputs.keys()) {
    if (!stores.some((store) => store.output === output)) fail(kernel, `nothing is stored to output ${output}`);
  }
}

/** @param results types of the results of earlier sweeps */
function validateLoop(kernel: LoopKernel, results: readonly DType[] = []): void {
  const { axes, reduced, body, epilogue, accumulators, step, combine, stores } = kernel;
  if (!isCount(reduced) || reduced > axes) fail(kernel, `${reduced} reduction axes of ${axes}`);
  if (reduced === 0 && (accumulators.length > 0 || epilogue.length > 0)) {
    fail(kernel, "accumulators or an epilogue without a reduction axis");
  }
  for (const accumulator of accumulators) {
    if (!isDType(accumulator.type) || !isConstant(accumulator.type, accumulator.init)) {
      fail(kernel, "bad initial value", accumulator);
    }
  }
  validateNodes({ kernel, list: "body", nodes: body, results });
  validateNodes({ kernel, list: "epilogue", nodes: epilogue, results });
  validateResults(kernel, "step", body, step);
  if (combine !== undefined) {
    validateNodes({ kernel, list: "combine", nodes: combine.body, results: [] });
    validateResults(kernel, "combine", combine.body, combine.out);
  }
  for (const store of stores) validateStore(kernel, store);
}

/** Checks that `results` has a value of the right type for each accumulator. */
function validateResults(kernel: LoopKernel, what: string, nodes: readonly Node[], results: readonly number[]): void {
  const { accumulators } = kernel;
  if (results.length !== accumulators.length) fail(kernel, `${results.length} values of ${what} for ${accumulators.length} accumulators`);
  for (const [index, { type }] of accumulators.entries()) {
    if (nodes[results[index] ?? -1]?.type !== type) fail(kernel, `${what} ${index} is not a ${type}`);
  }
}

function validateNodes(place: Place): void {
  for (const [id, node] of place.nodes.entries()) {
    if (!isDType(node.type)) fail(place.kernel, `unknown dtype of value ${id}`, node);
    validateNode(place, id, node);
  }
}

/** The type of value `used`, which must come before value `id`. */
function typeOf({ kernel, nodes }: Place, id: number, used: number, where: unknown): DType {
  const node = used < id ? nodes[used] : undefined;
  if (node === undefined) fail(kernel, `value ${used} is not earlier than its use at ${id}`, where);
  if (node.op === "check") fail(kernel, `a check (${used}) has no value`, where);
  return node.type;
}

function validateNode(place: Place, id: number, node: Node): void {
  const { kernel, list } = place;
  const { type } = node;
  const outer = kernel.axes - kernel.reduced;
  const need = (condition: boolean, what: string): void => {
    if (!condition) fail(kernel, `${list} value ${id}: ${what}`, node);
  };
  if ("args" in node && node.op !== "check") {
    validateOperation(node.args.map((used) => typeOf(place, id, used, node)), node, need);
    return;
  }
  switch (node.op) {
    case "const": need(isConstant(type, node.value), `${node.value} is no ${type}`); return;
    case "scalar": need(kernel.scalars[node.index] === type, `scalar ${node.index} is not a ${type}`); return;
    case "axis":
      need(type === "int32" && isCount(node.index) && node.index < (list === "body" ? kernel.axes : outer), "no such axis here");
      need(list !== "combine", "no axis in combine");
      return;
    case "size": need(type === "int32" && isCount(node.index) && node.index < kernel.axes, "no such axis"); return;
    case "acc":
    case "other":
      need(kernel.accumulators[node.index]?.type === type, `accumulator ${node.index} is not a ${type}`);
      need(node.op === "acc" || list === "combine", "`other` stands in combine only");
      return;
    case "result": need(place.results[node.index] === type, `no earlier sweep has a result ${node.index} of ${type}`); return;
    case "load":
      need(list !== "combine", "no load in combine");
      need(kernel.inputs[node.index]?.dtype === type, `input ${node.index} is not a ${type}`);
      validateAddress(place, id, node, node);
      return;
    case "check":
      need(typeOf(place, id, node.args[0], node) === "bool", "a check takes a bool");
      need(typeOf(place, id, node.args[1], node) === "int32", "a check's detail is an int32");
  }
}

/** Checks the argument types of an operation. */
function validateOperation(
  types: readonly DType[],
  node: Extract<Node, { readonly args: readonly number[] }>,
  need: (condition: boolean, what: string) => void,
): void {
  const { op, type } = node;
  const [first, second, third] = types;
  const arity = op === "select" ? 3 : op === "cast" || op === "bitcast" || Object.hasOwn(unary, op) ? 1 : 2;
  need(types.length === arity, `${op} takes ${arity} values`);
  if (op === "cast") return;
  if (op === "bitcast") {
    need([first, type].toSorted().join() === "float32,int32", "bitcast is between float32 and int32");
  } else if (op === "select") need(first === "bool" && second === type && third === type, "select takes a bool and two values of its type");
  else if (Object.hasOwn(comparisons, op)) need(type === "bool" && first === second, "a comparison takes two of one type and gives a bool");
  else if (Object.hasOwn(unary, op)) {
    need(first === type && unary[op as UnaryOp](type), `${op} does not take ${String(first)} to ${type}`);
  } else if (Object.hasOwn(binary, op)) {
    need(first === type && second === type && binary[op as BinaryOp](type), `${op} does not take ${String(first)} and ${String(second)} to ${type}`);
  } else need(false, "unknown operation");
}

/** Checks the indirect terms and the guard of a load or store; values must come before `id`. */
function validateAddress(place: Place, id: number, where: unknown, address: Pick<Store, "indirect" | "guard">): void {
  const { kernel } = place;
  for (const { value, stride } of address.indirect ?? []) {
    if (typeOf(place, id, value, where) !== "int32") fail(kernel, `indirect value ${value} is no int32`, where);
    if (kernel.scalars[stride] !== "int32") fail(kernel, `indirect stride ${stride} is no int32 scalar`, where);
  }
  if (address.guard !== undefined && typeOf(place, id, address.guard, where) !== "bool") fail(kernel, "a guard is a bool", where);
}

function validateStore(kernel: LoopKernel, store: Store): void {
  const output = kernel.outputs[store.output];
  if (output === undefined) fail(kernel, `no output ${store.output}`, store);
  if (store.at === "epilogue" && kernel.reduced === 0) fail(kernel, "an epilogue store without a reduction axis", store);
  const nodes = kernel[store.at];
  const place: Place = { kernel, list: store.at, nodes, results: [] };
  const type = typeOf(place, nodes.length, store.value, store);
  if (type !== output.dtype) fail(kernel, `stores a ${type} to output ${store.output} of ${output.dtype}`, store);
  validateAddress(place, nodes.length, store, store);
}

const integerRanges = { int32: [-(2n ** 31n), 2n ** 31n - 1n], int64: [-(2n ** 63n), 2n ** 63n - 1n], uint8: [0n, 255n], bool: [0n, 1n] } as const;

/** Whether `text` is a constant of `type` as the IR writes it. */
function isConstant(type: DType, text: string): boolean {
  if (typeof text !== "string" || text.trim() === "") return false;
  if (type === "float32" || type === "float64") return text === "NaN" || !Number.isNaN(Number(text));
  if (!/^-?\d+$/.test(text)) return false;
  const [low, high] = integerRanges[type];
  const value = BigInt(text);
  return value >= low && value <= high;
}

/**
 * Two launches as one. What the first computes for an element becomes part of the second's expression, so that what lies between
 * them is never stored. Every operation keeps its type and place: nothing is rounded otherwise, and no sum changes its order.
 */
import type { DType } from "../tensor/dtype.ts";
import { Graph } from "./build.ts";
import { innerStride, type LoopKernel, type Node, type Operand, type Store } from "./ir.ts";
import { inputsOf, namesAxes, nodesOf, outputsOf, type PlacedKernel, type PlacedOperand } from "./placed.ts";
import { followWriter, type Walk } from "./walk.ts";

/** Operands of a fused kernel: what every WebGPU adapter can bind, with room for the arguments. */
const mostOperands = 7;
/** Values of a fused kernel: longer expressions run out of registers. */
const mostNodes = 96;

/** Bytes and bools are cut to their range where they are stored. */
const fusible: readonly DType[] = ["float32", "float64", "int32", "int64", "bool"];

/** A storage's number for what it held before the writer changed it in place; no storage has it. */
const before = -1;

/**
 * The reader with all that the writer computes for it in its place; undefined where that cannot be, or does not pay.
 *
 * @param storage what the writer fills, or changes in place, and the reader reads
 */
export function fuse(writer: PlacedKernel, reader: PlacedKernel, storage: number): PlacedKernel | undefined {
  if (!isWriter(writer)) return undefined;
  if (outputsOf(reader).some((output) => output.storage === storage) && !goesOnInPlace(writer, reader, storage)) return undefined;
  // What the reader writes must not be what the writer still has to read.
  if (outputsOf(reader).some((output) => inputsOf(writer).some((input) => input.storage === output.storage))) return undefined;
  const first = { ...writer, operands: renamed(inputsOf(writer), storage, before).concat(outputsOf(writer)) };
  let fused: PlacedKernel | undefined = reader;
  while (fused !== undefined) {
    const operand = inputsOf(fused).findIndex((input) => input.storage === storage);
    if (operand < 0) break;
    fused = writer.kernel.reduced === 0 ? inlined(first, fused, operand) : appended(first, fused, operand);
  }
  if (fused === undefined || fused.operands.length > mostOperands || nodesOf(fused.kernel).length > mostNodes) return undefined;
  return { ...fused, operands: renamed(fused.operands, before, storage) };
}

/** Whether the reader is an epilogue of the simplest kind: it turns each number of the writer's into one of the same type. */
export function isEpilogue(writer: PlacedKernel, reader: PlacedKernel, storage: number): boolean {
  const { outputs, stores, inputs, reduced } = reader.kernel;
  const [output] = outputsOf(reader);
  return (
    reduced === 0 && outputs.length === 1 && stores.length === 1 && isPlain(stores[0]) && stores[0].combine === undefined &&
    outputs[0].dtype === writer.kernel.outputs[0].dtype &&
    // What is computed goes by way of the output: nothing else that is read may be there.
    inputs.every((_, k) => reader.operands[k].storage === storage || reader.operands[k].storage !== output.storage)
  );
}

/** Whether the reader changes what a reduction left, element by element. */
function goesOnInPlace({ kernel }: PlacedKernel, reader: PlacedKernel, storage: number): boolean {
  const [output, ...others] = outputsOf(reader);
  return kernel.reduced > 0 && others.length === 0 && inputsOf(reader).every((input) =>
    input.storage !== storage ||
    (input.offset === output.offset && input.strides.every((stride, axis) => stride === output.strides[axis])));
}

function renamed(operands: readonly PlacedOperand[], from: number, to: number): readonly PlacedOperand[] {
  return operands.map((operand) => (operand.storage === from ? { ...operand, storage: to } : operand));
}

/** Whether a launch computes one output, each element for itself, from its inputs alone. */
function isWriter({ kernel }: PlacedKernel): boolean {
  const [store, ...others] = kernel.stores;
  const at = kernel.reduced === 0 ? "body" : "epilogue";
  if (store === undefined || others.length > 0 || store.at !== at || !isPlain(store) || store.combine !== undefined) return false;
  if (!kernel.outputs[0].overwrites || !fusible.includes(kernel.outputs[0].dtype)) return false;
  return nodesOf(kernel).every(({ op }) => op !== "check") && (kernel.reduced > 0 || !namesAxes(kernel));
}

/** Whether a load or a store is of the element at the current point, always. */
function isPlain(address: Pick<Store, "indirect" | "guard">): boolean {
  return address.indirect === undefined && address.guard === undefined;
}

function loads(nodes: readonly Node[], operand: number): Node[] {
  return nodes.filter((node) => node.op === "load" && node.index === operand);
}

/** The reader computes the writer's element instead of loading it. */
function inlined(writer: PlacedKernel, reader: PlacedKernel, operand: number): PlacedKernel | undefined {
  const { kernel } = reader;
  if (!loads(nodesOf(kernel), operand).every((node) => node.op === "load" && isPlain(node))) return undefined;
  const walk = followWriter(reader, operand, writer, outputsOf(writer)[0], writer.kernel.axes);
  if (walk === undefined || (repeats(walk, operand) && writer.kernel.inputs.length > 0)) return undefined;
  const operands = new Operands(walk.reader, operand);
  const inner = operands.add(writer, (own) => ({
    offset: own.offset + dot(walk.start, own.strides),
    strides: walk.steps.map((steps) => dot(steps, own.strides)),
  }));
  const rewrite = (nodes: readonly Node[]): Rewritten => {
    const graph = new Graph();
    const value = (): number => copy(graph, writer.kernel.body, inner)[writer.kernel.stores[0].value];
    const isRead = loads(nodes, operand).length > 0;
    const ids = copy(graph, nodes, operands.own, isRead ? new Map([[operand, value()]]) : undefined);
    return { nodes: graph.nodes, ids };
  };
  const body = rewrite(kernel.body);
  const epilogue = rewrite(kernel.epilogue);
  return operands.placed(outputsOf(walk.reader), walk.reader.sizes, {
    ...walk.reader.kernel,
    name: `${writer.kernel.name}+${kernel.name}`,
    body: body.nodes,
    step: kernel.step.map((id) => body.ids[id]),
    epilogue: epilogue.nodes,
    stores: kernel.stores.map((store) => movedStore(store, store.at === "body" ? body.ids : epilogue.ids, operands.own)),
  });
}

/** The reduction goes on with what the reader makes of its result. */
function appended(writer: PlacedKernel, reader: PlacedKernel, operand: number): PlacedKernel | undefined {
  const { kernel } = reader;
  const simple = kernel.reduced === 0 && !namesAxes(kernel) && nodesOf(kernel).every(({ op }) => op !== "check");
  if (!simple || !loads(kernel.body, operand).every((node) => node.op === "load" && isPlain(node))) return undefined;
  const outer = writer.kernel.axes - writer.kernel.reduced;
  const walk = followWriter(reader, operand, writer, outputsOf(writer)[0], outer);
  const axes = walk === undefined ? undefined : sameAxes(walk, writer, outer);
  if (walk === undefined || axes === undefined) return undefined;
  // Along the writer's axes; reduced ones do not move the reader.
  const along = ({ storage, offset, strides }: PlacedOperand): PlacedOperand => ({
    storage, offset, strides: writer.sizes.map((_, axis) => (axes[axis] === undefined ? 0 : strides[axes[axis]])),
  });
  const operands = new Operands(writer);
  const added = operands.add(walk.reader, along, operand);
  const body = new Graph();
  const bodyIds = copy(body, writer.kernel.body, operands.own);
  const epilogue = new Graph();
  const result = copy(epilogue, writer.kernel.epilogue, operands.own)[writer.kernel.stores[0].value];
  const ids = copy(epilogue, kernel.body, added, new Map([[operand, result]]));
  const { combine } = writer.kernel;
  return operands.placed(outputsOf(walk.reader).map(along), writer.sizes, {
    ...writer.kernel,
    ...(combine === undefined ? {} : { combine: movedCombine(combine, operands.own) }),
    name: `${writer.kernel.name}+${kernel.name}`,
    body: body.nodes,
    step: writer.kernel.step.map((id) => bodyIds[id]),
    epilogue: epilogue.nodes,
    outputs: kernel.outputs.map(resting),
    stores: kernel.stores.map((store) => ({ ...movedStore(store, ids, added), at: "epilogue" as const })),
  });
}

/** An operand of an epilogue: it stays where it is along the reduced axes. */
function resting<O extends Operand>(operand: O): O {
  return { ...operand, inner: 0 };
}

/** For each axis of the writer the reader's axis that is the same; undefined unless each point has one on the other side. */
function sameAxes({ reader, start, steps }: Walk, writer: PlacedKernel, outer: number): (number | undefined)[] | undefined {
  if (start.some((index) => index !== 0)) return undefined;
  const axes = new Array<number | undefined>(outer).fill(undefined);
  for (const [axis, own] of steps.entries()) {
    if (reader.sizes[axis] === 1) continue;
    const along = own.findIndex((step) => step !== 0);
    const isSame = along >= 0 && own[along] === 1 && own.every((step, k) => k === along || step === 0);
    if (!isSame || axes[along] !== undefined || writer.sizes[along] !== reader.sizes[axis]) return undefined;
    axes[along] = axis;
  }
  return axes.every((axis, k) => axis !== undefined || writer.sizes[k] === 1) ? axes : undefined;
}

/** Whether the reader reads an element more than once. */
function repeats({ reader }: Walk, operand: number): boolean {
  return reader.operands[operand].strides.some((stride, axis) => stride === 0 && reader.sizes[axis] > 1);
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}

interface Rewritten {
  readonly nodes: readonly Node[];
  /** By the old number of a value. */
  readonly ids: readonly number[];
}

/** What a kernel's numbers of inputs and scalars become. */
interface Renumbering {
  readonly inputs: readonly number[];
  /** What is added to a scalar's number. */
  readonly scalars: number;
}

/** Adds `nodes` to a graph; loads of inputs among `known` become these values. @returns the new number of each. */
function copy(graph: Graph, nodes: readonly Node[], to: Renumbering, known?: ReadonlyMap<number, number>): number[] {
  const ids: number[] = [];
  for (const node of nodes) {
    const value = node.op === "load" ? known?.get(node.index) : undefined;
    ids.push(value ?? graph.push(moved(node, ids, to)).id);
  }
  return ids;
}

function moved(node: Node, ids: readonly number[], to: Renumbering): Node {
  if ("args" in node) return { ...node, args: node.args.map((id) => ids[id]) } as unknown as Node;
  if (node.op === "scalar") return { ...node, index: node.index + to.scalars };
  return node.op === "load" ? { ...node, index: to.inputs[node.index], ...movedAddress(node, ids, to) } : node;
}

function movedAddress(address: Pick<Store, "indirect" | "guard">, ids: readonly number[], to: Renumbering): Pick<Store, "indirect" | "guard"> {
  const { indirect, guard } = address;
  return {
    ...(indirect === undefined
      ? {}
      : { indirect: indirect.map(({ value, stride }) => ({ value: ids[value], stride: stride + to.scalars })) }),
    ...(guard === undefined ? {} : { guard: ids[guard] }),
  };
}

function movedStore(store: Store, ids: readonly number[], to: Renumbering): Store {
  return { ...store, value: ids[store.value], ...movedAddress(store, ids, to) };
}

function movedCombine({ body, out }: NonNullable<LoopKernel["combine"]>, to: Renumbering): LoopKernel["combine"] {
  const graph = new Graph();
  const ids = copy(graph, body, to);
  return { body: graph.nodes, out: out.map((id) => ids[id]) };
}

/** The inputs and scalars of a fused kernel: those of one kernel, then those of the other. Equal inputs are one. */
class Operands {
  readonly own: Renumbering;
  readonly #inputs: Operand[] = [];
  readonly #placed: PlacedOperand[] = [];
  readonly #scalars: DType[];
  readonly #words: number[];

  /** @param without the number of an input that the fused kernel does not have */
  constructor({ kernel, operands, scalars }: PlacedKernel, without?: number) {
    this.#scalars = [...kernel.scalars];
    this.#words = [...scalars];
    const inputs = kernel.inputs.map((operand, k) => (k === without ? -1 : this.#place(operand, operands[k])));
    this.own = { inputs, scalars: 0 };
  }

  /** Adds the inputs and scalars of the other kernel, placed along the fused one's axes. */
  add(
    { kernel, operands, scalars }: PlacedKernel, along: (operand: PlacedOperand) => Omit<PlacedOperand, "storage">, without?: number,
  ): Renumbering {
    const shift = this.#scalars.length;
    this.#scalars.push(...kernel.scalars);
    this.#words.push(...scalars);
    const inputs = kernel.inputs.map(({ dtype }, k) => {
      if (k === without) return -1;
      const placed = { storage: operands[k].storage, ...along(operands[k]) };
      return this.#place({ dtype, inner: innerStride(placed.strides[placed.strides.length - 1]) }, placed);
    });
    return { inputs, scalars: shift };
  }

  placed(outputs: readonly PlacedOperand[], sizes: readonly number[], kernel: LoopKernel): PlacedKernel {
    return {
      kernel: { ...kernel, inputs: this.#inputs, scalars: this.#scalars },
      operands: [...this.#placed, ...outputs],
      sizes,
      scalars: this.#words,
    };
  }

  #place(operand: Operand, placed: PlacedOperand): number {
    const known = this.#placed.findIndex(({ storage, offset, strides }, k) =>
      storage === placed.storage && offset === placed.offset && this.#inputs[k].dtype === operand.dtype &&
      strides.every((stride, axis) => stride === placed.strides[axis]));
    if (known >= 0) return known;
    this.#placed.push(placed);
    return this.#inputs.push(operand) - 1;
  }
}

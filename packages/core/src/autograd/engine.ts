/**
 * The backward engine: walks the graph from its roots in reverse order of creation, without recursion, hands each node the sum of
 * what arrived at it, and frees what it made and nobody keeps.
 */
import { AutogradError, DeviceError, DTypeError, ShapeError } from "../errors.ts";
import { assertOptions, shown } from "../arguments.ts";
import { hold } from "../tensor/memory.ts";
import { collectStorages, nextBirth } from "../tensor/value.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Memory } from "../tensor/value.ts";
import { numelOf, sameShape } from "../tensor/shape.ts";
import { isTensor } from "../tensor/tensor.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { AccumulateGrad } from "./accumulate.ts";
import { enableGrad, noGrad } from "./mode.ts";
import type { Edge, Node } from "./node.ts";
import { ReadyNodes } from "./ready.ts";

/** What the engine needs of the op table; set when that loads (autograd sits below the table). */
export interface EngineOps {
  onesLike(x: Tensor): Tensor;
  to(x: Tensor, dtype: DType): Tensor;
  /** A copy with memory of its own. */
  clone(x: Tensor): Tensor;
  add(x: Tensor, y: Tensor): Tensor;
  addInPlace(x: Tensor, y: Tensor): void;
}

let ops: EngineOps;

export function setEngineOps(engineOps: EngineOps): void {
  ops = engineOps;
}

export interface BackwardOptions {
  /** Keep saved tensors for another pass; default is `createGraph`. */
  readonly retainGraph?: boolean;
  /** Record the gradients' own computation, for gradients of gradients. */
  readonly createGraph?: boolean;
}

/**
 * Adds the gradients of `roots` with respect to the graph's leaves to their `.grad` (`torch.autograd.backward`).
 * @throws AutogradError when a root has no history, is not a scalar and has no gradient, or the graph was freed;
 * ValueError for an unknown option
 */
export function backward(roots: readonly Tensor[], gradients: readonly (Tensor | undefined)[] = [], options: BackwardOptions = {}): void {
  assertOptions("backward", options, ["retainGraph", "createGraph"]);
  new Pass(options, undefined).run(rootsOf(roots, gradients), undefined);
}

export interface GradOptions extends BackwardOptions {
  readonly gradOutputs?: Tensor | readonly (Tensor | undefined)[];
  /** Give undefined, instead of throwing, for an input that the outputs do not depend on. */
  readonly allowUnused?: boolean;
}

/**
 * The gradients of `outputs` with respect to `inputs`, without touching any `.grad` (`torch.autograd.grad`).
 * @throws AutogradError as `backward`, and for an input that is not used unless `allowUnused`
 */
export function grad(outputs: Tensor | readonly Tensor[], inputs: Tensor | readonly Tensor[], options: GradOptions & { allowUnused: true }): (Tensor | undefined)[];
export function grad(outputs: Tensor | readonly Tensor[], inputs: Tensor | readonly Tensor[], options?: GradOptions): Tensor[];
export function grad(outputs: Tensor | readonly Tensor[], inputs: Tensor | readonly Tensor[], options: GradOptions = {}): (Tensor | undefined)[] {
  assertOptions("grad", options, ["retainGraph", "createGraph", "gradOutputs", "allowUnused"]);
  const { gradOutputs = [], allowUnused = false } = options;
  const targets = list(inputs).map((input) => {
    assertTensor("grad", "inputs", input);
    const { edge } = input;
    if (edge === undefined) throw new AutogradError("One of the differentiated Tensors does not require grad");
    return edge;
  });
  const captured = new Pass(options, targets).run(rootsOf(list(outputs), list(gradOutputs)), targets);
  if (!allowUnused && captured.includes(undefined)) {
    throw new AutogradError("One of the differentiated Tensors appears to not have been used in the graph.", {
      remedy: "Set { allowUnused: true } if this is the desired behavior.",
    });
  }
  return captured;
}

function list<T>(x: T | readonly T[]): readonly T[] {
  return Array.isArray(x) ? (x as readonly T[]) : [x as T];
}

function assertTensor(op: string, name: string, x: unknown): void {
  if (!isTensor(x)) throw new DTypeError(`${op}(): argument '${name}' must be Tensor, not ${shown(x)}`, { op });
}

interface Root {
  readonly edge: Edge;
  readonly gradient: Tensor;
}

function rootsOf(roots: readonly Tensor[], gradients: readonly (Tensor | undefined)[]): Root[] {
  if (gradients.length > roots.length) throw new AutogradError(`got ${roots.length} tensors and ${gradients.length} gradients`);
  return roots.map((root, i) => {
    assertTensor("backward", "tensors", root);
    const { edge } = root;
    if (edge === undefined) throw new AutogradError(`element ${i} of tensors does not require grad and does not have a grad_fn`);
    const given = gradients[i];
    if (given === undefined && numelOf(root.shape) !== 1) {
      throw new AutogradError("grad can be implicitly created only for scalar outputs", { remedy: "Pass the gradient of this output." });
    }
    return { edge, gradient: given === undefined ? noGrad(() => ops.onesLike(root)) : givenGradient(given, root, i) };
  });
}

/** A gradient that the user brings. @throws ShapeError, DeviceError where it is not one of `root` */
function givenGradient(given: Tensor, root: Tensor, i: number): Tensor {
  if (!sameShape(given.shape, root.shape)) {
    const [got, expected] = [given, root].map(({ shape }) => `[${shape.join(", ")}]`);
    throw new ShapeError(`Mismatch in shape: grad_output[${i}] has a shape of ${got} and output[${i}] has a shape of ${expected}.`);
  }
  if (given.device !== root.device && given.value.executor === root.value.executor) {
    throw new DeviceError(`grad_output[${i}] is on ${given.device.name} and output[${i}] on ${root.device.name}`, {
      remedy: "Move the gradient with .to(device).",
    });
  }
  return given.dtype === root.dtype ? given : ops.to(given, root.dtype);
}

/** What a node waits for: how many edges still lead to it, and the sums of what has arrived, by slot. */
interface Inbox {
  waiting: number;
  readonly gradients: (Tensor | undefined)[];
}

class Pass {
  readonly #createGraph: boolean;
  readonly #retainGraph: boolean;
  readonly #inboxes = new Map<Node, Inbox>();
  /** Nodes all of whose gradients have arrived. */
  readonly #ready = new ReadyNodes();
  readonly #memory: GradientMemory | undefined;
  /** Nodes that some captured edge can be reached from; undefined where everything counts. */
  readonly #useful: Set<Node> | undefined;

  constructor({ createGraph = false, retainGraph = createGraph }: BackwardOptions, targets: readonly Edge[] | undefined) {
    this.#createGraph = createGraph;
    this.#retainGraph = retainGraph;
    this.#memory = createGraph ? undefined : new GradientMemory();
    this.#useful = targets === undefined ? undefined : new Set(targets.map(({ node }) => node));
  }

  /** Walks the graph. With `targets` their gradients are captured and leaves stay as they are. */
  run(roots: readonly Root[], targets: readonly Edge[] | undefined): (Tensor | undefined)[] {
    const captured: (Tensor | undefined)[] = targets?.map(() => undefined) ?? [];
    const wanted = new Map<Node, number[]>();
    targets?.forEach(({ node }, i) => wanted.set(node, [...(wanted.get(node) ?? []), i]));

    this.#survey(roots);
    const scope = this.#createGraph ? enableGrad : noGrad;
    scope(() => {
      try {
        this.#start(roots);
        for (let node = this.#ready.pop(); node !== undefined; node = this.#ready.pop()) {
          const gradients = this.#inboxes.get(node)?.gradients ?? [];
          this.#inboxes.delete(node);
          if (node.preHooks !== undefined || node.opaque) this.#handOut(gradients);
          if (node.preHooks !== undefined) for (const hook of node.preHooks) hook(gradients);
          if (targets !== undefined) {
            for (const i of wanted.get(node) ?? []) {
              const gradient = gradients[targets[i].slot];
              if (gradient !== undefined) this.#memory?.keep(gradient);
              captured[i] = gradient;
            }
          }
          this.#process(node, gradients, targets === undefined);
        }
      } finally {
        // Also where a rule or a hook throws: what was under way is nobody's.
        this.#memory?.freeAll();
      }
    });
    return captured;
  }

  #start(roots: readonly Root[]): void {
    const started = new Set<Node>();
    for (const { edge: { node, slot }, gradient } of roots) {
      const inbox = this.#inboxes.get(node);
      if (inbox === undefined) continue;
      this.#deliver(inbox, slot, gradient);
      if (inbox.waiting === 0) started.add(node);
    }
    for (const node of started) this.#ready.push(node);
  }

  /** Counts the edges into every reachable node (and, when capturing, finds out which nodes matter). */
  #survey(roots: readonly Root[]): void {
    const stack: Node[] = [];
    const visit = (node: Node): Inbox => {
      let inbox = this.#inboxes.get(node);
      if (inbox === undefined) {
        inbox = { waiting: 0, gradients: new Array<Tensor | undefined>(node.slots).fill(undefined) };
        this.#inboxes.set(node, inbox);
        stack.push(node);
      }
      return inbox;
    };
    for (const { edge } of roots) visit(edge.node);
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      for (const edge of node.edges) if (edge !== undefined) visit(edge.node).waiting++;
    }
    if (this.#useful === undefined) return;
    // A node is made after all that it leads to, so one sweep in order of creation settles who leads to a useful one.
    for (const node of [...this.#inboxes.keys()].sort((a, b) => a.order - b.order)) {
      if (node.edges.some((edge) => edge !== undefined && this.#useful?.has(edge.node))) this.#useful.add(node);
    }
  }

  #process(node: Node, gradients: (Tensor | undefined)[], accumulate: boolean): void {
    if (node instanceof AccumulateGrad) {
      const [gradient] = gradients;
      if (accumulate && gradient !== undefined) this.#accumulate(node.variable, gradient);
      if (gradient !== undefined) this.#memory?.consumed(gradient);
      return;
    }
    const useful = this.#useful === undefined || node.edges.some((edge) => edge !== undefined && this.#useful?.has(edge.node));
    let results: (Tensor | undefined)[] = [];
    if (useful) {
      if (gradients.some((gradient) => gradient !== undefined)) {
        const work = (): (Tensor | undefined)[] => node.apply(gradients);
        results = this.#memory === undefined || node.opaque ? work() : this.#memory.scoped(work);
      }
      // What lies behind the captured edges was not walked: another pass may.
      if (!this.#retainGraph) node.release();
    }
    const { edges } = node;
    for (let i = 0; i < edges.length; i++) {
      const edge = edges[i];
      const inbox = edge === undefined ? undefined : this.#inboxes.get(edge.node);
      if (edge === undefined || inbox === undefined) continue;
      const gradient = results[i];
      if (gradient !== undefined) this.#deliver(inbox, edge.slot, gradient);
      if (--inbox.waiting === 0) this.#ready.push(edge.node);
    }
    if (this.#memory === undefined) return;
    for (const result of results) if (result !== undefined) this.#memory.settle(result);
    for (const gradient of gradients) if (gradient !== undefined) this.#memory.consumed(gradient);
  }

  /** User code sees these gradients and may keep them: from here on they are nobody's to free. */
  #handOut(gradients: readonly (Tensor | undefined)[]): void {
    for (const gradient of gradients) if (gradient !== undefined) this.#memory?.keep(gradient);
  }

  #deliver(inbox: Inbox, slot: number, gradient: Tensor): void {
    const before = inbox.gradients[slot];
    if (before === undefined) {
      inbox.gradients[slot] = gradient;
      this.#memory?.pending(gradient);
      return;
    }
    if (this.#memory === undefined) {
      inbox.gradients[slot] = ops.add(before, gradient);
    } else if (this.#memory.isWritable(before)) {
      ops.addInPlace(before, gradient);
    } else {
      const [sum] = this.#memory.scoped(() => [ops.add(before, gradient)]);
      inbox.gradients[slot] = sum;
      if (sum !== undefined) this.#memory.pending(sum);
      this.#memory.consumed(before);
    }
  }

  #accumulate(variable: Tensor, gradient: Tensor): void {
    const current = variable.grad;
    if (current === undefined) {
      variable.grad = hold(this.#memory?.claim(gradient) === true ? gradient : ops.clone(gradient));
    } else if (this.#createGraph) {
      variable.grad = hold(ops.add(current, gradient));
    } else {
      ops.addInPlace(current, gradient);
    }
  }
}

/**
 * Who still needs the memory of gradients in flight. The engine made it and only the engine sees it, so it can count: memory
 * taken during this pass is freed when the last gradient in it was consumed, or handed to a leaf.
 */
class GradientMemory {
  readonly #first = nextBirth();
  /** Memory of this pass: how many gradients in flight lie in it. */
  readonly #uses = new Map<Memory, number>();

  #own(gradient: Tensor): Memory | undefined {
    const { identity } = gradient.value;
    return identity.birth >= this.#first ? identity : undefined;
  }

  /** Runs gradient rules; what they made and do not return is freed. */
  scoped(work: () => (Tensor | undefined)[]): (Tensor | undefined)[] {
    return collectStorages(work, (results, made) => {
      if (made.length > 0) {
        for (const memory of made) {
          if (results.some((result) => result?.value.identity === memory)) this.#uses.set(memory, 0);
          else if (!this.#escaped.has(memory)) memory.dispose();
        }
      }
      return [];
    });
  }

  readonly #escaped = new Set<Memory>();

  pending(gradient: Tensor): void {
    const memory = this.#own(gradient);
    const uses = memory === undefined ? undefined : this.#uses.get(memory);
    if (memory !== undefined && uses !== undefined) this.#uses.set(memory, uses + 1);
  }

  consumed(gradient: Tensor): void {
    const memory = this.#own(gradient);
    const uses = memory === undefined ? undefined : this.#uses.get(memory);
    if (memory === undefined || uses === undefined) return;
    if (uses > 1) {
      this.#uses.set(memory, uses - 1);
    } else {
      this.#uses.delete(memory);
      memory.dispose();
    }
  }

  /** A rule's result was delivered everywhere: where it was only added to sums, nobody waits for it. */
  settle(gradient: Tensor): void {
    const memory = this.#own(gradient);
    if (memory === undefined || this.#uses.get(memory) !== 0) return;
    this.#uses.delete(memory);
    memory.dispose();
  }

  /** Whether nobody else needs this gradient's memory, and it holds nothing else: a sum may be written over it. */
  isWritable(gradient: Tensor): boolean {
    const memory = this.#own(gradient);
    return memory !== undefined && this.#uses.get(memory) === 1 && gradient.value.isWhole;
  }

  /** Takes the gradient's memory out of the count, if nobody else needs it: the caller may keep it and write to it. */
  claim(gradient: Tensor): boolean {
    if (!this.isWritable(gradient)) return false;
    this.#uses.delete(gradient.value.identity);
    return true;
  }

  /** The caller got hold of the gradient: it is freed by its owner, not here. */
  keep(gradient: Tensor): void {
    const memory = this.#own(gradient);
    if (memory === undefined) return;
    this.#uses.delete(memory);
    this.#escaped.add(memory);
  }

  freeAll(): void {
    for (const memory of this.#uses.keys()) memory.dispose();
    this.#uses.clear();
  }
}

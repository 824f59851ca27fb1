/** The base of optimizers: parameter groups, state, checkpoints. */
import type { Device } from "../actor/device.ts";
import type { Property } from "../actor/notes.ts";
import { taping } from "../actor/tape.ts";
import { enableGrad, noGrad } from "../autograd/mode.ts";
import { ValueError } from "../errors.ts";
import { assertOptions, isOptions, shown } from "../arguments.ts";
import { hold } from "../tensor/memory.ts";
import { zerosLike } from "../tensor/creation.ts";
import { isFloat } from "../tensor/dtype.ts";
import { isTensor } from "../tensor/tensor.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { ParameterType, StepKernel } from "./kernels.ts";
import { copyOfState, countTogether, LoadedCounts } from "./state.ts";
import type { Memory } from "./state.ts";
import { issueUpdates } from "./update.ts";
import type { Update } from "./update.ts";

/** Parameters that are trained alike, and how. */
export type ParamGroup<O> = O & {
  params: Tensor[];
  lr: number;
  /** The learning rate before any scheduler. */
  initialLr?: number;
};

/** What a user gives: parameters, or groups of them with options of their own. */
export type Params<O> = Iterable<Tensor> | Iterable<Partial<O> & { readonly params: Iterable<Tensor> }>;

/** What an optimizer remembers of one parameter: how many steps it took (where that matters), and tensors by name. */
export interface ParameterState {
  /** A float32 number on the parameter's device: a step that is skipped does not count, and only the device knows. */
  readonly step: Tensor | undefined;
  readonly tensors: Readonly<Record<string, Tensor>>;
}

/** One parameter's part of a step, before it is known with whom it shares its count. */
interface Turn {
  readonly parameter: Tensor;
  readonly gradient: Tensor;
  readonly step: StepKernel;
  readonly values: Readonly<Record<string, number>>;
  readonly own: Memory;
}

/** An optimizer's state by parameter number, and its groups with numbers in place of parameters, as in PyTorch. */
export interface OptimizerState<O> {
  readonly state: Readonly<Record<number, Readonly<Record<string, Tensor | number>>>>;
  readonly paramGroups: readonly (Omit<ParamGroup<O>, "params"> & { readonly params: readonly number[] })[];
}

/**
 * `step()` updates all parameters that have a gradient, each in one launch. A step with a poisoned gradient is skipped
 * whole.
 */
export abstract class Optimizer<O extends { readonly lr?: number } = { readonly lr?: number }> {
  readonly paramGroups: ParamGroup<O>[] = [];
  readonly defaults: O & { readonly lr: number };
  readonly #state = new Map<Tensor, Memory>();
  /** How often state was loaded: it lies elsewhere from then on. */
  #loaded = 0;

  /** @throws ValueError without parameters, for one that is given twice, is no leaf or no tensor */
  constructor(params: Params<O>, defaults: O & { readonly lr: number }) {
    this.defaults = defaults;
    if (isTensor(params) || !isIterable(params)) {
      throw new ValueError(`params must be an iterable of tensors or of groups, got ${shown(params)}`, {
        op: this.constructor.name,
        remedy: "Give model.parameters().",
      });
    }
    const given = Array.from(params as Iterable<unknown>, assertParam) as (Tensor | (Partial<O> & { readonly params: Iterable<Tensor> }))[];
    if (given.length === 0) throw new ValueError("optimizer got an empty parameter list");
    const groups = given.some(isTensor)
      ? [{ params: given as Tensor[] } as unknown as Partial<O> & { params: Tensor[] }]
      : given;
    for (const group of groups) this.addParamGroup(group as Partial<O> & { readonly params: Iterable<Tensor> });
  }

  /** Adds parameters, with options where they differ from the defaults. @throws ValueError as the constructor */
  addParamGroup(group: Partial<O> & { readonly params: Iterable<Tensor> }): void {
    const params = [...group.params];
    const known = new Set(this.paramGroups.flatMap((other) => other.params));
    for (const parameter of params) {
      if (!isTensor(parameter))
        throw new ValueError(`optimizer can only optimize Tensors, but one of the params is ${typeof parameter}`);
      if (!parameter.isLeaf) throw new ValueError("can't optimize a non-leaf Tensor");
      if (!isFloat(parameter.dtype))
        throw new ValueError(`optimizer can only optimize float tensors, but one of the params is ${parameter.dtype}`);
      if (known.has(parameter)) throw new ValueError("some parameters appear in more than one parameter group");
      known.add(parameter);
    }
    assertOptions(this.constructor.name, group, ["params", "initialLr", ...Object.keys(this.defaults)]);
    const full = { ...this.defaults, ...group, params } as ParamGroup<O>;
    this.validate(full);
    this.paramGroups.push(full);
  }

  /** @throws ValueError for an option out of range */
  protected abstract validate(options: O & { readonly lr: number }): void;

  /** What a parameter's kernel depends on besides its dtype, as text, and how it is built. */
  protected abstract kernelOf(
    options: ParamGroup<O>,
    dtype: ParameterType,
  ): { readonly key: string; readonly build: () => StepKernel };

  /** The kernel's numbers by name. */
  protected abstract scalars(options: ParamGroup<O>): Readonly<Record<string, number>>;

  /** What is remembered of a parameter, where it has been stepped. */
  stateOf(parameter: Tensor): ParameterState | undefined {
    const own = this.#state.get(parameter);
    return own === undefined ? undefined : { step: own.count?.on(firstDevice(parameter)), tensors: own.tensors };
  }

  /**
   * Updates the parameters from their gradients.
   * @param closure evaluated first, recording, where it is given (`torch.optim.Optimizer.step`)
   * @returns what the closure gave
   */
  step(): void;
  step<R>(closure: () => R): R;
  step<R>(closure?: () => R): R | undefined {
    const result = closure === undefined ? undefined : enableGrad(closure);
    taping?.notes.read(this, Optimizer.#options);
    noGrad(() => {
      const turns = this.paramGroups.flatMap((group) => this.#turns(group));
      if (turns.length === 0) return;
      countTogether(turns.filter(({ step }) => step.counted).map(({ own }) => own));
      if (taping !== undefined) for (const { own } of turns) taping.notes.read(own, countOf);
      issueUpdates(turns.map(updateOf));
    });
    return result;
  }

  /** All that a step depends on besides gradients, as text. */
  static readonly #options: Property<Optimizer, string> = {
    get: (own) =>
      JSON.stringify([own.#loaded, own.paramGroups.map(({ params, ...options }) => [params.length, options])]),
  };

  #turns(group: ParamGroup<O>): Turn[] {
    const values = this.scalars(group);
    return group.params.flatMap((parameter) => {
      const { grad: gradient } = parameter;
      if (gradient === undefined) return [];
      const step = this.#kernel(group, parameter.dtype as ParameterType);
      return [{ parameter, gradient, step, values, own: this.#memoryOf(parameter) }];
    });
  }

  #memoryOf(parameter: Tensor): Memory {
    let own = this.#state.get(parameter);
    if (own === undefined) this.#state.set(parameter, (own = { count: undefined, tensors: {} }));
    return own;
  }

  #kernel(group: ParamGroup<O>, dtype: ParameterType): StepKernel {
    const { key, build } = this.kernelOf(group, dtype);
    // The method stands for the kind of optimizer: a class' name may be another class' too, in minified code above all.
    return sharedKernel(Reflect.get(this, "kernelOf"), `${dtype} ${key}`, build);
  }

  /** Forgets the gradients of all parameters; with `setToNone: false` they become zeros. */
  zeroGrad(options: { readonly setToNone?: boolean } = {}): void {
    assertOptions("zeroGrad", options, ["setToNone"]);
    const { setToNone = true } = options;
    for (const { params } of this.paramGroups) {
      for (const parameter of params) {
        if (setToNone) parameter.grad = undefined;
        else if (parameter.grad !== undefined) noGrad(() => parameter.grad?.fill_(0));
      }
    }
  }

  /** State and options, as PyTorch lays them out. The tensors share the optimizer's memory. */
  stateDict(): OptimizerState<O> {
    let next = 0;
    const state: Record<number, Record<string, Tensor>> = {};
    const paramGroups = this.paramGroups.map(({ params, ...options }) => ({
      ...options,
      params: params.map((parameter) => {
        const number = next++;
        const own = this.stateOf(parameter);
        if (own !== undefined)
          state[number] = { ...(own.step === undefined ? {} : { step: own.step }), ...own.tensors };
        return number;
      }),
    }));
    return { state, paramGroups };
  }

  /**
   * Takes over a state dict: options, and copies of the state's tensors on each parameter's device. Counts of steps are
   * read, which waits, so that parameters with equal ones share theirs again.
   * @throws ValueError for what is no state dict, where groups or their sizes differ, or a count is none, ShapeError
   *   where a tensor does not have its parameter's shape; the optimizer is then as it was
   */
  loadStateDict(saved: OptimizerState<O>): void {
    const given: unknown = saved;
    if (!isOptions(given) || !Array.isArray(given.paramGroups) || !isOptions(given.state)) {
      throw new ValueError(`${shown(saved)} is no optimizer's state dict`, {
        op: "loadStateDict",
        remedy: "Give what stateDict() gave: { state, paramGroups }.",
      });
    }
    if (saved.paramGroups.length !== this.paramGroups.length) {
      throw new ValueError("loaded state dict has a different number of parameter groups");
    }
    saved.paramGroups.forEach(({ params }, i) => {
      if (params.length !== this.paramGroups[i].params.length) {
        throw new ValueError(
          "loaded state dict contains a parameter group that doesn't match the size of optimizer's group",
        );
      }
    });
    const loaded = new Map<Tensor, Memory>();
    const counts = new LoadedCounts();
    noGrad(() => {
      this.paramGroups.forEach((group, i) => {
        group.params.forEach((parameter, place) => {
          const own = saved.state[saved.paramGroups[i].params[place]];
          if (own !== undefined) loaded.set(parameter, copyOfState(own, parameter, counts));
        });
      });
    });
    this.#loaded++;
    this.#state.clear();
    for (const [parameter, own] of loaded) this.#state.set(parameter, own);
    saved.paramGroups.forEach(({ params: _numbers, ...options }, i) => Object.assign(this.paramGroups[i], options));
  }

  /** As PyTorch prints optimizers. */
  toString(): string {
    const groups = this.paramGroups.map(({ params: _params, ...options }, i) =>
      [
        `Parameter Group ${i}`,
        ...Object.entries(options)
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([name, value]) => `    ${name}: ${pythonText(value)}`),
      ].join("\n"),
    );
    return `${this.constructor.name} (\n${groups.join("\n\n")}\n)`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }
}

/** A step without some parameters gives the others a count of their own. */
const countOf: Property<Memory, Memory["count"]> = { get: ({ count }) => count };

/** The first of the devices that a parameter lies on. */
function firstDevice({ value }: Tensor): Device {
  return value.executor.locals(value)[0].device;
}

function updateOf({ parameter, gradient, step, values, own: { count, tensors } }: Turn): Update {
  return {
    step,
    parameter,
    gradient,
    count: step.counted ? count : undefined,
    state: step.state.map((name) => (tensors[name] ??= hold(zerosLike(parameter)))),
    scalars: step.scalars.map((name) => values[name]),
  };
}

function isIterable(x: unknown): boolean {
  return typeof x === "object" && x !== null && typeof Reflect.get(x, Symbol.iterator) === "function";
}

function assertParam(param: unknown): unknown {
  if (isTensor(param) || (isOptions(param) && "params" in param)) return param;
  throw new ValueError(`optimizer can only optimize Tensors, but one of the params is ${shown(param)}`, {
    remedy: "Give model.parameters().",
  });
}

/** As Python writes an option. */
function pythonText(value: unknown): string {
  if (Array.isArray(value)) return `(${value.map(pythonText).join(", ")})`;
  if (typeof value === "boolean") return value ? "True" : "False";
  return typeof value === "number" ? String(value).replace(/e-(\d)$/, "e-0$1") : String(value);
}

/** An optimizer's options over its defaults. @throws ValueError for an option that it does not have */
export function withDefaults<D extends object, O extends object>(op: string, defaults: D, options: O): D & O {
  assertOptions(op, options, [...new Set(["lr", ...Object.keys(defaults)])]);
  return { ...defaults, ...options };
}

const shared = new WeakMap<object, Map<string, StepKernel>>();

/** Devices know a kernel by its identity: optimizers of one kind share theirs. */
function sharedKernel(kind: object, key: string, build: () => StepKernel): StepKernel {
  let kernels = shared.get(kind);
  if (kernels === undefined) shared.set(kind, (kernels = new Map()));
  let kernel = kernels.get(key);
  if (kernel === undefined) kernels.set(key, (kernel = build()));
  return kernel;
}

/** @throws ValueError unless the option is at least 0 */
export function assertNotNegative(options: object, ...names: readonly string[]): void {
  for (const name of names) {
    const value = Reflect.get(options, name) as unknown;
    if (!(typeof value === "number" && value >= 0)) throw new ValueError(`Invalid ${name} value: ${String(value)}`);
  }
}

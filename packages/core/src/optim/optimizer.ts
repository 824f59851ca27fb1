/** The base of optimizers: parameter groups, state, checkpoints. */
import { enableGrad, noGrad } from "../autograd/mode.ts";
import { ShapeError, ValueError } from "../errors.ts";
import { assertOptions, isOptions, shown } from "../ops/arguments.ts";
import { hold } from "../tensor/memory.ts";
import { zerosLike } from "../tensor/creation.ts";
import { isFloat } from "../tensor/dtype.ts";
import { sameShape } from "../tensor/shape.ts";
import { isTensor } from "../tensor/tensor.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { ParameterType, StepKernel } from "./kernels.ts";
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

/** What an optimizer remembers of one parameter: steps so far, and tensors by name. */
export interface ParameterState {
  step: number;
  readonly tensors: Record<string, Tensor>;
}

/** An optimizer's state by parameter number, and its groups with numbers in place of parameters, as in PyTorch. */
export interface OptimizerState<O> {
  readonly state: Readonly<Record<number, Readonly<{ step: number }> & Readonly<Record<string, Tensor | number>>>>;
  readonly paramGroups: readonly (Omit<ParamGroup<O>, "params"> & { readonly params: readonly number[] })[];
}

/**
 * `step()` updates all parameters that have a gradient, each in one launch. A step with a poisoned gradient is skipped
 * whole.
 */
export abstract class Optimizer<O extends { readonly lr?: number } = { readonly lr?: number }> {
  readonly paramGroups: ParamGroup<O>[] = [];
  readonly defaults: O & { readonly lr: number };
  readonly #state = new Map<Tensor, ParameterState>();

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

  /** The kernel's numbers by name, for the `step`-th step (from 1) of a parameter. */
  protected abstract scalars(options: ParamGroup<O>, step: number): Readonly<Record<string, number>>;

  /** What is remembered of a parameter, where it has been stepped. */
  stateOf(parameter: Tensor): ParameterState | undefined {
    return this.#state.get(parameter);
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
    noGrad(() => {
      const updates: Update[] = [];
      for (const group of this.paramGroups) {
        for (const parameter of group.params) {
          if (parameter.grad !== undefined) updates.push(this.#update(group, parameter, parameter.grad));
        }
      }
      if (updates.length === 0) return;
      issueUpdates(updates);
      // A step that throws was none.
      for (const { parameter } of updates) this.#stateFor(parameter).step++;
    });
    return result;
  }

  #update(group: ParamGroup<O>, parameter: Tensor, gradient: Tensor): Update {
    const step = this.#kernel(group, parameter.dtype as ParameterType);
    const own = this.#stateFor(parameter);
    const { tensors } = own;
    const values = this.scalars(group, own.step + 1);
    return {
      step,
      parameter,
      gradient,
      state: step.state.map((name) => (tensors[name] ??= hold(zerosLike(parameter)))),
      scalars: step.scalars.map((name) => values[name]),
    };
  }

  #stateFor(parameter: Tensor): ParameterState {
    let own = this.#state.get(parameter);
    if (own === undefined) this.#state.set(parameter, (own = { step: 0, tensors: {} }));
    return own;
  }

  #kernel(group: ParamGroup<O>, dtype: ParameterType): StepKernel {
    const { key, build } = this.kernelOf(group, dtype);
    // The method stands for the kind of optimizer: a class' name may be another class' too, in minified code above all.
    return sharedKernel(Reflect.get(this, "kernelOf"), `${dtype} ${key}`, build);
  }

  /** Forgets the gradients of all parameters; with `setToNone: false` they become zeros. */
  zeroGrad(options: { readonly setToNone?: boolean } = {}): void {
    const { setToNone = true } = options;
    for (const { params } of this.paramGroups) {
      for (const parameter of params) {
        if (parameter.grad === undefined) continue;
        if (setToNone) parameter.grad = undefined;
        else noGrad(() => parameter.grad?.fill_(0));
      }
    }
  }

  /** State and options, as PyTorch lays them out. The tensors share the optimizer's memory. */
  stateDict(): OptimizerState<O> {
    let next = 0;
    const state: Record<number, { step: number; [name: string]: Tensor | number }> = {};
    const paramGroups = this.paramGroups.map(({ params, ...options }) => ({
      ...options,
      params: params.map((parameter) => {
        const number = next++;
        const own = this.#state.get(parameter);
        if (own !== undefined) state[number] = { step: own.step, ...own.tensors };
        return number;
      }),
    }));
    return { state, paramGroups };
  }

  /**
   * Takes over a state dict: options, and copies of the state's tensors on each parameter's device.
   * @throws ValueError where groups or their sizes differ, ShapeError where a tensor does not have its parameter's shape;
   *   the optimizer is then as it was
   */
  loadStateDict(saved: OptimizerState<O>): void {
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
    const loaded = new Map<Tensor, ParameterState>();
    noGrad(() => {
      this.paramGroups.forEach((group, i) => {
        group.params.forEach((parameter, place) => {
          const own = saved.state[saved.paramGroups[i].params[place]];
          if (own !== undefined) loaded.set(parameter, copyOfState(own, parameter));
        });
      });
    });
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

/** A parameter's state on the parameter's device. @throws ShapeError for a tensor of another shape */
function copyOfState(
  { step, ...tensors }: Readonly<{ step: number }> & Readonly<Record<string, Tensor | number>>,
  parameter: Tensor,
): ParameterState {
  const copies: Record<string, Tensor> = {};
  for (const [name, from] of Object.entries(tensors)) {
    if (!isTensor(from)) continue;
    if (!sameShape(from.shape, parameter.shape)) {
      const [got, expected] = [from, parameter].map(({ shape }) => `[${shape.join(", ")}]`);
      throw new ShapeError(`loaded state dict contains ${name} of shape ${got} for a parameter of shape ${expected}`);
    }
    copies[name] = hold(zerosLike(parameter).copy_(from.to(parameter.device)));
  }
  return { step, tensors: copies };
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

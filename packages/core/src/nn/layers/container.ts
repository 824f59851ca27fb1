/** Modules that hold modules. */
import { ValueError } from "../../errors.ts";
import { isOptions, shown } from "../../arguments.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Module } from "../module.ts";
import { Parameter } from "../parameter.ts";

/** A module of one tensor, as a chain takes them. */
type Step = Module & { forward(x: Tensor): Tensor };

/** Modules as fields named 0, 1, ...: the names that state dicts and error messages show. */
function place(holder: Module, modules: readonly (Module | Parameter)[], from = 0): void {
  modules.forEach((module, i) => set(holder, String(from + i), module));
}

/** @throws ValueError for what is no module (or parameter, in a list of them): it would be left out silently */
function set(holder: Module, name: string, module: Module | Parameter): void {
  const wanted = holder instanceof ParameterList ? Parameter : Module;
  if (!(module instanceof wanted)) {
    throw new ValueError(`${shown(module)} is not a ${wanted.name}`, {
      op: holder.constructor.name,
      remedy: wanted === Module ? "Give modules, for instance new nn.ReLU(), one after another." : undefined,
    });
  }
  Reflect.set(holder, name, module);
}

/**
 * Each module gets what the one before gave (`torch.nn.Sequential`): `new Sequential(new Linear(2, 3), new ReLU())`, or
 * with names `new Sequential({ up: new Linear(2, 3), act: new ReLU() })`.
 */
export class Sequential extends Module {
  constructor(...steps: readonly Step[] | readonly [Readonly<Record<string, Step>>]) {
    super();
    const [first] = steps;
    if (steps.length === 1 && isOptions(first)) {
      for (const [name, step] of Object.entries(first)) {
        if (name in this) throw new ValueError(`attribute '${name}' already exists`, { op: "Sequential" });
        set(this, name, step);
      }
    } else {
      place(this, steps as readonly Step[]);
    }
  }

  override forward(x: Tensor): Tensor {
    let result = x;
    for (const step of this) result = step.forward(result);
    return result;
  }

  get length(): number {
    return [...this].length;
  }

  /** The step at a place, counted from the end when negative. */
  at(index: number): Step | undefined {
    return [...this].at(index);
  }

  /** Adds a step at the end. */
  append(step: Step): this {
    place(this, [step], this.length);
    return this;
  }

  *[Symbol.iterator](): Generator<Step> {
    for (const value of Object.values(this)) if (value instanceof Module) yield value as Step;
  }
}

/** A list of modules that its owner calls as it likes (`torch.nn.ModuleList`). */
export class ModuleList<M extends Module = Module> extends Module {
  #length = 0;

  constructor(modules: Iterable<M> = []) {
    super();
    for (const module of modules) this.append(module);
  }

  override forward(): never {
    throw new ValueError('Module [ModuleList] is missing the required "forward" function', { op: "ModuleList" });
  }

  get length(): number {
    return this.#length;
  }

  at(index: number): M | undefined {
    return [...this].at(index);
  }

  append(module: M): this {
    place(this, [module], this.#length++);
    return this;
  }

  *[Symbol.iterator](): Generator<M> {
    for (const [, module] of this.namedEntries()) yield module;
  }

  *namedEntries(): Generator<readonly [name: string, module: M]> {
    for (const [name, value] of Object.entries(this)) if (value instanceof Module) yield [name, value as M];
  }
}

/** Modules by name (`torch.nn.ModuleDict`). */
export class ModuleDict<M extends Module = Module> extends Module {
  readonly #held = new Map<string, M>();

  constructor(modules: Readonly<Record<string, M>> = {}) {
    super();
    for (const [name, module] of Object.entries(modules)) this.set(name, module);
  }

  override forward(): never {
    throw new ValueError('Module [ModuleDict] is missing the required "forward" function', { op: "ModuleDict" });
  }

  get(name: string): M | undefined {
    return this.#held.get(name);
  }

  /** @throws ValueError for a name that modules have already */
  set(name: string, module: M): this {
    if (!this.#held.has(name) && name in this)
      throw new ValueError(`attribute '${name}' already exists`, { op: "ModuleDict" });
    set(this, name, module);
    this.#held.set(name, module);
    return this;
  }

  has(name: string): boolean {
    return this.#held.has(name);
  }

  keys(): Iterable<string> {
    return this.#held.keys();
  }

  values(): Iterable<M> {
    return this.#held.values();
  }

  entries(): Iterable<[string, M]> {
    return this.#held.entries();
  }
}

/** A list of parameters (`torch.nn.ParameterList`). */
export class ParameterList extends Module {
  constructor(parameters: Iterable<Parameter> = []) {
    super();
    place(this, [...parameters]);
  }

  override forward(): never {
    throw new ValueError('Module [ParameterList] is missing the required "forward" function', { op: "ParameterList" });
  }

  at(index: number): Parameter | undefined {
    return [...this].at(index);
  }

  *[Symbol.iterator](): Generator<Parameter> {
    for (const value of Object.values(this)) if (value instanceof Parameter) yield value;
  }
}

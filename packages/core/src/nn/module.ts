/**
 * `Module`: what has parameters and a `forward`. Parameters, buffers and submodules are found in a module's own fields,
 * in arrays and plain objects of them too; their names are the fields' paths, as in PyTorch.
 */
import type { Property } from "../actor/notes.ts";
import { enterSite, leaveSite } from "../actor/site.ts";
import { taping } from "../actor/tape.ts";
import { noGrad } from "../autograd/mode.ts";
import { DTypeError, ValueError } from "../errors.ts";
import { assertOptions, shown } from "../arguments.ts";
import { isDType, isFloat } from "../tensor/dtype.ts";
import type { Target } from "../tensor/own-methods.ts";
import { Tensor } from "../tensor/tensor.ts";
import { assertFits, assertName } from "./fields.ts";
import { Parameter } from "./parameter.ts";
import { loadInto } from "./state-dict.ts";
import type { LoadResult, StateDict } from "./state-dict.ts";

type Found = Parameter | Module;

const mode: Property<Module, boolean> = { get: ({ training }) => training };

/** The module whose `forward` runs, and its path. */
let running: { readonly module: Module; readonly path: string } | undefined;

/**
 * The base of all networks and layers. Subclasses define `forward`; calling it records the module's path, so that
 * errors of ops issued inside say where they came from.
 */
export abstract class Module {
  /** Whether layers such as dropout behave as in training. Set by `train()` and `eval()`. */
  training = true;

  /** Names of fields that are buffers, and whether a state dict holds them. */
  readonly #buffers = new Map<string, { readonly persistent: boolean }>();
  /** What is in fields that are buffers or parameters. */
  readonly #held = new Map<string, Tensor | null | undefined>();

  constructor() {
    const forward: unknown = Reflect.get(this, "forward");
    if (typeof forward !== "function") {
      throw new ValueError(`Module [${this.constructor.name}] is missing the required "forward" function`, {
        remedy: "Define it as a method: forward(x) { ... }.",
      });
    }
    // The method itself is wrapped, because `module.forward(x)` is how a module is called.
    Object.defineProperty(this, "forward", {
      configurable: true,
      writable: true,
      value: (...args: never[]): unknown => this.#run(() => Reflect.apply(forward, this, args) as unknown),
    });
  }

  abstract forward(...args: never[]): unknown;

  #run<R>(body: () => R): R {
    taping?.notes.read(this, mode);
    const outer = running;
    const path = outer === undefined ? "" : join(outer.path, outer.module === this ? "" : outer.module.#nameOf(this));
    const site = enterSite(path);
    running = { module: this, path };
    try {
      return body();
    } finally {
      running = outer;
      leaveSite(site);
    }
  }

  /** Names of the modules inside, remembered: asked at every call. */
  readonly #names = new WeakMap<Module, string>();

  #nameOf(inner: Module): string {
    let name = this.#names.get(inner);
    if (name === undefined) {
      name = "";
      for (const [found, module] of this.namedModules()) if (module === inner) name = found;
      this.#names.set(inner, name);
    }
    return name;
  }

  // --- what is inside ------------------------------------------------------------------------------------------------

  /** Own parameters and child modules with their names, in the order of the fields. */
  *#found(): Generator<readonly [name: string, found: Found]> {
    for (const [name, value] of Object.entries(this) as [string, unknown][]) {
      if (value instanceof Parameter && !this.#held.has(name)) this.#keep(name, value);
      yield* findIn(name, value);
    }
  }

  /**
   * Keeps a parameter in the field `name`, which takes nothing else from here on
   * (`torch.nn.Module.register_parameter`). Plain fields will do too, `this.weight = new Parameter(...)`: they are kept
   * as soon as somebody asks for the parameters.
   * @param parameter null for one that the module could have and does not
   * @throws ValueError for a name that is taken or no name, and for what is no parameter
   */
  registerParameter(name: string, parameter: Parameter | null): void {
    this.#assertFree("registerParameter", "parameter", name);
    assertFits(this.constructor.name, "parameter", name, parameter);
    this.#keep(name, parameter);
  }

  #keep(name: string, tensor: Tensor | null): void {
    this.#held.set(name, tensor);
    Object.defineProperty(this, name, Module.#accessorOf(name));
  }

  /** By name, and shared, so that the modules of a kind stay alike for the engine that runs them. */
  static readonly #accessors = new Map<string, PropertyDescriptor & ThisType<Module>>();

  /** A field that takes what fits and nothing else: a plain tensor in a parameter's place would not be trained. */
  static #accessorOf(name: string): PropertyDescriptor {
    let accessor = Module.#accessors.get(name);
    if (accessor === undefined) {
      accessor = {
        configurable: true,
        enumerable: true,
        get() {
          return this.#held.get(name);
        },
        set(value: unknown) {
          assertFits(this.constructor.name, this.#buffers.has(name) ? "buffer" : "parameter", name, value);
          this.#held.set(name, value);
        },
      };
      Module.#accessors.set(name, accessor);
    }
    return accessor;
  }

  /** @throws ValueError for a name that is taken */
  #assertFree(op: string, what: string, name: string): void {
    assertName(op, what, name);
    if (!this.#held.has(name) && Reflect.get(this, name) !== undefined)
      throw new ValueError(`attribute '${name}' already exists`, { op });
  }

  /** Direct submodules by name; each one once. */
  *namedChildren(): Generator<readonly [name: string, module: Module]> {
    const seen = new Set<Module>();
    for (const [name, found] of this.#found()) {
      if (!(found instanceof Module) || seen.has(found)) continue;
      seen.add(found);
      yield [name, found];
    }
  }

  /** Direct submodules. */
  children(): Module[] {
    return Array.from(this.namedChildren(), ([, module]) => module);
  }

  /** This module (named `prefix`) and all inside, depth first; each one once. */
  *namedModules(prefix = "", seen: Set<Module> = new Set()): Generator<readonly [name: string, module: Module]> {
    if (seen.has(this)) return;
    seen.add(this);
    yield [prefix, this];
    for (const [name, child] of this.namedChildren()) yield* child.namedModules(join(prefix, name), seen);
  }

  /** This module and all inside. */
  modules(): Module[] {
    return Array.from(this.namedModules(), ([, module]) => module);
  }

  /** All parameters by name, those of submodules included; a shared one once. */
  *namedParameters(prefix = ""): Generator<readonly [name: string, parameter: Parameter]> {
    const seen = new Set<Parameter>();
    for (const [name, parameter] of this.#everyParameter(prefix)) {
      if (seen.has(parameter)) continue;
      seen.add(parameter);
      yield [name, parameter];
    }
  }

  *#everyParameter(prefix: string): Generator<readonly [name: string, parameter: Parameter]> {
    for (const [path, module] of this.namedModules(prefix)) {
      for (const [name, found] of module.#found()) if (found instanceof Parameter) yield [join(path, name), found];
    }
  }

  /** All parameters, as optimizers take them. */
  parameters(): Parameter[] {
    return Array.from(this.namedParameters(), ([, parameter]) => parameter);
  }

  /**
   * Keeps a tensor that is no parameter but belongs to the module's state (running statistics) in the field `name`.
   * @param tensor null for one that the module could have and does not
   * @param options persistent: whether state dicts hold it
   * @throws ValueError for a name that is taken or no name, and for what is no tensor
   */
  registerBuffer(name: string, tensor: Tensor | null, options: { readonly persistent?: boolean } = {}): void {
    assertOptions("registerBuffer", options, ["persistent"]);
    if (!this.#buffers.has(name)) this.#assertFree("registerBuffer", "buffer", name);
    if (this.#held.has(name) && !this.#buffers.has(name))
      throw new ValueError(`attribute '${name}' already exists`, { op: "registerBuffer" });
    assertFits(this.constructor.name, "buffer", name, tensor);
    this.#buffers.set(name, { persistent: options.persistent ?? true });
    this.#keep(name, tensor);
  }

  *#ownBuffers(): Generator<readonly [name: string, buffer: Tensor, persistent: boolean]> {
    for (const [name, { persistent }] of this.#buffers) {
      const buffer: unknown = Reflect.get(this, name);
      if (buffer instanceof Tensor) yield [name, buffer, persistent];
    }
  }

  /** All buffers by name, those of submodules included. */
  *namedBuffers(prefix = ""): Generator<readonly [name: string, buffer: Tensor]> {
    for (const [path, module] of this.namedModules(prefix)) {
      for (const [name, buffer] of module.#ownBuffers()) yield [join(path, name), buffer];
    }
  }

  /** All buffers. */
  buffers(): Tensor[] {
    return Array.from(this.namedBuffers(), ([, buffer]) => buffer);
  }

  // --- state ---------------------------------------------------------------------------------------------------------

  /** Parameters and persistent buffers by name: tensors that share the module's memory and have no history. */
  stateDict(): StateDict {
    return Object.fromEntries(Array.from(this.#state(), ([name, tensor]) => [name, tensor.detach()]));
  }

  *#state(): Generator<readonly [name: string, tensor: Tensor]> {
    for (const [path, module] of this.namedModules()) {
      for (const [name, found] of module.#found()) if (found instanceof Parameter) yield [join(path, name), found];
      for (const [name, buffer, persistent] of module.#ownBuffers()) if (persistent) yield [join(path, name), buffer];
    }
  }

  /**
   * Copies tensors of a state dict into this module's (`torch.nn.Module.load_state_dict`). Nothing is changed unless
   * all fits.
   * @param options strict: whether names must match exactly (the default)
   * @throws ValueError that lists missing and unexpected names and wrong sizes
   */
  loadStateDict(state: Readonly<StateDict>, options: { readonly strict?: boolean } = {}): LoadResult {
    assertOptions("loadStateDict", options, ["strict"]);
    const { strict = true } = options;
    return loadInto(new Map(this.#state()), state, strict, this.constructor.name);
  }

  // --- changing all inside -------------------------------------------------------------------------------------------

  /**
   * Moves parameters and buffers to a device or to a float dtype, in place (`torch.nn.Module.to`). Parameters stay the
   * same objects, so optimizers remain valid. Whole-number buffers keep their dtype.
   * @throws DTypeError for a dtype that parameters cannot have, DeviceError for an unknown device
   */
  to(...target: [Target, ...Exclude<Target, Tensor>[]]): this {
    for (const place of target) {
      if (isDType(place) && !isFloat(place))
        throw new DTypeError(`nn.Module.to only accepts floating point dtypes, but got dtype=${place}`, { op: "to" });
      for (const tensor of [...this.parameters(), ...this.buffers()]) moveTensor(tensor, place);
    }
    return this;
  }

  /** `to("cpu")`. */
  cpu(): this {
    return this.to("cpu");
  }

  /** Parameters and float buffers in float64. */
  double(): this {
    return this.to("float64");
  }

  /** Parameters and float buffers in float32. */
  float(): this {
    return this.to("float32");
  }

  /** Sets training mode for this module and all inside. @throws ValueError for what is no boolean */
  train(mode = true): this {
    if (typeof mode !== "boolean")
      throw new ValueError(`training mode is expected to be boolean, got ${shown(mode)}`, { op: "train" });
    for (const module of this.modules()) module.training = mode;
    return this;
  }

  /** `train(false)`. */
  eval(): this {
    return this.train(false);
  }

  /** Forgets all gradients. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) parameter.grad = undefined;
  }

  /** Says whether the parameters want gradients. */
  requiresGrad_(wanted = true): this {
    for (const parameter of this.parameters()) parameter.requiresGrad = wanted;
    return this;
  }

  /** Calls `change` with every module inside, then with this one. */
  apply(change: (module: Module) => void): this {
    for (const child of this.children()) child.apply(change);
    change(this);
    return this;
  }

  // --- printing ------------------------------------------------------------------------------------------------------

  /** What stands in the parentheses behind the module's name. */
  extraRepr(): string {
    return "";
  }

  /** As PyTorch prints modules. */
  toString(): string {
    const extra = this.extraRepr();
    const lines = Array.from(this.namedChildren(), ([name, child]) => `(${name}): ${indented(child.toString())}`);
    const title = this.constructor.name;
    if (lines.length === 0) return extra.includes("\n") ? `${title}(\n  ${indented(extra)}\n)` : `${title}(${extra})`;
    return `${title}(\n  ${[...(extra === "" ? [] : extra.split("\n")), ...lines].join("\n  ")}\n)`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }
}

function* findIn(name: string, value: unknown): Generator<readonly [name: string, found: Found]> {
  if (value instanceof Parameter || value instanceof Module) {
    yield [name, value];
  } else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) yield* findIn(`${name}.${index}`, item);
  } else if (typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype) {
    for (const [key, item] of Object.entries(value)) yield* findIn(`${name}.${key}`, item);
  }
}

/** `a.b`, where either may be empty. */
function join(path: string, name: string): string {
  return path === "" || name === "" ? path + name : `${path}.${name}`;
}

function indented(text: string): string {
  return text.replaceAll("\n", "\n  ");
}

function moveTensor(tensor: Tensor, place: Target): void {
  const moved = noGrad(() => {
    const plain = tensor.detach();
    return isFloat(tensor.dtype) ? plain.to(place) : movedOnly(plain, place);
  });
  if (moved.value === tensor.value) return;
  tensor.replaceValue(moved.value);
  if (tensor.grad !== undefined) moveTensor(tensor.grad, place);
}

/** Whole numbers move with the module, but keep their dtype. */
function movedOnly(plain: Tensor, place: Target): Tensor {
  return plain.to(place).to(plain.dtype);
}

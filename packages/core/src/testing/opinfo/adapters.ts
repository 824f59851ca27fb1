/**
 * How an OpInfo entry is called in Troupe: a snake-case function or method becomes its camel-case namesake with the
 * positional arguments and one trailing options object. A table holds what PyTorch's samples call differently.
 * The library is passed in, so that this file knows none of its code.
 */
import type { DType } from "../../tensor/dtype.ts";
import type { CallArguments, TensorValue, Value } from "./fixtures.ts";

/** The library under test: the namespace of its package (functions, `nn.functional`, `Tensor`, ...). */
export type Library = Readonly<Record<string, unknown>>;

export interface CallContext {
  /** Makes the library's tensor of a sample's. Called once for each tensor of the arguments, in `tensorsOf`'s order. */
  readonly toTensor: (value: TensorValue) => unknown;
  /** The device for functions that create tensors from numbers. */
  readonly device?: unknown;
}

/** Calls an entry on a sample's arguments and gives the op's result. */
export type Call = (call: CallArguments, context: CallContext) => unknown;

type Callable = (...args: readonly unknown[]) => unknown;
type Options = Readonly<Record<string, unknown>>;

interface Adapter {
  /** What it calls, in PyTorch's names; "Tensor.x" is a method or field. */
  readonly needs: readonly string[];
  call(library: Library, args: readonly unknown[], options: Options, sample: CallArguments): unknown;
}

/** Parameters that PyTorch's samples give by keyword and that are no options, in order after the input. */
const required: Readonly<Record<string, readonly string[]>> = {
  arange: ["end"],
  fill: ["value"],
  flip: ["dims"],
  "nn.functional.avg_pool1d": ["kernel_size"],
  "nn.functional.avg_pool2d": ["kernel_size"],
  "nn.functional.avg_pool3d": ["kernel_size"],
  "nn.functional.conv2d": ["weight"],
  "nn.functional.max_pool1d": ["kernel_size"],
  "nn.functional.max_pool2d": ["kernel_size"],
  "nn.functional.max_pool3d": ["kernel_size"],
  "nn.functional.pixel_shuffle": ["upscale_factor"],
  "nn.functional.pixel_unshuffle": ["downscale_factor"],
  "nn.functional.prelu": ["weight"],
  repeat_interleave: ["repeats"],
};

/** Functions that make tensors from numbers, and so need to be told where. */
const creators: ReadonlySet<string> = new Set(["arange", "eye", "linspace", "logspace", "ones", "zeros"]);

/** `other op self`, as Python's reflected operators mean it. */
const reflected = (name: string): Adapter => ({
  needs: [name],
  call: (library, [self, other]) => find(library, name)(other, self),
});

/** `self op other`, for reflected operators that commute: a number can then stand on the right. */
const commuted = (name: string): Adapter => ({
  needs: [name],
  call: (library, [self, other]) => find(library, name)(self, other),
});

const field = (name: string): Adapter => ({
  needs: [`Tensor.${name}`],
  call: (_, [self]) => fieldOf(self, name),
});

const exceptions: Readonly<Record<string, Adapter>> = {
  T: field("T"),
  mT: field("mT"),
  __radd__: commuted("add"),
  __rmul__: commuted("mul"),
  __rmatmul__: reflected("matmul"),
  __rmod__: reflected("remainder"),
  // PyTorch makes the reflected power of a new tensor of the base, without its history.
  __rpow__: {
    needs: ["pow", "Tensor.detach"],
    call: (library, [self, other]) =>
      find(library, "pow")(fieldOf(other, "detach") === undefined ? other : method(other, "detach")(), self),
  },
  __rsub__: commuted("rsub"),
  __rdiv__: {
    needs: ["mul", "reciprocal"],
    call: (library, [self, other]) => find(library, "mul")(find(library, "reciprocal")(self), other),
  },
  __getitem__: {
    needs: ["Tensor.at", "tensor", "slice"],
    call: (library, [self, index], _, { args: [, given] }) => {
      // As in PyTorch, a list of numbers is one index tensor, and a list that holds anything else stands for a tuple.
      const numbers = (list: unknown): list is readonly number[] =>
        Array.isArray(list) && list.every((item) => typeof item === "number");
      const one = (item: unknown) => (numbers(item) ? find(library, "tensor")(item) : (item ?? null));
      const several = Array.isArray(index) && (given?.kind === "tuple" || !numbers(index));
      return method(self, "at")(...(several ? index.map(one) : [one(index)]));
    },
  },
  arange: {
    needs: ["arange"],
    call: (library, args, options) => find(library, "arange")(...args.map(Number), options),
  },
  einsum: {
    needs: ["einsum"],
    call: (library, [operands, equation]) =>
      find(library, "einsum")(equation, ...(operands as readonly unknown[])),
  },
  "nn.functional.embedding": {
    needs: ["nn.functional.embedding"],
    call: (library, [weight, indices], options) => find(library, "nn.functional.embedding")(indices, weight, options),
  },
  // PyTorch 1.13 returns the attention weights as well.
  "nn.functional._scaled_dot_product_attention": {
    needs: ["nn.functional.scaled_dot_product_attention_with_weights"],
    call: (library, args, { isCausal }) =>
      find(library, "nn.functional.scaled_dot_product_attention_with_weights")(...args, { isCausal }),
  },
  slice: {
    needs: ["slice", "Tensor.at"],
    call: (library, [self, dim, start, end, step]) => {
      const slice = find(library, "slice");
      const before = Array.from({ length: Number(dim) }, () => slice());
      return method(self, "at")(...before, slice(start, end, step));
    },
  },
  // Called as to(device, dtype, nonBlocking, copy), to(dtype, ...) or to(other, ...); the device is the tensor's own.
  to: {
    needs: ["Tensor.to"],
    call: (_, [self, ...rest]) => {
      const [target, , copy] = rest.filter((value) => value !== "cpu");
      return method(self, "to")({ dtype: typeof target === "string" ? target : fieldOf(target, "dtype"), copy });
    },
  },
  where: {
    needs: ["where"],
    call: (library, [self, condition, other]) => find(library, "where")(condition, self, other),
  },
  zero_: {
    needs: ["Tensor.zero_", "Tensor.clone"],
    call: (_, [self]) => method(method(self, "clone")(), "zero_")(),
  },
};

/** snake_case to camelCase; leading and trailing underscores stay. */
export function camelCase(name: string): string {
  return name.replace(/(?<=[A-Za-z0-9])_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** How to call an OpInfo function (`Entry.function`) in the library, or null where the library lacks it. */
export function entryCall(library: Library, name: string): Call | null {
  const adapter = exceptions[name] ?? mechanical(name);
  if (!adapter.needs.every((need) => has(library, need))) return null;
  return (sample, context) => {
    const [args, options] = marshal(library, name, sample, context);
    return adapter.call(library, args, options, sample);
  };
}

/** The names among those given (`Entry.function`) that the library lacks. */
export function missingOps(library: Library, names: readonly string[]): string[] {
  return [...new Set(names)].filter((name) => entryCall(library, name) === null);
}

/**
 * Whether a call cannot be said in JavaScript: a Python float with an integral value (1.0) makes PyTorch promote
 * tensors that hold no floats, and JavaScript's 1 does not say that it is one.
 */
export function isAmbiguous({ args, kwargs }: CallArguments): boolean {
  const values = [...args, ...Object.values(kwargs)];
  const floats = values.some((value) => value.kind === "tensor" && value.dtype.startsWith("float"));
  return !floats && values.some((value) => value.kind === "number" && value.float && Number.isInteger(value.value));
}

/** The tensors of a result in PyTorch's order: one tensor, a list of them, or a record such as { values, indices }. */
export function resultTensors<T>(result: unknown, isTensor: (value: unknown) => value is T): T[] {
  if (isTensor(result)) return [result];
  if (typeof result !== "object" || result === null) return [];
  return Object.values(result).flatMap((value) => resultTensors(value, isTensor));
}

function mechanical(name: string): Adapter {
  return {
    needs: [name],
    call: (library, args, options) => {
      const rest = Object.keys(options).length === 0 ? args : [...args, options];
      return find(library, name)(...rest);
    },
  };
}

/** Arguments as the library takes them: required keywords are positional, None is undefined, names are camel case. */
function marshal(
  library: Library,
  name: string,
  call: CallArguments,
  context: CallContext,
): [args: readonly unknown[], options: Options] {
  const plain = (value: Value) => toPlain(library, value, context);
  const args = call.args.map(plain);
  const keywords = new Map(Object.entries(call.kwargs).map(([key, value]) => [key, plain(value)]));
  for (const key of (required[name] ?? []).slice(call.args.length - 1)) {
    if (!keywords.has(key)) break;
    args.push(keywords.get(key));
    keywords.delete(key);
  }
  if (creators.has(name) && context.device !== undefined) keywords.set("device", context.device);
  const given = [...keywords].filter(([, value]) => value !== undefined);
  return [args, Object.fromEntries(given.map(([key, value]) => [camelCase(key), value]))];
}

function toPlain(library: Library, value: Value, context: CallContext): unknown {
  switch (value.kind) {
    case "tensor":
      return context.toTensor(value);
    case "number":
    case "boolean":
    case "string":
      return value.value;
    case "none":
      return undefined;
    case "ellipsis":
      return "...";
    case "list":
    case "tuple":
      return value.items.map((item) => toPlain(library, item, context));
    case "slice":
      return find(library, "slice")(value.start ?? undefined, value.stop ?? undefined, value.step ?? undefined);
    case "dtype":
      return value.dtype satisfies DType;
    case "module":
      return find(library, "nn.functional.pairwise_distance");
  }
}

function has(library: Library, name: string): boolean {
  if (!name.startsWith("Tensor.")) return lookUp(library, name) !== null;
  const prototype = tensorPrototype(library);
  return prototype !== null && name.slice("Tensor.".length) in prototype;
}

function find(library: Library, name: string): Callable {
  const found = lookUp(library, name);
  if (found === null) throw new TypeError(`the library has no ${camelCase(name)}`);
  return found;
}

/** A function of the library by PyTorch's dotted name; `special` may be flattened, and a plain name may be a method. */
function lookUp(library: Library, name: string): Callable | null {
  const path = name.split(".").map(camelCase);
  const last = path.at(-1) ?? name;
  let place: unknown = library;
  for (const part of path) place = fieldOf(place, part);
  if (typeof place === "function") return place as Callable;
  if (path[0] === "special") return lookUp(library, last);
  if (path.length > 1 || typeof fieldOf(tensorPrototype(library), last) !== "function") return null;
  return (self, ...rest) => method(self, last)(...rest);
}

function tensorPrototype(library: Library): object | null {
  const prototype = fieldOf(library["Tensor"], "prototype");
  return typeof prototype === "object" ? prototype : null;
}

function method(self: unknown, name: string): Callable {
  const found = fieldOf(self, name);
  if (typeof found !== "function") throw new TypeError(`the tensor has no method ${name}`);
  return (...args) => Reflect.apply(found, self, args);
}

function fieldOf(holder: unknown, name: string): unknown {
  const holds = (typeof holder === "object" && holder !== null) || typeof holder === "function";
  return holds ? (Reflect.get(holder, name) as unknown) : undefined;
}

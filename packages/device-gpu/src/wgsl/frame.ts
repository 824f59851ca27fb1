/**
 * What every printed kernel has: its bindings, its arguments by name, and how a list of nodes becomes statements.
 *
 * Operands are bound as words: several may share a buffer (an output that is an input, too), and WebGPU takes a buffer
 * once. Elements of one byte are read out of their word and put into it with atomics, since neighbours are written by
 * other invocations.
 */
import { argumentWords, scalarWords, type DType, type LoopKernel, type Node, type Store } from "@troupe/core/device";
import { withLibrary } from "./library.ts";
import { cast, expression, literal, operation, valueType } from "./scalar.ts";

/** Codes in the fault record: their place here, and 1. */
export const faultCodes = ["index-out-of-range", "division-by-zero", "value-out-of-range"] as const;

/** Which binding each operand has: equal numbers share a buffer. */
export type Bindings = readonly number[];

const bytes = (type: DType): boolean => type === "uint8" || type === "bool";
const wide = (type: DType): boolean => type === "int64" || type === "float64";

export class Frame {
  readonly kernel: LoopKernel;
  readonly lines: string[] = [];
  readonly #bindings: Bindings;
  /** By binding: whether it is written, and whether with atomics. */
  readonly written: readonly boolean[];
  readonly #atomic: readonly boolean[];
  readonly #inputs: number;
  #names = 0;

  constructor(kernel: LoopKernel, bindings: Bindings) {
    this.kernel = kernel;
    this.#bindings = bindings;
    this.#inputs = kernel.inputs.length;
    const count = Math.max(...bindings) + 1;
    const written = new Array<boolean>(count).fill(false);
    const atomic = new Array<boolean>(count).fill(false);
    kernel.outputs.forEach(({ dtype }, i) => {
      const binding = bindings[this.#inputs + i];
      written[binding] = true;
      const combines = kernel.stores.some((store) => store.output === i && store.combine !== undefined);
      if (bytes(dtype) || (combines && !wide(dtype))) atomic[binding] = true;
    });
    this.written = written;
    this.#atomic = atomic;
  }

  /** Whether points must be taken by one invocation in order: points may meet, and their elements have two words. */
  get serial(): boolean {
    return this.kernel.stores.some(({ combine, indirect, output }) =>
      (combine !== undefined || indirect !== undefined) && wide(this.kernel.outputs[output].dtype));
  }

  get hasChecks(): boolean {
    return [...this.kernel.body, ...this.kernel.epilogue].some(({ op }) => op === "check");
  }

  size(axis: number): string {
    return this.word(2 * this.#bindings.length + axis);
  }

  /** Number of points: the word behind the launch's own arguments. */
  get points(): string {
    return `u32(${this.word(argumentWords(this.kernel))})`;
  }

  stride(operand: number, axis: number): string {
    const { axes } = this.kernel;
    return this.word(2 * this.#bindings.length + axes + operand * axes + axis);
  }

  word(index: number): string {
    return `words[${index >> 2}][${index & 3}]`;
  }

  scalar(index: number): string {
    const { kernel } = this;
    let at = argumentWords({ ...kernel, scalars: [] });
    for (let i = 0; i < index; i++) at += scalarWords(kernel.scalars[i]);
    const type = kernel.scalars[index];
    const low = this.word(at);
    switch (type) {
      case "float32": return `bitcast<f32>(${low})`;
      case "bool": return `(${low} != 0)`;
      case "int64":
      case "float64": return `vec2u(u32(${low}), u32(${this.word(at + 1)}))`;
      case "int32":
      case "uint8": return low;
    }
  }

  /** The whole module: `declarations`, and an entry point of `size` invocations with the lines so far. */
  module(size: number, declarations = ""): string {
    const bindings = this.written.map((written, i) => {
      const element = this.#atomic[i] ? "atomic<u32>" : "u32";
      return `@group(0) @binding(${i}) var<storage, ${written ? "read_write" : "read"}> b${i}: array<${element}>;`;
    });
    const words = Math.ceil((argumentWords(this.kernel) + 1) / 4);
    return withLibrary(`${bindings.join("\n")}
@group(1) @binding(0) var<uniform> words: array<vec4i, ${words}>;
@group(1) @binding(1) var<storage, read_write> fault: array<atomic<u32>>;
${declarations}
@compute @workgroup_size(${size})
fn main(
  @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
${this.lines.join("\n")}
}
`);
  }

  /** Declares `i<axis>` for the axes `[from, to)`, which `point` (u32, consumed) counts through, the last fastest. */
  unravel(point: string, from: number, to: number): void {
    for (let axis = to - 1; axis > from; axis--) {
      this.lines.push(`let i${axis} = i32(${point} % u32(${this.size(axis)}));`, `${point} /= u32(${this.size(axis)});`);
    }
    if (to > from) this.lines.push(`let i${from} = i32(${point});`);
  }

  declareAccumulators(): void {
    this.kernel.accumulators.forEach(({ type, init }, i) => {
      this.lines.push(`var acc${i}: ${valueType(type)} = ${literal(type, init)};`);
    });
  }

  /** Prints a list of nodes; indices of axes `[0, axes)` are known. @returns the values' names. */
  nodes(nodes: readonly Node[], axes: number, other = (index: number): string => `other${index}`): string[] {
    const prefix = `v${this.#names++}_`;
    const names: string[] = [];
    const name = (id: number): string => names[id];
    nodes.forEach((node, id) => {
      if (node.op === "check") {
        const [condition, detail] = node.args;
        this.lines.push(`if (!${names[condition]} && atomicAdd(&fault[0], 1u) == 0u) {`,
          `  atomicStore(&fault[1], ${faultCodes.indexOf(node.code) + 1}u);`,
          `  atomicStore(&fault[2], u32(${names[detail]}));`, "}");
        names.push("");
        return;
      }
      names.push(`${prefix}${id}`);
      this.lines.push(`let ${prefix}${id} = ${this.#value(node, nodes, axes, name, other)};`);
    });
    return names;
  }

  /** The accumulators' next values, from the names of the body's values. */
  step(names: readonly string[]): void {
    this.kernel.step.forEach((value, i) => this.lines.push(`acc${i} = ${names[value]};`));
  }

  stores(at: Store["at"], axes: number, names: readonly string[]): void {
    for (const store of this.kernel.stores) if (store.at === at) this.#store(store, axes, names);
  }

  #value(node: Node, nodes: readonly Node[], axes: number, name: (id: number) => string, other: (i: number) => string): string {
    // oxlint-disable-next-line switch-exhaustiveness-check -- all the rest are pure
    switch (node.op) {
      case "scalar": return this.scalar(node.index);
      case "axis": return node.index < axes ? `i${node.index}` : "0i";
      case "size": return this.size(node.index);
      case "acc": return `acc${node.index}`;
      case "other": return other(node.index);
      case "load": {
        const loaded = this.#load(node.index, node.type, this.#address(node.index, axes, node.indirect, name));
        if (node.guard === undefined) return loaded;
        return `select(${cast("int32", node.type, "0i")}, ${loaded}, ${name(node.guard)})`;
      }
      default: return expression(node, nodes, name);
    }
  }

  #address(operand: number, axes: number, indirect: Store["indirect"], name: (id: number) => string): string {
    const terms = [this.word(2 * operand + 1)];
    // By the arguments, known inner strides too: fewer kernels to compile, and a GPU does not care.
    for (let axis = 0; axis < axes; axis++) terms.push(`${this.stride(operand, axis)} * i${axis}`);
    for (const { value, stride } of indirect ?? []) terms.push(`${name(value)} * ${this.scalar(stride)}`);
    return `u32(${terms.join(" + ")})`;
  }

  #word(binding: number, index: string): string {
    return this.#atomic[binding] ? `atomicLoad(&b${binding}[${index}])` : `b${binding}[${index}]`;
  }

  #load(operand: number, type: DType, address: string): string {
    const at = this.#let(address);
    const word = (index: string): string => this.#word(this.#bindings[operand], index);
    switch (type) {
      case "float32": return `bitcast<f32>(${word(at)})`;
      case "int32": return `i32(${word(at)})`;
      case "uint8":
      case "bool": {
        const byte = `((${word(`${at} >> 2u`)} >> ((${at} & 3u) * 8u)) & 0xffu)`;
        return type === "bool" ? `(${byte} != 0u)` : `i32(${byte})`;
      }
      case "int64":
      case "float64": return `vec2u(${word(`2u * ${at}`)}, ${word(`2u * ${at} + 1u`)})`;
    }
  }

  #let(text: string): string {
    const name = `a${this.#names++}`;
    this.lines.push(`let ${name} = ${text};`);
    return name;
  }

  #store(store: Store, axes: number, names: readonly string[]): void {
    const operand = this.#inputs + store.output;
    const type = this.kernel.outputs[store.output].dtype;
    const binding = this.#bindings[operand];
    const value = names[store.value];
    if (store.guard !== undefined) this.lines.push(`if (${names[store.guard]}) {`);
    const at = this.#let(this.#address(operand, axes, store.indirect, (id) => names[id]));
    // Where points may meet in a byte, one of them has to win whole.
    const combine = store.combine ?? (bytes(type) && store.indirect !== undefined ? "replace" : undefined);
    if (combine !== undefined) this.#combine(combine, operand, type, at, value);
    else if (wide(type)) this.lines.push(`b${binding}[2u * ${at}] = ${value}.x;`, `b${binding}[2u * ${at} + 1u] = ${value}.y;`);
    else if (bytes(type)) {
      const byte = type === "bool" ? `select(0u, 1u, ${value})` : `u32(${value})`;
      this.lines.push(`atomicAnd(&b${binding}[${at} >> 2u], ~(0xffu << ((${at} & 3u) * 8u)));`,
        `atomicOr(&b${binding}[${at} >> 2u], ${byte} << ((${at} & 3u) * 8u));`);
    } else {
      const word = type === "float32" ? `bitcast<u32>(${value})` : `u32(${value})`;
      this.lines.push(this.#atomic[binding] ? `atomicStore(&b${binding}[${at}], ${word});` : `b${binding}[${at}] = ${word};`);
    }
    if (store.guard !== undefined) this.lines.push("}");
  }

  /** Joins a value with what is there: again and again until nobody came in between. */
  #combine(op: string, operand: number, type: DType, at: string, value: string): void {
    const binding = this.#bindings[operand];
    const join = (old: string): string => (op === "replace" ? value : operation(op, type, old, value));
    if (wide(type)) {
      const joined = this.#let(join(this.#load(operand, type, at)));
      this.lines.push(`b${binding}[2u * ${at}] = ${joined}.x;`, `b${binding}[2u * ${at} + 1u] = ${joined}.y;`);
      return;
    }
    const word = bytes(type) ? `${at} >> 2u` : at;
    const shift = `((${at} & 3u) * 8u)`;
    const [read, write]: [string, (v: string) => string] = type === "float32"
      ? ["bitcast<f32>(old)", (v) => `bitcast<u32>(${v})`]
      : type === "int32"
        ? ["i32(old)", (v) => `u32(${v})`]
        : [
          type === "bool" ? `(((old >> ${shift}) & 0xffu) != 0u)` : `i32((old >> ${shift}) & 0xffu)`,
          (v) => {
            const byte = type === "bool" ? `select(0u, 1u, ${v})` : `(u32(${v}) & 0xffu)`;
            return `(old & ~(0xffu << ${shift})) | (${byte} << ${shift})`;
          },
        ];
    this.lines.push("loop {", `let old = atomicLoad(&b${binding}[${word}]);`,
      `let joined = ${write(join(read))};`,
      `if (atomicCompareExchangeWeak(&b${binding}[${word}], old, joined).exchanged) { break; }`, "}");
  }
}

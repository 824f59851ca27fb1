/** What the printers of one kernel share: the function under construction, and where the launch's facts are. */
import {
  InternalError, itemSize, sweepKernel, type DType, type LoopKernel, type Operand, type RowKernel, type Sweep,
} from "@troupe/core/device";
import type { ArgumentLayout } from "./arguments.ts";
import { type FunctionBuilder, type ModuleBuilder, Op, Type } from "./assembler.ts";
import { integerPower } from "./integer-power.ts";
import { mathImport } from "./math-imports.ts";
import { valueType } from "./scalar.ts";

/** What the frames of a row kernel's sweeps have in common. */
interface Shared {
  readonly f: FunctionBuilder;
  readonly index: readonly number[];
  readonly size: readonly number[];
  readonly imports: ReadonlyMap<string, number>;
  readonly powers: Map<string, number>;
  readonly constants: Map<number | "lanes", number>;
  /** The locals of the sweeps' results. */
  readonly results: number[];
}

export class KernelFrame {
  readonly kernel: LoopKernel;
  readonly layout: ArgumentLayout;
  readonly module: ModuleBuilder;
  readonly f: FunctionBuilder;
  /** The parameters of `run`. */
  readonly args = 0;
  readonly begin = 1;
  readonly end = 2;
  readonly scratch = 3;
  /** The local of each axis' index. */
  readonly index: readonly number[];
  /** The local of each axis' size. */
  readonly size: readonly number[];
  readonly #shared: Shared;

  private constructor(kernel: LoopKernel, layout: ArgumentLayout, module: ModuleBuilder, shared: Shared) {
    this.kernel = kernel;
    this.layout = layout;
    this.module = module;
    this.f = shared.f;
    this.index = shared.index;
    this.size = shared.size;
    this.#shared = shared;
  }

  /** @param exported whether the function is the module's `run`, or one that others call */
  static ofLoop(kernel: LoopKernel, layout: ArgumentLayout, module: ModuleBuilder, exported = true): KernelFrame {
    return new KernelFrame(kernel, layout, module, begin([kernel], kernel.axes, module, exported));
  }

  /** A frame for each sweep of a row kernel; the sweeps are parts of one function. */
  static ofRows(kernel: RowKernel, layout: ArgumentLayout, module: ModuleBuilder): KernelFrame[] {
    const shared = begin(kernel.sweeps, kernel.axes, module, true);
    return kernel.sweeps.map((sweep) => new KernelFrame(sweepKernel(kernel, sweep), layout, module, shared));
  }

  /** How many different JavaScript functions the kernel calls. */
  get importCount(): number {
    return this.#shared.imports.size;
  }

  /** The locals of the results of sweeps so far. */
  get results(): readonly number[] {
    return this.#shared.results;
  }

  /** A local for one more result. */
  addResult(type: DType): number {
    const local = this.f.local(valueType(type));
    this.#shared.results.push(local);
    return local;
  }

  imported(name: string): number {
    const index = this.#shared.imports.get(name);
    if (index === undefined) throw new InternalError(`math function ${name} was not imported`);
    return index;
  }

  integerPower(type: "int32" | "int64"): number {
    let index = this.#shared.powers.get(type);
    if (index === undefined) {
      index = integerPower(this.module, type);
      this.#shared.powers.set(type, index);
    }
    return index;
  }

  /** Pushes a v128 of four equal lanes, kept in a local: V8 builds a v128.const anew at every use. */
  constant(bits: number): void {
    this.f.get(this.#constant(bits, () => this.f.i32x4Splat(bits)));
  }

  /** Pushes the lanes 0, 1, 2, 3. */
  laneNumbers(): void {
    this.f.get(this.#constant("lanes", () => this.f.i32x4(0, 1, 2, 3)));
  }

  #constant(key: number | "lanes", print: () => void): number {
    let local = this.#shared.constants.get(key);
    if (local === undefined) {
      const made = this.f.local(Type.v128);
      this.#shared.constants.set(key, made);
      this.f.first(() => {
        print();
        this.f.set(made);
      });
      local = made;
    }
    return local;
  }

  operand(o: number): Operand {
    const { inputs, outputs } = this.kernel;
    const operand = o < inputs.length ? inputs[o] : outputs[o - inputs.length];
    if (operand === undefined) throw new InternalError(`kernel ${this.kernel.name} has no operand ${o}`);
    return operand;
  }

  /** Pushes a word of the argument block. */
  argument(offset: number): void {
    this.f.get(this.args);
    this.f.memory(Op.i32Load, offset);
  }

  loadSizes(): void {
    for (const [axis, local] of this.size.entries()) {
      this.argument(this.layout.size(axis));
      this.f.set(local);
    }
  }

  /** Multiplies the number of elements on the stack into bytes of `operand`. */
  toBytes(operand: number): void {
    const bytes = itemSize(this.operand(operand).dtype);
    if (bytes === 1) return;
    this.f.i32(bytes === 4 ? 2 : 3);
    this.f.op(Op.i32Shl);
  }

  /** Pushes the address of `operand` at the current indices of `axes` (0 along the others). */
  address(operand: number, axes: readonly number[]): void {
    const { f, layout } = this;
    this.argument(layout.address(operand));
    if (axes.length === 0) return;
    for (const [i, axis] of axes.entries()) {
      f.get(this.index[axis] ?? 0);
      this.argument(layout.stride(operand, axis));
      f.op(Op.i32Mul);
      if (i > 0) f.op(Op.i32Add);
    }
    this.toBytes(operand);
    f.op(Op.i32Add);
  }

  /** Prepares the step of an operand along `axis`; what it returns prints the advance of a pointer by one element. */
  step(operand: number, axis: number): (pointer: number) => void {
    const { f, layout } = this;
    const { dtype, inner } = this.operand(operand);
    const known = axis < 0 ? 0 : axis === this.kernel.axes - 1 ? inner : "any";
    if (known === 0) return () => undefined;
    let step: number | undefined;
    if (known === "any") {
      step = f.local(Type.i32);
      this.argument(layout.stride(operand, axis));
      this.toBytes(operand);
      f.set(step);
    }
    return (pointer) => {
      f.get(pointer);
      if (step === undefined) f.i32(itemSize(dtype));
      else f.get(step);
      f.op(Op.i32Add);
      f.set(pointer);
    };
  }

  /** Sets the indices of `axes` to those of the flat position `begin`. */
  decompose(axes: readonly number[]): void {
    const { f } = this;
    if (axes.length === 0) return;
    const rest = f.local(Type.i32);
    f.get(this.begin);
    f.set(rest);
    for (let k = axes.length - 1; k >= 0; k--) {
      const axis = axes[k] ?? 0;
      f.get(rest);
      if (k > 0) {
        f.get(this.size[axis] ?? 0);
        f.op(Op.i32RemU);
      }
      f.set(this.index[axis] ?? 0);
      if (k > 0) {
        f.get(rest);
        f.get(this.size[axis] ?? 0);
        f.op(Op.i32DivU);
        f.set(rest);
      }
    }
  }

  /** Advances the last of `axes` by `by` and carries into those before it. */
  advance(axes: readonly number[], by: number): void {
    const { f } = this;
    let open = 0;
    for (let k = axes.length - 1; k >= 0; k--) {
      const axis = axes[k] ?? 0;
      f.get(this.index[axis] ?? 0);
      f.i32(k === axes.length - 1 ? by : 1);
      f.op(Op.i32Add);
      f.tee(this.index[axis] ?? 0);
      if (k === 0) {
        f.op(Op.drop);
        break;
      }
      f.get(this.size[axis] ?? 0);
      f.op(Op.i32Eq);
      f.if();
      f.i32(0);
      f.set(this.index[axis] ?? 0);
      open += 1;
    }
    for (; open > 0; open--) f.end();
  }
}

/** Begins the module's function: its imports, and the locals of indices and sizes. */
function begin(
  parts: readonly (LoopKernel | Sweep)[], axisCount: number, module: ModuleBuilder, exported: boolean,
): Shared {
  const imports = new Map<string, number>();
  for (const node of parts.flatMap(({ body, epilogue }) => [...body, ...epilogue])) {
    const call = mathImport(node);
    if (call === undefined || imports.has(call.name)) continue;
    imports.set(call.name, module.importFunction(call.name, call.arguments === 1 ? [Type.f64] : [Type.f64, Type.f64], [Type.f64]));
  }
  const f = module.function([Type.i32, Type.i32, Type.i32, Type.i32], [], exported ? "run" : undefined);
  const axes = Array.from({ length: axisCount });
  return {
    f,
    index: axes.map(() => f.local(Type.i32)),
    size: axes.map(() => f.local(Type.i32)),
    imports,
    powers: new Map(),
    constants: new Map(),
    results: [],
  };
}

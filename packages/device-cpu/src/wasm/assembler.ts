/**
 * A WebAssembly module emitter: instructions are appended as bytes to one flat buffer per function, so that a module of
 * tens of kilobytes takes well under a millisecond.
 */
import { Op, Sat, Simd, Type, type ValueType } from "./opcodes.ts";

const scratch = new DataView(new ArrayBuffer(8));

/** A growing byte buffer with LEB128 numbers. */
class Bytes {
  buffer = new Uint8Array(512);
  length = 0;

  private reserve(count: number): void {
    if (this.length + count <= this.buffer.length) return;
    const larger = new Uint8Array(Math.max(this.buffer.length * 2, this.length + count));
    larger.set(this.buffer.subarray(0, this.length));
    this.buffer = larger;
  }

  byte(value: number): void {
    if (this.length === this.buffer.length) this.reserve(1);
    this.buffer[this.length++] = value;
  }

  bytes(source: Uint8Array): void {
    this.reserve(source.length);
    this.buffer.set(source, this.length);
    this.length += source.length;
  }

  append(other: Bytes): void {
    this.bytes(other.buffer.subarray(0, other.length));
  }

  unsigned(value: number): void {
    let rest = value >>> 0;
    while (rest >= 0x80) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.byte(rest);
  }

  signed(value: number): void {
    let rest = value | 0;
    while (rest < -64 || rest > 63) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>= 7;
    }
    this.byte(rest & 0x7f);
  }

  signed64(value: bigint): void {
    let rest = BigInt.asIntN(64, value);
    while (rest < -64n || rest > 63n) {
      this.byte(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    this.byte(Number(rest & 0x7fn));
  }

  float32(value: number): void {
    scratch.setFloat32(0, value, true);
    for (let i = 0; i < 4; i++) this.byte(scratch.getUint8(i));
  }

  float64(value: number): void {
    scratch.setFloat64(0, value, true);
    for (let i = 0; i < 8; i++) this.byte(scratch.getUint8(i));
  }

  name(text: string): void {
    this.unsigned(text.length);
    for (let i = 0; i < text.length; i++) this.byte(text.charCodeAt(i));
  }

  section(id: number, content: Bytes): void {
    this.byte(id);
    this.unsigned(content.length);
    this.append(content);
  }
}

type OpCode = (typeof Op)[keyof typeof Op];
type SimdCode = (typeof Simd)[keyof typeof Simd];

/** A function under construction. Methods append one instruction each; the operand stack is the caller's to keep. */
export class FunctionBuilder {
  readonly index: number;
  readonly type: number;
  /** What runs first: constants that the rest keeps in locals. */
  readonly prologue = new Bytes();
  code = new Bytes();
  readonly locals: ValueType[] = [];
  private readonly parameters: number;

  constructor(index: number, type: number, parameters: number) {
    this.index = index;
    this.type = type;
    this.parameters = parameters;
  }

  local(type: ValueType): number {
    this.locals.push(type);
    return this.parameters + this.locals.length - 1;
  }

  /** Appends what `print` prints to the prologue. */
  first(print: () => void): void {
    const { code } = this;
    this.code = this.prologue;
    print();
    this.code = code;
  }

  get(local: number): void {
    this.code.byte(0x20);
    this.code.unsigned(local);
  }

  set(local: number): void {
    this.code.byte(0x21);
    this.code.unsigned(local);
  }

  tee(local: number): void {
    this.code.byte(0x22);
    this.code.unsigned(local);
  }

  i32(value: number): void {
    this.code.byte(0x41);
    this.code.signed(value);
  }

  i64(value: bigint): void {
    this.code.byte(0x42);
    this.code.signed64(value);
  }

  f32(value: number): void {
    this.code.byte(0x43);
    this.code.float32(value);
  }

  f64(value: number): void {
    this.code.byte(0x44);
    this.code.float64(value);
  }

  /** An instruction without immediates. */
  op(code: OpCode): void {
    this.code.byte(code);
  }

  sat(code: (typeof Sat)[keyof typeof Sat]): void {
    this.code.byte(0xfc);
    this.code.byte(code);
  }

  /** A scalar load or store; the address is on the stack. */
  memory(code: OpCode, offset = 0): void {
    this.code.byte(code);
    this.code.byte(0);
    this.code.unsigned(offset);
  }

  simd(code: SimdCode): void {
    this.code.byte(0xfd);
    this.code.unsigned(code);
  }

  /** A vector load or store; the address is on the stack. */
  simdMemory(code: SimdCode, offset = 0): void {
    this.simd(code);
    this.code.byte(0);
    this.code.unsigned(offset);
  }

  simdStoreLane(code: SimdCode, offset: number, lane: number): void {
    this.simdMemory(code, offset);
    this.code.byte(lane);
  }

  simdLane(code: SimdCode, lane: number): void {
    this.simd(code);
    this.code.byte(lane);
  }

  f32x4(value: number): void {
    this.simd(Simd.const);
    for (let i = 0; i < 4; i++) this.code.float32(value);
  }

  i32x4(a: number, b: number, c: number, d: number): void {
    this.simd(Simd.const);
    for (const value of [a, b, c, d]) for (let i = 0; i < 32; i += 8) this.code.byte((value >>> i) & 0xff);
  }

  i32x4Splat(value: number): void {
    this.i32x4(value, value, value, value);
  }

  /** Picks four 32-bit lanes out of the two vectors on the stack (lanes 0-3 and 4-7). */
  shuffle32(a: number, b: number, c: number, d: number): void {
    this.simd(Simd.shuffle);
    for (const lane of [a, b, c, d]) for (let i = 0; i < 4; i++) this.code.byte(lane * 4 + i);
  }

  block(): void {
    this.code.byte(0x02);
    this.code.byte(0x40);
  }

  loop(): void {
    this.code.byte(0x03);
    this.code.byte(0x40);
  }

  if(result?: ValueType): void {
    this.code.byte(0x04);
    this.code.byte(result ?? 0x40);
  }

  else(): void {
    this.code.byte(0x05);
  }

  end(): void {
    this.code.byte(0x0b);
  }

  branch(depth: number): void {
    this.code.byte(0x0c);
    this.code.unsigned(depth);
  }

  branchIf(depth: number): void {
    this.code.byte(0x0d);
    this.code.unsigned(depth);
  }

  call(index: number): void {
    this.code.byte(0x10);
    this.code.unsigned(index);
  }

  memoryFill(): void {
    this.code.byte(0xfc);
    this.code.byte(0x0b);
    this.code.byte(0);
  }
}

/** A module that imports one shared memory as `env.memory`. Imported functions come before the first own one. */
export class ModuleBuilder {
  private readonly types: { readonly parameters: readonly ValueType[]; readonly results: readonly ValueType[] }[] = [];
  private readonly imports: { readonly name: string; readonly type: number }[] = [];
  private readonly functions: FunctionBuilder[] = [];
  private readonly exports: { readonly name: string; readonly index: number }[] = [];

  private typeIndex(parameters: readonly ValueType[], results: readonly ValueType[]): number {
    const same = (a: readonly ValueType[], b: readonly ValueType[]): boolean =>
      a.length === b.length && a.every((type, i) => type === b[i]);
    const found = this.types.findIndex((type) => same(type.parameters, parameters) && same(type.results, results));
    return found >= 0 ? found : this.types.push({ parameters, results }) - 1;
  }

  /** Imports `math.name`; returns its function index. */
  importFunction(name: string, parameters: readonly ValueType[], results: readonly ValueType[]): number {
    return this.imports.push({ name, type: this.typeIndex(parameters, results) }) - 1;
  }

  function(parameters: readonly ValueType[], results: readonly ValueType[] = [], exported?: string): FunctionBuilder {
    const index = this.imports.length + this.functions.length;
    const built = new FunctionBuilder(index, this.typeIndex(parameters, results), parameters.length);
    this.functions.push(built);
    if (exported !== undefined) this.exports.push({ name: exported, index });
    return built;
  }

  finish(): Uint8Array<ArrayBuffer> {
    const out = new Bytes();
    for (const byte of [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]) out.byte(byte);
    out.section(1, this.typeSection());
    out.section(2, this.importSection());
    const declarations = new Bytes();
    declarations.unsigned(this.functions.length);
    for (const built of this.functions) declarations.unsigned(built.type);
    out.section(3, declarations);
    const exported = new Bytes();
    exported.unsigned(this.exports.length);
    for (const { name, index } of this.exports) {
      exported.name(name);
      exported.byte(0);
      exported.unsigned(index);
    }
    out.section(7, exported);
    out.section(10, this.codeSection());
    return out.buffer.slice(0, out.length);
  }

  private typeSection(): Bytes {
    const content = new Bytes();
    content.unsigned(this.types.length);
    for (const { parameters, results } of this.types) {
      content.byte(0x60);
      content.unsigned(parameters.length);
      for (const type of parameters) content.byte(type);
      content.unsigned(results.length);
      for (const type of results) content.byte(type);
    }
    return content;
  }

  private importSection(): Bytes {
    const content = new Bytes();
    content.unsigned(1 + this.imports.length);
    content.name("env");
    content.name("memory");
    content.byte(2);
    // Shared, with a maximum: 1 to 65,536 pages of 64 KiB.
    content.byte(3);
    content.unsigned(1);
    content.unsigned(65536);
    for (const { name, type } of this.imports) {
      content.name("math");
      content.name(name);
      content.byte(0);
      content.unsigned(type);
    }
    return content;
  }

  private codeSection(): Bytes {
    const content = new Bytes();
    content.unsigned(this.functions.length);
    for (const { locals, prologue, code } of this.functions) {
      const head = new Bytes();
      const runs: { type: ValueType; count: number }[] = [];
      for (const type of locals) {
        const last = runs.at(-1);
        if (last?.type === type) last.count++;
        else runs.push({ type, count: 1 });
      }
      head.unsigned(runs.length);
      for (const { type, count } of runs) {
        head.unsigned(count);
        head.byte(type);
      }
      content.unsigned(head.length + prologue.length + code.length + 1);
      content.append(head);
      content.append(prologue);
      content.append(code);
      content.byte(0x0b);
    }
    return content;
  }
}

export { Op, Sat, Simd, Type, type ValueType };

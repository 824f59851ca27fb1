/**
 * Commands to the GPU: one encoder and one compute pass for as many launches as come, submitted together; and the ways
 * in and out of GPU memory.
 */
import { InternalError } from "@troupe/core/device";
import { raise, type OpenGpu } from "./adapter.ts";
import type { Block } from "./buffers.ts";
import type { Pump } from "./pump.ts";

/** Launches that are submitted together at most. */
const batchLimit = 256;
/** Submissions after which the stream waits for the GPU: what the GPU is behind by is bounded. */
const behindLimit = 32;
/** Bytes of arguments of one batch. */
const argumentBytes = 1 << 17;
/** WebGPU's least alignment of a binding's offset. */
const alignment = 256;
/** Sizes of the argument bindings; a launch takes the first that holds its arguments. */
const argumentSizes = [512, 4096] as const;

/** Words of the fault record: whether one was reported, its code, its detail. */
const faultBytes = 16;

export interface Launch {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly blocks: readonly Block[];
  readonly x: number;
  readonly y: number;
}

export class Stream {
  readonly #gpu: OpenGpu;
  readonly #pump: Pump;
  /** Group 1 of every pipeline: the arguments, and the fault record. */
  readonly argumentLayout: GPUBindGroupLayout;
  readonly #argumentGroups: readonly GPUBindGroup[];
  readonly #argumentBuffer: GPUBuffer;
  readonly #arguments = new Int32Array(argumentBytes / 4);
  readonly #argumentView = new Uint8Array(this.#arguments.buffer);
  readonly #fault: GPUBuffer;
  readonly #readers = new Map<number, GPUBuffer[]>();
  readonly #offsets = new Uint32Array(1);
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  #pipeline: GPUComputePipeline | undefined;
  #bindGroup: GPUBindGroup | undefined;
  #argumentsUsed = 0;
  /** Where the last launch's arguments begin in the batch's, and where those begin that are bound; -1: nowhere. */
  #lastArguments = -1;
  #lastWords = 0;
  #boundArguments = -1;
  #launches = 0;
  #behind = 0;
  /** The number of the batch that is being written. */
  #batch = 0;
  /** Something was written to the queue that only a submission makes go away. */
  #dirty = false;

  constructor(gpu: OpenGpu, pump: Pump) {
    this.#gpu = gpu;
    this.#pump = pump;
    const { device } = gpu;
    const visibility = GPUShaderStage.COMPUTE;
    this.argumentLayout = device.createBindGroupLayout({
      entries: [
        { binding: 0, visibility, buffer: { type: "uniform", hasDynamicOffset: true } },
        { binding: 1, visibility, buffer: { type: "storage" } },
      ],
    });
    const [, largest] = argumentSizes;
    this.#argumentBuffer = device.createBuffer({
      size: argumentBytes + largest, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
    this.#fault = device.createBuffer({
      size: faultBytes, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
    this.#argumentGroups = argumentSizes.map((size) => device.createBindGroup({
      layout: this.argumentLayout,
      entries: [
        { binding: 0, resource: { buffer: this.#argumentBuffer, size } },
        { binding: 1, resource: { buffer: this.#fault } },
      ],
    }));
  }

  /**
   * Appends a launch whose arguments are the `count` words at `words[at]`, and `last`. Programs do not read the storages'
   * numbers, the even ones of the first 2 * `operands` words: launches that differ in these only share their arguments.
   */
  launch(
    { pipeline, bindGroup, blocks, x, y }: Launch, words: Int32Array, at: number, count: number, operands: number,
    last: number,
  ): void {
    const bytes = (count + 1) * 4;
    if (!this.#repeats(words, at, count, operands, last)) this.#put(words, at, count, last);
    const start = this.#lastArguments;
    const pass = this.#compute();
    // What is set already costs Dawn as much as what is new.
    if (this.#pipeline !== pipeline) {
      pass.setPipeline(pipeline);
      this.#pipeline = pipeline;
    }
    if (this.#bindGroup !== bindGroup) {
      pass.setBindGroup(0, bindGroup);
      this.#bindGroup = bindGroup;
    }
    if (this.#boundArguments !== start) {
      this.#offsets[0] = start;
      pass.setBindGroup(1, this.#argumentGroup(bytes), this.#offsets, 0, 1);
      this.#boundArguments = start;
    }
    pass.dispatchWorkgroups(x, y);
    for (const block of blocks) block.batch = this.#batch;
    if (++this.#launches >= batchLimit) this.flush();
  }

  /** Bytes into a block; offset and length are multiples of 4. */
  write(block: Block, byteOffset: number, bytes: Uint8Array): void {
    if (block.batch === this.#batch) this.flush();
    this.#gpu.device.queue.writeBuffer(block.buffer, byteOffset, bytes as Uint8Array<ArrayBuffer>);
    this.#dirty = true;
  }

  /** Bytes out of a block, once all that was issued before has run; offset and length are multiples of 4. */
  read(block: Block, byteOffset: number, length: number, use: (bytes: Uint8Array) => void): void {
    this.#read(block.buffer, byteOffset, length, use);
  }

  /** What a kernel's check reported since the last look. */
  takeFault(): { readonly code: number; readonly detail: number } | undefined {
    let fault: { code: number; detail: number } | undefined;
    this.#read(this.#fault, 0, faultBytes, (bytes) => {
      const [reported, code, detail] = new Int32Array(bytes.slice().buffer);
      if (reported !== 0) fault = { code, detail };
    });
    if (fault !== undefined) this.#encode().clearBuffer(this.#fault);
    return fault;
  }

  /** Submits what was issued. */
  flush(): void {
    this.#endPass();
    if (this.#encoder === undefined && !this.#dirty) return;
    const { device } = this.#gpu;
    if (this.#argumentsUsed > 0) {
      device.queue.writeBuffer(this.#argumentBuffer, 0, this.#argumentView, 0, this.#argumentsUsed);
    }
    device.queue.submit(this.#encoder === undefined ? [] : [this.#encoder.finish()]);
    this.#encoder = undefined;
    this.#argumentsUsed = 0;
    this.#lastArguments = -1;
    this.#launches = 0;
    this.#dirty = false;
    this.#batch++;
    if (++this.#behind >= behindLimit) this.synchronize();
  }

  /** Waits until all that was issued has run. */
  synchronize(): void {
    this.#read(this.#fault, 0, faultBytes, () => undefined);
  }

  #compute(): GPUComputePassEncoder {
    this.#pass ??= this.#encode().beginComputePass();
    return this.#pass;
  }

  /** The encoder, outside of a pass. */
  #encode(): GPUCommandEncoder {
    this.#endPass();
    this.#encoder ??= this.#gpu.device.createCommandEncoder();
    return this.#encoder;
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = undefined;
    this.#pipeline = undefined;
    this.#bindGroup = undefined;
    this.#boundArguments = -1;
  }

  /** Whether these are the batch's last arguments. */
  #repeats(words: Int32Array, at: number, count: number, operands: number, last: number): boolean {
    if (this.#lastArguments < 0) return false;
    const own = this.#arguments;
    const start = this.#lastArguments / 4;
    if (this.#lastWords !== count || own[start + count] !== last) return false;
    for (let i = 1; i < 2 * operands; i += 2) if (own[start + i] !== words[at + i]) return false;
    for (let i = 2 * operands; i < count; i++) if (own[start + i] !== words[at + i]) return false;
    return true;
  }

  /** Puts arguments behind the batch's others. */
  #put(words: Int32Array, at: number, count: number, last: number): void {
    const bytes = (count + 1) * 4;
    if (this.#argumentsUsed + bytes > argumentBytes) this.flush();
    const start = this.#argumentsUsed;
    const target = this.#arguments;
    for (let i = 0; i < count; i++) target[start / 4 + i] = words[at + i];
    target[start / 4 + count] = last;
    this.#argumentsUsed = Math.ceil((start + bytes) / alignment) * alignment;
    this.#lastArguments = start;
    this.#lastWords = count;
  }

  #argumentGroup(bytes: number): GPUBindGroup {
    const which = argumentSizes.findIndex((size) => bytes <= size);
    const group = this.#argumentGroups[which];
    if (group === undefined) throw new InternalError(`a launch with ${bytes} bytes of arguments`);
    return group;
  }

  #read(buffer: GPUBuffer, byteOffset: number, length: number, use: (bytes: Uint8Array) => void): void {
    const size = Math.max(256, 2 ** Math.ceil(Math.log2(length)));
    const reader = this.#readers.get(size)?.pop() ?? this.#gpu.device.createBuffer({
      size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    this.#encode().copyBufferToBuffer(buffer, byteOffset, reader, 0, length);
    // The wait below is one for all.
    this.#behind = -1;
    this.flush();
    // Whether it failed shows in the buffer's state.
    reader.mapAsync(GPUMapMode.READ, 0, length).catch(() => undefined);
    this.#pump.wait(() => reader.mapState !== "pending", () => { reader.destroy(); });
    if (reader.mapState !== "mapped") {
      raise(this.#gpu);
      this.#gpu.lost("its memory cannot be read any more");
    }
    use(new Uint8Array(reader.getMappedRange(0, length)));
    reader.unmap();
    const list = this.#readers.get(size);
    if (list === undefined) this.#readers.set(size, [reader]);
    else list.push(reader);
    raise(this.#gpu);
  }
}

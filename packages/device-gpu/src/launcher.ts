/** Launches: which shader a kernel needs for these operands, its pipeline, its bind groups. */
import { argumentWords, DeviceError, type Fault, type Kernel, type LoopKernel } from "@troupe/core/device";
import { raise, type OpenGpu } from "./adapter.ts";
import type { Block, Buffers } from "./buffers.ts";
import type { Stream } from "./stream.ts";
import { matmul, type Routine } from "./routines/matmul.ts";
import { faultCodes } from "./wgsl/frame.ts";
import { printPoints, printTeams, type Shader } from "./wgsl/print.ts";

/** Workgroups along one dimension of a dispatch. */
const maxGroups = 65_535;
/** Reductions of at least so many steps, over at most so many points, take a workgroup a point. */
const teamSteps = 128;
const teamPoints = 1 << 16;

/** A shader with what it needs to run. */
export interface Program {
  readonly shader: Shader;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  /** By the buffers' serial numbers. */
  readonly groups: Map<string, GPUBindGroup>;
}

/** What one launch of a program is about. */
export interface Arguments {
  /** By binding. */
  readonly blocks: readonly Block[];
  readonly groups: number;
  /** The message's words, and the `count` of them from `at` on that the program reads. */
  readonly words: Int32Array;
  readonly at: number;
  readonly count: number;
  /** The kernel's operands: the words begin with a storage's number and an offset for each. */
  readonly operands: number;
  /** Points of the non-reduced axes: the word behind those. */
  readonly points: number;
}

/** Bind groups that a program keeps. */
const groupLimit = 256;

export class Launcher {
  readonly #gpu: OpenGpu;
  readonly #buffers: Buffers;
  readonly #stream: Stream;
  readonly #turn: () => void;
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #pipelines = new Map<string, GPUComputePipeline>();
  readonly #programs: Program[] = [];
  #launches = 0;

  /** @param turn lets Dawn report what went wrong. */
  constructor(gpu: OpenGpu, buffers: Buffers, stream: Stream, turn: () => void) {
    this.#gpu = gpu;
    this.#turn = turn;
    this.#buffers = buffers;
    this.#stream = stream;
  }

  get launches(): number {
    return this.#launches;
  }

  /** Pipelines that are kept. */
  get compiled(): number {
    return this.#pipelines.size;
  }

  /** Makes a loop kernel ready. */
  loop(kernel: LoopKernel): LoopLaunch {
    return new LoopLaunch(kernel, this, matmul(kernel, this.#gpu.schedule));
  }

  /** Whether reductions are shared by a workgroup. */
  get teams(): boolean {
    return this.#gpu.schedule === "gpu";
  }

  program(shader: Shader, kernel: Kernel): Program {
    const layout = this.#layout(shader.written);
    let pipeline = this.#pipelines.get(shader.code);
    if (pipeline === undefined) {
      const { device } = this.#gpu;
      pipeline = device.createComputePipeline({
        label: kernel.name,
        layout: device.createPipelineLayout({ bindGroupLayouts: [layout, this.#stream.argumentLayout] }),
        compute: { module: device.createShaderModule({ label: kernel.name, code: shader.code }), entryPoint: "main" },
      });
      this.#turn();
      raise(this.#gpu);
      this.#pipelines.set(shader.code, pipeline);
    }
    const program: Program = { shader, pipeline, layout, groups: new Map() };
    this.#programs.push(program);
    return program;
  }

  /** Lets go of all bind groups, and so of the buffers that they hold. */
  forgetGroups(): void {
    for (const { groups } of this.#programs) groups.clear();
  }

  /** Issues a launch; a kernel with checks is waited for. @returns the fault that it reported, if it did. */
  run(program: Program, { blocks, groups, words, at, count, operands, points }: Arguments): Fault | undefined {
    const { pipeline, shader } = program;
    const x = Math.min(groups, maxGroups);
    const y = Math.ceil(groups / x);
    const launch = { pipeline, bindGroup: this.#group(program, blocks), blocks, x, y };
    this.#stream.launch(launch, words, at, count, operands, points);
    this.#launches++;
    if (!shader.faults) return undefined;
    const fault = this.#stream.takeFault();
    if (fault === undefined) return undefined;
    return { code: faultCodes[fault.code - 1], detail: fault.detail };
  }

  block(number: number): Block {
    return this.#buffers.at(number);
  }

  #layout(written: readonly boolean[]): GPUBindGroupLayout {
    const { device } = this.#gpu;
    const most = device.limits.maxStorageBuffersPerShaderStage - 1;
    if (written.length > most) throw new DeviceError(`a kernel of ${written.length} buffers; this GPU takes ${most}`);
    const key = written.join();
    let layout = this.#layouts.get(key);
    if (layout === undefined) {
      layout = device.createBindGroupLayout({
        entries: written.map((writes, binding) => ({
          binding, visibility: GPUShaderStage.COMPUTE, buffer: { type: writes ? "storage" : "read-only-storage" },
        })),
      });
      this.#layouts.set(key, layout);
    }
    return layout;
  }

  #group({ groups, layout }: Program, blocks: readonly Block[]): GPUBindGroup {
    let key = "";
    for (const { serial } of blocks) key += `${serial},`;
    let group = groups.get(key);
    if (group === undefined) {
      group = this.#gpu.device.createBindGroup({
        layout, entries: blocks.map(({ buffer }, binding) => ({ binding, resource: { buffer } })),
      });
      if (groups.size >= groupLimit) groups.clear();
      groups.set(key, group);
    }
    return group;
  }
}

/** A loop kernel that was made ready: its programs by form and by which operands share a buffer. */
export class LoopLaunch {
  readonly #kernel: LoopKernel;
  readonly #launcher: Launcher;
  readonly #routine: Routine | undefined;
  readonly #operands: number;
  readonly #words: number;
  /** By form (points, teams, a routine's key) and by which operands share a buffer. */
  readonly #programs = new Map<string, Program | undefined>();
  readonly #blocks: Block[] = [];
  readonly #bindings: number[] = [];

  constructor(kernel: LoopKernel, launcher: Launcher, routine: Routine | undefined) {
    this.#kernel = kernel;
    this.#launcher = launcher;
    this.#routine = routine;
    this.#operands = kernel.inputs.length + kernel.outputs.length;
    this.#words = argumentWords(kernel);
    // What cannot be printed at all fails now.
    printPoints(kernel, Array.from({ length: this.#operands }, (_, i) => i));
  }

  run(words: Int32Array, at: number, block: (storage: number) => number): Fault | undefined {
    const { axes, reduced } = this.#kernel;
    const sizes = at + 2 * this.#operands;
    let points = 1;
    for (let axis = 0; axis < axes - reduced; axis++) points *= words[sizes + axis];
    if (points === 0) return undefined;
    const sharing = this.#bind(words, at, block);
    const choice = sharing === "" ? this.#routine?.(words, at) : undefined;
    if (choice !== undefined) {
      const program = this.#program(choice.key, choice.shader);
      if (program !== undefined) return this.#launch(program, choice.groups, words, at, points);
    }
    if (this.#launcher.teams && reduced > 0 && points <= teamPoints) {
      let steps = 1;
      for (let axis = axes - reduced; axis < axes; axis++) steps *= words[sizes + axis];
      const program = steps < teamSteps
        ? undefined
        : this.#program(`teams ${sharing}`, () => printTeams(this.#kernel, [...this.#bindings]));
      if (program !== undefined) return this.#launch(program, points, words, at, points);
    }
    const program = this.#program(sharing, () => printPoints(this.#kernel, [...this.#bindings]));
    if (program === undefined) return undefined;
    return this.#launch(program, Math.max(1, Math.ceil(points / program.shader.pointsPerGroup)), words, at, points);
  }

  #launch(program: Program, groups: number, words: Int32Array, at: number, points: number): Fault | undefined {
    return this.#launcher.run(program, {
      blocks: this.#blocks, groups, words, at, count: this.#words, operands: this.#operands, points,
    });
  }

  /** Lists the blocks by binding. @returns which operands share one, in a word; empty when none does. */
  #bind(words: Int32Array, at: number, block: (storage: number) => number): string {
    const blocks = this.#blocks;
    const bindings = this.#bindings;
    const inputs = this.#kernel.inputs.length;
    blocks.length = 0;
    let shares = false;
    for (let operand = 0; operand < this.#operands; operand++) {
      const own = this.#launcher.block(block(words[at + 2 * operand]));
      let binding = -1;
      // Inputs may be bound twice; an output not.
      if (operand >= inputs) binding = blocks.indexOf(own);
      bindings[operand] = binding < 0 ? blocks.push(own) - 1 : binding;
      if (binding < 0) continue;
      shares = true;
      for (let other = 0; other < operand; other++) if (blocks[bindings[other]] === own) bindings[other] = binding;
    }
    return shares ? this.#compact() : "";
  }

  /** Drops bindings that no operand has any more. */
  #compact(): string {
    const blocks = this.#blocks;
    const bindings = this.#bindings;
    const used = [...new Set(bindings)].sort((a, b) => a - b);
    for (let operand = 0; operand < bindings.length; operand++) bindings[operand] = used.indexOf(bindings[operand]);
    const kept = used.map((binding) => blocks[binding]);
    blocks.splice(0, blocks.length, ...kept);
    return bindings.join();
  }

  /** The program of a form, printed the first time; undefined where the kernel has no such form. */
  #program(form: string, print: () => Shader | undefined): Program | undefined {
    let program = this.#programs.get(form);
    if (program === undefined && !this.#programs.has(form)) {
      const shader = print();
      program = shader === undefined ? undefined : this.#launcher.program(shader, this.#kernel);
      this.#programs.set(form, program);
    }
    return program;
  }
}

/**
 * Makes programs ready and runs them: writes the argument block, gives out scratch, splits what is worth it over the
 * team, reads the fault block.
 */
import { availableParallelism } from "node:os";
import { InternalError, type Fault } from "@troupe/core/device";
import type { Activity } from "./activity.ts";
import type { ShareCode } from "./code.ts";
import { argumentBytes, argumentsStart, type Heap, scratchBytes, scratchOf } from "./heap.ts";
import type { Launch } from "./routines/routine.ts";
import type { Team } from "./team.ts";
import { faultCodes, Scratch, writeArguments } from "./wasm/arguments.ts";
import { instantiate, type Choice, type Program, type RunKernel } from "./wasm/program.ts";

const cores = availableParallelism();

/** Scalar operations (loads and stores included) that are worth a thread: about 12 us of work. */
const workPerThread = 200_000;
/** Parts of a long range begin at multiples of this, so that vectors stay whole. */
const partAlignment = 16;

/** A program compiled for this thread, with a number that names it to the helpers. */
interface Compiled {
  readonly serial: number;
  readonly module: WebAssembly.Module;
  readonly run: RunKernel;
}

/** Temporary memory of a rank beyond its scratch. */
interface Workspace {
  address: number;
  bytes: number;
}

/** What the launcher takes from its surroundings. */
export interface LauncherHost {
  readonly heap: Heap;
  readonly team: Team;
  readonly activity: Activity;
  /** Memory for workspace. @throws BackendOutOfMemory */
  allocate(bytes: number): number;
  free(block: number, bytes: number): void;
  readonly shareCode: ShareCode;
}

export class Launcher {
  readonly #host: LauncherHost;
  readonly #workspaces: Workspace[] = [];
  #serials = 0;
  /** Launches so far, and those that ran on several threads. */
  launches = 0;
  splitLaunches = 0;

  constructor(host: LauncherHost) {
    this.#host = host;
  }

  /** Compiles a program. */
  launch(program: Program): Launch {
    const { kernel, layout } = program;
    if (layout.bytes > argumentBytes) {
      throw new InternalError(`kernel ${kernel.name} takes ${layout.bytes} bytes of arguments, over ${argumentBytes}`);
    }
    const module = new WebAssembly.Module(program.bytes);
    const { heap } = this.#host;
    const run = instantiate(module, heap.memory);
    const compiled: Compiled = { serial: ++this.#serials, module, run };
    return (words, at, block) => {
      const extent = program.extent(words, at);
      if (extent === 0) return undefined;
      writeArguments(kernel, layout, heap.words, argumentsStart >> 2, words, at, block);
      program.arrange?.(heap.words, argumentsStart >> 2);
      this.launches += 1;
      if (program.splittable && extent > 1) {
        const shares = Math.min(extent, Math.floor(program.work(words, at) / workPerThread));
        if (shares > 1) return this.#runLarge(program, compiled, shares, extent, words, at);
      }
      return this.#run(program, compiled, extent, words, at);
    };
  }

  /** Compiles a program when the first launch needs it. */
  choose(choice: Choice): Launch {
    const launches = new Map<string, Launch>();
    return (words, at, block) => {
      const key = choice.key(words, at);
      let launch = launches.get(key);
      if (launch === undefined) launches.set(key, (launch = this.launch(choice.program(words, at))));
      return launch(words, at, block);
    };
  }

  #run(program: Program, { run }: Compiled, extent: number, words: Int32Array, at: number): Fault | undefined {
    const scratch = this.#scratch(0, program.scratchBytes(words, at));
    if (!program.faults) {
      run(argumentsStart, 0, extent, scratch);
      return undefined;
    }
    this.#host.heap.words[(scratch >>> 2) + Scratch.fault] = 0;
    run(argumentsStart, 0, extent, scratch);
    return this.#fault(scratch);
  }

  /** Runs a launch that is worth up to `shares` threads on this device's share of the cores. */
  #runLarge(
    program: Program, code: Compiled, shares: number, extent: number, words: Int32Array, at: number,
  ): Fault | undefined {
    const { activity, team } = this.#host;
    const threads = Math.min(shares, team.present(), Math.floor(cores / activity.busy()));
    activity.begin();
    try {
      return threads > 1
        ? this.#split(program, code, threads, extent, words, at)
        : this.#run(program, code, extent, words, at);
    } finally {
      activity.end();
    }
  }

  /** Gives temporary memory back. */
  trim(): void {
    for (const { address, bytes } of this.#workspaces.splice(0)) if (bytes > 0) this.#host.free(address, bytes);
  }

  #split(
    program: Program, code: Compiled, threads: number, extent: number, words: Int32Array, at: number,
  ): Fault | undefined {
    const { heap, shareCode, team } = this.#host;
    const bytes = program.scratchBytes(words, at);
    const scratches: number[] = [];
    for (let rank = 0; rank < threads; rank++) {
      const scratch = this.#scratch(rank, bytes);
      heap.words[(scratch >>> 2) + Scratch.fault] = 0;
      scratches.push(scratch);
    }
    this.splitLaunches += 1;
    const alignment = extent >= threads * partAlignment * 4 ? partAlignment : 1;
    const bound = (rank: number) =>
      rank === threads ? extent : Math.floor((extent * rank) / threads / alignment) * alignment;
    for (let rank = 1; rank < threads; rank++) {
      shareCode(rank, code.serial, code.module);
      team.start(rank, code.serial, argumentsStart, bound(rank), bound(rank + 1), scratches[rank]);
    }
    let trapped = false;
    try {
      code.run(argumentsStart, 0, bound(1), scratches[0]);
    } finally {
      // All of them, whatever happened to one: they read the argument block that the next launch writes.
      for (let rank = 1; rank < threads; rank++) if (!team.join(rank)) trapped = true;
    }
    if (trapped) throw new InternalError(`kernel ${program.kernel.name} trapped in a helper thread`);
    if (!program.faults) return undefined;
    for (const scratch of scratches) {
      const fault = this.#fault(scratch);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  #fault(scratch: number): Fault | undefined {
    const { words } = this.#host.heap;
    const fault = words[(scratch >>> 2) + Scratch.fault];
    if (fault === 0) return undefined;
    const code = faultCodes[fault - 1];
    if (code === undefined) throw new InternalError(`a kernel reported the unknown fault ${fault}`);
    return { code, detail: words[(scratch >>> 2) + Scratch.detail] };
  }

  /** Memory of a rank for one launch. */
  #scratch(rank: number, bytes: number): number {
    if (bytes <= scratchBytes) return scratchOf(rank);
    const workspace = (this.#workspaces[rank] ??= { address: 0, bytes: 0 });
    if (workspace.bytes < bytes) {
      if (workspace.bytes > 0) this.#host.free(workspace.address, workspace.bytes);
      workspace.bytes = 0;
      workspace.address = this.#host.allocate(bytes);
      workspace.bytes = bytes;
    }
    return workspace.address;
  }
}

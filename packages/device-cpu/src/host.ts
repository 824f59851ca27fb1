/** The CPU device in the supervisor's thread: starts the device's threads, again after a death, and talks to rank 0. */
import { MessageChannel } from "node:worker_threads";
import { type Remote, wrap } from "comlink";
import { type ActorBoot, controlEndpoint, type Host, type HostSpec } from "@troupe/core/device";
import { endActivity } from "./activity.ts";
import { Crew } from "./crew.ts";
import { Heap } from "./heap.ts";
import type { ActorTask, Control, CpuSpec, HelperTask, Statistics } from "./tasks.ts";
import { resetTeam } from "./team.ts";

class CpuHost implements Host {
  readonly #spec: HostSpec;
  #crew: Crew | undefined;
  #control: Remote<Control> | undefined;
  /** Settles when the end of the running crew has been reported. */
  #reported: Promise<void> = Promise.resolve();

  constructor(spec: HostSpec) {
    this.#spec = spec;
  }

  async start(boot: ActorBoot): Promise<void> {
    const spec = this.#spec.options as CpuSpec;
    resetTeam(new Heap(spec.memory));
    const crew = new Crew(spec.threads);
    const channel = new MessageChannel();
    this.#crew = crew;
    this.#control = wrap<Control>(controlEndpoint(channel.port1));
    channel.port1.unref();
    this.#reported = crew.ended.then((cause) => {
      channel.port1.close();
      endActivity(spec.activity, spec.index);
      if (this.#crew !== crew) return;
      this.#crew = undefined;
      this.#spec.onDeath(cause);
    });
    const codeChannels = Array.from({ length: spec.threads - 1 }, () => new MessageChannel());
    const codePorts = codeChannels.map(({ port1 }) => port1);
    const task: ActorTask = { spec, boot, codePorts, control: channel.port2 };
    try {
      await crew.run("actor", task, [...codePorts, channel.port2, boot.port]);
    } catch (error) {
      this.#crew = undefined;
      await crew.stop();
      throw error;
    }
    // The device works from here on; helpers join as they come up.
    codeChannels.forEach(({ port2 }, i) => {
      const helper: HelperTask = { spec, actor: this.#spec.actor, rank: i + 1, codePort: port2 };
      crew.run("helper", helper, [port2]).catch((error: Error) => crew.stop(error.message));
    });
  }

  /** Counts of the running threads; undefined when there are none, or when they end before they answer. */
  async statistics(): Promise<Statistics | undefined> {
    if (this.#control === undefined || this.#crew === undefined) return undefined;
    return Promise.race([this.#control.statistics(), this.#crew.ended.then(() => undefined)]);
  }

  async kill(): Promise<void> {
    await this.#crew?.stop("the device's threads were killed");
    await this.#reported;
  }

  async close(): Promise<void> {
    const crew = this.#crew;
    this.#crew = undefined;
    this.#control = undefined;
    await crew?.stop();
  }
}

/** Called by core's supervisor. */
export function host(spec: HostSpec): Host {
  return new CpuHost(spec);
}

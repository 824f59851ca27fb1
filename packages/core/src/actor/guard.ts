/**
 * The guard of guarded launches: an optimizer's step with a poisoned gradient is skipped whole, and the next read says
 * why. It lies in shared memory, so that it outlives the actor's thread.
 */
import { Control } from "./protocol.ts";

export class Guard {
  readonly #control: Int32Array;
  /** Roots that reads of this stream told already: a step skipped for one of them says nothing more. */
  readonly #told = new Set<number>();

  constructor(control: Int32Array) {
    this.#control = control;
  }

  /** The poison root for which guarded launches are skipped, or 0. */
  get root(): number {
    return this.#control[Control.guard];
  }

  set root(root: number) {
    this.#control[Control.guard] = root;
  }

  /** Notes that a launch was skipped. */
  skip(): void {
    const { root } = this;
    if (!this.#told.has(root)) this.#control[Control.untold] = root;
  }

  /** The root that a read of a storage with poison `root` (or 0) has to tell, or 0; it counts as told from here on. */
  tell(root: number): number {
    const untold = this.#control[Control.untold];
    const told = root === 0 ? untold : root;
    if (told === 0) return 0;
    if (told === untold) this.#control[Control.untold] = 0;
    this.#told.add(told);
    return told;
  }
}

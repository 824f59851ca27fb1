/** The nodes of a backward pass that can run now: a heap with the latest made on top. */
import type { Node } from "./node.ts";

export class ReadyNodes {
  readonly #heap: Node[] = [];

  push(node: Node): void {
    const heap = this.#heap;
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent].order >= node.order) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = node;
  }

  /** The node with the greatest order. */
  pop(): Node | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return last;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && heap[child + 1].order > heap[child].order) child++;
      if (heap[child].order <= last.order) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = last;
    return top;
  }
}

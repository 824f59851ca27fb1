/** Memory taken along the way: intermediate copies go when the results are there. */
import { collectStorages } from "@troupe/core/executor";
import type { Memory, Value } from "@troupe/core/executor";
import { ShardedMemory } from "./value.ts";

/**
 * Runs `body` and frees the memory that it takes except what its results lie in. An enclosing scope (`tidy`, a gradient
 * rule's) sees the results' memory as one piece each.
 */
export function keepingResults<V extends Value>(body: () => readonly V[]): readonly V[] {
  return collectStorages(body, (results, made) => {
    if (made.length === 0) return made;
    const fresh = new Set(made);
    const owners = new Set<Memory>();
    for (const { identity } of results) {
      // An inner scope has made one piece of it, or it is still in its parts.
      const pieces: readonly Memory[] =
        identity instanceof ShardedMemory ? [identity, ...identity.storages] : [identity];
      if (pieces.filter((piece) => fresh.delete(piece)).length > 0) owners.add(identity);
    }
    for (const memory of fresh) memory.dispose();
    return [...owners];
  });
}

/** As `keepingResults`, where all that `body` takes is its results' memory. */
export function owningResults<V extends Value>(body: () => readonly V[]): readonly V[] {
  return collectStorages(body, (results) => results.map(({ identity }) => identity));
}

/** Runs `body` out of the care of every scope: what it takes outlives them. */
export function outOfScope<R>(body: () => R): R {
  return collectStorages(body, () => []);
}

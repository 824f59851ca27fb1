import { describe, expect, test } from "vitest";
import type { Device } from "../src/actor/device.ts";
import { group } from "../src/actor/groups.ts";
import { mock } from "../src/testing/mock/index.ts";
import { Vector } from "../src/testing/vectors.ts";

/** Lehmer's generator: `random(n)` is one of 0 ... n - 1. */
function generator(seed: number): (n: number) => number {
  let state = (seed * 7919 + 1) % 2147483647;
  return (n) => {
    state = (state * 48271) % 2147483647;
    return state % n;
  };
}

type Statement =
  | { readonly kind: "op" | "read"; readonly actor: number }
  | { readonly kind: "copy"; readonly from: number; readonly to: number }
  | { readonly kind: "collective"; readonly members: readonly number[] };

function randomProgram(random: (n: number) => number, actors: number, length: number): Statement[] {
  return Array.from({ length }, () => {
    const actor = random(actors);
    const other = (actor + 1 + random(actors - 1)) % actors;
    const dice = random(10);
    if (dice < 5) return { kind: "op", actor };
    if (dice < 7) return { kind: "copy", from: actor, to: other };
    const members = random(2) === 0 ? [actor, other] : Array.from({ length: actors }, (_, i) => i);
    if (dice < 9) return { kind: "collective", members };
    return { kind: "read", actor };
  });
}

/** A message in the model: `needs` must have begun (copies: run; collectives: be at the front) elsewhere. */
interface ModelMessage {
  readonly kind: "op" | "send" | "receive" | "collective" | "read";
  readonly id: number;
  readonly members: readonly number[];
}

/**
 * The runtime in miniature: rings with a cap, messages published in batches, receives and collectives that wait.
 * @returns whether the program ran to its end.
 */
function simulate(
  program: readonly Statement[], actors: number, cap: number, batch: number, publishesAll: boolean,
): boolean {
  const published: ModelMessage[][] = Array.from({ length: actors }, () => []);
  const unpublished: ModelMessage[][] = Array.from({ length: actors }, () => []);
  const done = new Set<number>();

  const publish = (actor: number): void => {
    published[actor]?.push(...(unpublished[actor]?.splice(0) ?? []));
  };
  const canRun = ({ kind, id, members }: ModelMessage): boolean => {
    if (kind === "receive") return done.has(id);
    return kind !== "collective" || done.has(id) || members.every((member) => published[member]?.[0]?.id === id);
  };
  /** One step of any actor that can make one. */
  const step = (): boolean => {
    for (const ring of published) {
      const first = ring[0];
      if (first === undefined || !canRun(first)) continue;
      // The first member to leave lets the others leave too.
      if (first.kind !== "receive") done.add(first.id);
      ring.shift();
      return true;
    }
    return false;
  };
  const waitUntil = (actor: number, ready: () => boolean): boolean => {
    if (publishesAll) for (let other = 0; other < actors; other++) publish(other);
    else publish(actor);
    while (!ready()) if (!step()) return false;
    return true;
  };
  const issue = (actor: number, message: ModelMessage): boolean => {
    const inFlight = (): number => (published[actor]?.length ?? 0) + (unpublished[actor]?.length ?? 0);
    if (inFlight() >= cap && !waitUntil(actor, () => inFlight() < cap)) return false;
    unpublished[actor]?.push(message);
    if ((unpublished[actor]?.length ?? 0) >= batch) publish(actor);
    return true;
  };

  for (const [id, statement] of program.entries()) {
    switch (statement.kind) {
      case "op":
        if (!issue(statement.actor, { kind: "op", id, members: [] })) return false;
        break;
      case "read":
        if (!issue(statement.actor, { kind: "read", id, members: [] })) return false;
        if (!waitUntil(statement.actor, () => done.has(id))) return false;
        break;
      case "copy":
        if (!issue(statement.from, { kind: "send", id, members: [] })) return false;
        if (!issue(statement.to, { kind: "receive", id, members: [] })) return false;
        break;
      case "collective":
        for (const member of statement.members) {
          if (!issue(member, { kind: "collective", id, members: statement.members })) return false;
        }
    }
  }
  return true;
}

describe("no deadlock, by rule", () => {
  test("of 2,000 random programs none deadlocks when every ring is published before a wait; many do otherwise", () => {
    let withRule = 0;
    let without = 0;
    for (let seed = 0; seed < 2000; seed++) {
      const random = generator(seed);
      const actors = 2 + random(3);
      const program = randomProgram(random, actors, 60);
      const cap = 1 + random(5);
      const batch = 1 + random(6);
      if (!simulate(program, actors, cap, batch, true)) withRule += 1;
      if (!simulate(program, actors, cap, batch, false)) without += 1;
    }
    expect(withRule).toBe(0);
    expect(without).toBeGreaterThan(100);
  });

  test("random programs of ops, copies, collectives and reads over tiny rings end, with the right values", async () => {
    for (let seed = 0; seed < 12; seed++) {
      const random = generator(seed);
      const actors = 2 + random(3);
      const devices = Array.from({ length: actors }, () => mock({ ringWords: 64, stagingBytes: 64 }));
      const { read, expected } = runForReal(randomProgram(random, actors, 80), devices);
      expect(read).toEqual(expected);
      await Promise.all(devices.map((device) => device.close()));
    }
  }, 60_000);
});

/**
 * Runs a program on devices and, beside it, on plain numbers. @returns all that was read, and what should have been.
 */
function runForReal(
  program: readonly Statement[], devices: readonly Device[],
): { read: number[][]; expected: number[][] } {
  const read: number[][] = [];
  const expected: number[][] = [];
  const length = 5;
  const vectors = devices.map((device, actor) => Vector.full(device, length, actor + 1));
  const model = devices.map((_, actor) => actor + 1);
  const value = (actor: number): number => model[actor];
  const vector = (actor: number): Vector => vectors[actor];
  for (const statement of program) {
    switch (statement.kind) {
      case "op": {
        const { actor } = statement;
        const doubled = vector(actor).add(vector(actor));
        vector(actor).free();
        vectors[actor] = doubled;
        model[actor] = value(actor) * 2;
        if (value(actor) > 1000) {
          vector(actor).set(new Array<number>(length).fill(1));
          model[actor] = 1;
        }
        break;
      }
      case "copy": {
        const copied = vector(statement.from).copyTo(vector(statement.to).device);
        vector(statement.to).addInPlace(copied);
        copied.free();
        model[statement.to] = value(statement.to) + value(statement.from);
        break;
      }
      case "collective": {
        group(statement.members.map((member) => vector(member).device)).allReduce(
          statement.members.map((member) => vector(member).operand), "max",
        );
        const most = Math.max(...statement.members.map(value));
        for (const member of statement.members) model[member] = most;
        break;
      }
      case "read":
        read.push(vector(statement.actor).readSync());
        expected.push(new Array<number>(length).fill(value(statement.actor)));
    }
  }
  read.push(...vectors.map((v) => v.readSync()));
  expected.push(...model.map((v) => new Array<number>(length).fill(v)));
  return { read, expected };
}

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Allocator, blockBytes } from "../src/allocator.ts";

const start = 65_536;
const limit = start + 4 * 2 ** 20;

function newAllocator(): Allocator {
  return new Allocator(start, (end) => end <= limit);
}

interface Block {
  readonly block: number;
  readonly bytes: number;
}

/** Sizes around the borders that the allocator draws: granules, the greatest small block, slabs, big ones. */
const sizes = fc.oneof(
  fc.integer({ min: 0, max: 80 }),
  fc.integer({ min: 960, max: 1100 }),
  fc.integer({ min: 16_000, max: 17_000 }),
  fc.integer({ min: 1, max: 300_000 }),
);
/** Either allocate that many bytes, or free the live block at this place (modulo the number of blocks). */
const programs = fc.array(fc.oneof(fc.record({ allocate: sizes }), fc.record({ free: fc.nat() })), { maxLength: 150 });
type Program = readonly ({ allocate: number } | { free: number })[];

function play(allocator: Allocator, program: Program, live: Block[] = []): Block[] {
  for (const step of program) {
    if ("allocate" in step) {
      const block = allocator.allocate(step.allocate);
      if (block !== undefined) live.push({ block, bytes: step.allocate });
    } else if (live.length > 0) {
      const [gone] = live.splice(step.free % live.length, 1);
      if (gone !== undefined) allocator.free(gone.block, gone.bytes);
    }
  }
  return live;
}

function freeAll(allocator: Allocator, live: readonly Block[]): void {
  for (const { block, bytes } of live) allocator.free(block, bytes);
}

function expectDisjoint(live: readonly Block[]): void {
  const sorted = [...live].sort((a, b) => a.block - b.block);
  let end = start;
  for (const { block, bytes } of sorted) {
    expect(block).toBeGreaterThanOrEqual(end);
    end = block + blockBytes(bytes);
  }
  expect(end).toBeLessThanOrEqual(limit);
}

describe("allocator", () => {
  test("live blocks never overlap and lie on their alignment", () => {
    fc.assert(
      fc.property(programs, (program) => {
        const live = play(newAllocator(), program);
        expectDisjoint(live);
        for (const { block, bytes } of live) expect(block % (blockBytes(bytes) > 1024 ? 64 : 16)).toBe(0);
      }),
    );
  });

  test("accounting is exact at every moment", () => {
    fc.assert(
      fc.property(programs, (program) => {
        const allocator = newAllocator();
        const live = play(allocator, program);
        const bytes = live.reduce((sum, block) => sum + blockBytes(block.bytes), 0);
        expect(allocator.liveBytes).toBe(bytes);
        expect(allocator.pooledBytes).toBe(allocator.touched - start - bytes);
      }),
    );
  });

  test("when all is freed nothing remains but one free range", () => {
    fc.assert(
      fc.property(programs, (program) => {
        const allocator = newAllocator();
        freeAll(allocator, play(allocator, program));
        expect(allocator.liveBytes).toBe(0);
        expect(allocator.holes()).toEqual([]);
        expect(allocator.end()).toBe(start);
      }),
    );
  });

  test("restore from the live blocks gives the same holes, and goes on as correctly", () => {
    fc.assert(
      fc.property(programs, programs, (before, after) => {
        const allocator = newAllocator();
        const live = play(allocator, before);
        const restored = newAllocator();
        restored.restore(live);
        expect(restored.liveBytes).toBe(allocator.liveBytes);
        expect(restored.end()).toBe(allocator.end());
        expect(restored.holes()).toEqual(allocator.holes());
        const later = play(restored, after, [...live]);
        expectDisjoint(later);
        freeAll(restored, later);
        expect(restored.holes()).toEqual([]);
        expect(restored.end()).toBe(start);
      }),
    );
  });

  test("a freed block is reused before the memory grows", () => {
    const allocator = newAllocator();
    const first = allocator.allocate(100_000) as number;
    allocator.allocate(100_000);
    allocator.free(first, 100_000);
    const { touched } = allocator;
    expect(allocator.allocate(60_000)).toBe(first);
    expect(allocator.touched).toBe(touched);
  });

  test("a request beyond the limit gives undefined and leaves the rest usable", () => {
    const allocator = newAllocator();
    const kept = allocator.allocate(1000) as number;
    expect(allocator.allocate(5 * 2 ** 20)).toBeUndefined();
    expect(allocator.allocate(1000)).not.toBe(kept);
  });
});

import {
  drawSvg,
  drawText,
  gpipe,
  issueOrder,
  oneForwardOneBackward,
  ScheduleError,
  simulate,
  validateSchedule,
} from "@troupe/parallel";
import type { Action, Schedule } from "@troupe/parallel";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const builders = [gpipe, oneForwardOneBackward];
const sizes = fc.record({ stages: fc.integer({ min: 1, max: 7 }), microbatches: fc.integer({ min: 1, max: 12 }) });
const cost = fc.double({ min: 0.01, max: 10, noNaN: true });
const cheap = fc.oneof(fc.constant(0), cost);

const F = (stage: number, microbatch: number): Action => ({ kind: "F", stage, microbatch });
const B = (stage: number, microbatch: number): Action => ({ kind: "B", stage, microbatch });

function refused(actions: readonly (readonly Action[])[], microbatches = 1): ScheduleError {
  const schedule: Schedule = { name: "by hand", stages: actions.length, microbatches, actions };
  try {
    validateSchedule(schedule);
  } catch (error) {
    if (error instanceof ScheduleError) return error;
  }
  throw new Error("the schedule was not refused");
}

for (const build of builders) {
  describe(`${build.name}`, () => {
    test("is valid for any number of stages and micro-batches", () => {
      fc.assert(
        fc.property(sizes, ({ stages, microbatches }) => {
          expect(() => validateSchedule(build(stages, microbatches))).not.toThrow();
        }),
      );
    });

    test("has a bubble of (p - 1) / (m + p - 1) where stages cost the same", () => {
      fc.assert(
        fc.property(sizes, cost, cost, ({ stages: p, microbatches: m }, forward, backward) => {
          const { bubble, makespan } = simulate(build(p, m), { forward, backward });
          expect(bubble).toBeCloseTo((p - 1) / (m + p - 1), 9);
          expect(makespan).toBeCloseTo((m + p - 1) * (forward + backward), 6);
        }),
      );
    });

    test("with any costs, an action starts after the stage's last one and after what it needs has arrived", () => {
      fc.assert(
        fc.property(
          sizes,
          fc.array(fc.tuple(cheap, cheap, cheap), { minLength: 7, maxLength: 7 }),
          ({ stages, microbatches }, list) => {
            const costs = list
              .slice(0, stages)
              .map(([forward, backward, transfer]) => ({ forward, backward, transfer }));
            const { actions } = simulate(build(stages, microbatches), costs);
            const at = new Map(
              actions.flat().map((action) => [`${action.kind}${action.stage} ${action.microbatch}`, action]),
            );
            const early = actions.flatMap((row) =>
              row.filter((action, i) => {
                const previous = row[i - 1]?.end ?? 0;
                const before = at.get(
                  `${action.kind}${action.stage + (action.kind === "F" ? -1 : 1)} ${action.microbatch}`,
                );
                const arrival =
                  before === undefined ? 0 : before.end + costs[Math.min(before.stage, action.stage)].transfer;
                return action.start < Math.max(previous, arrival);
              }),
            );
            expect(early).toEqual([]);
          },
        ),
      );
    });

    test("is issued so that each transfer follows what it carries and precedes what needs it", () => {
      fc.assert(
        fc.property(
          sizes,
          fc.array(fc.tuple(cheap, cheap, cheap), { minLength: 7, maxLength: 7 }),
          ({ stages, microbatches }, list) => {
            const costs = list
              .slice(0, stages)
              .map(([forward, backward, transfer]) => ({ forward, backward, transfer }));
            const schedule = build(stages, microbatches);
            const done = new Set<string>();
            const rows: Action[][] = schedule.actions.map(() => []);
            const misplaced: string[] = [];
            const issues = issueOrder(simulate(schedule, costs));
            for (const {
              what,
              action: { kind, stage, microbatch },
            } of issues) {
              const text = `${kind}${stage} ${microbatch}`;
              const needed =
                what === "transfer"
                  ? text
                  : kind === "F"
                    ? `sent F${stage - 1} ${microbatch}`
                    : `sent B${stage + 1} ${microbatch}`;
              const isFirst = what === "action" && (kind === "F" ? stage === 0 : stage === stages - 1);
              if (!isFirst && !done.has(needed)) misplaced.push(`${what} ${text}`);
              done.add(what === "transfer" ? `sent ${text}` : text);
              if (what === "action") rows[stage].push({ kind, stage, microbatch });
            }
            expect(misplaced).toEqual([]);
            expect(rows).toEqual(schedule.actions);
            expect(issues.length).toBe(2 * microbatches * stages + 2 * microbatches * (stages - 1));
          },
        ),
      );
    });
  });
}

test("GPipe holds all m micro-batches, 1F1B min(m, p - s) at stage s", () => {
  fc.assert(
    fc.property(sizes, ({ stages: p, microbatches: m }) => {
      expect(simulate(gpipe(p, m)).held).toEqual(Array.from({ length: p }, () => m));
      expect(simulate(oneForwardOneBackward(p, m)).held).toEqual(
        Array.from({ length: p }, (_, s) => Math.min(m, p - s)),
      );
    }),
  );
});

test("with one micro-batch, one stage works at a time", () => {
  expect(gpipe(3, 1).actions).toEqual(oneForwardOneBackward(3, 1).actions);
  expect(simulate(gpipe(3, 1)).bubble).toBeCloseTo(2 / 3);
});

test("1F1B of two stages and three micro-batches, as in the paper", () => {
  const text = oneForwardOneBackward(2, 3).actions.map((row) =>
    row.map(({ kind, microbatch }) => kind + microbatch).join(" "),
  );
  expect(text).toEqual(["F0 F1 B0 F2 B1 B2", "F0 B0 F1 B1 F2 B2"]);
});

describe("a schedule that cannot run is refused with the action's name", () => {
  test("an action that is missing, comes twice, stands with another stage, or has no such micro-batch", () => {
    expect(refused([[F(0, 0)]])).toMatchObject({ action: B(0, 0), message: expect.stringContaining("0B0 is missing") });
    expect(refused([[F(0, 0), F(0, 0), B(0, 0)]]).message).toContain("0F0 comes twice");
    expect(
      refused([
        [F(0, 0), B(0, 0), F(1, 0)],
        [F(1, 0), B(1, 0)],
      ]),
    ).toMatchObject({ action: F(1, 0) });
    expect(refused([[F(0, 0), B(0, 0), F(0, 1)]]).message).toContain("0F1: there is no such micro-batch among 1");
    expect(refused([]).message).toContain("no stages");
  });

  test("a backward before its forward", () => {
    expect(refused([[B(0, 0), F(0, 0)]]).message).toContain("0B0 comes before 0F0");
  });

  test("stages that wait for each other", () => {
    const error = refused(
      [
        [F(0, 0), B(0, 0), F(0, 1), B(0, 1)],
        [F(1, 1), B(1, 1), F(1, 0), B(1, 0)],
      ],
      2,
    );
    expect(error.message).toContain("deadlock: 0B0 waits for 1B0, 1F1 waits for 0F1");
    expect(error.action).toEqual(B(0, 0));
  });

  test("removing or doubling any action of a good one", () => {
    fc.assert(
      fc.property(sizes, fc.nat(), fc.boolean(), ({ stages, microbatches }, pick, doubled) => {
        const good = oneForwardOneBackward(stages, microbatches);
        const stage = pick % stages;
        const at = pick % good.actions[stage].length;
        const actions = good.actions.map((row, s) =>
          s === stage ? row.toSpliced(at, 1, ...(doubled ? [row[at], row[at]] : [])) : row,
        );
        expect(refused(actions, microbatches).action).toBeDefined();
      }),
    );
  });
});

test("counts and costs out of range are refused", () => {
  expect(() => gpipe(0, 1)).toThrow(/stages must be a whole number/);
  expect(() => gpipe(2, 1.5)).toThrow(/microbatches must be a whole number/);
  expect(() => simulate(gpipe(2, 1), [{ forward: 1, backward: 1 }])).toThrow(/1 costs for 2 stages/);
  expect(() => simulate(gpipe(2, 1), { forward: -1, backward: 1 })).toThrow(/at least 0/);
  expect(() => simulate(gpipe(2, 1), { forward: NaN, backward: 1 })).toThrow(/finite/);
});

describe("drawings", () => {
  test("as text: a row a stage, time from left to right", () => {
    expect(drawText(simulate(oneForwardOneBackward(2, 3)))).toBe(
      [
        "1f1b, 2 stages, 3 micro-batches: bubble 25.0 %, micro-batches held 2, 1",
        "stage 0  F0 F1 ......B0--- F2 B1--- ...B2--- ",
        "stage 1  ...F0 B0--- F1 B1--- F2 B2--- ......",
      ].join("\n"),
    );
  });

  test("as text: any schedule fits the width and shows every stage's work in order", () => {
    fc.assert(
      fc.property(
        sizes,
        cost,
        cost,
        fc.integer({ min: 20, max: 200 }),
        ({ stages, microbatches }, forward, backward, width) => {
          const [, ...rows] = drawText(simulate(gpipe(stages, microbatches), { forward, backward }), { width }).split(
            "\n",
          );
          expect(rows.length).toBe(stages);
          for (const row of rows) expect(row.length).toBe(rows[0].length);
          expect(rows[0].length).toBeLessThanOrEqual("stage 0  ".length + width);
        },
      ),
    );
  });

  test("as SVG: a bar for every action, texts escaped, nothing from elsewhere", () => {
    const svg = drawSvg(simulate(gpipe(2, 3)), {
      title: 'a "<b>" & c',
      rowLabels: ["cpu:0 <script>", "cpu:1"],
      unit: "ms",
    });
    expect(svg.match(/<g>/g)?.length).toBe(2 * 2 * 3);
    expect(svg).toContain("a &quot;&lt;b&gt;&quot; &amp; c");
    expect(svg).not.toMatch(/<script|href|url\(/);
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" viewBox="0 0 \d+ \d+"/);
  });
});

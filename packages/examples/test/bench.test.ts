import { describe, expect, test } from "vitest";
import { contenders, lastWords, run } from "../src/bench/contenders.ts";
import { jobs } from "../src/bench/jobs.ts";
import { agree, markdownOf, sectionOf, speedOf, textOf } from "../src/bench/scoreboard.ts";
import { scalingOf } from "../src/bench/timing.ts";
import type { Figure } from "../src/bench/timing.ts";

const names = contenders.map(({ name }) => name);
const used = { cpuSeconds: 2, wallSeconds: 1 };
const less = jobs.find(({ name }) => name === "add");
const more = jobs.find(({ name }) => name === "mlp 256, 2 actors");
if (less === undefined || more === undefined) throw new Error("the jobs are other ones");

describe("the table of jobs", () => {
  test("names each job once, and only contenders that exist", () => {
    expect(new Set(jobs.map(({ name }) => name)).size).toBe(jobs.length);
    for (const { without = {} } of jobs) expect(names).toEqual(expect.arrayContaining(Object.keys(without)));
  });
});

describe("ratios", () => {
  test("a speed above 1 is faster, whether more or less is better", () => {
    expect(speedOf([10, 30], [5, 10], more.unit)).toBe(2.5);
    expect(speedOf([2, 2], [4, 8], less.unit)).toBe(3);
  });

  test("rounds that the reference lacks do not count", () => {
    expect(speedOf([10, 1000], [5], more.unit)).toBe(2);
    expect(speedOf([10], [], more.unit)).toBeNaN();
  });

  test("two actors are compared with one, and with two that share nothing, window by window", () => {
    const { ofOne, bound, ofBound } = scalingOf([1, 2, 3], [1.5, 3, 4.5], [0.75, 1.5, 2.25]);
    expect([ofOne, bound, ofBound]).toEqual([1.5, 2, 0.75]);
  });

  test("losses agree within 1e-4, sums within 1e-4 of themselves, and NaN agrees with nothing", () => {
    expect(agree([4.00005], [4])).toBe(true);
    expect(agree([4.0002], [4])).toBe(false);
    expect(agree([20_000.5], [20_000], false)).toBe(true);
    expect(agree([20_003], [20_000], false)).toBe(false);
    expect(agree([NaN], [NaN])).toBe(false);
    expect(agree([1], [1, 2])).toBe(false);
  });
});

describe("a section", () => {
  const figure = (contender: string, value: number, more_: Partial<Figure> = {}): Figure =>
    ({ contender, job: more.name, value, results: [2.3, 1.8, 0.9], ...used, ...more_ });

  test("puts a speed in brackets whose results are others, and says why a contender has none", () => {
    const figures = [
      figure("Troupe", 300, { results: [2.3, 1.8, 0.95] }),
      figure("PyTorch", 100),
      figure("tfjs", NaN, { absent: "has no threads in Node" }),
    ];
    const { rows } = sectionOf(more, figures, names);
    expect(rows.map(([name, median, , speed]) => [name, median, speed])).toEqual([
      ["Troupe", "300", "(3.00)"], ["PyTorch", "100", "1.00"], ["tfjs", "-", "-"],
    ]);
    expect(rows[0].at(-1)).toContain("0.95");
    expect(rows[2].at(-1)).toBe("has no threads in Node");
  });

  test("keeps a contender's other rounds when one of them failed", () => {
    const { rows } = sectionOf(more, [figure("Troupe", NaN, { absent: "killed" }), figure("Troupe", 300)], names);
    expect(rows.map(([, median]) => median)).toEqual(["300"]);
  });

  test("says what two actors made of the machine's bound, on the terminal and in Markdown", () => {
    const section = sectionOf(more, [figure("Troupe", 300, { scaling: { ofOne: 1.2, bound: 1.5, ofBound: 0.8 } })], names);
    for (const text of [textOf(section), markdownOf([section], 1)]) {
      expect(text).toContain("1.20 (1.20 - 1.20) of one actor; two actors that share nothing: 1.50 (1.50 - 1.50); achieved of that bound: 0.80");
    }
  });
});

describe("a contender that cannot run", () => {
  const who = { name: "tfjs", command: process.execPath, args: () => ["-e", "throw new TypeError('no such backend')"] };

  test("says what it died of", () => {
    expect(run(who, less, ".").absent).toBe("TypeError: no such backend");
    expect(run({ ...who, command: "/no/such/program" }, less, ".").absent).toContain("ENOENT");
    expect(lastWords("")).toBeUndefined();
  });

  test("is not started for a job that it is known to lack", () => {
    expect(run(who, more, ".").absent).toBe("has no threads in Node");
  });
});

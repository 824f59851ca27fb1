/** The report as a reader sees it: in a browser. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import type { Browser, Page } from "puppeteer-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startBrowser } from "./browser.ts";

const script = new URL("../src/compare/main.ts", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "troupe-report-"));
const report = join(folder, "report.html");

const strategies = ["single", "threads", "data", "layerwise", "gpipe", "1f1b"];
const devices: Readonly<Record<string, number>> = { single: 1, threads: 1 };

let started: AsyncDisposable & { readonly browser: Browser };
let page: Page;
const requests: string[] = [];
const complaints: string[] = [];

beforeAll(async () => {
  await promisify(execFile)(process.execPath, [script, "--epochs", "1", "--steps", "8", "--report", report]);
  started = await startBrowser();
  page = await started.browser.newPage();
  await page.setViewport({ width: 1280, height: 900 });
  page.on("request", (request) => requests.push(request.url()));
  page.on("requestfailed", (request) => complaints.push(`failed: ${request.url()}`));
  page.on("console", (message) => complaints.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(pathToFileURL(report).href, { waitUntil: "load" });
}, 90_000);

afterAll(async () => {
  await started?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

/** Sizes of all elements that match, as they are laid out in the page. */
function sizes(selector: string): Promise<{ width: number; height: number }[]> {
  return page.$$eval(selector, (elements) =>
    elements.map((element) => {
      const { width, height } = element.getBoundingClientRect();
      return { width, height };
    }),
  );
}

/** Moves the slider of a strategy's timeline: each whole number doubles its width. */
async function zoom(name: string, exponent: number): Promise<void> {
  await page.$eval(
    `.timeline[data-strategy="${name}"] input`,
    (slider, value) => {
      slider.value = `${value}`;
      slider.dispatchEvent(new Event("input"));
    },
    exponent,
  );
}

/** How many of the elements that match can be seen. */
async function visible(selector: string): Promise<string> {
  const found = await sizes(selector);
  const shown = found.filter(({ width, height }) => width > 0 && height > 0);
  return `${shown.length} of ${found.length}`;
}

test("the page asks for nothing but itself, and nothing goes wrong in it", async () => {
  expect(await page.title()).toBe("Troupe: strategies compared");
  expect(requests).toEqual([pathToFileURL(report).href]);
  expect(complaints).toEqual([]);
});

test("the page fits its window", async () => {
  expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
});

test.each(strategies)("%s: its figures, curves and schedule can be seen", async (name) => {
  expect(await visible(`tr[data-strategy="${name}"] td`)).toBe("10 of 10");
  for (const chart of ["loss-steps", "loss-seconds"]) {
    expect(await visible(`#${chart} .curve[data-strategy="${name}"]`)).toBe("1 of 1");
  }
  const count = devices[name] ?? 2;
  expect(await visible(`.schedule[data-strategy="${name}"] > svg`)).toBe("1 of 1");
  // A forward and a backward for each device, or for each stage and micro-batch.
  const actions = name === "gpipe" || name === "1f1b" ? count * 4 * 2 : count * 2;
  expect(await visible(`.schedule[data-strategy="${name}"] g > rect`)).toBe(`${actions} of ${actions}`);
});

test.each(strategies)("%s: its timeline has a track for each device, with kernels by name", async (name) => {
  const timeline = `.timeline[data-strategy="${name}"]`;
  const count = devices[name] ?? 2;
  expect(await visible(`${timeline} .track`)).toBe(`${count} of ${count}`);
  // However long the step took: stretched, its kernels can be seen.
  await zoom(name, 6);
  for (const track of await page.$$(`${timeline} .track`)) {
    const bars = await track.$$eval("rect.kernel", (elements) =>
      elements.map((element) => ({
        width: element.getBoundingClientRect().width,
        tip: element.querySelector("title")?.textContent,
      })),
    );
    expect(bars.length).toBeGreaterThan(5);
    expect(Math.max(...bars.map(({ width }) => width))).toBeGreaterThan(1);
    expect(bars.some(({ tip }) => /^matmul \d+x\d+x\d+ .*\(kernel\): [\d.]+ [um]s at /.test(tip ?? ""))).toBe(true);
  }
  await zoom(name, 0);
});

test("the slider stretches a timeline, and the page stays as wide as it was", async () => {
  const drawing = '.timeline[data-strategy="1f1b"] svg';
  const [before] = await sizes(drawing);
  await zoom("1f1b", 3);
  const [after] = await sizes(drawing);
  expect(after.width / before.width).toBeCloseTo(8, 3);
  expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
});

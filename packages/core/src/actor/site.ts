/**
 * Where ops are issued, as a small number that fits into a message: the path of the module whose `forward` runs and,
 * with TROUPE_TRACE=1, the user's line (capturing a stack costs 1-3 us an op).
 */
const tracing = process.env["TROUPE_TRACE"] === "1";

const texts: string[] = [""];
const numbers = new Map<string, number>([["", 0]]);
let current = 0;

/** The number of `text`, the same at every call. */
function numberOf(text: string): number {
  let number = numbers.get(text);
  if (number === undefined) {
    number = texts.length;
    texts.push(text);
    numbers.set(text, number);
  }
  return number;
}

/** Makes `path` the module path of the ops issued from here on; returns the site to give back to `leaveSite`. */
export function enterSite(path: string): number {
  const previous = current;
  current = numberOf(path);
  return previous;
}

export function leaveSite(previous: number): void {
  current = previous;
}

/** The number of the current site. */
export function currentSite(): number {
  return tracing ? numberOf(`${texts[current]}\n${userLine()}`) : current;
}

/** The module path and, when traced, the user's line of a site. */
export function describeSite(site: number): { readonly modulePath?: string; readonly line?: string } {
  const [modulePath, line] = (texts[site] ?? "").split("\n");
  return { ...(modulePath ? { modulePath } : {}), ...(line ? { line } : {}) };
}

const ownFolder = new URL("..", import.meta.url).pathname;

/** The first line of the stack that is neither Troupe's core nor Node's. */
function userLine(): string {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 100;
  const lines = new Error().stack?.split("\n").slice(1) ?? [];
  Error.stackTraceLimit = limit;
  const foreign = [ownFolder, "node:", "/node_modules/"];
  const line = lines.find((text) => !foreign.some((part) => text.includes(part)));
  return line?.trim().replace(/^at /, "") ?? "";
}

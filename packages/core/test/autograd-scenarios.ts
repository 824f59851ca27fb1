/** Runs scenarios whose answers PyTorch gave: scripts/autograd/dump.py has a function of the same name for each. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { isTensor, setDefaultDevice, tensor } from "../src/index.ts";
import type { Device, Tensor } from "../src/index.ts";
import { mock } from "../src/testing/index.ts";

const answers = JSON.parse(readFileSync(new URL("../fixtures/autograd.json", import.meta.url), "utf8")) as Record<
  string,
  unknown
>;

/** All tests of the file run on a mock device of their own. */
export function useMockDevice(): void {
  let device: Device;
  beforeAll(() => {
    device = mock();
    setDefaultDevice(device.name);
  });
  afterAll(() => device.close());
}

class ErrorText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** The text of the error that `f` throws: its first line, without the place. */
export function error(f: () => unknown): ErrorText {
  try {
    f();
  } catch (e) {
    return new ErrorText((e as Error).message.split("\n")[0].replace(/ \[(op|device) [^[]*\]$/, ""));
  }
  return new ErrorText("no error");
}

export function leaf(...values: number[]): Tensor {
  return tensor(values, { dtype: "float32", requiresGrad: true });
}

export function float(data: Parameters<typeof tensor>[0], requiresGrad = false): Tensor {
  return tensor(data, { dtype: "float32", requiresGrad });
}

/** `promise` in words; `name` as in dump.py. */
export function scenario(promise: string, name: string, run: () => unknown): void {
  it(`${promise}`, () => {
    expect(answers).toHaveProperty(name);
    expect(differences(run(), answers[name], name)).toEqual([]);
  });
}

function differences(mine: unknown, theirs: unknown, path: string): string[] {
  if (isTensor(mine)) return differences(mine.tolistSync(), theirs, path);
  if (Array.isArray(mine) && Array.isArray(theirs) && mine.length === theirs.length) {
    return mine.flatMap((item, i) => differences(item, theirs[i], `${path}[${i}]`));
  }
  if (isSame(mine, theirs)) return [];
  return [`${path}: ${JSON.stringify(mine)}, PyTorch: ${JSON.stringify(theirs)}`];
}

function isSame(mine: unknown, theirs: unknown): boolean {
  // PyTorch's texts go on with advice, which ours give in a line of its own.
  if (mine instanceof ErrorText) return typeof theirs === "string" && theirs.startsWith(mine.text);
  if (typeof mine === "number" && typeof theirs === "number")
    return Math.abs(mine - theirs) <= 1e-6 + 1e-5 * Math.abs(theirs);
  return (mine ?? null) === theirs;
}

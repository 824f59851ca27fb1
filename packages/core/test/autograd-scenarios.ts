/** Runs scenarios whose answers PyTorch gave (scripts/autograd/dump.py): one function here and one there of the same name. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { isTensor, setDefaultDevice, tensor, Tensor } from "../src/index.ts";
import type { Device } from "../src/index.ts";
import { mock } from "../src/testing/index.ts";

const answers = JSON.parse(readFileSync(new URL("../fixtures/autograd.json", import.meta.url), "utf8")) as Record<string, unknown>;

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
  it(promise, () => {
    expect(answers, "an answer of PyTorch").toHaveProperty(name);
    compare(run(), answers[name], name);
  });
}

function compare(mine: unknown, theirs: unknown, path: string): void {
  if (isTensor(mine)) {
    compare(mine.tolistSync(), theirs, path);
  } else if (mine instanceof ErrorText) {
    expect(theirs, path).toSatisfy((text: string) => text.startsWith(mine.text), `PyTorch's text begins with: ${mine.text}`);
  } else if (Array.isArray(mine)) {
    expect((theirs as unknown[] | null)?.length, path).toBe(mine.length);
    mine.forEach((item, i) => compare(item, (theirs as unknown[])[i], `${path}[${i}]`));
  } else if (typeof mine === "number" && typeof theirs === "number") {
    expect(Math.abs(mine - theirs), `${path}: ${mine} for ${theirs}`).toBeLessThanOrEqual(1e-6 + 1e-5 * Math.abs(theirs));
  } else {
    expect(mine ?? null, path).toEqual(theirs);
  }
}

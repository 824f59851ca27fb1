/** Fields of modules that hold parameters or buffers: what may be in them, and how they may be called. */
import { shown } from "../arguments.ts";
import { ValueError } from "../errors.ts";
import { Tensor } from "../tensor/tensor.ts";
import { Parameter } from "./parameter.ts";

/** @throws ValueError for what would silently be no parameter, or no buffer, of its module */
export function assertFits(
  module: string,
  what: "parameter" | "buffer",
  name: string,
  value: unknown,
): asserts value is Tensor | null | undefined {
  const [kind, wanted] = what === "parameter" ? [Parameter, "nn.Parameter"] : [Tensor, "a Tensor"];
  if (value === null || value === undefined || value instanceof kind) return;
  const remedy =
    what === "parameter" && value instanceof Tensor
      ? `Copy into it, noGrad(() => m.${name}.copy_(x)), or assign new nn.Parameter(x).`
      : undefined;
  throw new ValueError(`cannot assign ${shown(value)} as ${what} '${name}' (${wanted} or null is required)`, {
    op: module,
    remedy,
  });
}

/** @throws ValueError for what could not stand in a path of names */
export function assertName(op: string, what: string, name: unknown): void {
  if (typeof name !== "string" || name === "" || name.includes("."))
    throw new ValueError(`${what} name must be a text without ".", got ${shown(name)}`, { op });
}

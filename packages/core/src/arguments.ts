/** Optional arguments: by position, as in PyTorch, or by name in one trailing object. */
import { ValueError } from "./errors.ts";

/** A plain object of options, as opposed to a tensor, an array or a number. */
export function isOptions(x: unknown): x is Readonly<Record<string, unknown>> {
  return typeof x === "object" && x !== null && Object.getPrototypeOf(x) === Object.prototype;
}

/** @throws ValueError unless `options` is a plain object with none but these names */
export function assertOptions(op: string, options: unknown, names: readonly string[]): void {
  const remedy = names.length === 0 ? "It takes none." : `It takes: ${names.join(", ")}.`;
  if (!isOptions(options)) throw new ValueError(`${op}() takes its options in an object, got ${shown(options)}`, { op, remedy });
  for (const name of Object.keys(options)) {
    if (!names.includes(name)) throw new ValueError(`${op}() got an unexpected option '${name}'`, { op, remedy });
  }
}

/** @throws ValueError unless it is a whole number */
export function assertWhole(op: string, name: string, value: unknown): asserts value is number {
  if (!Number.isInteger(value)) throw new ValueError(`${op}(): ${name} must be a whole number, got ${shown(value)}`, { op });
}

/** @throws ValueError unless it is a number (not NaN) */
export function assertNumber(op: string, name: string, value: unknown): asserts value is number {
  if (typeof value !== "number" || Number.isNaN(value))
    throw new ValueError(`${op}(): ${name} must be a number, got ${shown(value)}`, { op });
}

/** @throws ValueError unless it is a list; `of` says of what, for the message */
export function assertList(op: string, name: string, value: unknown, of: string): asserts value is readonly unknown[] {
  if (!Array.isArray(value)) throw new ValueError(`${op}(): ${name} must be a list of ${of}, got ${shown(value)}`, { op });
}

/** What was given in the place of something else, for a message. */
export function shown(x: unknown): string {
  if (typeof x === "string") return JSON.stringify(x);
  if (typeof x === "function") return x.name === "" ? "a function" : `the function ${x.name}`;
  if (typeof x !== "object" || x === null) return String(x);
  return Array.isArray(x) ? "an array" : isOptions(x) ? "an object" : `a ${x.constructor.name}`;
}

/**
 * Reads optional arguments: `parameters<{ dim?: number; keepdim?: boolean }>("sum", ["dim", "keepdim"], args)`.
 * @throws ValueError on an unknown name, an argument given twice, or too many arguments
 */
export function parameters<P extends object>(op: string, names: readonly (keyof P & string)[], args: readonly unknown[]): P {
  const result: Record<string, unknown> = {};
  const last = args.length - 1;
  const named = last >= 0 && isOptions(args[last]) ? args[last] : undefined;
  const positional = named === undefined ? args : args.slice(0, last);
  if (positional.length > names.length) {
    throw new ValueError(`${op}() takes at most ${names.length} further arguments (${names.join(", ")}) but ${positional.length} were given`, { op });
  }
  positional.forEach((value, i) => {
    if (value !== undefined) result[names[i]] = value;
  });
  for (const [name, value] of Object.entries(named ?? {})) {
    if (!(names as readonly string[]).includes(name)) {
      throw new ValueError(`${op}() got an unexpected option '${name}'`, { op, remedy: `It takes: ${names.join(", ")}.` });
    }
    if (name in result) throw new ValueError(`${op}() got two values for '${name}'`, { op });
    if (value !== undefined) result[name] = value;
  }
  return result as P;
}

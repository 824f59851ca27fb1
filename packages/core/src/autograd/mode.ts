/**
 * Whether ops are recorded. The setting belongs to the current asynchronous context, so that `noGrad(async () => ...)` covers its
 * own awaits and nothing else.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { shown } from "../arguments.ts";
import { ValueError } from "../errors.ts";

const overrides = new AsyncLocalStorage<boolean>();
let everOverridden = false;

/** Whether ops record their gradients here (`torch.is_grad_enabled`). */
export function isGradEnabled(): boolean {
  return !everOverridden || (overrides.getStore() ?? true);
}

/** Runs `body`, which may be asynchronous, without recording gradients (`torch.no_grad`). */
export function noGrad<R>(body: () => R): R {
  if (typeof body !== "function") {
    const remedy = "Give it what to run: noGrad(() => ...).";
    throw new ValueError(`noGrad(): the body must be a function, got ${shown(body)}`, { op: "noGrad", remedy });
  }
  everOverridden = true;
  return overrides.run(false, body);
}

/** Runs `body` with recording, also inside of `noGrad` (`torch.enable_grad`). */
export function enableGrad<R>(body: () => R): R {
  return overrides.run(true, body);
}

/** `noGrad` or `enableGrad` by a flag (`torch.set_grad_enabled`). */
export function withGradEnabled<R>(enabled: boolean, body: () => R): R {
  return enabled ? enableGrad(body) : noGrad(body);
}

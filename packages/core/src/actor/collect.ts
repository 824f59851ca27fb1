/**
 * Collections on demand, for threads that allocate too little to have any: a view of a closed device's memory that is
 * garbage there still holds all of that memory, which V8 does not count.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Closes that come together are one collection, ms. */
const delay = 50;

let collector: (() => void) | undefined;
let scheduled = false;

/** Collects this thread's garbage soon. */
export function collectSoon(): void {
  if (scheduled) return;
  scheduled = true;
  setTimeout(() => {
    scheduled = false;
    if (collector === undefined) {
      setFlagsFromString("--expose-gc");
      collector = runInNewContext("gc") as () => void;
    }
    collector();
  }, delay).unref();
}

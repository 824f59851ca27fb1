/** A user's script on the mock device; the argument says how it goes. process.test.ts runs it. */
import { mock } from "../../src/testing/mock/index.ts";
import { Vector } from "../../src/testing/vectors.ts";

const slowPoints = 400_000_000;

const device = mock();
const x = Vector.of(device, [1, 2, 3]);

switch (process.argv[2]) {
  case "ends":
    // The first thing it does is to block.
    console.log(x.add(x).readSync().join());
    break;
  case "idle":
    // Never waits for anything: it may end before its device is even up.
    x.add(x);
    break;
  case "exit":
    x.readSync();
    x.slowSum(slowPoints);
    process.exit(7);
    break;
  case "throw":
    x.readSync();
    x.slowSum(slowPoints);
    throw new Error("the script's own error");
  case "unread":
    // Issued work that nobody reads is not waited for.
    x.readSync();
    x.slowSum(slowPoints);
    break;
  case "pending":
    void x.add(x).read().then((values) => console.log(values.join()));
    break;
  case "closes":
    x.add(x);
    void device.close().then(() => console.log("closed"));
    break;
  case "untold":
    Vector.of(device, [-1]).checkedSqrt();
    device.fenceSync();
    break;
  case "told":
    Vector.of(device, [-1]).checkedSqrt().read().catch(() => console.log("caught"));
    break;
  default:
    throw new Error("no such case");
}

import { mock } from "@troupe/core/testing";
import { deviceMesh, shard, replicate, distributeTensor, placementsOf } from "@troupe/parallel";
import { numbers } from "./cases.ts";
const mesh = deviceMesh([mock(), mock()]);
for (const p of [shard(0), replicate()]) {
const w = distributeTensor(numbers(4, 3), mesh, [p]);
w.requiresGrad = true;
const y = w.mul(1);
try {
y.narrow(1, 0, 1).mul_(3);
y.sum().backward();
console.log(w.grad!.tolistSync());
} catch (e) { console.log((e as Error).stack); }
}

import { mock } from "@troupe/core/testing";
import { grad, linspace } from "@troupe/core";
import { deviceMesh, shard, distributeTensor, placementsOf } from "@troupe/parallel";
import { numbers } from "./cases.ts";
import { lay } from "./lay.ts";
const mesh = deviceMesh([mock(), mock()]);
for (const [m, n] of [[4, 6], [5, 3]]) {
const d = lay(numbers(m, n), mesh, [shard(0)]);
d.requiresGrad = true;
const y = d.amax();
const c = linspace(-1, 1, y.numel(), {device: "mock:0", dtype: y.dtype }).reshape(y.shape);
const [g] = grad(y, [d], {gradOutputs: c, allowUnused: true });
for (const t of [y, g]) { try { console.log(t.shape, t.tolistSync()); } catch (e) { console.log(String(e)); } }
}

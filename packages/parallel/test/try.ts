import { tensor, arange, ones } from "@troupe/core";
import { mock } from "@troupe/core/testing";
import { deviceMesh, distributeTensor, fullTensor, partial, placementsOf, replicate, ruleMisses, shard } from "@troupe/parallel";
const mesh = deviceMesh([mock(), mock()]);
const x = arange(12, { device: "mock:0", dtype: "float32" }).reshape(3, 4);
for (const p of [shard(0), shard(1), replicate(), partial()]) {
  const d = distributeTensor(x, mesh, [p]);
  console.log(p, d.tolistSync());
  console.log("mul", d.mul(2).tolistSync(), placementsOf(d.mul(2)));
  console.log("sum0", d.sum(0).tolistSync(), placementsOf(d.sum(0)));
  console.log("mean", d.mean().tolistSync(), placementsOf(d.mean()));
  console.log("full", fullTensor(d).tolistSync());
  console.log("mm", d.matmul(d.t()).tolistSync());
}
const w = distributeTensor(ones([4, 2], { device: "mock:0" }), mesh, []);
w.requiresGrad = true;
const b = distributeTensor(x, mesh, [shard(0)]);
b.matmul(w).square().mean().backward();
console.log(placementsOf(w.grad!), w.grad!.tolistSync(), placementsOf(w.grad!), ruleMisses());
const w1 = ones([4, 2], { device: "mock:0" });
w1.requiresGrad = true;
x.matmul(w1).square().mean().backward();
console.log(w1.grad!.tolistSync());

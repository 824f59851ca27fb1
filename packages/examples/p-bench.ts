import { nn, optim, randn, randint, manualSeed, relieve } from "@troupe/core";
import { cpu } from "@troupe/device-cpu";
import { dataParallel, collectiveCounts, ruleMisses } from "@troupe/parallel";
const d0 = cpu({ index: 0, threads: 1 }), d1 = cpu({ index: 1, threads: 1 });
const F = nn.functional;
async function run(devices: any[] | undefined, batch: number, steps: number) {
  manualSeed(0);
  const model = new nn.Sequential(new nn.Linear(784, 256), new nn.ReLU(), new nn.Linear(256, 128), new nn.ReLU(), new nn.Linear(128, 10)).to(d0);
  const net: any = devices ? dataParallel(model, { devices }) : model;
  const optimizer = new optim.Adam(model.parameters(), { lr: 1e-3 });
  const x = randn([batch, 784], { device: d0 }), y = randint(10, [batch], { device: d0 });
  let last = 0, issued = 0;
  const step = () => { const t = performance.now(); optimizer.zeroGrad(); const loss = F.crossEntropy(net.forward(x), y); loss.backward(); optimizer.step(); issued += performance.now() - t; return loss; };
  for (let i = 0; i < 20; i++) last = await step().item();
  const t = performance.now(); issued = 0;
  const c = process.cpuUsage();
  for (let i = 0; i < steps; i++) { const l = step(); await relieve(); if (i % 5 === 4) last = await l.item(); }
  await d0.fence(); await d1.fence();
  const ms = (performance.now() - t) / steps;
  console.log(devices?.length ?? "one", "batch", batch, ms.toFixed(3), "ms/step", (batch / ms * 1000).toFixed(0), "samples/s; issue", (issued / steps).toFixed(3), "ms; loss", last.toFixed(4));
}
for (const b of [4, 256]) {
  await run(undefined, b, 100);
  await run([d0], b, 100);
  await run([d0, d1], b, 100);
}
console.log(collectiveCounts(), ruleMisses());

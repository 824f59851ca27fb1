import { nn, optim, randn, randint, manualSeed, relieve } from "@troupe/core";
import { cpu } from "@troupe/device-cpu";
import { dataParallel } from "@troupe/parallel";
const d0 = cpu({ index: 0, threads: 1 }), d1 = cpu({ index: 1, threads: 1 });
const F = nn.functional;
manualSeed(0);
const model = new nn.Sequential(new nn.Linear(784, 256), new nn.ReLU(), new nn.Linear(256, 128), new nn.ReLU(), new nn.Linear(128, 10)).to(d0);
const net: any = process.argv[2] ? model : dataParallel(model, { devices: [d0, d1] });
const optimizer = new optim.Adam(model.parameters(), { lr: 1e-3 });
for (let i = 0; i < 600; i++) {
  const x = randn([128, 784], { device: d0 }), y = randint(10, [128], { device: d0 });
  optimizer.zeroGrad(); const loss = F.crossEntropy(net.forward(x), net.split(y)); loss.backward(); optimizer.step();
  await relieve();
  if (i % 100 === 99) { await loss.item(); await d1.fence(); console.log(i, d0.stats().bytesLive / 2**20, d0.stats().storages, d1.stats().bytesLive / 2**20, d1.stats().storages, process.memoryUsage().rss / 2**20 | 0, d0.stats().bytesPeak/2**20); }
}

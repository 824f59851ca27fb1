/** A walk through the basics, in the order of PyTorch's own tutorials: each line of code is followed by what it prints. */
import {
  add, arange, cat, empty, eye, full, linspace, manualSeed, nn, noGrad, normal, ones, onesLike, optim, rand, randn, randperm, slice, tensor, zeros, zerosLike,
} from "@troupe/core";
import { cpu } from "@troupe/device-cpu";
import { Command } from "commander";
import { dataParallel } from "@troupe/parallel";

function chapter(title: string): void {
  console.log(`\n=== ${title} ${"=".repeat(Math.max(0, 92 - title.length))}`);
}

/** Prints a line of code as a prompt shows it, then its value. */
function show(code: string, value: unknown): void {
  console.log(`\n> ${code}`);
  console.log(value);
}

new Command("tour").description("Walks through the basics and prints each line with its result; takes no options.").parse();
manualSeed(0);

chapter("1. Making tensors");
show("tensor([[1, 2], [3, 4]])", tensor([[1, 2], [3, 4]]));
show("tensor([0.5, 1, 2])", tensor([0.5, 1, 2]));
show("empty(2, 3).size()", empty(2, 3).size());
show("zeros(2, 3)", zeros(2, 3));
show("ones(2, 3)", ones(2, 3));
show("full([2, 2], 3.14)", full([2, 2], 3.14));
show("eye(3)", eye(3));
show("arange(0, 10, 2)", arange(0, 10, 2));
show("linspace(0, 1, 5)", linspace(0, 1, 5));
show("rand(2, 3)", rand(2, 3));
show("randn(2, 3)", randn(2, 3));
show("normal(0, 1, [3])", normal(0, 1, [3]));
show("randperm(6)", randperm(6));
const data = tensor([[1, 2], [3, 4]]);
show("onesLike(data)", onesLike(data));
show("zerosLike(data, { dtype: 'float32' })", zerosLike(data, { dtype: "float32" }));

chapter("2. Shapes, views and memory");
const x = arange(10, { dtype: "float32" });
const y = x.view(-1, 5);
show("const y = x.view(-1, 5)", y);
y.at(0).fill_(7);
show("y.at(0).fill_(7); x   // a view shares its memory", x);
show("y.t().shape", y.t().shape);
show("y.at(slice(), slice(1, 3))", y.at(slice(), slice(1, 3)));
show("y.at(1, -1)", y.at(1, -1));
show("cat([y, y], 0).size()", cat([y, y], 0).size());
x.add_(1);
show("x.add_(1); y", y);

chapter("3. Arithmetic and broadcasting");
const a = tensor([[1.5], [2.5]]);
const b = tensor([10.5, 20.5, 30.5]);
show("a.add(b)   // [2, 1] + [3] = [2, 3]", a.add(b));
show("add(a, 1)", add(a, 1));
show("a.mul(a)", a.mul(a));
show("ones(2, 3).matmul(ones(3, 2))", ones(2, 3).matmul(ones(3, 2)));
show("b.sum(), b.mean(), b.max()", [b.sum(), b.mean(), b.max()]);
show("await b.sum().item()", await b.sum().item());
show("tensor([1, 2]).mul(2.5).dtype   // whole numbers become floats where they must", tensor([1, 2]).mul(2.5).dtype);

chapter("4. Autograd");
const w = ones([2, 2], { requiresGrad: true });
show("const w = ones([2, 2], { requiresGrad: true })", w);
const z = w.add(2);
show("const z = w.add(2)", z);
const out = z.mul(z).mul(3).mean();
show("const out = z.mul(z).mul(3).mean()", out);
out.backward();
show("out.backward(); w.grad", w.grad);
const again = w.add(2).pow(2).mul(3).mean();
again.backward();
show("a second backward() accumulates: w.grad", w.grad);
w.grad?.zero_();
show("w.grad.zero_()", w.grad);
show("noGrad(() => w.mul(2)).requiresGrad", noGrad(() => w.mul(2)).requiresGrad);
show("w.detach().requiresGrad", w.detach().requiresGrad);

chapter("5. A training step");
const model = new nn.Sequential(new nn.Linear(4, 8), new nn.Tanh(), new nn.Linear(8, 1));
show("model", model);
const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 });
const inputs = randn(16, 4);
const targets = inputs.sum(1, true);
for (let step = 0; step < 3; step++) {
  optimizer.zeroGrad();
  const loss = nn.functional.mseLoss(model.forward(inputs), targets);
  loss.backward();
  optimizer.step();
  show(`step ${step}: loss`, loss);
}

chapter("6. The same step on two devices");
const devices = [cpu({ index: 1, threads: 1 }), cpu({ index: 2, threads: 1 })];
const replicated = dataParallel(model, { devices });
for (let step = 3; step < 6; step++) {
  optimizer.zeroGrad();
  const loss = nn.functional.mseLoss(replicated.forward(inputs), targets);
  loss.backward();
  optimizer.step();
  show(`step ${step}, each device with half of the batch: loss`, await loss.item());
}

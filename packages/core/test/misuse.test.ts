/** What a newcomer gets wrong is refused at the call, by a typed error that says what is wrong. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as core from "../src/index.ts";
import { mock } from "../src/testing/mock/index.ts";

const { nn, optim, data, tensor, zeros, ones, AutogradError, DeviceClosedError, DeviceError, DTypeError } = core;
const { DisposedError, ShapeError, ValueError } = core;
const F = nn.functional;
const [device, other, closed] = [mock(), mock(), mock()];

beforeAll(async () => {
  core.setDefaultDevice(device.name);
  await closed.close();
});
afterAll(async () => {
  for (const one of [device, other]) await one.close();
});

/** Stands in the place of any argument, as in a script without types. */
const wrong = (x?: unknown): never => x as never;
const grid = (): core.Tensor => ones([2, 3]);
const image = (): core.Tensor => ones([1, 1, 4, 4]);
const leaf = (): core.Tensor => ones([2], { requiresGrad: true });

type Case = readonly [
  what: string,
  act: () => unknown,
  error: new (...args: never[]) => Error,
  message: string | RegExp,
];
const subjects: Readonly<Record<string, readonly Case[]>> = {
  "making tensors": [
    ["ragged lists", () => tensor([[1], [1, 2]]), ShapeError, "expected sequence of length 1"],
    ["text", () => tensor(wrong("abc")), DTypeError, "could not infer dtype of string"],
    ["a misspelt option", () => tensor([1], wrong({ dtyp: "int32" })),
      ValueError, "It takes: dtype, device, requiresGrad."],
    ["an unknown dtype", () => tensor([1], wrong({ dtype: "float16" })), DTypeError, "unknown dtype 'float16'"],
    ["a size of NaN", () => zeros([NaN]), ShapeError, "got [NaN]"],
    ["a negative size", () => zeros(-1), ShapeError, "whole numbers from 0"],
    ["full without a value", () => core.full([2], wrong()), DTypeError, "must be a number or boolean, not undefined"],
    ["arange to NaN", () => core.arange(NaN), ValueError, "unsupported range"],
    ["randint without a size", () => core.randint(5), ShapeError, "the size must be a list"],
    ["normal: an option", () => core.normal(grid(), 1, wrong({ foo: 1 })), ValueError, "unexpected option 'foo'"],
    ["normal: size of tensors", () => core.normal(grid(), 1, [2, 3]), ValueError, "the size is that of the tensors"],
    ["zerosLike of a list", () => core.zerosLike(wrong([1])),
      DTypeError, "zerosLike(): argument 'input' must be Tensor"],
    ["a seed of NaN", () => core.manualSeed(NaN), ValueError, "a seed must be a whole number"],
  ],
  devices: [
    ["an unknown device", () => tensor([1], { device: "tpu" }), DeviceError, 'unknown device "tpu"'],
    ["no device", () => grid().to(wrong()), DeviceError, "a device or its name is wanted, not undefined"],
    ["a closed device", () => tensor([1], { device: closed }), DeviceClosedError, "the device is closed"],
    ["two devices", () => grid().add(ones([2, 3], { device: other })),
      DeviceError, "Move one of them with .to(device)."],
    ["a module there", () => new nn.Linear(1, 1).to("tpu"), DeviceError, 'unknown device "tpu"'],
  ],
  "shapes and parts": [
    ["shapes that do not broadcast", () => grid().add(ones([4])), ShapeError, "do not broadcast"],
    ["view", () => grid().view(4, 2), ShapeError, "shape '[4, 2]' is invalid for input of size 6"],
    ["reshape to NaN", () => grid().reshape(NaN), ShapeError, "sizes must be whole numbers, got [NaN]"],
    ["squeeze(null)", () => grid().squeeze(wrong(null)), ShapeError, "Dimension out of range"],
    ["unflatten without sizes", () => grid().unflatten(0, wrong()), ValueError, "sizes must be a list of sizes"],
    ["movedim without dims", () => core.movedim(grid(), wrong(), wrong()), ShapeError, "got undefined"],
    ["narrow without a length", () => grid().narrow(0, 0, wrong()),
      ValueError, "length must be a whole number, got undefined"],
    ["narrow from null", () => grid().narrow(0, wrong(null), 1), ValueError, "start must be a whole number, got null"],
    ["narrow by halves", () => grid().narrow(0, 0, 0.5), ValueError, "length must be a whole number, got 0.5"],
    ["split without a size", () => grid().split(wrong()), ValueError, "must be a whole number, got undefined"],
    ["split into NaN", () => grid().split(NaN), ValueError, "must be a whole number, got NaN"],
    ["split into sizes of NaN", () => grid().split([1, NaN]), ValueError, "a size must be a whole number, got NaN"],
    ["chunk without a number", () => grid().chunk(wrong()), ValueError, "the number of chunks must be a whole number"],
    ["an index out of range", () => grid().at(5), ShapeError, "index 5 is out of bounds for dimension 0"],
    ["a float index", () => grid().at(ones([2])), core.TroupeError, /index|dtype/],
    ["size of a name", () => grid().size(wrong("a")), ShapeError, 'Dimension out of range: "a"'],
    ["cat of a tensor", () => core.cat(wrong(grid())), ValueError, "tensors must be a list of tensors, got a Tensor"],
    ["stack of nothing", () => core.stack(wrong()), ValueError, "tensors must be a list of tensors, got undefined"],
    ["cat of undefined", () => core.cat([grid(), wrong()]), DTypeError, "must be Tensor, not undefined"],
    ["pad without sizes", () => F.pad(grid(), wrong()), ValueError, "must be a list of whole numbers, got undefined"],
  ],
  operands: [
    ["text", () => grid().add(wrong("1")), DTypeError, "an operand must be Tensor or number, not string"],
    ["matmul of a list", () => grid().matmul(wrong([[1]])), DTypeError, "tensor([...]) makes one."],
    ["matmul of a promise", () => core.matmul(grid(), wrong(Promise.resolve())), DTypeError, "Is an await missing?"],
    ["matmul", () => grid().matmul(grid()), ShapeError, "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)"],
    ["fill_(undefined)", () => grid().fill_(wrong()), DTypeError, "'value' must be Tensor or number, not undefined"],
    ["copy_(undefined)", () => grid().copy_(wrong()), DTypeError, "copy_(): argument 'src' must be Tensor"],
    ["whole numbers += 0.5", () => tensor([1]).add_(0.5), DTypeError, "can't be cast to the desired output type int64"],
    ["where with one value", () => core.where(grid().gt(0), grid(), wrong()), ValueError, "or with both values"],
    ["maskedFill without a mask", () => grid().maskedFill(wrong(), 0),
      DTypeError, "'mask' must be Tensor, not undefined"],
    ["einsum of a list", () => core.einsum("i->", wrong([[1]])), DTypeError, "must be Tensor"],
    ["equal to nothing", () => core.equal(grid(), wrong()), DTypeError, "equal(): argument 'other' must be Tensor"],
    ["a misspelt option", () => grid().sum(wrong({ dims: 0 })), ValueError, "unexpected option 'dims'"],
    ["item() of six", () => grid().itemSync(), ShapeError, "a Tensor with 6 elements cannot be converted to Scalar"],
    ["a mean of whole numbers", () => tensor([1, 2]).mean(), DTypeError, /mean|float/],
    ["mode of nothing", () => zeros([0]).mode(), ShapeError, "non-zero size"],
  ],
  layers: [
    ["Linear: a misspelt option", () => new nn.Linear(3, 4, wrong({ biass: false })),
      ValueError, "It takes: bias, dtype, device."],
    ["Linear of NaN", () => new nn.Linear(NaN, 4), ValueError, "inFeatures must be a whole number, got NaN"],
    ["Linear of 5 features", () => new nn.Linear(3, 4).forward(ones([2, 5])), ShapeError, "cannot be multiplied"],
    ["Linear of a list", () => new nn.Linear(3, 4).forward(wrong([1])),
      DTypeError, "linear(): argument 'input' must be Tensor"],
    ["Conv2d without a size", () => new nn.Conv2d(1, 2, wrong()),
      ValueError, "must be a number or 2 of them, got undefined"],
    ["Conv2d of other channels", () => new nn.Conv2d(3, 2, 3).forward(image()), ShapeError, "to have 3 channels"],
    ["conv2d: stride null", () => F.conv2d(image(), image(), wrong({ stride: null })), ValueError, "got null"],
    ["conv2d: a list as bias", () => F.conv2d(image(), image(), wrong([1])), DTypeError, "'bias' must be Tensor"],
    ["MaxPool2d without a size", () => new nn.MaxPool2d(wrong()),
      ValueError, "kernel_size must be a whole number or a list of 2"],
    ["MaxPool2d: a misspelt option", () => new nn.MaxPool2d(2, wrong({ strid: 2 })),
      ValueError, "It takes: stride, padding"],
    ["AvgPool2d: a number", () => new nn.AvgPool2d(2, wrong(2)), ValueError, "takes its options in an object, got 2"],
    ["AdaptiveAvgPool2d", () => new nn.AdaptiveAvgPool2d(wrong()),
      ValueError, "output_size must be a number or a list"],
    ["maxPool2d by NaN", () => F.maxPool2d(image(), NaN), ValueError, "kernel_size must be whole numbers"],
    ["attention: a misspelt option", () => new nn.MultiheadAttention(4, 2, wrong({ dropuot: 1 })),
      ValueError, "'dropuot'"],
    ["attention: a misspelt mask", () => attention({ mask: grid() }), ValueError, "It takes: attnMask, isCausal."],
    ["attention of 2 dimensions", () => new nn.MultiheadAttention(4, 2).forward(ones([2, 4])),
      ShapeError, "unsqueeze(0)"],
    ["ReLU(true)", () => new nn.ReLU(wrong(true)), ValueError, "takes its options in an object, got true"],
    ["Flatten by name", () => new nn.Flatten(wrong({ startDim: 1 })), ValueError, "startDim must be a whole number"],
    ["Sequential of a list", () => new nn.Sequential(wrong([])), ValueError, "Give modules"],
    ["Embedding of floats", () => new nn.Embedding(3, 4).forward(ones([2])),
      DTypeError, 'convert it with .to("int64")'],
    ["LayerNorm without a shape", () => new nn.LayerNorm(wrong()),
      ValueError, "normalizedShape must be a list of sizes"],
  ],
  losses: [
    ["no target", () => F.crossEntropy(grid(), wrong()),
      DTypeError, "crossEntropy(): argument 'target' must be Tensor"],
    ["labels in a list", () => F.crossEntropy(grid(), wrong([0, 1])), DTypeError, "tensor([...]) makes one."],
    ["too few labels", () => F.crossEntropy(grid(), tensor([0])), ShapeError, "to match target batch_size (1)"],
    ["an unknown reduction", () => F.mseLoss(grid(), grid(), wrong({ reduction: "avg" })),
      ValueError, "avg is not a valid"],
    ["another shape", () => F.binaryCrossEntropy(grid(), ones([2])), ShapeError, "different to the input size"],
    ["CrossEntropyLoss", () => new nn.CrossEntropyLoss(wrong({ reducton: "sum" })),
      ValueError, "unexpected option 'reducton'"],
    ["MSELoss", () => new nn.MSELoss(wrong("sum")), ValueError, 'takes its options in an object, got "sum"'],
    ["BCEWithLogitsLoss", () => new nn.BCEWithLogitsLoss(wrong({ pos: 1 })),
      ValueError, "weight, reduction, posWeight"],
    ["oneHot of floats", () => F.oneHot(grid()), DTypeError, 'Convert the classes with .to("int64").'],
  ],
  modules: [
    ["a tensor as weight", () => (new nn.Linear(1, 1).weight = wrong(ones([1, 1]))),
      ValueError, "assign new nn.Parameter(x)"],
    ["a number as bias", () => (new nn.Linear(1, 1).bias = wrong(0)),
      ValueError, "cannot assign 0 as parameter 'bias'"],
    ["a number as buffer", () => (new nn.BatchNorm1d(1).runningMean = wrong(0)), ValueError, "as buffer 'runningMean'"],
    ["a buffer over a weight", () => buffer("weight"), ValueError, "attribute 'weight' already exists"],
    ["a buffer over a method", () => buffer("forward"), ValueError, "attribute 'forward' already exists"],
    ["a buffer with a dot", () => buffer("a.b"), ValueError, 'name must be a text without "."'],
    ["a buffer: an option", () => buffer("a", { persist: false }), ValueError, "It takes: persistent."],
    ["a parameter of numbers", () => new nn.Parameter(wrong(3)), DTypeError, "is made of a tensor, not of 3"],
    ["whole-number parameters", () => new nn.Linear(1, 1).to("int32"),
      DTypeError, "only accepts floating point dtypes"],
    ["train('no')", () => new nn.Linear(1, 1).train(wrong("no")),
      ValueError, "training mode is expected to be boolean"],
    ["names that are missing", () => new nn.Linear(1, 1).loadStateDict({}),
      ValueError, 'Missing key(s) in state_dict: "weight"'],
    ["an unknown gain", () => nn.init.calculateGain(wrong("swish")), ValueError, "Unsupported nonlinearity"],
    ["starting no tensor", () => nn.init.zeros_(wrong()), DTypeError, "must be Tensor, not undefined"],
  ],
  "autograd and memory": [
    ["backward of a vector", () => leaf().mul(2).backward(), AutogradError, "Pass the gradient of this output."],
    ["backward of no graph", () => grid().sum().backward(), AutogradError, "does not require grad"],
    ["backward: an option", () => leaf().sum().backward(wrong({ retain: true })),
      ValueError, "It takes: retainGraph, createGraph."],
    ["grad: an option", () => core.grad(leaf().sum(), [leaf()], wrong({ create: true })),
      ValueError, "unexpected option 'create'"],
    ["a function without forward", () => core.customFunction(wrong({ name: "A", forwrd() {} })),
      ValueError, "'forward' must be a function"],
    ["a hook that is none", () => leaf().registerHook(wrong()), ValueError, "a hook must be a function"],
    ["a gradient of another shape", () => (leaf().grad = ones([3])), ShapeError, "different size: [3] for [2]"],
    ["a gradient of numbers", () => (leaf().grad = wrong(3)), DTypeError, "must be a Tensor or undefined, not 3"],
    ["writing to a leaf", () => leaf().add_(1), AutogradError, "Write inside noGrad(), or to a clone()."],
    ["noGrad of nothing", () => core.noGrad(wrong()), ValueError, "the body must be a function"],
    ["tidy of a promise", () => core.tidy(async () => grid()), ValueError, "the body must be synchronous"],
    ["a disposed tensor", () => disposed().add(1), DisposedError, "was disposed"],
  ],
  "optimizers and data": [
    ["no parameters", () => new optim.SGD([], { lr: 1 }), ValueError, "empty parameter list"],
    ["a rate of NaN", () => new optim.SGD([leaf()], { lr: NaN }), ValueError, "Invalid lr value: NaN"],
    ["one beta", () => new optim.Adam([leaf()], { betas: wrong(0.9) }),
      ValueError, "betas must be a pair of numbers, got 0.9"],
    ["a group's option", () => new optim.Adam([wrong({ params: [leaf()], rate: 1 })]),
      ValueError, "unexpected option 'rate'"],
    ["zeroGrad: an option", () => new optim.Adam([leaf()]).zeroGrad(wrong({ setToNon: true })),
      ValueError, "It takes: setToNone."],
    ["a state of nothing", () => new optim.Adam([leaf()]).loadStateDict(wrong()),
      ValueError, "no optimizer's state dict"],
    ["clipping to nothing", () => nn.clipGradNorm_([leaf()], wrong()),
      ValueError, "maxNorm must be a number, got undefined"],
    ["clipping a module", () => nn.clipGradNorm_(wrong(new nn.Linear(1, 1)), 1),
      ValueError, "Give model.parameters()."],
    ["tensors of two lengths", () => new data.TensorDataset(grid(), ones([3])), ShapeError, "the same number of rows"],
    ["a dataset of lists", () => new data.TensorDataset(wrong([1])), DTypeError, "must be Tensor, not an array"],
    ["batches of NaN", () => loader({ batchSize: NaN }), ValueError, "positive integer value, but got batchSize=NaN"],
    ["a loader's option", () => loader({ batchsize: 2 }),
      ValueError, "It takes: batchSize, shuffle, dropLast, collate."],
  ],
};

function attention(call: object): unknown {
  return new nn.MultiheadAttention(4, 2).forward(ones([1, 2, 4]), undefined, undefined, wrong(call));
}

function buffer(name: string, options: object = {}): void {
  new nn.Linear(1, 1).registerBuffer(name, ones([1]), wrong(options));
}

function loader(options: object): unknown {
  return new data.DataLoader(new data.TensorDataset(grid()), wrong(options));
}

function disposed(): core.Tensor {
  const x = grid();
  x.dispose();
  return x;
}

for (const [subject, cases] of Object.entries(subjects)) {
  describe(`refused at the call: ${subject}`, () => {
    test.each(cases)("%s", (_, act, error, message) => {
      const refusal = refusalOf(act);
      expect(refusal).toBeInstanceOf(error);
      expect(refusal).toBeInstanceOf(core.TroupeError);
      expect(refusal?.message).toMatch(message);
    });
  });
}

function refusalOf(act: () => unknown): Error | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

test("labels and classes out of range fail at the read, and leave the device usable", async () => {
  await expect(F.crossEntropy(grid(), tensor([0, 7])).item()).rejects.toThrow("index 7 is out of range");
  await expect(F.oneHot(tensor([0, 3]), 3).data()).rejects.toThrow("index 3 is out of range");
  await expect(new nn.Embedding(3, 2).forward(tensor([-1])).data()).rejects.toThrow("index -1 is out of range");
  expect(F.oneHot(tensor([2, 0])).tolistSync()).toEqual([[0, 0, 1], [1, 0, 0]]);
});

/** What a model in training survives: bad data, memory that runs out, a thread that dies. */
import { expect, test } from "vitest";
import type { Device } from "../actor/device.ts";
import { DeviceLostError, LostError, OutOfMemoryError, ValueError } from "../errors.ts";
import { manualSeed, nn, noGrad, ones, optim, randn, tensor, tidy, zeros, type Tensor } from "../index.ts";
import { begun, pointsFor, rejection } from "./promises.ts";
import type { Make } from "./tensor-promises.ts";
import { Vector } from "./vectors.ts";

const words = 6;
const classes = 4;

/** Words in, the loss of the right class out. */
class Classifier extends nn.Module {
  readonly embedding = new nn.Embedding(words, 5);
  readonly hidden = new nn.Linear(5, 8);
  readonly output = new nn.Linear(8, classes);
  readonly loss = new nn.CrossEntropyLoss();

  override forward(x: Tensor, labels: Tensor): Tensor {
    return this.loss.forward(this.output.forward(this.hidden.forward(this.embedding.forward(x)).tanh()), labels);
  }
}

class Training {
  readonly device: Device;
  readonly model: Classifier;
  optimizer: optim.Adam;

  constructor(device: Device) {
    manualSeed(3);
    this.device = device;
    this.model = new Classifier().to(device);
    this.optimizer = new optim.Adam(this.model.parameters(), { lr: 0.05 });
  }

  /** One step; `spoil` gets the loss before it is differentiated. */
  step(labels = [0, 1, 2, 3], spoil = (loss: Tensor): Tensor => loss): Tensor {
    const { device } = this;
    this.optimizer.zeroGrad();
    const loss = spoil(this.model.forward(tensor([1, 2, 3, 4], { device }), tensor(labels, { device })));
    loss.backward();
    this.optimizer.step();
    return loss;
  }

  checkpoint(): nn.StateDict {
    const state = Object.entries(this.model.stateDict());
    return Object.fromEntries(state.map(([name, x]) => [name, x.clone()]));
  }

  async contents(): Promise<Record<string, number[]>> {
    const all: Record<string, number[]> = {};
    for (const [name, parameter] of this.model.namedParameters()) all[name] = Array.from(await parameter.data(), Number);
    return all;
  }

  /** Trains on good data; whether the loss fell. A step that fails rejects. */
  async goesOn(): Promise<boolean> {
    const first = await this.step().item();
    for (let i = 0; i < 10; i++) this.step();
    return (await this.step().item()) < first;
  }
}

/** @param memory what a thread's death means for its device's memory. */
export function trainingPromises(make: Make, memory: "survives" | "dies"): void {
  test("F1 a label out of range spoils its step, not the model", async () => {
    const [device] = make(1);
    const training = new Training(device);
    training.step();
    const before = await training.contents();
    const error = await rejection(training.step([0, 1, 9, 3]).item());
    expect(error).toBeInstanceOf(ValueError);
    expect(error.place).toMatchObject({ op: "crossEntropy", modulePath: "loss", device: device.name });
    for (const part of ["index 9 is out of range", "op crossEntropy", "module loss", `device ${device.name}`]) {
      expect(error.message).toContain(part);
    }
    expect(await training.contents()).toEqual(before);
    expect(await training.goesOn()).toBe(true);
  });

  test("F1 a skipped step rejects the next read, once, whatever is read", async () => {
    const [device] = make(1);
    const training = new Training(device);
    const [parameter] = training.model.parameters();
    const before = await parameter.tolist();
    training.step([0, 1, -5, 3]);
    expect((await rejection(parameter.data())).message).toContain("index -5 is out of range");
    expect(await parameter.tolist()).toEqual(before);
    training.step();
    expect(await parameter.tolist()).not.toEqual(before);
  });

  test("F1 a skipped step did not happen: training goes on as if it had never been, the count of steps included", async () => {
    const [device] = make(1);
    const good = [[0, 1, 2, 3], [3, 1, 0, 2], [1, 1, 0, 3]];
    const trained = async (batches: readonly number[][]): Promise<Record<string, number[]>> => {
      const training = new Training(device);
      for (const labels of batches) await training.step(labels).item().catch(() => undefined);
      return training.contents();
    };
    const bad = [0, 1, 9, 3];
    expect(await trained([bad, good[0], bad, bad, good[1], good[2]])).toEqual(await trained(good));
  });

  test("F1 what a failed op should have written is usable again after a full overwrite, or recover()", async () => {
    const [device] = make(1);
    const training = new Training(device);
    const saved = training.checkpoint();
    const spoilt = training.model.embedding.forward(tensor([words], { device })).sum();
    noGrad(() => training.model.hidden.weight.add_(spoilt));
    expect(await rejection(training.model.hidden.weight.data())).toBeInstanceOf(ValueError);
    expect(await training.model.hidden.weight.recover().tolist()).toEqual(await saved["hidden.weight"].tolist());
    noGrad(() => training.model.hidden.weight.add_(spoilt));
    training.model.loadStateDict(saved);
    expect(await training.model.hidden.weight.tolist()).toEqual(await saved["hidden.weight"].tolist());
    expect(await training.goesOn()).toBe(true);
  });

  test("F2 everything that a failure reached tells the same root, on other devices too", async () => {
    const [device, other] = make(2);
    const training = new Training(device);
    const loss = training.model.forward(tensor([0, words, 1, 2], { device }), tensor([0, 0, 0, 0], { device }));
    const reached = [loss, loss.mul(2), loss.to(other), loss.to(other).exp().sum()];
    loss.backward();
    const gradient = training.model.output.bias?.grad;
    if (gradient !== undefined) reached.push(gradient);
    const errors = await Promise.all(reached.map((x) => rejection(x.data())));
    expect(errors).toHaveLength(5);
    for (const error of errors) {
      expect(error).toBeInstanceOf(ValueError);
      expect(error.place).toMatchObject({ op: "embedding", modulePath: "embedding", device: device.name });
      expect(error.place.sequence).toBe(errors[0].place.sequence);
      expect(error.message).toContain(`index ${words} is out of range`);
    }
    expect(await zeros(2, { device: other }).tolist()).toEqual([0, 0]);
  });

  test("M3 memory that runs out spoils its step; the device and the model stay usable", async () => {
    const memoryLimit = 1 << 24;
    const [device] = make(1, { memoryLimit });
    const training = new Training(device);
    training.step();
    const before = await training.contents();
    const spoil = (loss: Tensor): Tensor => loss.mul(randn(memoryLimit / 4, { device }).mean());
    const error = await rejection(training.step(undefined, spoil).item());
    expect(error).toBeInstanceOf(OutOfMemoryError);
    expect(error.place).toMatchObject({ op: "randn", device: device.name });
    expect(await training.contents()).toEqual(before);
    expect(await training.goesOn()).toBe(true);
  });

  test("M3 memory that runs out for the optimizer's state leaves the model as it was", async () => {
    const memoryLimit = 1 << 24;
    const [device] = make(1, { memoryLimit });
    // Weight and gradient fill 6/16 of the memory, something else as much; Adam's state would take as much again.
    const elements = (3 * memoryLimit) / 16 / 4;
    const w = ones(elements, { device, requiresGrad: true });
    tidy(() => w.mul(2).sum().backward());
    const rest = zeros(2 * elements, { device });
    new optim.Adam([w], { lr: 0.1 }).step();
    expect(await rejection(w.at(0).item())).toBeInstanceOf(OutOfMemoryError);
    expect(await w.at(0).item()).toBe(1);
    rest.dispose();
    new optim.SGD([w], { lr: 0.25 }).step();
    expect(await w.at(0).item()).toBe(0.5);
  });

  test("F4 F5 a thread killed in the middle of training is restarted; the model is intact or says what was lost", async () => {
    const [device] = make(1);
    const training = new Training(device);
    const slow = pointsFor(device, 1500);
    await training.step().item();
    const saved = training.checkpoint();
    const before = await training.contents();
    // It dies between two steps, in an op that belongs to neither.
    Vector.of(device, [1]).slowSum(slow);
    await begun(device);
    const cut = rejection(training.step().item());
    await device.kill();
    expect(await cut).toBeInstanceOf(DeviceLostError);
    expect(device.stats().starts).toBe(2);
    const reads = await Promise.allSettled(training.model.parameters().map((parameter) => parameter.data()));
    const lost = reads.filter((read) => read.status === "rejected").map(({ reason }) => reason as unknown);
    for (const error of lost) expect(error).toBeInstanceOf(LostError);
    expect(lost.length).toBeLessThanOrEqual(memory === "survives" ? 1 : reads.length);
    const fromHost = ([name, values]: [string, number[]]): [string, Tensor] =>
      [name, tensor(values, { device, dtype: "float32" }).view(saved[name].shape)];
    training.model.loadStateDict(memory === "survives" ? saved : Object.fromEntries(Object.entries(before).map(fromHost)));
    expect(await training.contents()).toEqual(before);
    if (lost.length > 0) training.optimizer = new optim.Adam(training.model.parameters(), { lr: 0.05 });
    expect(await training.goesOn()).toBe(true);
  });
}

/** The benchmark's networks as a user of Troupe writes them. */
import { full, nn } from "@troupe/core";
import type { Tensor } from "@troupe/core";
import type { ModelName } from "../jobs.ts";
import { heads, masked, sequence, vocabulary, width } from "../models.ts";

class Transformer extends nn.Module {
  tokens = new nn.Embedding(vocabulary, width);
  positions = new nn.Parameter(full([sequence, width], 0, { dtype: "float32" }));
  norm1 = new nn.LayerNorm(width);
  query = new nn.Linear(width, width);
  key = new nn.Linear(width, width, { bias: false });
  value = new nn.Linear(width, width);
  output = new nn.Linear(width, width);
  norm2 = new nn.LayerNorm(width);
  up = new nn.Linear(width, 4 * width);
  down = new nn.Linear(4 * width, width);
  head = new nn.Linear(width, vocabulary);
  declare mask: Tensor;

  constructor() {
    super();
    this.registerBuffer("mask", full([sequence, sequence], masked, { dtype: "float32" }).triu(1), { persistent: false });
  }

  /** int64 [batch, sequence] to [batch * sequence, vocabulary]. */
  forward(x: Tensor): Tensor {
    const [batch] = x.shape;
    const start = this.tokens.forward(x).add(this.positions);
    const normed = this.norm1.forward(start);
    const split = (layer: nn.Linear): Tensor =>
      layer.forward(normed).view(batch, sequence, heads, width / heads).transpose(1, 2);
    const scores = split(this.query).matmul(split(this.key).transpose(-2, -1)).mul((width / heads) ** -0.5).add(this.mask);
    const mixed = scores.softmax(-1).matmul(split(this.value)).transpose(1, 2).reshape(batch, sequence, width);
    const middle = start.add(this.output.forward(mixed));
    const end = middle.add(this.down.forward(this.up.forward(this.norm2.forward(middle)).relu()));
    return this.head.forward(end).view(-1, vocabulary);
  }
}

export type Network = nn.Module & { forward(x: Tensor): Tensor };

export const networks: Readonly<Record<ModelName, () => Network>> = {
  mlp: () => new nn.Sequential(new nn.Linear(784, 256), new nn.ReLU(), new nn.Linear(256, 128), new nn.ReLU(), new nn.Linear(128, 10)),
  cnn: () =>
    new nn.Sequential(
      new nn.Conv2d(1, 16, 3, { padding: 1 }), new nn.ReLU(), new nn.MaxPool2d(2),
      new nn.Conv2d(16, 32, 3, { padding: 1 }), new nn.ReLU(), new nn.MaxPool2d(2),
      new nn.Flatten(), new nn.Linear(1568, 10),
    ),
  transformer: () => new Transformer(),
};

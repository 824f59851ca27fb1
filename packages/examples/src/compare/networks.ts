/** The networks that are compared: chains of layers that take images as rows of 784 pixels. */
import { nn } from "@troupe/core";
import type { Tensor } from "@troupe/core";
import { classes, pixels } from "../digits.ts";

type Step = nn.Module & { forward(x: Tensor): Tensor };

export interface Network {
  readonly description: string;
  /** @param dropout chance of each element to be dropped; with 0 there are no dropout layers */
  readonly make: (dropout: number) => nn.Sequential;
  /** Passes over the digits that bring it above 95 % on those held back. */
  readonly epochs: number;
  /** Adam's learning rate. */
  readonly rate: number;
}

export const networks: Readonly<Record<string, Network>> = {
  mlp: {
    description: "784-256-128-10",
    make: (dropout) =>
      chain([
        new nn.Linear(pixels, 256),
        new nn.ReLU(),
        ...dropouts(dropout),
        new nn.Linear(256, 128),
        new nn.ReLU(),
        ...dropouts(dropout),
        new nn.Linear(128, classes),
      ]),
    epochs: 12,
    rate: 3e-3,
  },
  cnn: {
    description: "two convolutions (8 and 16 channels, 3 x 3), each with pooling, then 400-64-10",
    make: (dropout) =>
      chain([
        new nn.Unflatten(1, [1, 28, 28]),
        new nn.Conv2d(1, 8, 3),
        new nn.ReLU(),
        new nn.MaxPool2d(2),
        new nn.Conv2d(8, 16, 3),
        new nn.ReLU(),
        new nn.MaxPool2d(2),
        new nn.Flatten(),
        new nn.Linear(400, 64),
        new nn.ReLU(),
        ...dropouts(dropout),
        new nn.Linear(64, classes),
      ]),
    epochs: 4,
    rate: 5e-3,
  },
};

function chain(steps: readonly Step[]): nn.Sequential {
  return new nn.Sequential(...steps);
}

function dropouts(p: number): Step[] {
  return p > 0 ? [new nn.Dropout(p)] : [];
}

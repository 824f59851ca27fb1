/** What the formulas need to know of a network: the bytes that each of its children takes and gives. */
import { noGrad, tidy } from "@troupe/core";
import type { nn, Tensor } from "@troupe/core";
import { itemSize } from "@troupe/core/executor";

/** One child of a chain of layers, for a batch. */
export interface LayerSize {
  /** Its name in the network. */
  readonly name: string;
  readonly inputBytes: number;
  readonly outputBytes: number;
  readonly parameterBytes: number;
}

/** Bytes that a tensor's elements take. */
export function bytesOf(x: Tensor): number {
  return x.numel() * itemSize(x.dtype);
}

/**
 * Sizes of a network's children for a batch, found by one forward without gradients, in evaluation mode, so that
 * neither buffers nor the random stream change.
 * @param batch on the network's device
 */
export function layerSizes(model: nn.Sequential, batch: Tensor): LayerSize[] {
  const { training } = model;
  model.eval();
  const sizes = tidy(() =>
    noGrad(() => {
      let x = batch;
      return Array.from(model, (child, i): LayerSize => {
        const inputBytes = bytesOf(x);
        x = child.forward(x);
        const parameterBytes = child.parameters().reduce((sum, parameter) => sum + bytesOf(parameter), 0);
        return { name: nameOf(model, child, i), inputBytes, outputBytes: bytesOf(x), parameterBytes };
      });
    }),
  );
  model.train(training);
  return sizes;
}

function nameOf(model: nn.Sequential, child: nn.Module, place: number): string {
  for (const [name, named] of model.namedChildren()) if (named === child) return name;
  return String(place);
}

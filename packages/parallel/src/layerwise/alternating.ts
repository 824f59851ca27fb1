/** A plan without thinking. */
import type { nn } from "@troupe/core";
import type { LayerPlan } from "./plan.ts";
import { column, row } from "./styles.ts";
import type { Style } from "./styles.ts";

/**
 * Pairs of layers in the network's order, the first of each `column()` and the second `row()`, so that what is between
 * them stays in parts (Shoeybi et al. 2019, "Megatron-LM"). For chains of Linear layers or convolutions with
 * elementwise ops, dropout or pooling between them; one layer left over stays whole. Layers that cannot be split, or
 * only by `column()`, are passed over.
 */
export function alternating(model: nn.Module): LayerPlan {
  const layers = Array.from(model.namedModules()).filter(([, module]) => row().split(module) !== undefined);
  const paired = layers.slice(0, layers.length - (layers.length % 2));
  return Object.fromEntries(paired.map(([path], i): [string, Style] => [path, i % 2 === 0 ? column() : row()]));
}

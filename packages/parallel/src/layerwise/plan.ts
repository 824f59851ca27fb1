/** Plans: which modules are split how, named by patterns over their paths. */
import { ValueError } from "@troupe/core";
import type { nn } from "@troupe/core";
import { column } from "./styles.ts";
import type { Layer, Split, Style } from "./styles.ts";

/**
 * Styles by pattern. A pattern is a module's path in the network (`"0"`, `"blocks.1.mlp.up"`), in which `*` stands for
 * any characters within one name: `"blocks.*.mlp.up"`. The network itself has the path `""`.
 */
export type LayerPlan = Readonly<Record<string, Style>>;

export interface SplitLayer {
  readonly layer: Layer;
  readonly split: Split;
}

/** How many modules an error lists. */
const mostListed = 20;

/**
 * The layers that a plan splits.
 * @throws ValueError for a pattern that matches nothing, or a module that cannot be split so, and where two patterns
 *   want one module split in different ways
 */
export function resolve(model: nn.Module, plan: LayerPlan): SplitLayer[] {
  const chosen = new Map<nn.Module, { readonly pattern: string; readonly style: Style; readonly split: Split }>();
  for (const [pattern, style] of Object.entries(plan)) {
    const matching = [...model.namedModules()].filter(([path]) => matches(pattern, path));
    if (matching.length === 0) throw refusal(`the pattern "${pattern}" matches no module`, model);
    for (const [path, module] of matching) {
      const split = style.split(module);
      if (split === undefined) {
        throw refusal(
          `the pattern "${pattern}" matches "${path}", a ${nameOf(module)}, which ${style.name}() cannot split: ` +
            `it splits ${style.layers}`,
          model,
        );
      }
      const other = chosen.get(module);
      if (other !== undefined && other.style !== style) {
        throw new ValueError(
          `"${path}" is matched by "${other.pattern}" for ${other.style.name}() ` +
            `and by "${pattern}" for ${style.name}()`,
          { op: "layerwise" },
        );
      }
      chosen.set(module, { pattern, style, split });
    }
  }
  return Array.from(chosen, ([module, { split }]) => ({ layer: module as Layer, split }));
}

function matches(pattern: string, path: string): boolean {
  const names = pattern.split("*").map((text) => RegExp.escape(text));
  return new RegExp(`^${names.join("[^.]*")}$`).test(path) && (path !== "" || pattern === "");
}

function refusal(message: string, model: nn.Module): ValueError {
  const layers = Array.from(model.namedModules()).filter(([, module]) => column().split(module) !== undefined);
  const listed = layers.slice(0, mostListed).map(([path, module]) => `"${path}" (${nameOf(module)})`);
  const more = layers.length > mostListed ? `, and ${layers.length - mostListed} more` : "";
  return new ValueError(message, {
    op: "layerwise",
    remedy:
      listed.length === 0
        ? "The network has no layer that can be split."
        : `Layers that can be split: ${listed.join(", ")}${more}.`,
  });
}

function nameOf(module: nn.Module): string {
  const isGrouped = "groups" in module && module.groups !== 1;
  return module.constructor.name + (isGrouped ? " with groups" : "");
}

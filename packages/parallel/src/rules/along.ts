/** Ops that work along some dimensions and leave the others alone: scans, sorts, windows, joins, lookups by index. */
import type { NllAttrs } from "@troupe/core/executor";
import { partial, replicate, shard } from "../placement.ts";
import type { Placement } from "../placement.ts";
import { isTensorMeta, metaOf } from "./rule.ts";
import type { Call, Rule, Way } from "./rule.ts";

interface Along {
  readonly dim: number;
}

const byAttrs = (attrs: unknown): string => JSON.stringify(attrs);

function dimOf(attrs: unknown, rank: number): number {
  const { dim } = attrs as Along;
  return dim < 0 ? dim + rank : dim;
}

/** Tensors get `placement`, numbers nothing. */
function tensors(call: Call, placement: (rank: number) => Placement): Placement[] {
  return call.inputs.map((input) => (isTensorMeta(input) ? placement(input.shape.length) : replicate()));
}

function same(call: Call, dim: number): Way {
  return { inputs: tensors(call, () => shard(dim)), outputs: call.outputs.map(() => shard(dim)) };
}

const addends = (call: Call): Way => ({ inputs: tensors(call, () => partial()), outputs: [partial()] });

/** All operands and results have one shape. */
export const scanRule: Rule = {
  key: byAttrs,
  ways: (call) => {
    const { shape } = metaOf(call, 0);
    return shape.flatMap((_, dim) => (dim === dimOf(call.attrs, shape.length) ? [] : [same(call, dim)]));
  },
};

export const sortRule: Rule = {
  key: byAttrs,
  ways: (call) => {
    const { shape } = metaOf(call, 0);
    const { dim: sorted, keepdim } = call.attrs as Along & { readonly keepdim: boolean };
    return shape.flatMap((_, dim): Way[] => {
      if (dim === sorted) return [];
      const out = keepdim || dim < sorted ? dim : dim - 1;
      return [{ inputs: [shard(dim)], outputs: call.outputs.map(() => shard(out)) }];
    });
  },
};

/** Windows move over the last dimensions; the leading two (batch, channels) are left alone. */
export const windowRule: Rule = {
  key: byAttrs,
  ways: (call) => [same(call, 0), same(call, 1)],
};

export const catRule: Rule = {
  key: byAttrs,
  ways: (call) => {
    const { shape } = call.outputs[0];
    const along = dimOf(call.attrs, shape.length);
    // An empty vector may stand beside tensors of another rank.
    if (!call.inputs.every((input) => isTensorMeta(input) && input.shape.length === shape.length)) return [];
    return [...shape.flatMap((_, dim) => (dim === along ? [] : [same(call, dim)])), addends(call)];
  },
};

export const stackRule: Rule = {
  key: byAttrs,
  ways: (call) => {
    const { shape } = call.outputs[0];
    const along = dimOf(call.attrs, shape.length);
    const ways = shape.flatMap((_, dim): Way[] =>
      dim === along ? [] : [{ inputs: tensors(call, () => shard(dim < along ? dim : dim - 1)), outputs: [shard(dim)] }],
    );
    return [...ways, addends(call)];
  },
};

// --- moves within some dimensions ------------------------------------------------------------------------------------

/** Operand and result have one shape outside of the dimensions that `dims` names (negative ones count from the end). */
function movingRule(
  dims: (attrs: never, rank: number) => readonly number[],
  isLinear: (attrs: never) => boolean = () => true,
): Rule {
  return {
    key: byAttrs,
    ways: (call) => {
      const rank = call.outputs[0].shape.length;
      const moved = dims(call.attrs as never, rank).map((dim) => (dim < 0 ? dim + rank : dim));
      const ways = metaOf(call, 0).shape.flatMap((_, dim) => (moved.includes(dim) ? [] : [same(call, dim)]));
      return isLinear(call.attrs as never) ? [...ways, addends(call)] : ways;
    },
  };
}

/** Flips and rolls. Without dimensions a roll goes over all elements. */
export const orderRule = movingRule(({ dims }: { readonly dims: readonly number[] }, rank) =>
  dims.length === 0 ? allOf(rank) : dims,
);

/** Triangles lie in the last two dimensions. */
export const triangleRule = movingRule(() => [-1, -2]);

export const padRule = movingRule(
  ({ pad }: { readonly pad: readonly number[] }, rank) =>
    allOf(rank).filter((dim) => [0, 1].some((side) => (pad[2 * (rank - 1 - dim) + side] ?? 0) !== 0)),
  ({ value }: { readonly value: number }) => value === 0,
);

function allOf(rank: number): number[] {
  return Array.from({ length: rank }, (_, dim) => dim);
}

// --- lookups ---------------------------------------------------------------------------------------------------------

/** Dimensions in which all operands and the result agree, other than the one that is looked up. */
function agreeing(call: Call, along: number): number[] {
  const { shape } = call.outputs[0];
  return shape.flatMap((size, dim) => {
    const agrees = call.inputs.every(
      (input) => !isTensorMeta(input) || (input.shape.length === shape.length && input.shape[dim] === size),
    );
    return dim !== along && agrees ? [dim] : [];
  });
}

/** `out[i][j] = self[index[i][j]][j]`, along any dimension. */
export const gatherRule: Rule = {
  key: byAttrs,
  ways: (call) => {
    const rank = call.outputs[0].shape.length;
    if (rank === 0 || metaOf(call, 0).shape.length !== rank) return [];
    const along = dimOf(call.attrs, rank);
    return [
      ...agreeing(call, along).map((dim) => same(call, dim)),
      { inputs: [replicate(), shard(along)], outputs: [shard(along)] },
      { inputs: [partial(), replicate()], outputs: [partial()] },
    ];
  },
};

/** `self[index[i][j]][j] = src[i][j]`, or added to it. */
export const scatterRule: Rule = {
  key: byAttrs,
  ways: (call) => {
    const rank = call.outputs[0].shape.length;
    const ways = rank === 0 ? [] : agreeing(call, dimOf(call.attrs, rank)).map((dim) => same(call, dim));
    return call.op.name === "scatterAdd" && call.inputs.every(isTensorMeta)
      ? [...ways, { inputs: [partial(), replicate(), partial()], outputs: [partial()] }]
      : ways;
  },
};

/** `out[i][j] = self[index[i]][j]`. */
export const indexSelectRule: Rule = {
  key: byAttrs,
  ways: (call) => {
    const { shape } = call.outputs[0];
    if (shape.length === 0 || metaOf(call, 1).shape.length !== 1) return [];
    const along = dimOf(call.attrs, shape.length);
    return [
      ...shape.flatMap((_, dim): Way[] =>
        dim === along ? [] : [{ inputs: [shard(dim), replicate()], outputs: [shard(dim)] }],
      ),
      { inputs: [replicate(), shard(0)], outputs: [shard(along)] },
      { inputs: [partial(), replicate()], outputs: [partial()] },
    ];
  },
};

/** `self[index[i]][j] += src[i][j]`. */
export const indexAddRule: Rule = {
  key: byAttrs,
  ways: (call) => {
    const { shape } = call.outputs[0];
    if (shape.length === 0 || metaOf(call, 1).shape.length !== 1 || metaOf(call, 2).shape.length !== shape.length)
      return [];
    const along = dimOf(call.attrs, shape.length);
    return [
      ...shape.flatMap((_, dim): Way[] =>
        dim === along ? [] : [{ inputs: [shard(dim), replicate(), shard(dim)], outputs: [shard(dim)] }],
      ),
      { inputs: [partial(), shard(0), shard(along)], outputs: [partial()] },
      { inputs: [partial(), replicate(), partial()], outputs: [partial()] },
    ];
  },
};

/** Rows of a table by index: the index' dimensions, or the features. */
export const embeddingRule: Rule = {
  ways: (call) => {
    const index = metaOf(call, 1).shape;
    return [
      ...index.map((_, dim): Way => ({ inputs: [replicate(), shard(dim)], outputs: [shard(dim)] })),
      { inputs: [shard(1), replicate()], outputs: [shard(index.length)] },
      { inputs: [partial(), replicate()], outputs: [partial()] },
    ];
  },
};

/** Gradients of rows, added up in a table: parts of the index give addends of the table. */
export const embeddingBackwardRule: Rule = {
  key: byAttrs,
  ways: (call) => {
    const index = metaOf(call, 1).shape;
    return [
      ...index.map((_, dim): Way => ({ inputs: [shard(dim), shard(dim)], outputs: [partial()] })),
      { inputs: [shard(index.length), replicate()], outputs: [shard(1)] },
      { inputs: [partial(), replicate()], outputs: [partial()] },
    ];
  },
};

// --- labels ----------------------------------------------------------------------------------------------------------

/** Each place's label picks out of the classes, which lie along a dimension that the labels lack. */
export const nllPickRule: Rule = {
  key: byAttrs,
  ways: (call) => {
    const { dim: classes } = call.attrs as NllAttrs;
    return metaOf(call, 1).shape.map((_, dim): Way => ({
      inputs: call.inputs.map((_input, i) =>
        i === 0 ? shard(dim < classes ? dim : dim + 1) : i === 1 ? shard(dim) : replicate(),
      ),
      outputs: call.outputs.map(() => shard(dim)),
    }));
  },
};

export const nllSpreadRule: Rule = {
  key: byAttrs,
  ways: (call) => {
    const { dim: classes } = call.attrs as NllAttrs;
    const ways = metaOf(call, 1).shape.map((_, dim): Way => ({
      inputs: call.inputs.map((_input, i) => (i < 2 ? shard(dim) : replicate())),
      outputs: [shard(dim < classes ? dim : dim + 1)],
    }));
    return [
      ...ways,
      { inputs: call.inputs.map((_input, i) => (i === 0 ? partial() : replicate())), outputs: [partial()] },
    ];
  },
};

/** As `nllPick`, from scores; what is kept of each place has one dimension more in front. */
export const crossEntropyRule: Rule = {
  key: byAttrs,
  ways: (call) =>
    nllPickRule.ways(call).map((way, dim) => ({ inputs: way.inputs, outputs: [shard(dim), shard(dim + 1)] })),
};

/** Operands: the losses' gradient, scores, labels, what was kept of each place. */
export const crossEntropyBackwardRule: Rule = {
  key: byAttrs,
  ways: (call) => {
    const { dim: classes } = call.attrs as NllAttrs;
    const ways = metaOf(call, 2).shape.map((_, dim): Way => {
      const along = shard(dim < classes ? dim : dim + 1);
      return { inputs: [shard(dim), along, shard(dim), shard(dim + 1)], outputs: [along] };
    });
    return [...ways, { inputs: [partial(), replicate(), replicate(), replicate()], outputs: [partial()] }];
  },
};

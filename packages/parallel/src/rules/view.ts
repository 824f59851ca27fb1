/**
 * Views: a dimension that passes through whole may be sharded. What a device has of the view is the view of what it
 * has, by the same map of dimensions; reshapes split and join dimensions where the parts' borders stay borders.
 */
import { contiguousValue, copyInto, numelOf, viewOf, viewStrides } from "@troupe/core/executor";
import type { AdjointAttrs, LocalValue, Shape, ViewMap, ViewOp } from "@troupe/core/executor";
import { partial, replicate, shard, shardRange } from "../placement.ts";
import { isTensorMeta, metaOf } from "./rule.ts";
import type { Call, LocalRun, Rule, Way } from "./rule.ts";

const everything = (attrs: unknown): string => JSON.stringify(attrs);

/** Sums over devices pass every op that only moves elements. */
function movedAddends(call: Call): Way {
  return { inputs: call.inputs.map((input) => (isTensorMeta(input) ? partial() : replicate())), outputs: [partial()] };
}

/** A run that only looks: with a target, what it sees is copied there. */
function looking(look: (x: LocalValue) => LocalValue): LocalRun<unknown> {
  return ([x], _attrs, _outputs, target) => {
    const seen = look(x as LocalValue);
    if (target === undefined) return [seen];
    copyInto(seen, target);
    return [target];
  };
}

// --- views by a map of dimensions ------------------------------------------------------------------------------------

function mapOf({ entry }: ViewOp<unknown>, shape: Shape, attrs: unknown): ViewMap | undefined {
  return "map" in entry ? entry.map(shape, attrs) : undefined;
}

/** A dimension of the input and the one of the result that it becomes, whole. */
interface Passage {
  readonly from: number;
  readonly to: number;
}

function passages(map: ViewMap, shape: Shape): Passage[] {
  return map.dims.flatMap(({ size, along }, to): Passage[] => {
    if (along.length !== 1) return [];
    const [{ dim: from, step }] = along;
    const isAlone = map.dims.every((other, at) => at === to || other.along.every(({ dim }) => dim !== from));
    return step === 1 && size === shape[from] && isAlone && (map.start?.[from] ?? 0) === 0 ? [{ from, to }] : [];
  });
}

/** Views, except reshapes and asStrided. */
export const viewRule: Rule = {
  key: everything,
  ways: (call) => {
    const { shape } = metaOf(call, 0);
    const map = mapOf(call.op as ViewOp<unknown>, shape, call.attrs);
    if (map === undefined) return [];
    return [
      ...passages(map, shape).map(({ from, to }) => ({ inputs: [shard(from)], outputs: [shard(to)] })),
      movedAddends(call),
    ];
  },
  localRun: (call, { outputs: [out] }, rank) => {
    const map = mapOf(call.op as ViewOp<unknown>, metaOf(call, 0).shape, call.attrs);
    if (map === undefined) return undefined;
    const { shape } = out.parts[rank];
    return looking((x) => {
      let { offset } = x;
      map.start?.forEach((index, dim) => (offset += index * x.strides[dim]));
      const strides = map.dims.map(({ along }) =>
        along.reduce((stride, { dim, step }) => stride + x.strides[dim] * step, 0),
      );
      return viewOf(x, { shape, strides, offset });
    });
  },
};

/** The adjoint of a view, and copies with a view's place replaced: both have the shape of what the view is taken of. */
export function aroundRule(view: ViewOp<never>, isAdjoint: boolean): Rule {
  const of = (attrs: unknown): unknown => (isAdjoint ? (attrs as AdjointAttrs<unknown>).of : attrs);
  return {
    key: everything,
    ways: (call) => {
      const { shape } = call.outputs[0];
      const map = mapOf(view as ViewOp<unknown>, shape, of(call.attrs));
      if (map === undefined) return [];
      // The whole comes as the first operand of a replacement, the part as its second one, or alone.
      const ways = passages(map, shape).map(({ from, to }): Way => ({
        inputs: call.inputs.map((input, i) =>
          isTensorMeta(input) ? shard(!isAdjoint && i === 0 ? from : to) : replicate(),
        ),
        outputs: [shard(from)],
      }));
      const isLinear = call.inputs.every((input) => isTensorMeta(input) || input === 0);
      return isLinear ? [...ways, movedAddends(call)] : ways;
    },
    localRun: (call, { outputs: [out] }, rank) => {
      if (!isAdjoint) return undefined;
      const { shape } = out.parts[rank];
      return (inputs, attrs, outputs, target) =>
        call.op.run(inputs, { ...(attrs as AdjointAttrs<unknown>), shape }, outputs, target);
    },
  };
}

// --- reshapes --------------------------------------------------------------------------------------------------------

/**
 * Neighbouring dimensions of the input that become neighbouring dimensions of the result, as few as possible together.
 */
interface Regrouping {
  readonly from: readonly number[];
  readonly to: readonly number[];
}

function regroupings(from: Shape, to: Shape): Regrouping[] {
  const groups: Regrouping[] = [];
  let [i, j] = [0, 0];
  while (i < from.length && j < to.length) {
    const group = { from: [i], to: [j] };
    let [left, right] = [from[i++], to[j++]];
    while (left !== right) {
      if (left < right) {
        group.from.push(i);
        left *= from[i++];
      } else {
        group.to.push(j);
        right *= to[j++];
      }
    }
    groups.push(group);
  }
  return groups;
}

/** The outermost dimension of a group with more than one place. */
function outermost(dims: readonly number[], shape: Shape): number {
  return dims.find((dim) => shape[dim] !== 1) ?? dims[0];
}

function bordersAgree(call: Call, { from, to }: Regrouping, fromDim: number, toDim: number): boolean {
  const [input, output] = [metaOf(call, 0).shape, call.outputs[0].shape];
  if (input[fromDim] === output[toDim]) return true;
  if (call.isNested) return false;
  const rest = (dims: readonly number[], shape: Shape, dim: number): number =>
    dims.reduce((product, own) => (own > dim ? product * shape[own] : product), 1);
  const [inner, outer] = [rest(from, input, fromDim), rest(to, output, toDim)];
  return Array.from({ length: call.count }, (_, index) => index).every(
    (index) =>
      shardRange(input[fromDim], index, call.count).to * inner ===
      shardRange(output[toDim], index, call.count).to * outer,
  );
}

export const reshapeRule: Rule = {
  key: everything,
  ways: (call) => {
    const [input, output] = [metaOf(call, 0).shape, call.outputs[0].shape];
    if (numelOf(input) === 0) return [movedAddends(call)];
    const ways = regroupings(input, output).flatMap((group): Way[] => {
      const [from, to] = [outermost(group.from, input), outermost(group.to, output)];
      return bordersAgree(call, group, from, to) ? [{ inputs: [shard(from)], outputs: [shard(to)] }] : [];
    });
    return [...ways, movedAddends(call)];
  },
  localRun: (_call, { outputs: [out] }, rank) => {
    const { shape } = out.parts[rank];
    return looking((x) => {
      const strides = viewStrides(x.shape, x.strides, shape);
      if (strides !== undefined) return viewOf(x, { shape, strides, offset: x.offset });
      const dense = contiguousValue(x);
      return viewOf(dense, {
        shape,
        strides: viewStrides(dense.shape, dense.strides, shape) ?? [],
        offset: dense.offset,
      });
    });
  },
};

/** The mock's routines: `sort`, and a few that misbehave on purpose, for tests of the runtime. */
import type { RoutineKernel } from "../../kernel/ir.ts";
import type { OperandMemory } from "./compile.ts";
import type { Scalar } from "./scalar.ts";

export interface RoutineCall {
  readonly operands: readonly OperandMemory[];
  readonly sizes: readonly number[];
  readonly strides: readonly (readonly number[])[];
  readonly scalars: readonly Scalar[];
}

type Routine = (call: RoutineCall) => void;

/** Ascending, NaN greatest (as `torch.sort`). */
function order(a: Scalar, b: Scalar): number {
  const aNaN = a !== a;
  const bNaN = b !== b;
  if (aNaN || bNaN) return Number(aNaN) - Number(bNaN);
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Sorts along the last axis, stably: outputs are the values and their int64 places in the input. */
function sort(descending: boolean): Routine {
  const direction = descending ? -1 : 1;
  return ({ operands, sizes, strides }) => {
    const [input, values, indices] = operands as [OperandMemory, OperandMemory, OperandMemory];
    const outer = sizes.slice(0, -1);
    const length = sizes.at(-1) ?? 1;
    eachPoint(outer, (point) => {
      const at = (operand: number, i: number): number =>
        [...point, i].reduce((sum, index, axis) => sum + index * (strides[operand]?.[axis] ?? 0), 0);
      const row = Array.from({ length }, (_, i) => ({ value: input.view[input.offset + at(0, i)], i }));
      row.sort((a, b) => direction * order(a.value, b.value));
      row.forEach(({ value, i }, place) => {
        values.view[values.offset + at(1, place)] = value;
        indices.view[indices.offset + at(2, place)] = BigInt(i);
      });
    });
  };
}

function eachPoint(sizes: readonly number[], visit: (point: readonly number[]) => void): void {
  const [first, ...rest] = sizes;
  if (first === undefined) return visit([]);
  for (let i = 0; i < first; i++) eachPoint(rest, (point) => { visit([i, ...point]); });
}

const misbehaviours: Readonly<Record<string, Routine>> = {
  /** Ends the actor's thread in the middle of the op, after half of its output is written. */
  "mock.exit": ({ operands }) => {
    for (const { view, low, high } of operands) view[low] = view[high - 1];
    process.exit(3);
  },
  "mock.throw": () => {
    throw new Error("thrown on purpose");
  },
  /** Takes scalar 0 milliseconds. */
  "mock.sleep": ({ scalars }) => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(scalars[0]));
  },
};

/** The routine for `kernel`. @throws TypeError when there is none of that name. */
export function routine(kernel: RoutineKernel): Routine {
  if (kernel.name === "sort") return sort(kernel.options["descending"] === true);
  const found = misbehaviours[kernel.name];
  if (found === undefined) throw new TypeError(`the mock device has no routine "${kernel.name}"`);
  return found;
}

/** What the examples print: progress bars, tables, differences. */
import { MultiBar, Presets } from "cli-progress";
import Table from "cli-table3";

export interface Progress {
  update(done: number, loss: number): void;
  finish(done: number): void;
}

/** A progress bar on a terminal; two lines, at the start and at the end, where the output is no terminal. */
export function progress(name: string, total: number): Progress {
  if (!process.stdout.isTTY) {
    console.log(`${name}: ${total} samples ...`);
    let last = NaN;
    return {
      update: (_done, loss) => (last = loss),
      finish: () => console.log(`${name}: done, last loss ${last.toFixed(4)}`),
    };
  }
  const bars = new MultiBar({ format: `${name.padEnd(26)} {bar} {percentage} %  loss {loss}  {eta} s left`, hideCursor: true }, Presets.shades_classic);
  const bar = bars.create(total, 0, { loss: "-" });
  return {
    update: (done, loss) => bar.update(done, { loss: loss.toFixed(4) }),
    finish: (done) => {
      bar.update(done);
      bars.stop();
    },
  };
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const made = new Table({ head: [...head], style: { head: [], border: [] }, colAligns: head.map((_, i) => (i === 0 ? "left" : "right")) });
  for (const row of rows) made.push([...row]);
  return made.toString();
}

/** The greatest absolute difference between two lists of parameters. */
export function greatestDifference(a: readonly Float32Array[], b: readonly Float32Array[]): number {
  let greatest = 0;
  a.forEach((values, i) => values.forEach((value, k) => (greatest = Math.max(greatest, Math.abs(value - b[i][k])))));
  return greatest;
}

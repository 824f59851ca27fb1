/** What the examples print: progress bars and tables. */
import { MultiBar, Presets } from "cli-progress";
import type { SingleBar } from "cli-progress";
import Table from "cli-table3";

export interface Progress {
  /** @param loss NaN where there is none yet */
  update(name: string, done: number, total: number, loss: number): void;
  finish(): void;
}

/** A progress bar for each name on a terminal; a line for each at the end where the output is no terminal. */
export function progress(titles: Readonly<Record<string, string>>): Progress {
  const width = Math.max(...Object.values(titles).map(({ length }) => length));
  if (!process.stdout.isTTY) {
    const lines = new Map<string, string>();
    return {
      update: (name, done, _total, loss) => {
        lines.set(name, `${titles[name].padEnd(width)}  ${done} steps, loss ${shown(loss)}`);
      },
      finish: () => {
        for (const line of lines.values()) console.log(line);
      },
    };
  }
  const format = "{title} {bar} {percentage} %  loss {loss}";
  const bars = new MultiBar({ format, hideCursor: true, barsize: 32 }, Presets.shades_classic);
  const made = new Map<string, SingleBar>();
  return {
    update: (name, done, total, loss) => {
      const payload = { title: titles[name].padEnd(width), loss: shown(loss) };
      const bar = made.get(name);
      if (bar === undefined) made.set(name, bars.create(total, done, payload));
      else bar.update(done, payload);
    },
    finish: () => bars.stop(),
  };
}

function shown(loss: number): string {
  return Number.isNaN(loss) ? "-" : loss.toFixed(4);
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const made = new Table({ head: [...head], style: { head: [], border: [] }, colAligns: head.map((_, i) => (i === 0 ? "left" : "right")) });
  for (const row of rows) made.push([...row]);
  return made.toString();
}

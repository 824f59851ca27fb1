/** What a product's steps and columns are, worked out once a launch: tables in scratch that the loops over tiles read. */
import type { Geometry } from "./convolution-geometry.ts";
import type { Image } from "./convolution-image.ts";
import type { Int, Ints, Variable } from "./ints.ts";

/** For each step of the sums: where it is in the weight, and in the image from a window's place (bytes). */
export class StepTable {
  readonly #code: Ints;
  readonly #inWeight: Variable;
  readonly #inImage: Variable;
  /** Steps of the sums. */
  readonly count: Variable;

  static bytes(steps: number): number {
    return 8 * steps;
  }

  /** @param most the steps that there are room for */
  constructor(code: Ints, base: Variable, most: Variable) {
    this.#code = code;
    this.#inWeight = base;
    this.#inImage = code.variable(base.add(most.mul(4)));
    this.count = code.variable();
  }

  /** The address past the table. */
  static end(base: Int, most: Int): Int {
    return base.add(most.mul(8));
  }

  inWeight(step: Int): Int {
    return this.#code.load(this.#inWeight.add(step.mul(4)));
  }

  /** The address of the entries from a step on. */
  imageEntries(step: Int): Int {
    return this.#inImage.add(step.mul(4));
  }

  /**
   * Prints the table of all channels and taps or, where the remainders of an x's places are given, of the taps that reach them.
   *
   * @param lead elements of the image before the first window
   */
  print(
    { channels, taps, stride, dilation }: Geometry,
    image: Image,
    lead: readonly Variable[],
    weight: { readonly channel: Variable; readonly taps: readonly Variable[] },
    remainders: readonly Variable[],
  ): void {
    const code = this.#code;
    this.count.set(0);
    code.nest([channels, ...taps], ([channel, ...tap]) => {
      const ahead = tap.map((t, d) => code.variable(t.mul(dilation[d])));
      const add = (at: readonly Int[]): void => {
        const inWeight = tap.reduce((sum, t, d) => sum.add(t.mul(weight.taps[d])), channel.mul(weight.channel));
        code.store(this.#inWeight.add(this.count.mul(4)), inWeight);
        code.store(this.#inImage.add(this.count.mul(4)), image.elementOffset(channel, at));
        this.count.increase(1);
      };
      if (remainders.length === 0) {
        add(ahead);
        return;
      }
      const fits = ahead.map((own, d) => own.rem(stride[d]).eq(remainders[d])).reduce((all, own) => all.and(own));
      code.if(fits, () => add(ahead.map((own, d) => lead[d].sub(own.div(stride[d])))));
    });
  }
}

/** Columns of a panel that are neighbours in the image, and evenly spaced in the result. */
export interface Run {
  /** The first one's number in the panel. */
  readonly column: Variable;
  readonly length: Variable;
  /** Where the first one's window begins in the image (bytes). */
  readonly place: Variable;
  /** Where the first one is in a row of the result (bytes). */
  readonly own: Variable;
}

const runBytes = 16;
const panelBytes = 8;

/**
 * Rows of places may lie so far apart in the image that a panel's columns run on through what is between them, zeros that
 * no result needs. It saves packing them row by row.
 */
const mostGap = 4;

/** The runs that the panels of a result's columns consist of: a panel is filled row by row of places. */
export class RunTable {
  readonly #code: Ints;
  readonly #width: Variable;
  /** For each panel its first run's address and its first column's place in the image; one more at the end. */
  readonly #firsts: Variable;
  readonly #runs: Variable;
  /** Panels of columns. */
  readonly panels: Variable;
  /** Bytes from one column of a run to the next, in the result. */
  readonly step: Variable;
  /** Whether each panel's columns are neighbours in the image, with gaps that the runs leave out. */
  readonly isPitched: Variable;

  /** The most panels of `width` that rows of so many columns fill. */
  static panels(columns: readonly number[], width: number): number {
    const last = columns.length - 1;
    return Math.ceil(columns.reduce((product, size, d) => product * (d === last ? size + mostGap : size), 1) / width);
  }

  /** The same in code. */
  static mostPanels(code: Ints, columns: readonly Variable[], width: Variable): Int {
    const last = columns.length - 1;
    return code.product(columns.map((size, d) => (d === last ? size.add(mostGap) : size))).add(width).sub(1).div(width);
  }

  static bytes(panels: number, rows: number): number {
    return panelBytes * (panels + 1) + runBytes * (panels + rows);
  }

  /** The address past the table. */
  static end(base: Int, panels: Int, rows: Int): Int {
    return base.add(panels.add(1).mul(panelBytes)).add(panels.add(rows).mul(runBytes));
  }

  /** @param width columns of a panel; @param most panels that there is room for */
  constructor(code: Ints, base: Variable, width: Variable, most: Variable) {
    this.#code = code;
    this.#width = width;
    this.#firsts = base;
    this.#runs = code.variable(base.add(most.add(1).mul(panelBytes)));
    this.panels = code.variable();
    this.step = code.variable();
    this.isPitched = code.variable();
  }

  /** Prints the table of all places or, where the remainders of an x's places are given, of those that leave them. */
  print(
    { positions, stride, padding }: Geometry,
    image: Image,
    resultSteps: readonly Variable[],
    remainders: readonly Variable[],
  ): void {
    const code = this.#code;
    const isInput = remainders.length > 0;
    // The first place of this remainder, and the window that begins there.
    const first = remainders.map((own, d) =>
      code.variable(own.add(stride[d]).sub(padding[d].rem(stride[d])).rem(stride[d])));
    const window = first.map((own, d) => code.variable(own.add(padding[d]).div(stride[d])));
    // A dimension that is shorter than the first place has no column of this remainder.
    const counts = positions.map((size, d) => (isInput
      ? code.variable(code.choose(
        first[d].lt(size), size.sub(first[d]).add(stride[d]).sub(1).div(stride[d]), 0,
      ))
      : size));
    const last = positions.length - 1;
    this.step.set(isInput ? resultSteps[last].mul(stride[last]) : resultSteps[last]);
    const gap = code.variable();
    if (last > 0) {
      gap.set(image.rowSteps[last - 1].div(4).sub(counts[last]));
      // Windows that lie apart, in the image or on its rows, have larger gaps.
      const isClose = isInput ? image.isCopied : image.isCopied.and(stride[last - 1].eq(1)).and(stride[last].eq(1));
      const isNarrow = gap.ge(0).and(gap.le(mostGap)).and(gap.mul(8).le(counts[last]));
      this.isPitched.set(isClose.and(isNarrow));
    }
    const run = code.variable(this.#runs);
    const filled = code.variable(this.#width);
    const [length, place, own] = [code.variable(), code.variable(), code.variable()];
    const open = (): void => {
      code.store(this.#entry(this.panels), run);
      code.store(this.#entry(this.panels), place, 4);
      this.panels.increase(1);
    };
    this.panels.set(0);
    code.nest(counts.slice(0, last), (row) => {
      const at: readonly Int[] = [...row, code.constant(0)];
      place.set(image.windowOffset(at.map((i, d) => (isInput ? i.add(window[d]) : i))));
      own.set(at
        .map((i, d) => (isInput ? i.mul(stride[d]).add(first[d]) : i).mul(resultSteps[d]))
        .reduce((sum, step) => sum.add(step)));
      const left = code.variable(counts[last]);
      code.while(() => left.ge(1), () => {
        code.if(filled.eq(this.#width), () => {
          open();
          filled.set(0);
        });
        length.set(code.min(left, this.#width.sub(filled)));
        code.store(run, length);
        code.store(run, place, 4);
        code.store(run, own, 8);
        code.store(run, filled, 12);
        run.increase(runBytes);
        filled.increase(length);
        left.increase(code.constant(0).sub(length));
        place.increase(length.mul(4));
        own.increase(length.mul(this.step));
      });
      if (last === 0) return;
      code.if(this.isPitched.and(row[last - 1].lt(counts[last - 1].sub(1))), () => {
        length.set(this.#width.sub(filled));
        filled.increase(gap);
        code.if(length.lt(gap), () => {
          place.increase(length.mul(4));
          open();
          filled.set(gap.sub(length));
        });
      });
    });
    code.store(this.#entry(this.panels), run);
  }

  #entry(panel: Int): Int {
    return this.#firsts.add(panel.mul(panelBytes));
  }

  #firstRun(panel: Int): Int {
    return this.#code.load(this.#entry(panel));
  }

  /** Whether all columns of a full panel are one run. */
  isOneRun(panel: Int): Int {
    return this.#code.load(this.#firstRun(panel)).eq(this.#width);
  }

  /** Where the panel's first window begins in the image, and where its first column is in the result. */
  firstPlace(panel: Int): Int {
    return this.#code.load(this.#entry(panel), 4);
  }

  firstOwn(panel: Int): Int {
    return this.#code.load(this.#firstRun(panel), 8);
  }

  forRuns(panel: Int, body: (run: Run) => void): void {
    const code = this.#code;
    const end = code.variable(this.#firstRun(panel.add(1)));
    code.for(end, (at) => {
      const [length, place, own, column] = [0, 4, 8, 12].map((offset) => code.variable(code.load(at, offset)));
      body({ column, length, place, own });
    }, this.#firstRun(panel), runBytes);
  }
}

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

const runBytes = 12;

/** The runs that the panels of a result's columns consist of: a panel is filled row by row of places. */
export class RunTable {
  readonly #code: Ints;
  readonly #width: Variable;
  /** For each panel its first run's address; one more at the end. */
  readonly #firsts: Variable;
  readonly #runs: Variable;
  /** Panels of columns. */
  readonly panels: Variable;
  /** Bytes from one column of a run to the next, in the result. */
  readonly step: Variable;

  static bytes(columns: number, rows: number, panel: number): number {
    const panels = Math.ceil(columns / panel);
    return 4 * (panels + 1) + runBytes * (panels + rows);
  }

  /** The address past the table. */
  static end(base: Int, panels: Int, rows: Int): Int {
    return base.add(panels.add(1).mul(4)).add(panels.add(rows).mul(runBytes));
  }

  /** @param width columns of a panel; @param most panels that there is room for */
  constructor(code: Ints, base: Variable, width: Variable, most: Variable) {
    this.#code = code;
    this.#width = width;
    this.#firsts = base;
    this.#runs = code.variable(base.add(most.add(1).mul(4)));
    this.panels = code.variable();
    this.step = code.variable();
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
    const run = code.variable(this.#runs);
    const filled = code.variable(this.#width);
    const [length, place, own] = [code.variable(), code.variable(), code.variable()];
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
          code.store(this.#firsts.add(this.panels.mul(4)), run);
          this.panels.increase(1);
          filled.set(0);
        });
        length.set(code.min(left, this.#width.sub(filled)));
        code.store(run, length);
        code.store(run, place, 4);
        code.store(run, own, 8);
        run.increase(runBytes);
        filled.increase(length);
        left.increase(code.constant(0).sub(length));
        place.increase(length.mul(4));
        own.increase(length.mul(this.step));
      });
    });
    code.store(this.#firsts.add(this.panels.mul(4)), run);
  }

  /** Whether all columns of a full panel are one run. */
  isOneRun(panel: Int): Int {
    return this.#code.load(this.#code.load(this.#firsts.add(panel.mul(4)))).eq(this.#width);
  }

  /** Where the panel's first window begins in the image, and where its first column is in the result. */
  firstPlace(panel: Int): Int {
    return this.#code.load(this.#code.load(this.#firsts.add(panel.mul(4))), 4);
  }

  firstOwn(panel: Int): Int {
    return this.#code.load(this.#code.load(this.#firsts.add(panel.mul(4))), 8);
  }

  forRuns(panel: Int, body: (run: Run) => void): void {
    const code = this.#code;
    const entry = this.#firsts.add(panel.mul(4));
    const end = code.variable(code.load(entry, 4));
    const column = code.variable();
    code.for(end, (at) => {
      const length = code.variable(code.load(at));
      body({ column, length, place: code.variable(code.load(at, 4)), own: code.variable(code.load(at, 8)) });
      column.increase(length);
    }, code.load(entry), runBytes);
  }
}

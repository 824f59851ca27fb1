/**
 * The image that windows read: one group's channels of one sample, copied with the zeros around it, so that no window
 * leaves it; or the tensor itself where nothing lies around it. Where windows are several elements apart, elements of
 * one remainder lie together, so that neighbouring windows read neighbouring elements; else the zeros after a row are
 * those before the next one.
 */
import { type ModuleBuilder, Op, Simd, Type } from "../wasm/assembler.ts";
import { type Int, Ints, type Value, type Variable } from "./ints.ts";
import type { PerDimension } from "./convolution-geometry.ts";

/**
 * Adds `copyRows(source, step, sourceRow, target, targetRow, rows, count)`: rows of `count` elements, `step` bytes apart, become
 * neighbours.
 */
export function rowCopier(module: ModuleBuilder): number {
  const f = module.function(Array.from({ length: 7 }, () => Type.i32));
  const code = new Ints(f);
  const [source, step, sourceRow, target, targetRow, rows, count] = code.parameters(7);
  const [from, to, left] = [code.variable(), code.variable(), code.variable()];
  const forRows = (body: () => void): void => {
    code.while(() => rows.ge(1), () => {
      from.set(source);
      to.set(target);
      left.set(count);
      body();
      source.increase(sourceRow);
      target.increase(targetRow);
      rows.increase(-1);
    });
  };
  const copy = (vectors: number): void => {
    for (let offset = 0; offset < 16 * vectors; offset += 16) {
      to.push();
      from.push();
      f.simdMemory(Simd.load, offset);
      f.simdMemory(Simd.store, offset);
    }
  };
  const whole = (vectors: number): void => {
    code.while(() => left.ge(4 * vectors), () => {
      copy(vectors);
      from.increase(16 * vectors);
      to.increase(16 * vectors);
      left.increase(-4 * vectors);
    });
  };
  code.if(step.eq(4).and(count.ge(4)), () => {
    forRows(() => {
      whole(4);
      whole(1);
      // The rest together with what has been copied already.
      code.if(left.ge(1), () => {
        from.increase(left.mul(4).sub(16));
        to.increase(left.mul(4).sub(16));
        copy(1);
      });
    });
    f.op(Op.return);
  });
  forRows(() => {
    code.while(() => left.ge(1), () => {
      to.push();
      from.push();
      f.memory(Op.f32Load);
      f.memory(Op.f32Store);
      from.increase(step);
      to.increase(4);
      left.increase(-1);
    });
  });
  return f.index;
}

/** The tensor that an image is a part of. */
export interface ImageSource {
  readonly channels: Variable;
  readonly extent: PerDimension;
  /** In bytes. */
  readonly channelStep: Variable;
  readonly steps: PerDimension;
}

export interface ImageFrame {
  /** Elements before the first one, and elements in all that windows read. */
  readonly lead: PerDimension;
  readonly span: PerDimension;
  /** How far apart windows are. */
  readonly stride: PerDimension;
}

export class Image {
  readonly #code: Ints;
  readonly #source: ImageSource;
  readonly #frame: ImageFrame;
  readonly #copyRows: number;
  /** Elements of a row that lie together. */
  readonly #run: Variable;
  readonly #buffer: Variable;
  /** Whether windows read a copy, with zeros between its rows, and not the tensor. */
  readonly isCopied: Variable;
  /** In bytes. */
  readonly channelStep: Variable;
  /** For each dimension but the last: bytes from one row of elements to the next. */
  readonly rowSteps: PerDimension;

  /** @param buffer where copies go: `imageBytes` of room */
  constructor(code: Ints, source: ImageSource, frame: ImageFrame, buffer: Variable, copyRows: number) {
    this.#code = code;
    this.#source = source;
    this.#frame = frame;
    this.#buffer = buffer;
    this.#copyRows = copyRows;
    const { lead, span, stride } = frame;
    const last = span.length - 1;
    const outside = lead.map((zeros, d) => zeros.ne(0).add(span[d].sub(1).ge(source.extent[d])));
    const apart = span.slice(1).map((size, d) => source.steps[d].lt(size.mul(source.steps[d + 1])));
    const reasons = [...outside, ...apart, stride[last].ne(1), source.steps[last].ne(4)];
    this.isCopied = code.variable(reasons.reduce((any, reason) => any.add(reason)).ne(0));
    this.#run = code.variable(span[last].add(stride[last]).sub(1).div(stride[last]));
    const rowSteps: Variable[] = [];
    const after = span[last].sub(lead[last]).sub(source.extent[last]);
    const shared = code.variable(
      code.choose(stride[last].eq(1), code.max(code.min(lead[last], after), 0), 0),
    );
    let step = code.variable(this.#run.mul(stride[last]).sub(shared).mul(4));
    for (let d = last - 1; d >= 0; d--) {
      rowSteps.unshift(step);
      step = code.variable(step.mul(span[d]));
    }
    this.channelStep = step;
    this.rowSteps = rowSteps;
    code.if(this.isCopied, () => {
      code.clear(buffer, this.channelStep.mul(source.channels).add(shared.mul(4)));
    }, () => {
      this.channelStep.set(source.channelStep);
      rowSteps.forEach((own, d) => own.set(source.steps[d]));
    });
  }

  /** Where a window begins, from the first one's place (bytes). */
  windowOffset(position: readonly Value[]): Int {
    const last = position.length - 1;
    return this.#sum(position.map((at, d) =>
      d === last ? this.#int(at).mul(4) : this.#int(at).mul(this.#frame.stride[d]).mul(this.rowSteps[d])));
  }

  /** Where an element of a window lies, from the window's place (bytes). */
  elementOffset(channel: Value, at: readonly Int[]): Int {
    const last = at.length - 1;
    const stride = this.#frame.stride[last];
    return this.#sum([
      this.#int(channel).mul(this.channelStep),
      ...at.map((own, d) =>
        d === last ? own.rem(stride).mul(this.#run).add(own.div(stride)).mul(4) : own.mul(this.rowSteps[d])),
    ]);
  }

  /** The address of the first window in the image at `base`, which is copied if need be. */
  take(base: Variable): Variable {
    const code = this.#code;
    const image = code.variable(base);
    code.if(this.isCopied, () => {
      this.#copy(base);
      image.set(this.#buffer);
    });
    return image;
  }

  #copy(base: Variable): void {
    const code = this.#code;
    const { channels, channelStep, steps } = this.#source;
    const { lead, span, stride } = this.#frame;
    const last = span.length - 1;
    const counts = span.map((size, d) => code.variable(code.min(this.#source.extent[d], size.sub(lead[d]))));
    const rows = last === 0 ? code.variable(1) : counts[0];
    const [sourceRow, targetRow] = [steps, this.rowSteps].map((own) => (last === 0 ? code.variable() : own[0]));
    const firstRow = this.#sum(lead.slice(0, last).map((zeros, d) => zeros.mul(this.rowSteps[d])));
    const target = code.variable(firstRow.add(this.#buffer));
    const from = code.variable(base);
    code.for(channels, () => {
      // The elements of each remainder: the first is the first whose place is not before the image.
      code.for(code.min(stride[last], counts[last]), (start) => {
        const place = code.variable(start.add(lead[last]));
        const skip = place.rem(stride[last]).mul(this.#run).add(place.div(stride[last]));
        code.call(
          this.#copyRows,
          from.add(start.mul(steps[last])),
          stride[last].mul(steps[last]),
          sourceRow,
          target.add(skip.mul(4)),
          targetRow,
          rows,
          counts[last].sub(start).add(stride[last]).sub(1).div(stride[last]),
        );
      });
      from.increase(channelStep);
      target.increase(this.channelStep);
    });
  }

  #int(value: Value): Int {
    return typeof value === "number" ? this.#code.constant(value) : value;
  }

  #sum(terms: readonly Int[]): Int {
    return terms.length === 0 ? this.#code.constant(0) : terms.reduce((sum, term) => sum.add(term));
  }
}

/** Bytes of an image's copy. */
export function imageBytes(channels: number, span: readonly number[], lastStride: number): number {
  const elements = span.reduce((product, size, d) =>
    product * (d === span.length - 1 ? Math.ceil(size / lastStride) * lastStride : size), channels);
  return Math.ceil((elements * 4) / 64 + 1) * 64;
}

/**
 * Convolutions that give w, as matrix products of windows and of y, summed over all places of all images. Windows are read
 * from the image in place: an element of the weight is a row, which begins at a fixed distance from each window's place.
 * A column is a feature: y is packed so that a step's features are neighbours. Where that costs more than it gives (few
 * features, or few elements a feature), lines of the image are multiplied by lines of y instead.
 *
 * Sums run over images and places in one order, whichever thread has them.
 */
import { Scratch } from "../wasm/arguments.ts";
import { ModuleBuilder, Op, Type } from "../wasm/assembler.ts";
import { Geometry, type Places } from "./convolution-geometry.ts";
import { Image, imageBytes, rowCopier } from "./convolution-image.ts";
import { type ConvolutionShape, product } from "./convolution-shape.ts";
import { dotKernel, gradientKernel } from "./convolution-tiles.ts";
import { type Int, Ints, type Variable } from "./ints.ts";
import { packer } from "./matmul-pack.ts";
import { tileRows } from "./matmul-tiles.ts";

/** Places that are packed at a time: about so many, in whole lines, and no longer part of one. */
const blockPlaces = 384;
const longestLine = 512;
/** About how many rows' multiplications packing y costs as much as. */
const packingRows = 10;

/** Units of work: tiles of rows, for each panel of features and each group. */
export function gradientUnits({ groups, rows, channels, taps }: ConvolutionShape, panel: number): number {
  return groups * Math.ceil(rows / panel) * Math.ceil((channels * product(taps)) / tileRows);
}

export function gradientScratchBytes(shape: ConvolutionShape, panel: number): number {
  const { rows, channels, positions, taps, stride, dilation } = shape;
  const elements = channels * product(taps);
  const last = positions.length - 1;
  const span = positions.map((size, d) => (size - 1) * stride[d] + (taps[d] - 1) * dilation[d] + 1);
  const sums = Math.ceil(rows / panel) * panel * elements * 4;
  const dots = rows * elements * panel * 4;
  const packed = (longestLine + blockPlaces) * panel * 4;
  return (
    Scratch.headerBytes + 8 * elements + Math.max(sums, isDotted(shape, panel) ? dots : 0) + packed +
    imageBytes(channels, span, stride[last]) + 128
  );
}

/** Whether lines are multiplied by lines, where y's are dense. `printGradient` prints the same. */
function isDotted({ rows, channels, taps }: ConvolutionShape, panel: number): boolean {
  const elements = channels * product(taps);
  return rows * elements * 5 < Math.ceil(rows / panel) * panel * (elements + packingRows) * 4;
}

/** The module of `run(args, begin, end, scratch)`. */
export function printGradient(places: Places, panel: number): Uint8Array<ArrayBuffer> {
  return new GradientPrinter(places, panel).print();
}

/** What a part of the work is: tiles [firstTile, lastTile) of features [firstPanel, lastPanel) of a group. */
interface Part {
  readonly group: Variable;
  readonly firstPanel: Variable;
  readonly lastPanel: Variable;
  readonly firstTile: Variable;
  readonly lastTile: Variable;
}

class GradientPrinter {
  readonly #module = new ModuleBuilder();
  readonly #panel: number;
  readonly #places: Places;
  readonly #code: Ints;
  readonly #copyRows: number;
  readonly #pack: number;
  /** By rows of a tile, from 1. */
  readonly #micro: readonly number[];
  readonly #dot: readonly number[];

  constructor(places: Places, panel: number) {
    const module = this.#module;
    this.#places = places;
    this.#panel = panel;
    const heights = Array.from({ length: tileRows }, (_, i) => i + 1);
    this.#copyRows = rowCopier(module);
    this.#pack = packer(module, panel);
    this.#micro = heights.map((rows) => gradientKernel(module, rows, panel));
    this.#dot = heights.map((rows) => dotKernel(module, rows, panel));
    this.#code = new Ints(module.function([Type.i32, Type.i32, Type.i32, Type.i32], [], "run"));
  }

  print(): Uint8Array<ArrayBuffer> {
    const code = this.#code;
    const panel = this.#panel;
    const [args, begin, end, scratch] = code.parameters(4);
    const geometry = new Geometry(code, args, this.#places);
    const { images, rows: features, channels, positions, taps, stride, dilation, padding } = geometry;
    const { axes, rank } = this.#places;
    const last = rank - 1;
    const steps = stride.map((step, d) => code.variable(geometry.stepOf(0, axes.positions + d).div(step)));
    const x = { base: geometry.address(0), image: geometry.stepOf(0, axes.images), group: geometry.stepOf(0, axes.groups) };
    padding.forEach((zeros, d) => x.base.increase(zeros.mul(steps[d])));
    const y = {
      base: geometry.address(1), image: geometry.stepOf(1, axes.images), group: geometry.stepOf(1, axes.groups),
      feature: geometry.stepOf(1, axes.rows), steps: geometry.stepsOf(1, axes.positions),
    };
    const w = {
      base: geometry.address(2), group: geometry.stepOf(2, axes.groups), feature: geometry.stepOf(2, axes.rows),
      channel: geometry.stepOf(2, axes.channels), taps: geometry.stepsOf(2, axes.taps),
    };
    const span = positions.map((size, d) =>
      code.variable(size.sub(1).mul(stride[d]).add(taps[d].sub(1).mul(dilation[d])).add(1)));

    // Scratch: two tables, packed y, the image, sums.
    const elements = code.variable(code.product([channels, ...taps]));
    const imageTable = code.variable(scratch.add(Scratch.headerBytes));
    const weightTable = code.variable(imageTable.add(elements.mul(4)));
    const packed = code.variable(weightTable.add(elements.mul(4)).add(63).and(-64));
    const sums = code.variable(packed.add((longestLine + blockPlaces) * panel * 4));
    const panels = code.variable(features.add(panel - 1).div(panel));
    const isDotted = code.variable(
      features.mul(elements).mul(5).lt(panels.mul(panel).mul(elements.add(packingRows)).mul(4))
        .and(y.steps[last].eq(4)),
    );
    const sumBytes = code.variable(elements.mul(4 * panel).mul(code.choose(isDotted, features, panels)));
    const image = new Image(
      code,
      { channels, extent: geometry.extent, channelStep: geometry.stepOf(0, axes.channels), steps },
      { lead: padding, span, stride },
      code.variable(sums.add(sumBytes)),
      this.#copyRows,
    );

    const element = code.variable();
    code.nest([channels, ...taps], ([channel, ...tap]) => {
      const at = element.mul(4);
      code.store(imageTable.add(at), image.elementOffset(channel, tap.map((t, d) => t.mul(dilation[d]))));
      code.store(weightTable.add(at), tap.reduce((sum, t, d) => sum.add(t.mul(w.taps[d])), channel.mul(w.channel)));
      element.increase(1);
    });

    // Rows are divided into tiles as evenly as can be.
    const tiles = code.variable(elements.add(tileRows - 1).div(tileRows));
    const height = code.variable(elements.div(tiles));
    const taller = code.variable(elements.rem(tiles));
    const lines = rank === 1 ? code.variable(1) : positions[last - 1];
    const length = positions[last];
    const lineStep = rank === 1 ? code.variable() : code.variable(image.rowSteps[last - 1].mul(stride[last - 1]));
    const yLine = rank === 1 ? code.variable() : y.steps[last - 1];
    const inOne = code.variable(yLine.eq(length.mul(y.steps[last])));
    /** Calls `body` with each tile of the part, its height and its first row. */
    const forTiles = ({ firstTile, lastTile }: Part, body: (height: Variable, row: Variable) => void): void => {
      code.for(lastTile, (tile) => {
        const own = code.variable(height.add(tile.lt(taller)));
        body(own, code.variable(tile.mul(height).add(code.min(tile, taller))));
      }, firstTile);
    };
    const sumsOf = (column: Int, row: Int): Int => sums.add(column.mul(elements).add(row).mul(4 * panel));

    const packedProducts = (part: Part, windows: Variable, values: Variable): void => {
      const blockLength = code.variable(code.min(length, longestLine));
      const blockLines = code.variable(
        code.choose(length.le(longestLine), code.max(code.constant(blockPlaces).div(length), 1), 1),
      );
      code.for(lines, (line) => {
        const lineCount = code.variable(code.min(blockLines, lines.sub(line)));
        code.for(length, (start) => {
          const count = code.variable(code.min(blockLength, length.sub(start)));
          const window = code.variable(windows.add(line.mul(lineStep)).add(start.mul(4)));
          const from = code.variable(values.add(line.mul(yLine)).add(start.mul(y.steps[last])));
          code.for(part.lastPanel, (p) => {
            const first = code.variable(p.mul(panel));
            const width = code.variable(code.min(panel, features.sub(first)));
            const source = code.variable(from.add(first.mul(y.feature)));
            code.if(inOne, () => {
              code.call(this.#pack, source, y.steps[last], y.feature, lineCount.mul(count), width, packed);
            }, () => {
              const to = code.variable(packed);
              code.for(lineCount, () => {
                code.call(this.#pack, source, y.steps[last], y.feature, count, width, to);
                source.increase(yLine);
                to.increase(count.mul(4 * panel));
              });
            });
            forTiles(part, (own, row) => {
              this.#dispatch(own, (h) => code.call(
                this.#micro[h], window, imageTable.add(row.mul(4)), packed, sumsOf(p, row), lineCount, count,
                lineStep.sub(count.mul(4)),
              ));
            });
          }, part.firstPanel);
        }, 0, blockLength);
      }, 0, blockLines);
    };
    const featureRange = ({ firstPanel, lastPanel }: Part): [first: Int, last: Int] =>
      [firstPanel.mul(panel), code.min(features, lastPanel.mul(panel))];
    const dots = (part: Part, windows: Variable, values: Variable): void => {
      const [first, end] = featureRange(part).map((own) => code.variable(own));
      code.for(end, (feature) => {
        const from = code.variable(values.add(feature.mul(y.feature)));
        forTiles(part, (own, row) => {
          this.#dispatch(own, (h) => code.call(
            this.#dot[h], windows, imageTable.add(row.mul(4)), from, sumsOf(feature, row), lines, length,
            lineStep.sub(length.mul(4)), yLine.sub(length.mul(4)),
          ));
        });
      }, first);
    };

    const unit = code.variable(begin);
    code.while(() => unit.lt(end), () => {
      const perGroup = code.variable(panels.mul(tiles));
      const inGroup = code.variable(unit.rem(perGroup));
      const firstTile = code.variable(inGroup.rem(tiles));
      const firstPanel = code.variable(inGroup.div(tiles));
      const left = code.variable(end.sub(unit));
      // Whole panels together, or some tiles of one.
      const whole = code.variable(
        code.choose(firstTile.eq(0), code.min(left.div(tiles), panels.sub(firstPanel)), 0),
      );
      const part: Part = {
        group: code.variable(unit.div(perGroup)),
        firstPanel,
        lastPanel: code.variable(firstPanel.add(code.max(whole, 1))),
        firstTile,
        lastTile: code.variable(code.choose(whole, tiles, code.min(tiles, firstTile.add(left)))),
      };
      unit.increase(code.choose(whole, whole.mul(tiles), part.lastTile.sub(firstTile)));
      code.clear(sums, sumBytes);
      code.for(images, (sample) => {
        const windows = image.take(
          code.variable(x.base.add(sample.mul(x.image)).add(part.group.mul(x.group))),
        );
        const values = code.variable(y.base.add(sample.mul(y.image)).add(part.group.mul(y.group)));
        code.if(isDotted, () => dots(part, windows, values), () => packedProducts(part, windows, values));
      });
      const [firstFeature, lastFeature] = featureRange(part).map((own) => code.variable(own));
      const target = code.variable(w.base.add(part.group.mul(w.group)));
      const value = code.f.local(Type.f32);
      code.for(lastFeature, (feature) => {
        const to = code.variable(target.add(feature.mul(w.feature)));
        forTiles(part, (own, row) => {
          code.for(row.add(own), (r) => {
            const { f } = code;
            code.if(isDotted, () => {
              f.f32(0);
              f.set(value);
              const from = code.variable(sumsOf(feature, r));
              for (let lane = 0; lane < panel; lane++) {
                f.get(value);
                from.push();
                f.memory(Op.f32Load, 4 * lane);
                f.op(Op.f32Add);
                f.set(value);
              }
            }, () => {
              sumsOf(feature.div(panel), r).add(feature.rem(panel).mul(4)).push();
              f.memory(Op.f32Load);
              f.set(value);
            });
            to.add(code.load(weightTable.add(r.mul(4)))).push();
            f.get(value);
            f.memory(Op.f32Store);
          }, row);
        });
      }, firstFeature);
    });
    return this.#module.finish();
  }

  /** Calls the function of a tile's height. */
  #dispatch(height: Variable, call: (index: number) => void, index = tileRows - 1): void {
    if (index === 0) call(0);
    else this.#code.if(height.eq(index + 1), () => call(index), () => this.#dispatch(height, call, index - 1));
  }
}
